"""The streams of one process, and everybody who follows them.

Publishing waits for nobody: a channel flushes once per turn of the event loop, each watcher gets
shared bytes from its own place, and one whose transport takes no more is left where it is.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from yoi.core.observation import Feed, Follower, FollowerState, Stream, Wire
from yoi.core.observation.stream import Held
from yoi.limits import LIMITS, Limits
from yoi.protocol.cursors import CursorCodec, CursorKeys
from yoi.protocol.observation import CloseCode, Hop, Subject
from yoi.serving.lane import Lane
from yoi.types import Clock

E = TypeVar("E")
_SWEEP_SECONDS = 1.0
_NOTES = 4
"""In-band diagnostics kept for a client that takes nothing; the newest say what is so now."""


class Outlet(Protocol):
    """A transport as a watcher sees it. Neither method raises or waits."""

    def write(self, data: bytes) -> None:
        """Hand over bytes; may call the watcher's `pause` at once."""
        ...

    def finish(self, code: CloseCode, *, abort: bool) -> None:
        """End after what was written; at once where `abort`, because nothing can be written."""
        ...


@dataclass(frozen=True, slots=True)
class Watching:
    """Who watches. `expires_at_ms` is wall-clock, None for never."""

    principal: str
    expires_at_ms: int | None = None
    token: Any = None
    """Whatever the door needs to judge again."""

    def __repr__(self) -> str:
        return f"<Watching {self.principal}>"


@dataclass(slots=True)
class HubCounters:
    """What happened, for metrics: plain numbers, read when somebody asks."""

    events: int = 0
    attached: int = 0
    frames: int = 0
    bytes_out: int = 0
    cut_off: int = 0
    refused_input: int = 0
    closed: dict[str, int] = field(default_factory=dict)
    """By observation code."""
    resyncs: dict[str, int] = field(default_factory=dict)
    """Fresh snapshots in band, by observation code."""


class Watcher(Generic[E]):
    """One follower on its transport."""

    __slots__ = (
        "_channel",
        "_notes",
        "fd",
        "follower",
        "outlet",
        "stalled",
        "watching",
    )

    def __init__(
        self, channel: "Channel[E]", follower: Follower[E], watching: Watching, outlet: Outlet
    ) -> None:
        self.follower = follower
        self.watching = watching
        self.outlet = outlet
        self.stalled = False
        """Whether the transport takes no more."""
        self.fd = -1
        """The socket, while it is written to past its transport (`straight`)."""
        self._channel = channel
        self._notes: deque[tuple[str, str | None]] = deque(maxlen=_NOTES)

    def open(self, cursor: str | None, now: float, *, snapshot_always: bool) -> None:
        """Send the first frames and all that can follow at once."""
        self._write(self.follower.open(cursor, now, snapshot_always=snapshot_always))
        self.pump(now)

    def pump(self, now: float) -> None:
        """Hand over what the client has not got yet, as far as its transport takes it."""
        follower, most = self.follower, self._channel.most_bytes
        while not self.stalled and follower.closed_with is None:
            data = follower.pull(now, most)
            if not data:
                if follower.behind:
                    continue  # everything in this stretch is hidden from this observer
                break
            self._write(data)
        if self.stalled:
            return
        reason = self._channel.stream.end_reason
        if reason is not None and follower.closed_with is None and not follower.behind:
            self._write(follower.close(reason))
        if follower.closed_with is not None:
            self.finish()

    def sweep(self, now: float) -> None:
        """Cut off who takes nothing; tell who hears nothing that all is well."""
        if self.follower.overdue(now):
            self._channel.counters.cut_off += 1
            self.cut("slow_consumer")
        elif not self.stalled:
            data = self.follower.idle(now)
            if data:
                self._write(data)

    def tell(self, name: str, message: str | None = None) -> None:
        """Say the diagnostic `name` in band; one that takes nothing now hears it later."""
        if self.stalled:
            self._notes.append((name, message))
        elif self.follower.closed_with is None:
            self._write(self.follower.feed.diagnostic(name, message))

    def close(self, name: str, message: str | None = None, **fields: int) -> None:
        """Say the diagnostic `name` as the last thing, and end."""
        if self.follower.closed_with is None and self.follower.state is not FollowerState.CLOSED:
            self._write(self.follower.close(name, message, **fields))
            self.finish()

    def cut(self, name: str) -> None:
        """End a client to whom nothing can be said any more."""
        if self.follower.closed_with is None:
            self.follower.close(name)
            self.finish()

    def finish(self) -> None:
        """End the transport with the follower's close code and leave the channel."""
        code = self.follower.closed_with
        assert code is not None
        self._channel.count_closed(code)
        self._channel.detach(self)
        self.outlet.finish(code, abort=self.stalled)

    def pause(self, now: float) -> None:
        """The transport takes no more."""
        self.stalled = True
        self.follower.paused(now)

    def moved(self, now: float) -> None:
        """The transport still takes no more, but gets rid of what it has: slow is not dead."""
        if self.stalled:
            self.follower.drained()
            self.follower.paused(now)

    def resume(self, now: float) -> None:
        """The transport takes more again: go on from the index."""
        self.stalled = False
        self.follower.drained()
        while self._notes and not self.stalled:
            self.tell(*self._notes.popleft())
        self.pump(now)

    def straight(self, fd: int) -> None:
        """The socket took all there was: what follows may go to `fd` at once, until `detour`."""
        if self.fd < 0:
            self._channel.enter_lane(self, fd)

    def detour(self) -> None:
        """The transport is given something: nothing may pass it."""
        if self.fd >= 0:
            self._channel.leave_lane(self)

    def gone(self) -> None:
        """The client has left by itself."""
        self.follower.gone()
        self._channel.detach(self)

    def _write(self, data: bytes) -> None:
        if data:
            counters = self._channel.counters
            counters.frames += 1
            counters.bytes_out += len(data)
            self.outlet.write(data)


class Channel(Generic[E]):
    """One stream with its feeds and watchers; it is the stream's listener."""

    def __init__(self, hub: "Hub", stream: Stream[E], encode: Callable[[E], bytes]) -> None:
        self.stream = stream
        self.counters = hub.counters
        self.most_bytes = hub.limits.follower_write_bytes
        self._hub = hub
        self._encode = encode
        self._feeds: dict[tuple[str, Wire], Feed[E]] = {}
        self._watchers: dict[Watcher[E], None] = {}
        self._apart: dict[Watcher[E], None] = {}
        """Those who are in no lane."""
        self._lanes: dict[Feed[E], Lane[E]] = {}
        self._scheduled = False
        self._flushed = stream.head
        """The head as of the last flush: where all are who keep up."""
        stream.listen(self)

    @property
    def watchers(self) -> list[Watcher[E]]:
        """Return who watches now."""
        return list(self._watchers)

    @property
    def watched(self) -> int:
        """Return how many watch now."""
        return len(self._watchers)

    @property
    def heard(self) -> bool:
        """Whether anybody watches, or listens in process (besides this channel)."""
        return bool(self._watchers) or self.stream.listeners > 1

    def feed(self, projection: str, wire: Wire, project: Callable[[E], E | None]) -> Feed[E]:
        """Return the feed of `projection`, made when first asked for.

        `project` must be the same function of events for one projection.
        """
        key = (projection, wire)
        feed = self._feeds.get(key)
        if feed is None:
            codec = CursorCodec(self._hub.keys, self._hub.hop, self.stream.subject, projection)
            feed = Feed(
                self.stream,
                self._hub.hop,
                codec,
                wire,
                project,
                self._encode,
                self.counters.resyncs,
            )
            self._feeds[key] = feed
        return feed

    def enter(self, feed: Feed[E], watching: Watching, outlet: Outlet) -> Watcher[E]:
        """Return a new watcher of `feed`, one of this channel; `open` it next.

        Whether there is room is asked before (`Hub.room`), in the same step.
        """
        follower = Follower(feed, self._hub.clock.monotonic(), self._hub.limits)
        watcher = Watcher(self, follower, watching, outlet)
        self._watchers[watcher] = self._apart[watcher] = None
        self._hub.entered(watching)
        return watcher

    def detach(self, watcher: Watcher[E]) -> None:
        """Forget a watcher; twice is harmless."""
        if watcher in self._watchers:
            watcher.detour()
            del self._watchers[watcher], self._apart[watcher]
            self._hub.left(watcher.watching)
            self._drop_unused(watcher.follower.feed)

    def enter_lane(self, watcher: Watcher[E], fd: int) -> None:
        """Write to `fd` of a watcher that is in no lane."""
        if watcher in self._apart:
            del self._apart[watcher]
            watcher.fd = fd
            self._lanes.setdefault(watcher.follower.feed, Lane()).enter(fd, watcher)

    def leave_lane(self, watcher: Watcher[E]) -> None:
        """Leave a watcher that is in a lane to its transport."""
        feed = watcher.follower.feed
        self._lanes[feed].leave(watcher.fd)
        if not self._lanes[feed]:
            del self._lanes[feed]
        watcher.fd = -1
        self._apart[watcher] = None

    def tell(self, name: str, message: str | None = None) -> None:
        """Say a diagnostic to everybody who watches, after what was published before."""
        self._flush()
        for watcher in self.watchers:
            watcher.tell(name, message)

    def close_all(self, name: str, retry_after_ms: Callable[[], int] | None = None) -> None:
        """Say the diagnostic `name` to everybody as the last thing."""
        for watcher in self.watchers:
            if retry_after_ms is None:
                watcher.close(name)
            else:
                watcher.close(name, retry_after_ms=retry_after_ms())

    def count_closed(self, code: CloseCode) -> None:
        """Count a close that this side decided."""
        name = code.name.lower()
        self.counters.closed[name] = self.counters.closed.get(name, 0) + 1

    # The stream tells:

    def published(self, seq: int, held: Held[E]) -> None:
        """Flush before the next turn of the loop."""
        self.counters.events += 1
        self._schedule()

    def restarted(self, reason: str) -> None:
        """Everybody gets a fresh snapshot."""
        self._schedule()

    def ended(self, reason: str) -> None:
        """Everybody gets what is left, then the reason."""
        self._schedule()

    def sweep(self, now: float) -> None:
        """Let time pass for every watcher."""
        for watcher in self.watchers:
            watcher.sweep(now)

    def _schedule(self) -> None:
        if not self._scheduled and self._watchers:
            self._scheduled = True
            self._hub.soon(self._flush)

    def _flush(self) -> None:
        """Give everybody what is new: the same bytes at once to all who had everything before."""
        self._scheduled = False
        now = self._hub.clock.monotonic()
        after, head, generation = self._flushed, self.stream.head, self.stream.generation
        self._flushed = head
        apart, handed, size = list(self._apart), 0, 0
        for feed, lane in list(self._lanes.items()):
            data = self._shared(feed, after)
            if not data:
                for watcher in lane.watchers:
                    watcher.pump(now)
                continue
            handed += len(lane)
            size += len(lane) * len(data)
            for watcher, taken in lane.spread(data, generation, after, head, now):
                if taken >= 0:
                    watcher.outlet.write(data[taken:])
                else:
                    handed -= 1
                    size -= len(data)
                    watcher.pump(now)
        for watcher in apart:
            if watcher.stalled:
                continue
            data = self._shared(watcher.follower.feed, after)
            if data and watcher.follower.take(generation, after, head, now):
                watcher.outlet.write(data)
                handed += 1
                size += len(data)
            else:
                watcher.pump(now)
        self.counters.frames += handed
        self.counters.bytes_out += size

    def _shared(self, feed: Feed[E], after: int) -> bytes:
        """Return all that follows `after`, or nothing where it is not one write for everybody."""
        stream = self.stream
        if stream.end_reason is not None or not stream.oldest - 1 <= after < stream.head:
            return b""
        data, last = feed.span(after + 1, self.most_bytes)
        return data if last == stream.head else b""

    def _drop_unused(self, feed: Feed[E]) -> None:
        """A feed's frames are worth keeping only while somebody may ask for them again soon."""
        if not self._watchers and len(self._feeds) > 1:
            for key in [key for key, one in self._feeds.items() if one is feed]:
                feed.close()
                del self._feeds[key]


class Hub:
    """See the module docstring. Belongs to the event loop."""

    def __init__(
        self,
        hop: Hop,
        keys: CursorKeys,
        clock: Clock,
        limits: Limits = LIMITS,
        *,
        soon: Callable[[Callable[[], None]], object] | None = None,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self.hop = hop
        self.keys = keys
        self.clock = clock
        self.limits = limits
        self.counters = HubCounters()
        self.closing = False
        self.soon = asyncio.get_running_loop().call_soon if soon is None else soon
        self._rng = rng
        self._channels: dict[Subject, Channel[Any]] = {}
        self._total = 0
        self._by_principal: dict[str, int] = {}

    def __iter__(self) -> Iterator[Channel[Any]]:
        return iter(list(self._channels.values()))

    @property
    def watched(self) -> int:
        """Return how many watch anything now."""
        return self._total

    @property
    def stalled(self) -> int:
        """Return how many of them take nothing now."""
        return sum(watcher.stalled for channel in self for watcher in channel.watchers)

    def add(self, stream: Stream[E], encode: Callable[[E], bytes]) -> Channel[E]:
        """Return the new channel of `stream`. One of its subject must not be there (ValueError)."""
        if stream.subject in self._channels:
            raise ValueError(f"{stream.subject} is there already")
        channel = Channel(self, stream, encode)
        self._channels[stream.subject] = channel
        return channel

    def remove(self, subject: Subject, reason: str = "stream_closed") -> None:
        """Take a stream away: who watches gets what is left, then `reason`."""
        channel = self._channels.pop(subject, None)
        if channel is not None:
            channel.stream.end(reason)

    def channel(self, subject: Subject) -> Channel[Any] | None:
        """Return the channel of `subject`, or None."""
        return self._channels.get(subject)

    def room(self, principal: str) -> bool:
        """Whether one more watcher may come, and one more of this principal."""
        return (
            not self.closing
            and self._total < self.limits.followers
            and self._by_principal.get(principal, 0) < self.limits.followers_per_token
        )

    def entered(self, watching: Watching) -> None:
        """Count a watcher in."""
        self._total += 1
        self.counters.attached += 1
        name = watching.principal
        self._by_principal[name] = self._by_principal.get(name, 0) + 1

    def left(self, watching: Watching) -> None:
        """Count a watcher out."""
        self._total -= 1
        name = watching.principal
        self._by_principal[name] -= 1
        if not self._by_principal[name]:
            del self._by_principal[name]

    def review(self, judge: Callable[[Watching, Subject], str | None]) -> None:
        """Judge everybody again: who is given an observation code is told it and leaves.

        For tokens that were revoked and policies that changed.
        """
        for channel in self:
            for watcher in channel.watchers:
                name = judge(watcher.watching, channel.stream.subject)
                if name is not None:
                    watcher.close(name)

    def sweep(self) -> None:
        """Let time pass: bookmarks, stalled clients, tokens that expired."""
        now, wall = self.clock.monotonic(), self.clock.wall_ms()
        for channel in self:
            for watcher in channel.watchers:
                expires = watcher.watching.expires_at_ms
                if expires is not None and wall >= expires:
                    watcher.close("session_expired")
            channel.sweep(now)

    async def keep_sweeping(self) -> None:
        """Sweep once a second until cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self.sweep()

    def close(self) -> None:
        """Ask everybody to come back a little later, each at another moment."""
        self.closing = True
        spread = self.limits.reconnect_spread_ms
        for channel in self:
            channel.close_all("shutdown", lambda: round(self._rng() * spread))
