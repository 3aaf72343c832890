"""One runtime's stream, held once however many clients watch (O5).

It fills a stream of this backend's own at the runtime's own positions (epoch and sequence), so they
are the same again after a reconnect and a restart, and at another backend. What cannot be read, or
cannot be so, is never passed on: the stream is opened again where it was still good, and from a
fresh snapshot when that does not help.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from yoi.backend.attempt import Attempt
from yoi.backend.backlog import Kept, StreamLog
from yoi.backend.source import (
    KINDS,
    Link,
    Loss,
    LossKind,
    RemoteStreams,
    Resume,
)
from yoi.core.backoff import FullJitter
from yoi.core.observation import Stream, View
from yoi.errors import ProtocolMalformed
from yoi.limits import LIMITS, Limits
from yoi.protocol.cursors import Position
from yoi.protocol.observation import Subject
from yoi.serving.admission import Declined
from yoi.serving.hub import Hub
from yoi.types import Clock

if TYPE_CHECKING:
    from yoi.serving.channel import Channel


class UpstreamState(Enum):
    """Where an upstream stands."""

    IDLE = "idle"
    """No client watches; what was heard may be kept for clients that return."""
    LOADING = "loading"
    """What was kept on disk is read."""
    CONNECTING = "connecting"
    SYNCING = "syncing"
    """The runtime replays what was missed."""
    LIVE = "live"
    DOWN = "down"
    """Lost; asked for again after a while."""
    CLOSED = "closed"


_TRANSITIONS: dict[UpstreamState, frozenset[UpstreamState]] = {
    UpstreamState.IDLE: frozenset(
        {UpstreamState.LOADING, UpstreamState.CONNECTING, UpstreamState.CLOSED}
    ),
    UpstreamState.LOADING: frozenset(
        {UpstreamState.CONNECTING, UpstreamState.IDLE, UpstreamState.CLOSED}
    ),
    UpstreamState.CONNECTING: frozenset(
        {
            UpstreamState.SYNCING,
            UpstreamState.LIVE,
            UpstreamState.DOWN,
            UpstreamState.IDLE,
            UpstreamState.CLOSED,
        }
    ),
    UpstreamState.SYNCING: frozenset(
        {UpstreamState.LIVE, UpstreamState.DOWN, UpstreamState.IDLE, UpstreamState.CLOSED}
    ),
    UpstreamState.LIVE: frozenset(
        {UpstreamState.LIVE, UpstreamState.DOWN, UpstreamState.IDLE, UpstreamState.CLOSED}
    ),
    UpstreamState.DOWN: frozenset(
        {UpstreamState.CONNECTING, UpstreamState.IDLE, UpstreamState.CLOSED}
    ),
    UpstreamState.CLOSED: frozenset(),
}
_TRIES_AT_ONE_POSITION = 2
"""So often a stream that turned out malformed is resumed; then it begins from a snapshot."""
_log = structlog.get_logger("yoi.backend")
_FOLDED_AT_ONCE = 256
"""Events taken up from disk before others have their turn."""


class Timer(Protocol):
    """Something that was set to happen."""

    def cancel(self) -> None:
        """Have it not happen."""
        ...


CallLater = Callable[[float, Callable[[], None]], Timer]


@dataclass(slots=True)
class UpstreamCounters:
    """What happened to all upstreams of a backend, for metrics."""

    opened: int = 0
    lost: int = 0
    resumed: int = 0
    resyncs: int = 0
    repeats: int = 0
    malformed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamContext:
    """What all upstreams of a backend share. `rng` returns a number from 0 to less than 1."""

    hub: Hub
    clock: Clock
    call_later: CallLater
    rng: Callable[[], float]
    limits: Limits = LIMITS
    counters: UpstreamCounters = field(default_factory=UpstreamCounters)
    losses: Counter[str] = field(default_factory=Counter)
    """How often a stream was lost, by runtime id."""


class Upstream:
    """See the module docstring. Belongs to the event loop.

    `enter` it before waiting for `ready`, `leave` it once for each `enter`. `rests` is called when
    no client has watched for a while, `closed` when nothing will follow.
    """

    def __init__(
        self,
        subject: Subject,
        source: RemoteStreams,
        context: UpstreamContext,
        *,
        log: StreamLog | None,
        rests: "Callable[[Upstream], None]",
        closed: "Callable[[Upstream], None]",
    ) -> None:
        self.subject = subject
        self.state = UpstreamState.IDLE
        self.channel: Channel[Any] | None = None
        self.holders = 0
        self._source = source
        self._context = context
        self._limits = context.limits
        self._kind = KINDS[subject.kind]
        self._log = log
        self._rests, self._closed = rests, closed
        self._resume: Resume | None = None
        self._known = False
        """Whether the stream's head is all that any client of this stream has ever been given."""
        self._attempt: Attempt | None = None
        self._link: Link | None = None
        self._timer: Timer | None = None
        self._linger: Timer | None = None
        self._loading: asyncio.Task[None] | None = None
        self._waiting: list[asyncio.Future[Declined | None]] = []
        self._backoff = FullJitter(
            first_ms=self._limits.upstream_backoff_first_ms,
            max_ms=self._limits.upstream_backoff_max_ms,
            rng=context.rng,
        )
        self._live_since = 0.0
        self._missing_since: float | None = None
        self._faults = 0
        self._told_down = False

    @property
    def limits(self) -> Limits:
        """Return the bounds in force."""
        return self._limits

    @property
    def notes(self) -> tuple[str, ...]:
        """Return the diagnostics that a new watcher must hear after its first frames."""
        return ("upstream_disconnect",) if self._told_down else ()

    def enter(self) -> None:
        """Count in a client that watches, or will when this is ready."""
        self.holders += 1
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        if self.state is UpstreamState.IDLE:
            self._begin()

    def leave(self) -> None:
        """Count a client out; after the last one this goes on for a while."""
        self.holders -= 1
        if self.holders == 0 and self.state is not UpstreamState.CLOSED:
            self._linger = self._context.call_later(
                self._limits.upstream_linger_ms / 1000, self._rest
            )

    async def ready(self) -> Declined | None:
        """Wait, within bounds, until `channel` can be watched; return why it can not."""
        if self.state is UpstreamState.LIVE or (
            self._known and self.state is not UpstreamState.CLOSED and self._told_down
        ):
            return None
        if self.state is UpstreamState.CLOSED:
            return Declined(self._kind.not_found)
        waiter: asyncio.Future[Declined | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        timer = self._context.call_later(
            self._limits.upstream_first_ms / 1000, lambda: self._give_up(waiter)
        )
        try:
            return await waiter
        finally:
            timer.cancel()
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def dismiss(self) -> None:
        """Tell clients that wait for this stream that the process ends."""
        self._settle(Declined("shutdown"))

    def close(self) -> None:
        """Stop without telling clients: the process ends or has no use for this any more."""
        if self.state is not UpstreamState.CLOSED:
            self._stop()
            self._transition(UpstreamState.CLOSED)
            self._settle(Declined("shutdown"))

    # An attempt begins, and ends

    def _begin(self) -> None:
        if self._log is not None and self.channel is None:
            self._transition(UpstreamState.LOADING)
            self._loading = asyncio.get_running_loop().create_task(self._load(self._log))
        else:
            self._connect()

    async def _load(self, log: StreamLog) -> None:
        kept = stream = None
        try:
            kept = await log.load()
            stream = None if kept is None else await self._restored(kept, log)
        except Exception:
            _log.exception("a defect in Yoi", what="taking up a backlog")
        self._loading = None
        if stream is not None and kept is not None:
            # Not yet what clients know: more may have been sent than was written down.
            self.channel = self._context.hub.add(stream, self._kind.encode)
            self._resume = Resume(stream.position, kept.cursor)
        self._connect()

    async def _restored(self, kept: Kept, log: StreamLog) -> Stream[Any] | None:
        try:
            view = self._kind.view(self._kind.decode(kept.base))
            epoch, seq = kept.start
            stream = Stream(self.subject, view, epoch, self._limits, head=seq)
            for count, raw in enumerate(kept.events):
                stream.publish(self._kind.decode(raw), raw)
                if count % _FOLDED_AT_ONCE == 0:
                    await asyncio.sleep(0)
        except ProtocolMalformed:
            log.forget()
            return None
        return stream

    def _connect(self) -> None:
        self._transition(UpstreamState.CONNECTING)
        self._context.counters.opened += 1
        attempt = self._attempt = Attempt(self, self._resume)
        self._link = self._source.open(self.subject, attempt, self._resume)

    def _stop(self) -> None:
        """Let go of whatever is under way."""
        self._attempt = None
        link, self._link = self._link, None
        if link is not None:
            link.close()
        for timer in (self._timer, self._linger):
            if timer is not None:
                timer.cancel()
        self._timer = self._linger = None
        if self._loading is not None:
            self._loading.cancel()
            self._loading = None

    def _rest(self) -> None:
        """Rest: the last client has left, and none has returned."""
        self._linger = None
        if self.state is UpstreamState.CLOSED:
            return
        self._stop()
        self._told_down = False
        self._transition(UpstreamState.IDLE)
        self._rests(self)

    # The attempt tells:

    def heard_snapshot(self, at: Position, cursor: str, event: Any) -> None:
        """All state as of `at`."""
        if not isinstance(event, self._kind.snapshot):
            raise ProtocolMalformed("protocol.malformed", "a snapshot that is none")
        view = self._kind.view(event)
        exact = (
            self.channel is not None
            and self._resume is not None
            and self._resume.at == at
            and not self._faults
        )
        self._resume = Resume(at, cursor)
        if not exact:
            self._start_anew(view, self._resume)
        self._now_live(said=exact)

    def heard_resumed(self) -> None:
        """What follows the position asked for comes next."""
        self._context.counters.resumed += 1
        self._transition(UpstreamState.SYNCING)

    def heard_event(self, at: Position, cursor: str, event: Any, raw: bytes) -> None:
        """The next event."""
        assert self.channel is not None
        seq = self.channel.stream.publish(event, raw)
        self._resume = Resume(at, cursor)
        self._faults = 0
        if self._log is not None:
            self._log.append(seq, cursor, raw, self._snapshot)

    def heard_live(self) -> None:
        """The replay is over."""
        if self.state is UpstreamState.SYNCING:
            self._now_live(said=True)

    def heard_loss(self, loss: Loss) -> None:
        """The attempt is over."""
        counters, now = self._context.counters, self._context.clock.monotonic()
        self._attempt = self._link = None
        counters.lost += 1
        self._context.losses[self.subject.runtime_id] += 1
        steady = (now - self._live_since) * 1000 >= self._limits.upstream_steady_ms
        if self.state is UpstreamState.LIVE and steady:
            self._backoff.reset()
        if loss.kind is LossKind.ENDED:
            self._end("stream_closed")
            return
        if loss.kind is LossKind.NOT_FOUND and self._is_gone(now):
            self._end(self._kind.not_found)
            return
        if loss.kind is LossKind.MALFORMED:
            counters.malformed += 1
            self._faults += 1
        if loss.kind is LossKind.CURSOR or self._faults >= _TRIES_AT_ONE_POSITION:
            self._resume = None
        self._transition(UpstreamState.DOWN)
        self._tell_down(loss)
        delay_ms = max(self._backoff.next_ms(), float(loss.retry_after_ms or 0))
        if self._known:
            self._settle(None)
        else:
            self._settle(Declined("runtime_unavailable", retry_after_ms=round(delay_ms) + 1))
        self._timer = self._context.call_later(delay_ms / 1000, self._again)

    # What follows from it

    def _start_anew(self, view: View[Any], begin: Resume) -> None:
        if self.channel is None:
            epoch, head = begin.at
            stream = Stream(self.subject, view, epoch, self._limits, head=head)
            self.channel = self._context.hub.add(stream, self._kind.encode)
        else:
            self._context.counters.resyncs += 1
            self.channel.stream.rebase(view, begin.at, "upstream_resync")
        # Followers get the reason and a snapshot: they need no word that the stream is back.
        self._told_down = False
        if self._log is not None:
            self._log.begin(begin.at, self._snapshot(), begin.cursor)

    def _now_live(self, *, said: bool) -> None:
        self._transition(UpstreamState.LIVE)
        self._faults = 0
        self._known = True
        self._missing_since = None
        self._live_since = self._context.clock.monotonic()
        if self._told_down and said:
            self._told_down = False
            assert self.channel is not None
            self.channel.tell("upstream_restored")
        self._settle(None)

    def _tell_down(self, loss: Loss) -> None:
        if self.channel is None or not self._known:
            return
        if loss.kind is LossKind.MALFORMED:
            self.channel.tell("malformed_frame")
        elif not self._told_down:
            self.channel.tell("upstream_disconnect")
        self._told_down = True

    def _is_gone(self, now: float) -> bool:
        """A runtime that has just started may not know yet what it had before."""
        if not self._known:
            return True
        if self._missing_since is None:
            self._missing_since = now
        return (now - self._missing_since) * 1000 >= self._limits.upstream_gone_ms

    def _end(self, reason: str) -> None:
        self._stop()
        self._transition(UpstreamState.CLOSED)
        if self._log is not None:
            self._log.forget()
        self._context.hub.remove(self.subject, reason)
        self._settle(Declined(reason))
        self._closed(self)

    def _again(self) -> None:
        self._timer = None
        if self.state is UpstreamState.DOWN:
            self._connect()

    def _give_up(self, waiter: asyncio.Future[Declined | None]) -> None:
        if not waiter.done():
            if self._known:
                self._tell_down(Loss(LossKind.UNREACHABLE))
                waiter.set_result(None)
            else:
                retry = self._limits.upstream_backoff_max_ms
                waiter.set_result(Declined("runtime_unavailable", retry_after_ms=retry))

    def _settle(self, outcome: Declined | None) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(outcome)

    def _snapshot(self) -> bytes:
        assert self.channel is not None
        return self._kind.encode(self.channel.stream.snapshot())

    def count_repeat(self) -> None:
        """Count an event that was dropped because it had been heard before."""
        self._context.counters.repeats += 1

    def current(self, attempt: Attempt) -> bool:
        """Whether `attempt` is still the one that counts."""
        return self._attempt is attempt

    def _transition(self, state: UpstreamState) -> None:
        if state not in _TRANSITIONS[self.state]:
            raise RuntimeError(f"an upstream does not go from {self.state} to {state}")
        self.state = state
