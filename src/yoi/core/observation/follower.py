"""One client of a feed: its position, what it gets next, and when it is closed.

It holds an index, not a queue, so a slow client costs no other client anything.
"""

from enum import Enum
from typing import Generic, TypeVar

from yoi.core.observation.feed import Feed
from yoi.limits import LIMITS, Limits
from yoi.protocol.cursors import CursorFault
from yoi.protocol.observation import OBSERVATION_CODES, CloseCode

E = TypeVar("E")


class FollowerState(Enum):
    """Where a follower stands."""

    NEW = "new"
    REPLAYING = "replaying"
    LIVE = "live"
    CLOSED = "closed"


_TRANSITIONS: dict[FollowerState, frozenset[FollowerState]] = {
    FollowerState.NEW: frozenset(
        {FollowerState.REPLAYING, FollowerState.LIVE, FollowerState.CLOSED}
    ),
    FollowerState.REPLAYING: frozenset({FollowerState.LIVE, FollowerState.CLOSED}),
    FollowerState.LIVE: frozenset({FollowerState.LIVE, FollowerState.CLOSED}),
    FollowerState.CLOSED: frozenset(),
}


_LIVE = FollowerState.LIVE


class Follower(Generic[E]):
    """`open` it once, then `pull` whenever its transport takes more.

    What `open`, `pull`, `idle` and `close` return is written in that order and nothing between.
    After `closed_with` is set, write what was returned, then close.
    """

    __slots__ = (
        "_generation",
        "_last_sent",
        "_limits",
        "_paused_since",
        "_sent",
        "closed_with",
        "feed",
        "state",
    )

    def __init__(self, feed: Feed[E], now: float, limits: Limits = LIMITS) -> None:
        self.feed = feed
        self.state = FollowerState.NEW
        self.closed_with: CloseCode | None = None
        self._limits = limits
        self._generation = feed.stream.generation
        self._sent = 0
        self._last_sent = now
        self._paused_since: float | None = None

    @property
    def waiting(self) -> int:
        """Return how many events this client has not been handed yet."""
        stream = self.feed.stream
        return stream.head - (self._sent if self._generation == stream.generation else 0)

    @property
    def behind(self) -> bool:
        """Whether `pull` has something to return."""
        stream = self.feed.stream
        return self.state is not FollowerState.CLOSED and (
            self._sent != stream.head
            or self._generation != stream.generation
            or self.state is FollowerState.REPLAYING
        )

    def open(self, cursor: str | None, now: float, *, snapshot_always: bool = False) -> bytes:
        """Return the first frames for a client that presents `cursor`, or none."""
        if cursor is None:
            return self._resync(b"", now)
        found = self.feed.locate(cursor)
        if found is CursorFault.MALFORMED:
            return self.close("cursor_malformed")
        if isinstance(found, CursorFault):
            return self._resync(self.feed.resync(f"cursor_{found}"), now)
        first = self.feed.snapshot_at(found) if snapshot_always else b""
        self._sent, self._generation = found, self.feed.stream.generation
        self._last_sent = now
        self._transition(FollowerState.REPLAYING)
        return first + self.feed.resumed(found)

    def pull(self, now: float, most_bytes: int) -> bytes:
        """Return the next frames, about `most_bytes` of them; empty when there is nothing."""
        stream, sent = self.feed.stream, self._sent
        # Called for every follower and event: the common case first, and nothing it can do without.
        if (
            self.state is _LIVE
            and self._generation == stream.generation
            and stream.oldest - 1 <= sent < stream.head
        ):
            frames, self._sent = self.feed.span(sent + 1, most_bytes)
            if frames:
                self._last_sent = now
            return frames
        if self.state is FollowerState.CLOSED or self.state is FollowerState.NEW:
            return b""
        if self._generation != stream.generation:
            return self._resync(self.feed.resync(stream.restart_reason), now)
        if sent < stream.oldest - 1:
            dropped = stream.oldest - 1 - sent
            return self._resync(self.feed.resync("lagged", dropped=dropped), now)
        frames = b""
        if sent < stream.head:
            frames, self._sent = self.feed.span(sent + 1, most_bytes)
        if self.state is FollowerState.REPLAYING and self._sent == stream.head:
            self._transition(FollowerState.LIVE)
            frames += self.feed.bookmark(self._sent, up_to_date=True)
        if frames:
            self._last_sent = now
        return frames

    def take(self, generation: int, after: int, last: int, now: float) -> bool:
        """Return whether the client is live and has got exactly all up to `after`.

        Then it counts as handed what follows up to `last`; the caller writes it.
        """
        if self._sent != after or self.state is not _LIVE or self._generation != generation:
            return False
        self._sent = last
        self._last_sent = now
        return True

    def idle(self, now: float) -> bytes:
        """Return a bookmark when one is due: it tells the client its position."""
        if (
            self.state is not FollowerState.LIVE
            or self._paused_since is not None
            or self.behind
            or (now - self._last_sent) * 1000 < self._limits.bookmark_ms
        ):
            return b""
        self._last_sent = now
        return self.feed.bookmark(self._sent, up_to_date=True)

    def paused(self, now: float) -> None:
        """Note that the transport takes no more."""
        if self._paused_since is None:
            self._paused_since = now

    def drained(self) -> None:
        """Note that the transport takes more again."""
        self._paused_since = None

    def overdue(self, now: float) -> bool:
        """Whether the transport has taken nothing for too long."""
        since = self._paused_since
        return since is not None and (now - since) * 1000 >= self._limits.follower_stall_ms

    def close(self, name: str, message: str | None = None, **fields: int) -> bytes:
        """Return the last frame, the diagnostic `name`; nothing follows it."""
        if self.state is FollowerState.CLOSED:
            return b""
        self._transition(FollowerState.CLOSED)
        self.closed_with = OBSERVATION_CODES[name].close or CloseCode.SHUTDOWN
        return self.feed.diagnostic(name, message, **fields)

    def gone(self) -> None:
        """Note that the client has left."""
        if self.state is not FollowerState.CLOSED:
            self._transition(FollowerState.CLOSED)

    def _resync(self, why: bytes, now: float) -> bytes:
        """In one step: send the snapshot and take its position and generation."""
        stream = self.feed.stream
        frames = why + self.feed.snapshot()
        self._sent, self._generation = stream.head, stream.generation
        self._last_sent = now
        self._transition(FollowerState.LIVE)
        return frames

    def _transition(self, state: FollowerState) -> None:
        if state not in _TRANSITIONS[self.state]:
            raise RuntimeError(f"a follower does not go from {self.state} to {state}")
        self.state = state
