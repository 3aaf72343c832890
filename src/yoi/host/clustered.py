"""A host of several: it keeps its logs where the others find them, and runs the units it owns."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from nats.aio.client import Client

from yoi.cluster.answering import Answering
from yoi.cluster.asking import Asking, Process
from yoi.cluster.hints import Hints
from yoi.cluster.paired import SharedPairings
from yoi.cluster.settings import ClusterSettings
from yoi.cluster.tenure import Tenure, kept
from yoi.cluster.units import Units, buckets_of
from yoi.cluster.watchdog import Watchdog
from yoi.control.server import Method
from yoi.core.lease import LeaseTimes
from yoi.core.placement import Member, units_of
from yoi.decisions.port import Decisions
from yoi.defects import defect
from yoi.errors import ClusterError, YoiError
from yoi.host.forwarding import DRAIN, READ_ONLY, Forwarding, answered_here, naming_the_remedy
from yoi.host.opened import Opened
from yoi.host.runtime_parts import RuntimeParts, closing
from yoi.journal.jetstream import JetStreamJournal
from yoi.journal.jetstream_server import NatsSettings, connected
from yoi.limits import LIMITS, Limits
from yoi.permissions import PermissionSet
from yoi.protocol.diagnostics import Diagnostic, diagnostic, failure
from yoi.runtime.workspace import Plan
from yoi.secrets.deployment import DeploymentKey
from yoi.serving.host_settings import HostSettings
from yoi.serving.secrets import WorkspaceSecrets
from yoi.tasks import ended
from yoi.toml import is_safe_id
from yoi.types import Clock, rfc3339


class Told:
    """Shows what happens to units in the log of the host."""

    def __init__(self, listen: Callable[[Diagnostic], None], clock: Clock) -> None:
        self._listen = listen
        self._clock = clock

    def notice(self, code: str, message: str) -> None:
        """Show that something happened."""
        self._listen(diagnostic(rfc3339(self._clock.wall()), code, "host", message))

    def error(self, error: YoiError) -> None:
        """Show a fault."""
        self._listen(failure(rfc3339(self._clock.wall()), "host", error, "error"))


class Commands:
    """The way of commands between the machines of a deployment, which have a key."""

    def __init__(
        self,
        client: Client,
        key: DeploymentKey,
        deployment: str,
        tenure: Tenure,
        units: Units,
        told: Told,
        limits: Limits,
    ) -> None:
        self._client, self._key, self._deployment = client, key, deployment
        self._tenure, self._told, self._limits = tenure, told, limits
        this = Process(tenure.session, tenure.machine)
        self._asking = Asking(
            client, key, deployment, tenure.bucket, lambda: units.book, this, limits
        )

    def forwarding(self, here: Mapping[str, Method]) -> Forwarding:
        """Return `here` and what the other machines have, as one."""
        return Forwarding(self._asking, here, self._limits)

    def answering(self, here: Mapping[str, Method]) -> contextlib.AbstractAsyncContextManager[None]:
        """Let the other machines ask for what of `here` they may, while entered."""
        return Answering(
            self._client,
            self._key,
            self._deployment,
            self._tenure.session,
            self._tenure.machine,
            answered_here(here),
            READ_ONLY,
            self._told.error,
            SUSPENSION_COUNTS,
            self._limits,
        ).running()


class Membership:
    """This machine among those of a deployment. Made by `joined`; a `Placing` of the host."""

    def __init__(
        self,
        journal: JetStreamJournal,
        tenure: Tenure,
        units: Units,
        told: Told,
        hints: Hints,
        commands: Commands | None,
        limits: Limits,
    ) -> None:
        """`commands` is None where the deployment has no key."""
        self.journal = journal
        self.units = units
        self.over = tenure.over
        """Set when this machine has to stop: others may own all of it in a moment."""
        self.machine = tenure.machine
        self.tenure = tenure
        self._limits = limits
        self._told = told
        self._hints = hints
        self._commands = commands
        self.paired = None if commands is None else SharedPairings(journal, limits)
        """Who was paired, on all machines; None where they have no key: then it is in a file."""
        self._runner: HostRunner | None = None
        self._moving: set[asyncio.Future[tuple[str, ...]]] = set()

    def reaching(self, here: Mapping[str, Method]) -> Mapping[str, Method]:
        """Return `here`, the methods of this machine, as they are with those of the others.

        `cluster.drain` is among them; it is for a host that is `running`.
        """
        own = {**here, DRAIN: self._drain}
        if self._commands is None:
            return naming_the_remedy(own)
        return {**own, **self._commands.forwarding(own).methods}

    def answering(self, here: Mapping[str, Method]) -> contextlib.AbstractAsyncContextManager[None]:
        """Let the other machines ask for `here`, while entered, where they can."""
        if self._commands is None:
            return contextlib.nullcontext()
        return self._commands.answering({**here, DRAIN: self._drain})

    async def _drain(self, params: dict[str, Any]) -> Any:
        """Hand over what `units` names, or all; with `undo`, take again what is free."""
        if self._runner is None:
            raise ClusterError("cluster.unit_unknown", "the host is starting: it owns nothing yet")
        if params.get("undo"):
            self.units.undrain()
            return self._owned([])
        names = params.get("units") or ()
        if not names:
            before = sorted(self.units.held)
            await self.units.drain(self._runner)
            return self._owned(before)
        moved = [await self._moved(name, self._runner) for name in names]
        return self._owned(sorted(one for members in moved for one in members))

    async def _moved(self, name: str, runner: "HostRunner") -> tuple[str, ...]:
        """Hand over the unit of `name`: to its end, also where nothing waits for that any more."""
        moving = asyncio.ensure_future(self.units.move(name, runner))
        self._moving.add(moving)
        moving.add_done_callback(self._has_moved)
        return await asyncio.shield(moving)

    def _has_moved(self, moving: "asyncio.Future[tuple[str, ...]]") -> None:
        self._moving.discard(moving)
        if not moving.cancelled():
            # Looked at, though what asked for it may wait no longer.
            moving.exception()

    def _owned(self, given: list[str]) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "draining": self.units.draining,
            "handed_over": given,
            "owns": sorted(self.units.held),
        }

    def kept(self, plan: Plan) -> Plan:
        """Return what of `plan` this machine owns; its units are known from then on."""
        self.units.wanted(units_of(members_of(plan)))
        held = self.units.held
        return replace(
            plan,
            plugins=tuple(one for one in plan.plugins if f"service:{one.name}" in held),
            workers=tuple(one for one in plan.workers if f"worker:{one.name}" in held),
        )

    @contextlib.asynccontextmanager
    async def running(
        self, runtime: RuntimeParts, reload: Callable[[], Awaitable[object]]
    ) -> AsyncIterator[None]:
        """Own units, and run them, for as long as the block lasts; then hand them over.

        When it begins, what falls to this machine has been started.
        """
        units = self.units
        runtime.services.machine_of = lambda name: units.machine_of(f"service:{name}")
        runtime.workers.worker_set.machine_of = lambda name: units.machine_of(f"worker:{name}")
        runner = HostRunner(runtime, reload, units.held, self._limits)
        await units.settle(runner)
        if not units.held:
            names = sorted({one.record.machine for one in units.book.known.values()} - {""})
            others = ", ".join(names) or "no machine"
            self._told.notice("notice.standby", f"standing by: {others} has what there is to run")
        self._runner = runner
        following = asyncio.ensure_future(self._following(runner))
        pairing = asyncio.ensure_future(self._follow_paired())
        listening = asyncio.ensure_future(self._hints.listen(units.look_again))
        try:
            yield
        finally:
            await ended(following, listening, pairing)
            if not self.over.is_set():
                await units.drain(runner)

    async def _following(self, runner: "HostRunner") -> None:
        try:
            await self.units.follow(runner)
        except Exception as exc:
            # Without it nothing here is known to be ours for long.
            self._told.error(defect(exc, "following the units of the cluster"))
            self.over.set()

    async def _follow_paired(self) -> None:
        """Notice who was paired or forgotten on another machine."""
        told = False
        while self.paired is not None:
            await asyncio.sleep(self.tenure.lease.times.renew)
            try:
                await self.paired.refresh()
                told = False
            except YoiError as exc:
                if not told:
                    self._told.error(exc)
                told = True


class HostRunner:
    """Runs on this host what it owns."""

    def __init__(
        self,
        runtime: RuntimeParts,
        reload: Callable[[], Awaitable[object]],
        held: Iterable[str],
        limits: Limits,
    ) -> None:
        """`held` are the members that this machine owns now."""
        self._runtime = runtime
        self._reload = reload
        self._held = held
        self._limits = limits

    async def place(self) -> None:
        """Apply the plan again: what is owned runs, and nothing else."""
        if any(one not in self.running() for one in self._held):
            await self._read_paired()
        await self._reload()

    async def _read_paired(self) -> None:
        """Read who was paired before what hears them starts here; what stops waits for nothing.

        Where it fails nobody is heard as paired until it is read, which `Membership` tells.
        """
        with contextlib.suppress(YoiError, TimeoutError):
            async with asyncio.timeout(self._limits.journal_request_ms / 1000):
                await self._runtime.pairings.reload()

    def running(self) -> frozenset[str]:
        """Return the services and workers that are there, however they are."""
        return frozenset(
            [f"service:{one.name}" for one in self._runtime.services]
            + [f"worker:{one.name}" for one in self._runtime.workers]
        )

    def cut(self, member: str) -> None:
        """Take every permission from a service; a worker's next append is refused anyway."""
        kind, _, name = member.partition(":")
        if kind == "service" and name in self._runtime.services:
            self._runtime.services[name].spec.authority.regrant(PermissionSet())

    def progressed(self, member: str) -> bool:
        """Return whether a service has handled an event here."""
        kind, _, name = member.partition(":")
        if kind != "service" or name not in self._runtime.services:
            return False
        return self._runtime.services[name].status().counters.succeeded > 0


async def joined(
    opened: Opened,
    workspace: Path,
    secrets_of: Path,
    decisions: Decisions,
    machine: HostSettings,
    listen: Callable[[Diagnostic], None],
    clock: Clock,
) -> Membership:
    """Return this machine as one that lives among those of its `[cluster]`.

    Raises ClusterError, EnablementError, TrustError, SecretError.
    """
    limits = machine.limits
    settings = await asyncio.to_thread(ClusterSettings.load, workspace, decisions, limits)
    assert settings is not None, "[cluster] is there"
    key = await asyncio.to_thread(lambda: machine.deployment_key)
    servers = await servers_of(settings, secrets_of, decisions, key)
    times = LeaseTimes(settings.lease_ms / 1000)
    client = await connected(servers, limits)
    await opened.enter("the lease's connection", closing(client.close))
    machines, units = await buckets_of(client, settings, limits)
    journal = await JetStreamJournal.open(servers, limits)
    await opened.enter("the shared journal", closing(journal.close))
    name = machine_name(machine)
    tenure = Tenure(machines, name, times, SUSPENSION_COUNTS, Watchdog(), book=units.made)
    await tenure.claim()
    await opened.enter("the lease", kept(tenure))
    told, hints = Told(listen, clock), Hints(client, servers.prefix)
    owned = Units(
        machines, units, tenure, told, clock.wall_ms, SUSPENSION_COUNTS, hints.give, limits
    )
    commands = None
    if key is not None:
        # Not the lease's: whatever comes there delays no renewal.
        others = await connected(servers, limits)
        await opened.enter("the connection for commands", closing(others.close))
        commands = Commands(others, key, settings.name, tenure, owned, told, limits)
    return Membership(journal, tenure, owned, told, hints, commands, limits)


def machine_name(machine: HostSettings) -> str:
    """Return the name that `machine` gives; or the system's, as far as it can be a name here."""
    if machine.machine:
        return machine.machine
    name = "".join(one if one.isalnum() and one.isascii() else "-" for one in socket.gethostname())
    name = name.strip("-")[: LIMITS.name_bytes]
    return name if is_safe_id(name) else "machine"


async def servers_of(
    settings: ClusterSettings,
    secrets_of: Path,
    decisions: Decisions,
    seal: DeploymentKey | None = None,
) -> NatsSettings:
    """Return where the servers are, with the password of the operator's secret store.

    `seal` seals the records of the logs there.
    """
    password = None
    if settings.password is not None:
        secrets = WorkspaceSecrets(secrets_of, decisions)
        await secrets.refresh()
        password = secrets.get(settings.password).reveal()
    return NatsSettings(
        servers=settings.nats,
        prefix=settings.name,
        replicas=settings.replicas,
        size_bytes=settings.size_bytes,
        user=settings.user,
        password=password,
        seal=seal,
    )


def members_of(plan: Plan) -> list[Member]:
    """Return what `plan` runs, and what works with what."""
    services = [
        Member(f"service:{one.name}", runs_on=one.runs_on, weight=one.weight)
        for one in plan.plugins
    ]
    workers = [
        Member(
            f"worker:{one.name}",
            frozenset(f"service:{name}" for name in (*one.notify, *(t.service for t in one.tools))),
        )
        for one in plan.workers
    ]
    return [*services, *workers]


SUSPENSION_COUNTS = partial(
    time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
)
"""A clock that goes on while the machine sleeps."""
