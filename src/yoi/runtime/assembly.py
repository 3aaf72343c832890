"""Turns a resolved plugin into the specification of its service: where the rooms meet."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from yoi.connections import RequestClient
from yoi.core.captures import HandleTable
from yoi.core.ingress_account import IngressPolicy
from yoi.core.senders import SenderFilter
from yoi.defects import defect
from yoi.errors import SandboxError
from yoi.journal.state import StateStore
from yoi.limits import Limits
from yoi.packages import (
    INSTANCE_WORLD,
    ComponentRuntime,
    Durability,
    Manifest,
    PythonRuntime,
    ResolvedPlugin,
)
from yoi.protocol.ingress import EventKind
from yoi.runtime.connection_specs import ConnectionSpecMaker, may_dial
from yoi.runtime.hostcalls import ServiceHostCalls, Waiting
from yoi.runtime.offers import may_notify, tool_offers
from yoi.runtime.pairing import Pairings
from yoi.runtime.pull_sockets import PullDialler, PullSockets
from yoi.runtime.pull_targets import DeclaredConnection, PullTargets
from yoi.runtime.secret_injector import SecretInjector, ServiceSecrets
from yoi.runtime.service_requests import Rotation, ServiceRequests
from yoi.runtime.service_spec import IngressRules, Instance, ServiceSpec
from yoi.runtime.signer import NonceSource
from yoi.sandbox import Sandbox
from yoi.types import Clock


class RotatingSecrets(ServiceSecrets, Rotation, Protocol):
    """Secrets to insert, and a place for the ones that an answer replaces."""


@dataclass(frozen=True, slots=True)
class Assembler:
    """Makes service specifications from resolved plugins; holds what every service shares."""

    sandbox: Sandbox
    connections: ConnectionSpecMaker
    loop: asyncio.AbstractEventLoop
    clock: Clock
    limits: Limits
    requests: RequestClient
    secrets: RotatingSecrets
    handles: HandleTable
    state: StateStore
    pull: PullDialler
    nonces: NonceSource
    pairings: Pairings
    waiting: Waiting
    """Lets others have a worker thread's place while a host call waits (`Scheduler.waiting`)."""

    def spec(self, plugin: ResolvedPlugin) -> ServiceSpec:
        """Return what the service of `plugin` is made of; compiles, loads and dials nothing.

        Whatever comes up in making it is the fault of that one service; nothing is raised.
        """
        bare = self._bare(plugin)
        try:
            return self._complete(bare, plugin)
        except Exception as exc:
            return bare.failed(defect(exc, f"making the service {plugin.name}", str(exc)))

    def _bare(self, plugin: ResolvedPlugin) -> ServiceSpec:
        """Return the service without anything that its manifest declares."""
        manifest = plugin.package.manifest
        injector = SecretInjector(
            plugin.name, plugin.authority, self.secrets, self.handles, self.clock, self.nonces
        )
        requests = ServiceRequests(
            plugin.name,
            plugin.authority,
            injector,
            self.requests.send,
            self.secrets,
            self.requests.background,
        )
        calls = ServiceHostCalls(
            plugin.name,
            self.loop,
            self.waiting,
            self.state,
            requests,
            PullSockets(self.pull, injector.masker, plugin.name, self.requests.background),
            PullTargets(
                plugin.authority,
                injector,
                {
                    one.name: DeclaredConnection(one, partial(may_dial, plugin, one))
                    for one in manifest.connections
                },
            ),
            self.limits,
        )
        return ServiceSpec(
            name=plugin.name,
            fingerprint=_fingerprint(plugin),
            authority=plugin.authority,
            reference=plugin.reference,
            version=manifest.version,
            digest=plugin.package.digest,
            runtime="none" if manifest.runtime is None else manifest.runtime.label,
            config=plugin.config,
            load=partial(_not_runnable, plugin),
            ingresses=(),
            rules={},
            connections=(),
            told_of_start=(),
            injector=injector,
            requests=requests,
            calls=calls,
            tools=(),
            may_notify=partial(may_notify, plugin),
            senders=SenderFilter(plugin.senders, self.limits, self.pairings.of(plugin.name)),
        )

    def _complete(self, bare: ServiceSpec, plugin: ResolvedPlugin) -> ServiceSpec:
        """Return `bare` with its ingresses, connections and tools. Raises what these make."""
        manifest = plugin.package.manifest
        return replace(
            bare,
            load=self._loader(plugin, bare.calls),
            ingresses=tuple(
                IngressPolicy(
                    i.name, i.on_full, i.queue_events, i.queue_bytes, i.order_key, i.dedupe
                )
                for i in manifest.ingresses
            ),
            rules={
                i.name: IngressRules(
                    deadline_ms=i.deadline_ms,
                    attempts=i.attempts,
                    durable=i.durability is Durability.DISK,
                )
                for i in manifest.ingresses
            },
            connections=tuple(
                self.connections.make(plugin, c, bare.injector) for c in manifest.connections
            ),
            told_of_start=_told_of_start(manifest),
            tools=tool_offers(plugin),
        )

    def _loader(self, plugin: ResolvedPlugin, calls: ServiceHostCalls) -> Callable[[], Instance]:
        runtime = plugin.package.manifest.runtime
        files = plugin.package.files
        sandbox, name, authority = self.sandbox, plugin.name, plugin.authority
        if isinstance(runtime, PythonRuntime):
            own, libraries = plugin.package.own_files, plugin.package.library_files()
            return lambda: sandbox.load_python(
                own,
                runtime.entry,
                calls,
                libraries=libraries,
                name=name,
                memory_bytes=authority.memory_bytes,
                message_bytes=authority.message_bytes,
            )
        if isinstance(runtime, ComponentRuntime) and runtime.world == INSTANCE_WORLD:
            component = files[runtime.component]
            return lambda: sandbox.load_component(
                component,
                calls,
                name=name,
                memory_bytes=authority.memory_bytes,
                message_bytes=authority.message_bytes,
            )
        return lambda: _not_runnable(plugin)


def _told_of_start(manifest: Manifest) -> tuple[str, ...]:
    """Return the ingresses that take any event, or ask for `service_started`."""
    return tuple(
        ingress.name
        for ingress in manifest.ingresses
        if not ingress.event_kinds or EventKind.STARTED in ingress.event_kinds
    )


def _not_runnable(plugin: ResolvedPlugin) -> Instance:
    runtime = plugin.package.manifest.runtime
    what = "has no [runtime]" if runtime is None else f"is built for {runtime.world}"
    raise SandboxError(
        "sandbox.world",
        f'{plugin.reference} {what}; a service needs kind = "python" or {INSTANCE_WORLD}',
    )


def _fingerprint(plugin: ResolvedPlugin) -> str:
    parts = [
        plugin.reference,
        plugin.package.digest,
        ",".join(sorted(plugin.surfaces)),
        json.dumps(plugin.config, sort_keys=True, default=str),
        json.dumps([rule.to_table() for rule in plugin.senders], sort_keys=True),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
