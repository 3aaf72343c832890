"""Turns a resolved plugin into the blueprint of its service: where the rooms meet."""

import asyncio
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from yoi.connections import (
    ConnectionPlan,
    Connector,
    HostConnection,
    RequestClient,
    Resolver,
)
from yoi.core.captures import HandleTable
from yoi.core.ingress_queue import Lane, Overflow
from yoi.errors import SandboxError
from yoi.journal.state import StateStore
from yoi.limits import Limits
from yoi.packages import (
    INSTANCE_WORLD,
    MANIFEST_NAME,
    ComponentRuntime,
    ConnectionDecl,
    Deliver,
    Manifest,
    Open,
    PythonRuntime,
    ResolvedPlugin,
)
from yoi.permissions import Decision, Permission, PermissionKind, Url, permission_hash
from yoi.protocol.ingress import EventKind
from yoi.runtime.hostcalls import HostCallDesk, Waiting
from yoi.runtime.inlet import Inlet
from yoi.runtime.pull_sockets import PullDialler, PullSockets
from yoi.runtime.pump import IngressRules
from yoi.runtime.request_desk import RequestDesk, Rotation
from yoi.runtime.service import Blueprint, Instance, Link, Outlet
from yoi.runtime.unopened import UnopenedConnection
from yoi.runtime.vault import SecretSource, Vault
from yoi.sandbox import Sandbox
from yoi.types import Clock

_KINDS = {
    Deliver.TEXT: EventKind.TEXT,
    Deliver.BINARY: EventKind.BINARY,
    Deliver.OPEN: EventKind.OPEN,
    Deliver.CLOSE: EventKind.CLOSE,
    Deliver.ERROR: EventKind.ERROR,
    Deliver.GAP: EventKind.GAP,
    Deliver.SEND_FAILED: EventKind.SEND_FAILED,
    Deliver.DENIED: EventKind.DENIED,
}


class SecretStore(SecretSource, Rotation, Protocol):
    """Secrets to insert, and a place for the ones that an answer replaces."""


@dataclass(frozen=True, slots=True)
class Assembler:
    """Makes blueprints from resolved plugins; holds what every service shares."""

    sandbox: Sandbox
    connector: Connector
    resolver: Resolver
    loop: asyncio.AbstractEventLoop
    clock: Clock
    limits: Limits
    requests: RequestClient
    secrets: SecretStore
    handles: HandleTable
    state: StateStore
    pull: PullDialler
    waiting: Waiting
    """Lets others have a worker thread's place while a host call waits (`Scheduler.waiting`)."""
    rng: Callable[[], float] = random.random

    def blueprint(self, plugin: ResolvedPlugin) -> Blueprint:
        """Return the blueprint of `plugin`. Nothing is compiled, loaded or dialled here."""
        manifest = plugin.package.manifest
        vault = Vault(plugin.name, plugin.authority, self.secrets, self.handles, self.clock)
        desk = RequestDesk(plugin.name, plugin.authority, vault, self.requests.send, self.secrets)
        calls = HostCallDesk(
            plugin.name,
            self.loop,
            self.waiting,
            self.state,
            desk,
            PullSockets(plugin.authority, self.pull),
            self.limits,
        )
        return Blueprint(
            name=plugin.name,
            fingerprint=_fingerprint(plugin),
            reference=plugin.reference,
            version=manifest.version,
            digest=plugin.package.digest,
            runtime="none" if manifest.runtime is None else manifest.runtime.label,
            config=plugin.config,
            load=self._loader(plugin, calls),
            lanes=tuple(
                Lane(i.name, Overflow(i.on_full), i.queue_events, i.queue_bytes)
                for i in manifest.ingresses
            ),
            rules={
                i.name: IngressRules(deadline_ms=i.deadline_ms, attempts=i.attempts)
                for i in manifest.ingresses
            },
            outlets=tuple(self._outlet(plugin, c) for c in manifest.connections),
            told_of_start=_told_of_start(manifest),
            vault=vault,
            desk=desk,
            calls=calls,
        )

    def _outlet(self, plugin: ResolvedPlugin, decl: ConnectionDecl) -> Outlet:
        if decl.session.open is Open.COMMAND or decl.url is None:
            return self._unopened(plugin, decl)
        url = decl.url

        def authorise(dialled: Url) -> Decision:
            return _may_connect(plugin, decl, dialled)

        plan = ConnectionPlan(
            name=decl.name,
            ingress=decl.ingress,
            url=url,
            subprotocols=decl.subprotocols,
            headers=decl.headers,
            origin=decl.origin,
            ping_ms=decl.ping_ms,
            pong_ms=decl.pong_ms,
            pause_grace_ms=decl.pause_grace_ms,
            backoff_first_ms=decl.backoff_first_ms,
            backoff_max_ms=decl.backoff_max_ms,
            fatal_close_codes=decl.fatal_close_codes,
            authorise=authorise,
        )

        def open_connection(inlet: Inlet) -> Link:
            return HostConnection(
                plan,
                inlet,
                clock=self.clock,
                rng=self.rng,
                connector=self.connector,
                resolver=self.resolver,
                limits=self.limits,
            )

        return Outlet(
            name=decl.name,
            ingress=decl.ingress,
            urls=frozenset({url.href}),
            deliver=frozenset(_KINDS[kind] for kind in decl.deliver),
            overflow=Overflow(decl.on_full),
            authorise=lambda: authorise(url),
            open=open_connection,
        )

    def _unopened(self, plugin: ResolvedPlugin, decl: ConnectionDecl) -> Outlet:
        """Return the outlet of a connection that is not dialled until the plugin opens it."""
        url = decl.url

        def authorise() -> Decision:
            if url is not None:
                return _may_connect(plugin, decl, url)
            return plugin.authority.permission(Permission(PermissionKind.CONNECTION, decl.name))

        return Outlet(
            name=decl.name,
            ingress=decl.ingress,
            urls=frozenset(() if url is None else (url.href,)),
            deliver=frozenset(_KINDS[kind] for kind in decl.deliver),
            overflow=Overflow(decl.on_full),
            authorise=authorise,
            open=lambda _: UnopenedConnection(decl),
        )

    def _loader(self, plugin: ResolvedPlugin, calls: HostCallDesk) -> Callable[[], Instance]:
        runtime = plugin.package.manifest.runtime
        files = plugin.package.files
        sandbox, name = self.sandbox, plugin.name
        if isinstance(runtime, PythonRuntime):
            sources = {path: data for path, data in files.items() if path != MANIFEST_NAME}
            return lambda: sandbox.load_python(sources, runtime.entry, calls, name=name)
        if isinstance(runtime, ComponentRuntime) and runtime.world == INSTANCE_WORLD:
            component = files[runtime.component]
            return lambda: sandbox.load_component(component, calls, name=name)
        return lambda: _not_runnable(plugin)


def _may_connect(plugin: ResolvedPlugin, decl: ConnectionDecl, url: Url) -> Decision:
    """Decide a dial or send: the ingress that hears it, the connection, its own target, the URL."""
    for kind, name in ((PermissionKind.SURFACE, "ingress"), (PermissionKind.INGRESS, decl.ingress)):
        decision = plugin.authority.permission(Permission(kind, name))
        if not decision.allowed:
            return decision
    if "ingress" not in plugin.surfaces:
        return Decision(
            allowed=False,
            code="denied.not_granted",
            message=f"the ingress surface of {plugin.name} is off, so nobody hears {decl.name}",
            hint='add "ingress" to surfaces in yoi.toml, or leave surfaces out',
        )
    if not decl.target.allows(url):
        return Decision(
            allowed=False,
            code="denied.not_requested",
            message=f"{url.display} is outside the target of the connection {decl.name}",
            hint=f"widen target of [[connections]] {decl.name} in plugin.toml",
        )
    return plugin.authority.connection(decl.name, url)


def _told_of_start(manifest: Manifest) -> tuple[str, ...]:
    """Return the ingresses that ask for `service_started`, or whose connections wait for a word."""
    waiting = {c.ingress for c in manifest.connections if c.session.open is Open.COMMAND}
    return tuple(
        ingress.name
        for ingress in manifest.ingresses
        if EventKind.STARTED in ingress.event_kinds
        or (not ingress.event_kinds and ingress.name in waiting)
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
        permission_hash(plugin.granted),
        json.dumps(plugin.config, sort_keys=True, default=str),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
