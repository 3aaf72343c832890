"""A runtime elsewhere: its streams over WebSockets, its inventory by asking now and then.

Nothing of what a socket, a certificate or the runtime says in words goes further than the
operator's log, and no address is in that.
"""

import asyncio
import contextlib
import random
import re
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog

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
from yoi.client import (
    CaughtUp,
    Diagnostic,
    Disconnected,
    Ended,
    Event,
    NoView,
    Observation,
    Opening,
    Resumed,
    Server,
    Snapshot,
    Target,
    Value,
    Why,
    fetch,
)
from yoi.client.outcomes import bounded_ms
from yoi.errors import ObserveError, ProtocolMalformed, SecretError
from yoi.limits import LIMITS, Limits
from yoi.protocol.cursors import Position
from yoi.protocol.observation import Subject
from yoi.types import Clock, Secret

_log = structlog.get_logger("yoi.backend")
_EVENT_ID = re.compile(r"([0-9a-f]{16})-([0-9]{1,19})(?:\.s)?")
_FINAL = {
    "observe.not_found": LossKind.NOT_FOUND,
    "observe.cursor": LossKind.CURSOR,
    "observe.unauthorized": LossKind.REFUSED,
    "observe.forbidden": LossKind.REFUSED,
    "observe.tls": LossKind.REFUSED,
    "secret.missing": LossKind.REFUSED,
}
_MALFORMED = frozenset({Why.MALFORMED_FRAME, Why.GAP})


class RemoteSource:
    """A `yoi.backend.source.RemoteStreams` over the runtime at `url`.

    `token` returns the runtime's token as it is now, or None while there is none. `tls` verifies
    the runtime; None means by the system's authorities.
    """

    def __init__(
        self,
        runtime_id: str,
        url: str,
        token: Callable[[], Secret | None],
        *,
        tls: ssl.SSLContext | None = None,
        clock: Clock,
        limits: Limits = LIMITS,
        rng: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.runtime_id = runtime_id
        self.inventory = Inventory()
        self._url = url
        self._token = token
        self._tls = tls
        self._clock = clock
        self._limits = limits
        self._rng = rng
        self._sleep = sleep
        self._standing = Standing(clock.wall_ms)
        self._polling: asyncio.Task[None] | None = None
        self._links: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<RemoteSource {self.runtime_id}>"

    @property
    def availability(self) -> Availability:
        """Return whether it answers."""
        return self._standing.availability

    @property
    def since_ms(self) -> int:
        """Return since when."""
        return self._standing.since_ms

    async def start(self) -> None:
        """Begin to ask for the inventory."""
        self._polling = asyncio.get_running_loop().create_task(self._poll())

    async def close(self) -> None:
        """Stop asking, and wait for the sockets to be closed."""
        tasks = [*self._links]
        if self._polling is not None:
            self._polling.cancel()
            tasks.append(self._polling)
        await asyncio.gather(*tasks, return_exceptions=True)

    def open(self, subject: Subject, sink: Sink, resume: Resume | None) -> Link:
        """Begin one attempt in the loop's next turn."""
        task = asyncio.get_running_loop().create_task(self._follow(subject, sink, resume))
        self._links.add(task)
        task.add_done_callback(self._links.discard)
        return _RemoteLink(task)

    async def ask(self) -> None:
        """Ask once for the inventory, and note whether there was an answer."""
        try:
            server = self._server()
            body = await fetch(server, "/v1/inventory", tls=self._tls, limits=self._limits)
            self.inventory = self._checked(body)
        except (ObserveError, SecretError) as exc:
            if self.availability is not Availability.UNAVAILABLE:
                _log.warning("a runtime does not answer", runtime=self.runtime_id, code=exc.code)
            self._standing.becomes(Availability.UNAVAILABLE)
        else:
            if self.availability is not Availability.AVAILABLE:
                _log.info("a runtime answers", runtime=self.runtime_id)
            self._standing.becomes(Availability.AVAILABLE)

    async def _poll(self) -> None:
        while True:
            await self.ask()
            # Each backend at its own moments: many of them must not ask at once.
            await self._sleep(self._limits.inventory_poll_ms / 1000 * (0.5 + self._rng()))

    def _server(self) -> Server:
        token = self._token()
        if token is None:
            raise SecretError("secret.missing", "the secret store has no token for it")
        return Server(self._url, token)

    def _checked(self, body: bytes) -> Inventory:
        try:
            found = msgspec.json.decode(body, type=Inventory)
        except (msgspec.DecodeError, RecursionError):
            raise ObserveError("observe.refused", "the inventory cannot be read") from None
        most = self._limits.inventory_items
        return Inventory(found.workers[:most], found.services[:most], found.boards[:most])

    async def _follow(self, subject: Subject, sink: Sink, resume: Resume | None) -> None:
        """Pass on one connection, from its first frame to its end."""
        loss = Loss(LossKind.UNREACHABLE)
        try:
            loss = await self._pass_on(Subject(subject.kind, subject.name), sink, resume)
        except (ObserveError, SecretError) as exc:
            loss = Loss(_FINAL.get(exc.code, LossKind.UNREACHABLE))
            if exc.code != "observe.not_found":  # clients may ask for any name
                _log.info("a runtime refused a stream", runtime=self.runtime_id, code=exc.code)
        except ProtocolMalformed:
            loss = Loss(LossKind.MALFORMED)
        except Exception:
            _log.exception("a defect in Yoi", what="following a runtime")
            loss = Loss(LossKind.MALFORMED)
        sink.lost(loss)

    async def _pass_on(self, subject: Subject, sink: Sink, resume: Resume | None) -> Loss:
        cursor = None if resume is None else resume.cursor
        retry_after_ms: int | None = None
        observation = Observation(
            Target(self._server(), subject),
            Opening(cursor, snapshot_always=False),
            view=NoView(),
            tls=self._tls,
            clock=self._clock,
            limits=self._limits,
        )
        async with contextlib.aclosing(observation):
            async for value in observation:
                match value:
                    case Disconnected(reason):
                        kind = LossKind.MALFORMED if reason in _MALFORMED else LossKind.UNREACHABLE
                        return Loss(kind, retry_after_ms)
                    case Ended():
                        return Loss(LossKind.ENDED)
                    case Diagnostic(entry):
                        retry_after_ms = bounded_ms(entry.retry_after_ms or 0, self._limits)
                    case _:
                        _tell(sink, value)
        return Loss(LossKind.UNREACHABLE)


class _RemoteLink:
    """One attempt; its socket is closed in its own time."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def close(self) -> None:
        """Give it up."""
        self._task.cancel()


def _tell(sink: Sink, value: Value) -> None:
    match value:
        case Snapshot(event, cursor, event_id):
            sink.snapshot(_position(event_id), cursor, event)
        case Event(event, cursor, event_id, raw):
            sink.event(_position(event_id), cursor, event, raw)
        case Resumed():
            sink.resumed()
        case CaughtUp():
            sink.caught_up()
        case _:
            pass


def _position(event_id: str) -> Position:
    found: Any = _EVENT_ID.fullmatch(event_id)
    if found is None:
        raise ProtocolMalformed("protocol.malformed", "an event id of an unknown form")
    return Position(bytes.fromhex(found[1]), int(found[2]))
