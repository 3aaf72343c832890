"""`ClusterSource`: all runtimes of a deployment as one, which clients know by its name.

A stream is asked for at the runtime that has its service or worker. When that moves, the attempt is
lost and the next one goes to where it is then: clients keep their socket, and hear
`upstream_resync` with a fresh snapshot, for a stream begins anew on its new machine.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog

from yoi.backend.cluster_inventory import Runtime, boards_of, deployment_inventory
from yoi.backend.remote_source import RemoteSource
from yoi.backend.source import (
    Availability,
    Inventory,
    Link,
    Loss,
    LossKind,
    Resume,
    Sink,
    Standing,
)
from yoi.cluster.bucket import UNSURE
from yoi.cluster.directory import Address, Directory
from yoi.limits import LIMITS, Limits
from yoi.protocol.cursors import Position
from yoi.protocol.observation import BOARD_NAME, Subject, SubjectKind
from yoi.tasks import ended
from yoi.types import Clock, Secret

_log = structlog.get_logger("yoi.backend")
_COMING = "coming"
"""In the place of a session: there is none now, and may be one soon. No session is called so."""


class Remote(Runtime, Protocol):
    """One runtime that is followed (`RemoteSource`)."""

    async def start(self) -> None:
        """Begin to ask for the inventory."""
        ...

    async def close(self) -> None:
        """Stop."""
        ...

    def open(self, subject: Subject, sink: Sink, resume: Resume | None) -> Link:
        """Begin one attempt."""
        ...


class ClusterSource:
    """See the module docstring. `token` is what every runtime of the deployment takes."""

    def __init__(
        self,
        name: str,
        directory: Directory,
        token: Secret,
        clock: Clock,
        limits: Limits = LIMITS,
        remote: Callable[[Address], Remote] | None = None,
    ) -> None:
        self.runtime_id = name
        self._directory, self._token, self._clock, self._limits = directory, token, clock, limits
        self._remote = self._dialled if remote is None else remote
        self._remotes: dict[str, tuple[Address, Remote]] = {}
        self._machines: dict[str, float] = {}
        """When each machine was last there, by its name."""
        self._closing: set[asyncio.Task[None]] = set()
        self._standing = Standing(clock.wall_ms)
        self._looking: asyncio.Task[None] | None = None
        self._asked: list[_Asked] = []
        """Attempts at what was not found, which the next look answers."""
        self._again = asyncio.Event()

    @property
    def availability(self) -> Availability:
        """Return whether any runtime answers."""
        self._judge()
        return self._standing.availability

    @property
    def since_ms(self) -> int:
        """Return since when."""
        self._judge()
        return self._standing.since_ms

    @property
    def inventory(self) -> Inventory:
        """Return what the runtimes have, each with its machine; what moved is listed once."""
        return deployment_inventory(
            self._directory.records, self._runtimes(), self._clock.wall_ms(), self._limits
        )

    async def start(self) -> None:
        """Begin to look for runtimes."""
        self._looking = asyncio.get_running_loop().create_task(self._look())

    async def close(self) -> None:
        """Stop, and let go of all runtimes."""
        if self._looking is not None:
            await ended(self._looking)
        for session in list(self._remotes):
            self._let_go(session)
        self._asked.clear()
        await asyncio.gather(*self._closing)

    def open(self, subject: Subject, sink: Sink, resume: Resume | None) -> Link:
        """Begin one attempt at the runtime that has `subject` now."""
        owner = self._owner(subject)
        if owner is not None and owner in self._remotes:
            return self._remotes[owner][1].open(_there(subject), _Moving(sink), resume)
        # On its way from one machine to another, or gone, or new and known to other backends.
        asked = _Asked(subject, sink)
        self._asked.append(asked)
        self._again.set()
        return asked

    async def look(self) -> None:
        """Hear of runtimes and owners as they are now, and answer what was asked before.

        That there is no such stream is only said by what was read after it was asked for. Raises
        UNSURE, and then it is not said.
        """
        asked, self._asked = self._asked, []
        try:
            await self._directory.look()
            await self._take(self._directory.addresses)
        except UNSURE:
            for one in asked:
                one.lose(LossKind.UNREACHABLE)
            raise
        for one in asked:
            there = self._owner(one.subject) is not None
            one.lose(LossKind.UNREACHABLE if there else LossKind.NOT_FOUND)

    def _owner(self, subject: Subject) -> str | None:
        """Return the session that has `subject`; one that is not known here may have it soon."""
        if subject.kind is SubjectKind.BOARD:
            coming = _COMING if self._may_return(subject.name) else None
            return boards_of(self._runtimes()).get(subject.name, coming)
        record = self._directory.records.get(f"{subject.kind}:{subject.name}")
        if record is None or record.session:
            return None if record is None else record.session
        expected = record.expected(self._clock.wall_ms(), self._limits.machine_gone_ms)
        return _COMING if expected else None

    def _may_return(self, machine: str) -> bool:
        """Return whether `machine` was there a while ago: it may just be starting again."""
        seen = self._machines.get(machine, float("-inf"))
        return (self._clock.monotonic() - seen) * 1000 < self._limits.machine_gone_ms

    def _runtimes(self) -> dict[str, tuple[str, Remote]]:
        return {key: (address.machine, one) for key, (address, one) in self._remotes.items()}

    async def _look(self) -> None:
        told = False
        while True:
            try:
                await self.look()
                told = False
            except UNSURE as exc:
                if not told:
                    _log.warning("the runtimes of a deployment are not known", reason=str(exc))
                told = True
            # Also where somebody asks: no more often than this.
            await asyncio.sleep(self._limits.directory_pause_ms / 1000)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.publication_ms / 1000):
                    await self._again.wait()
            self._again.clear()

    async def _take(self, addresses: Mapping[str, Address]) -> None:
        for session, (address, _) in list(self._remotes.items()):
            # Also one whose certificate was renewed.
            if addresses.get(session) != address:
                self._let_go(session)
        now, long = self._clock.monotonic(), self._limits.machine_gone_ms / 1000
        self._machines = {
            **{name: at for name, at in self._machines.items() if now - at < long},
            **{one.machine: now for one in addresses.values()},
        }
        for session, address in addresses.items():
            if session not in self._remotes:
                remote = self._remote(address)
                await remote.start()
                self._remotes[session] = address, remote

    def _let_go(self, session: str) -> None:
        """Close a runtime beside the looking: what is still watched there ends in its own time."""
        _, remote = self._remotes.pop(session)
        task = asyncio.get_running_loop().create_task(remote.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _dialled(self, address: Address) -> RemoteSource:
        return RemoteSource(
            self.runtime_id,
            address.url,
            lambda: self._token,
            tls=_pinned(address.certificate) if address.certificate else None,
            clock=self._clock,
            limits=self._limits,
        )

    def _judge(self) -> None:
        states = {remote.availability for _, remote in self._remotes.values()}
        for one in (Availability.AVAILABLE, Availability.CONNECTING):
            if one in states:
                self._standing.becomes(one)
                return
        if self._looking is not None and self._remotes:
            self._standing.becomes(Availability.UNAVAILABLE)


class _Moving:
    """A `Sink` for which the end of a stream on one machine is not the end of it."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def snapshot(self, at: Position, cursor: str, event: Any) -> None:
        """Hear of all state as of `at`."""
        self._sink.snapshot(at, cursor, event)

    def resumed(self) -> None:
        """Hear that what follows comes next."""
        self._sink.resumed()

    def event(self, at: Position, cursor: str, event: Any, raw: bytes) -> None:
        """Hear of one event."""
        self._sink.event(at, cursor, event, raw)

    def caught_up(self) -> None:
        """Hear that what comes next is live."""
        self._sink.caught_up()

    def lost(self, loss: Loss) -> None:
        """Hear that the attempt is over: the next one finds out whether it is somewhere else."""
        kind = loss.kind
        if kind in (LossKind.ENDED, LossKind.NOT_FOUND):
            kind = LossKind.UNREACHABLE
        self._sink.lost(Loss(kind, loss.retry_after_ms))


class _Asked:
    """An attempt at a stream that no runtime known here has."""

    def __init__(self, subject: Subject, sink: Sink) -> None:
        self.subject = subject
        self._sink: Sink | None = sink

    def lose(self, kind: LossKind) -> None:
        """Say that it came to nothing, unless it was given up."""
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.lost(Loss(kind))

    def close(self) -> None:
        """Give it up."""
        self._sink = None


def _there(subject: Subject) -> Subject:
    """Return what the runtime itself calls `subject`: each has one board."""
    if subject.kind is SubjectKind.BOARD:
        return Subject(SubjectKind.BOARD, BOARD_NAME)
    return subject


def _pinned(certificate: str) -> ssl.SSLContext:
    """Return a context that accepts this certificate, by its bytes, and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # The certificate itself is the anchor; who may show it was said under the deployment's key.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    context.load_verify_locations(cadata=certificate)
    return context
