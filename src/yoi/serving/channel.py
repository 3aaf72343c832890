"""One stream with its feeds and everybody who watches it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import structlog

from yoi.core.observation import Feed, Follower, Framing, Stream
from yoi.core.observation.stream import Held
from yoi.protocol.cursors import CursorCodec
from yoi.protocol.observation import CloseCode
from yoi.serving.lane import Lane
from yoi.serving.watcher import Outlet, Watcher, Watching

if TYPE_CHECKING:
    from yoi.serving.hub import Hub

E = TypeVar("E")
_log = structlog.get_logger("yoi.serving")


class Channel(Generic[E]):
    """One stream with its feeds and watchers; it is the stream's listener."""

    def __init__(self, hub: "Hub", stream: Stream[E], encode: Callable[[E], bytes]) -> None:
        self.stream = stream
        self.counters = hub.counters
        self.most_bytes = hub.limits.follower_write_bytes
        self._hub = hub
        self._encode = encode
        self._feeds: dict[tuple[str, Framing], Feed[E]] = {}
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

    def feed(self, projection: str, framing: Framing, project: Callable[[E], E | None]) -> Feed[E]:
        """Return the feed of `projection`, made when first asked for.

        `project` must be the same function of events for one projection.
        """
        key = (projection, framing)
        feed = self._feeds.get(key)
        if feed is None:
            codec = CursorCodec(self._hub.keys, self._hub.hop, self.stream.subject, projection)
            feed = Feed(
                self.stream,
                self._hub.hop,
                codec,
                framing,
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

    def tick(self, now: float) -> None:
        """Let time pass for every watcher."""
        for watcher in self.watchers:
            watcher.tick(now)

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
                    self._pump(watcher, now)
                continue
            handed += len(lane)
            size += len(lane) * len(data)
            for watcher, taken in lane.spread(data, generation, after, head, now):
                if taken >= 0:
                    watcher.outlet.write(data[taken:])
                else:
                    handed -= 1
                    size -= len(data)
                    self._pump(watcher, now)
        for watcher in apart:
            if watcher.stalled:
                continue
            data = self._shared(watcher.follower.feed, after)
            if data and watcher.follower.take(generation, after, head, now):
                watcher.outlet.write(data)
                handed += 1
                size += len(data)
            else:
                self._pump(watcher, now)
        self.counters.frames += handed
        self.counters.bytes_out += size

    def _shared(self, feed: Feed[E], after: int) -> bytes:
        """Return all that follows `after`, or nothing where it is not one write for everybody."""
        stream = self.stream
        if stream.end_reason is not None or not stream.oldest - 1 <= after < stream.head:
            return b""
        try:
            data, last = feed.span(after + 1, self.most_bytes)
        except Exception:
            return b""  # each of its watchers finds out, and nobody else
        return data if last == stream.head else b""

    def _pump(self, watcher: Watcher[E], now: float) -> None:
        """Hand over what is new; a projection that fails harms those who asked for it alone."""
        try:
            watcher.pump(now)
        except Exception:
            _log.exception("a defect in Yoi", what="showing a stream")
            watcher.close("runtime_unavailable", "a defect in Yoi")

    def _drop_unused(self, feed: Feed[E]) -> None:
        """A feed's frames are worth keeping only while somebody may ask for them again soon."""
        if not self._watchers and len(self._feeds) > 1:
            for key in [key for key, one in self._feeds.items() if one is feed]:
                feed.close()
                del self._feeds[key]
