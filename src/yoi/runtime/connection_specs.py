"""From a declared connection to the one the host owns: its plan, its policy, its budget."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from yoi.connections import ConnectionPlan, ConnectionSink, Connector, HostConnection, Resolver
from yoi.core.budget import DailyBudget, Spent
from yoi.core.frame_watch import LastPointer
from yoi.core.ingress_queue import Overflow
from yoi.journal.state import StateStore
from yoi.limits import Limits
from yoi.packages import ConnectionDecl, Deliver, Open, Ready, ResolvedPlugin
from yoi.permissions import Decision, Permission, PermissionKind, Url
from yoi.protocol.ingress import EventKind
from yoi.runtime.service_spec import ConnectionHandle, ConnectionSpec
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


@dataclass(frozen=True, slots=True)
class ConnectionSpecMaker:
    """Makes connection specs from what all connections share; making one dials nothing."""

    connector: Connector
    resolver: Resolver
    state: StateStore
    loop: asyncio.AbstractEventLoop
    clock: Clock
    limits: Limits
    rng: Callable[[], float]

    def make(self, plugin: ResolvedPlugin, decl: ConnectionDecl) -> ConnectionSpec:
        """Return the spec of `decl`, judged by the plugin's authority on every dial and send."""
        url = decl.url
        plan = _plan(plugin, decl)

        def open_connection(sink: ConnectionSink) -> ConnectionHandle:
            return HostConnection(
                plan,
                sink,
                clock=self.clock,
                rng=self.rng,
                connector=self.connector,
                resolver=self.resolver,
                budget=self._budget(plugin, decl),
                limits=self.limits,
            )

        return ConnectionSpec(
            name=decl.name,
            ingress=decl.ingress,
            url=url,
            deliver=frozenset(_KINDS[kind] for kind in decl.deliver),
            overflow=Overflow(decl.on_full),
            authorise=CurrentDecision(plugin, decl),
            open=open_connection,
        )

    def _budget(self, plugin: ResolvedPlugin, decl: ConnectionDecl) -> DailyBudget:
        # Beside the plugin's own state, under a name that no instance can have.
        owner = f"{plugin.name}#dials"
        written = self.state.get(owner, decl.name)
        day, _, dials = (written or "0 0").partition(" ")

        def keep(spent: Spent) -> None:
            self.loop.run_in_executor(
                None, self.state.set, owner, decl.name, f"{spent.day} {spent.dials}"
            )

        return DailyBudget(decl.session.dials_per_day, Spent(int(day), int(dials)), keep)


class CurrentDecision:
    """The decision about a connection where its manifest puts it, asked for with every send.

    It is made again whenever the grants change, and only then: that is what makes asking cheap.
    """

    def __init__(self, plugin: ResolvedPlugin, decl: ConnectionDecl) -> None:
        self._plugin = plugin
        self._decl = decl
        self._generation = -1
        self._decision = Decision(allowed=False)

    def __call__(self) -> Decision:
        """Return the decision under the grants in force."""
        generation = self._plugin.authority.generation
        if generation != self._generation:
            url = self._decl.url
            self._decision = (
                may_use(self._plugin, self._decl)
                if url is None
                else may_dial(self._plugin, self._decl, url)
            )
            self._generation = generation
        return self._decision


def _plan(plugin: ResolvedPlugin, decl: ConnectionDecl) -> ConnectionPlan:
    session = decl.session
    return ConnectionPlan(
        name=decl.name,
        ingress=decl.ingress,
        url=decl.url,
        where=decl.target.where,
        authorise=lambda url: may_dial(plugin, decl, url),
        deliver=frozenset(kind.value for kind in decl.deliver),
        subprotocols=decl.subprotocols,
        headers=decl.headers,
        origin=decl.origin,
        ping_ms=decl.ping_ms,
        pong_ms=decl.pong_ms,
        pause_grace_ms=decl.pause_grace_ms,
        backoff_first_ms=decl.backoff_first_ms,
        backoff_max_ms=decl.backoff_max_ms,
        fatal_close_codes=decl.fatal_close_codes,
        dial_at_start=session.open is Open.START,
        ready_by_command=session.ready is Ready.COMMAND,
        last=tuple(LastPointer(one.name, one.at) for one in session.last),
        fresh_after=session.fresh_after,
        overlap_ms=session.overlap_ms,
        send_per_second=session.send_per_second,
    )


def may_use(plugin: ResolvedPlugin, decl: ConnectionDecl) -> Decision:
    """Decide whether the connection may be used at all: who hears it, and its own permission."""
    needed = (
        Permission(PermissionKind.SURFACE, "ingress"),
        Permission(PermissionKind.INGRESS, decl.ingress),
        Permission(PermissionKind.CONNECTION, decl.name),
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
            message=f"the ingress surface of {plugin.name} is off, so nobody hears {decl.name}",
            hint='add "ingress" to surfaces in yoi.toml, or leave surfaces out',
        )
    return decision


def may_dial(plugin: ResolvedPlugin, decl: ConnectionDecl, url: Url) -> Decision:
    """Decide a dial or send at `url`: the connection, its own target, and both keys."""
    decision = may_use(plugin, decl)
    if not decision.allowed:
        return decision
    if not decl.target.allows(url):
        return Decision(
            allowed=False,
            code="denied.not_requested",
            message=f"{url.display} is outside the target of the connection {decl.name}",
            hint=f"widen target of [[connections]] {decl.name} in plugin.toml",
        )
    return plugin.authority.connection(decl.name, url)
