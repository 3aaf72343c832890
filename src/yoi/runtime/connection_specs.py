"""From a declared connection to the one the host owns: its settings, its policy, its budget."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from yoi.connections import ConnectionSink, Connector, HostConnection, HostResolver
from yoi.connections.client_certificate import ClientCertificate
from yoi.core.budget import DailyBudget, Spent
from yoi.journal.state import StateStore
from yoi.limits import Limits
from yoi.packages import ResolvedPlugin
from yoi.permissions import Authority, Decision, Permission, PermissionKind, Url
from yoi.permissions.connection_settings import ConnectionSettings
from yoi.runtime.connection_commands import own_target
from yoi.runtime.kept_dials import KeptDials
from yoi.runtime.secret_injector import SecretInjector
from yoi.runtime.service_spec import ConnectionHandle, ConnectionSpec, SecretUses
from yoi.types import Clock


@dataclass(frozen=True, slots=True)
class ConnectionSpecMaker:
    """Makes connection specs from what all connections share; making one dials nothing."""

    connector: Connector
    resolver: HostResolver
    state: StateStore
    loop: asyncio.AbstractEventLoop
    clock: Clock
    limits: Limits
    rng: Callable[[], float]

    def make(
        self, plugin: ResolvedPlugin, settings: ConnectionSettings, injector: SecretInjector
    ) -> ConnectionSpec:
        """Return the spec of one connection; the plugin's authority judges every dial and send."""

        def authorise(url: Url) -> Decision:
            return may_dial(plugin, settings, url)

        def certificate() -> ClientCertificate | None:
            return injector.client_certificate(connection=settings.name)

        def open_connection(sink: ConnectionSink) -> ConnectionHandle:
            return HostConnection(
                settings,
                sink,
                authorise=authorise,
                clock=self.clock,
                rng=self.rng,
                connector=self.connector,
                resolver=self.resolver.of(plugin.name),
                budget=self._budget(plugin, settings),
                limits=self.limits,
                masker=injector.masker,
                certificate=certificate,
                own=own_target(settings, injector),
            )

        return ConnectionSpec(
            settings=settings,
            authorise=CurrentDecision(plugin, settings),
            open=open_connection,
            adopt=lambda handle: handle.govern(authorise, injector.masker, certificate),
            secret_uses=lambda: secret_uses(plugin.authority, settings.name),
        )

    def _budget(self, plugin: ResolvedPlugin, settings: ConnectionSettings) -> DailyBudget:
        kept = KeptDials(self.state, plugin.name)

        def keep(spent: Spent) -> None:
            self.loop.run_in_executor(None, kept.keep, settings.name, spent)

        return DailyBudget(settings.dials_per_day, kept.of(settings.name), keep)


class CurrentDecision:
    """The decision about a connection at its manifest's own URL; every send asks for it.

    It is made again only when the grants have changed, which makes asking cheap.
    """

    def __init__(self, plugin: ResolvedPlugin, settings: ConnectionSettings) -> None:
        self._plugin = plugin
        self._settings = settings
        self._generation = -1
        self._decision = Decision(allowed=False)

    def __call__(self) -> Decision:
        """Return the decision under the grants in force."""
        generation = self._plugin.authority.generation
        if generation != self._generation:
            url = self._settings.url
            self._decision = (
                may_use(self._plugin, self._settings)
                if url is None
                else may_dial(self._plugin, self._settings, url)
            )
            self._generation = generation
        return self._decision


def secret_uses(authority: Authority, connection: str) -> SecretUses:
    """Return the uses of secrets that manifest and grant name for `connection`."""
    both = (*authority.requested.secrets, *authority.granted.secrets)
    ours = (use for use in both if use.binding.bound_to == (connection, None))
    return frozenset((use.name, use.binding, use.secret) for use in ours)


def may_use(plugin: ResolvedPlugin, settings: ConnectionSettings) -> Decision:
    """Decide whether the connection may be used at all: who hears it, and its own permission."""
    needed = (
        Permission(PermissionKind.SURFACE, "ingress"),
        Permission(PermissionKind.INGRESS, settings.ingress),
        Permission(PermissionKind.CONNECTION, settings.name),
    )
    decision = Decision(allowed=True)
    for permission in needed:
        decision = plugin.authority.permission(permission)
        if not decision.allowed:
            return decision
    if "ingress" not in plugin.surfaces:
        return Decision(
            allowed=False,
            code="denied.not_granted",
            message=f"the ingress surface of {plugin.name} is off, so {settings.name} is not heard",
            hint='add "ingress" to surfaces in yoi.toml, or leave surfaces out',
        )
    return decision


def may_dial(plugin: ResolvedPlugin, settings: ConnectionSettings, url: Url) -> Decision:
    """Decide a dial or send at `url`: the connection, its own target, and both keys."""
    decision = may_use(plugin, settings)
    if not decision.allowed:
        return decision
    if not settings.target.allows(url):
        return Decision(
            allowed=False,
            code="denied.not_requested",
            message=f"{url.display} is outside the target of the connection {settings.name}",
            hint=f"widen target of [[connections]] {settings.name} in plugin.toml",
        )
    decision = plugin.authority.connection(settings.name, url)
    certificate = plugin.authority.client_certificate(connection=settings.name)
    if decision.allowed and certificate is not None and not certificate.allowed:
        return certificate
    return decision
