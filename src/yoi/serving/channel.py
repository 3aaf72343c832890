"""One stream with its feeds and its watchers."""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from yoi.core.observation import Feed, Follower, Framing, Stream
from yoi.core.observation.stream import Held
from yoi.limits import Limits
from yoi.protocol.cursors import CursorCodec, CursorKeys
from yoi.protocol.observation import Hop, Subject
from yoi.serving.counters import HubCounters, WatcherCount
from yoi.serving.watcher import Watcher, WatcherTransport, Watching
from yoi.types import Clock

E = TypeVar("E")
_ELSEWHERE = -1
"""Instead of how much a socket took: the client is at another position, or has no free socket."""
_log = structlog.get_logger("yoi.serving")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelContext:
    """What all channels of one hub share. `soon` calls a function in the loop's next turn."""

    hop: Hop
    keys: CursorKeys
    clock: Clock
    limits: Limits
    soon: Callable[[Callable[[], None]], object]
    counters: HubCounters
    counts: WatcherCount


class Channel(Generic[E]):
    """Listens to `stream` and passes it on to its watchers as that of `subject`.

    Transports `enter` and `leave`. Several channels may share a stream.
    """

    def __init__(
        self,
        context: ChannelContext,
        subject: Subject,
        stream: Stream[E],
        encode: Callable[[E], bytes],
    ) -> None:
        self.subject = subject
        self.stream = stream
        self._context = context
        self._encode = encode
        self._feeds: dict[tuple[str, Framing], Feed[E]] = {}
        self._watchers: dict[Feed[E], dict[Watcher[E], None]] = {}
        """By feed: all watchers of one feed are handed the same bytes."""
        self._scheduled = False
        self._flushed = stream.head
        """The head as of the last flush: the position of all clients that keep up."""
        stream.listen(self)

    @property
    def watchers(self) -> list[Watcher[E]]:
        """Return the clients that watch now."""
        return [watcher for group in self._watchers.values() for watcher in group]

    @property
    def watched(self) -> bool:
        """Return whether there is a watcher now."""
        return bool(self._watchers)

    @property
    def heard(self) -> bool:
        """Return whether there is a watcher, or a listener to the stream beside this channel."""
        return bool(self._watchers) or self.stream.listeners > 1

    def feed(self, projection: str, framing: Framing, project: Callable[[E], E | None]) -> Feed[E]:
        """Return the feed of `projection`, made when it is first asked for.

        `project` must be the same function of events for one projection.
        """
        key = (projection, framing)
        feed = self._feeds.get(key)
        if feed is None:
            context = self._context
            codec = CursorCodec(context.keys, context.hop, self.subject, projection)
            feed = self._feeds[key] = Feed(
                self.stream,
                self.subject,
                context.hop,
                codec,
                framing,
                project,
                self._encode,
                context.counters.count_resync,
            )
        return feed

    def enter(self, feed: Feed[E], watching: Watching, transport: WatcherTransport) -> Watcher[E]:
        """Return a new watcher of `feed`, one of this channel; the transport `open`s it next.

        The caller has asked `Hub.room` in the same step. The transport must `leave`.
        """
        context = self._context
        follower = Follower(feed, context.clock.monotonic(), context.limits)
        watcher = Watcher(
            follower, watching, transport, context.counters, context.limits.follower_write_bytes
        )
        self._watchers.setdefault(feed, {})[watcher] = None
        context.counts.add(watching.principal)
        context.counters.attached += 1
        return watcher

    def leave(self, watcher: Watcher[E]) -> None:
        """Forget a watcher, whose transport has ended or is ending; twice is harmless."""
        feed = watcher.follower.feed
        group = self._watchers.get(feed, {})
        if watcher not in group:
            return
        del group[watcher]
        watcher.follower.gone()
        self._context.counts.remove(watcher.watching.principal)
        if not group:
            del self._watchers[feed]
            self._drop_unused(feed)

    def close(self) -> None:
        """Stop listening to the stream, which goes on for others. It must have no watchers."""
        self.stream.drop(self)
        for feed in self._feeds.values():
            feed.close()
        self._feeds.clear()

    def tell(self, name: str, message: str | None = None) -> None:
        """Send a diagnostic to every watcher, after what was published before."""
        self._flush()
        for watcher in self.watchers:
            watcher.tell(name, message)

    def close_all(self, name: str, retry_after_ms: Callable[[], int] | None = None) -> None:
        """Send the diagnostic `name` to every watcher, as the last frame."""
        for watcher in self.watchers:
            if retry_after_ms is None:
                watcher.close(name)
            else:
                watcher.close(name, retry_after_ms=retry_after_ms())

    def tick(self, now: float) -> None:
        """Let time pass for every watcher."""
        for watcher in self.watchers:
            watcher.tick(now)

    # The stream calls:

    def published(self, seq: int, held: Held[E]) -> None:
        """Flush before the loop's next turn."""
        self._context.counters.events += 1
        self._schedule()

    def restarted(self, reason: str) -> None:
        """Have every watcher sent a fresh snapshot."""
        self._schedule()

    def ended(self, reason: str) -> None:
        """Have every watcher sent what is left, then the reason."""
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled and self._watchers:
            self._scheduled = True
            self._context.soon(self._flush)

    def _flush(self) -> None:
        """Send what is new: the same bytes to all watchers that had everything before."""
        self._scheduled = False
        now = self._context.clock.monotonic()
        after, self._flushed = self._flushed, self.stream.head
        for feed, group in list(self._watchers.items()):
            data = self._shared(feed, after)
            if not data:
                for watcher in list(group):
                    self._pump(watcher, now)
                continue
            for watcher, taken in self._write_directly(group, data, after, now):
                if taken != _ELSEWHERE:
                    watcher.transport.write(data[taken:])
                elif not watcher.stalled:
                    self._hand_over(watcher, data, after, now)

    def _shared(self, feed: Feed[E], after: int) -> bytes:
        """Return all that follows `after`; empty where watchers need different bytes."""
        stream = self.stream
        if stream.end_reason is not None or not stream.oldest - 1 <= after < stream.head:
            return b""
        try:
            data, last = feed.span(after + 1, self._context.limits.follower_write_bytes)
        except Exception:
            return b""  # each watcher of this feed finds out for itself; others are not harmed
        return data if last == stream.head else b""

    def _write_directly(
        self, group: Collection[Watcher[E]], data: bytes, after: int, now: float
    ) -> list[tuple[Watcher[E], int]]:
        """Write `data` to the sockets of all watchers that are at `after` and have nothing waiting.

        Returns the watchers that did not get all of it, each with how many bytes it took.
        """
        # An event is one system call a client; every object touched beside it costs as much as a
        # tenth of that call (docs/decisions/fan-out.md), so there are as few as possible.
        head, generation = self.stream.head, self.stream.generation
        size, write, rest = len(data), os.write, []
        for watcher in group:
            taken, socket = _ELSEWHERE, watcher.socket
            if socket >= 0 and watcher.follower.take(generation, after, head, now):
                try:
                    taken = write(socket, data)
                except OSError:
                    taken = 0  # full or broken: the transport finds out
            if taken != size:
                rest.append((watcher, taken))
        self._count(len(group) - sum(taken == _ELSEWHERE for _, taken in rest), data)
        return rest

    def _hand_over(self, watcher: Watcher[E], data: bytes, after: int, now: float) -> None:
        stream = self.stream
        if watcher.follower.take(stream.generation, after, stream.head, now):
            self._count(1, data)
            watcher.transport.write(data)
        else:
            self._pump(watcher, now)

    def _count(self, handed: int, data: bytes) -> None:
        counters = self._context.counters
        counters.frames += handed
        counters.bytes_out += handed * len(data)

    def _pump(self, watcher: Watcher[E], now: float) -> None:
        """Send what is new; a projection that fails harms only those who asked for it."""
        try:
            watcher.pump(now)
        except Exception:
            _log.exception("a defect in Yoi", what="showing a stream")
            watcher.close("runtime_unavailable", "a defect in Yoi")

    def _drop_unused(self, feed: Feed[E]) -> None:
        """Drop a feed's frames once the last watcher of the stream has left."""
        if not self._watchers and len(self._feeds) > 1:
            for key in [key for key, one in self._feeds.items() if one is feed]:
                feed.close()
                del self._feeds[key]
