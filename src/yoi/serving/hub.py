"""The streams of one process, and everybody who follows them.

Publishing waits for nobody: a channel flushes once per turn of the event loop, each watcher gets
shared bytes from its own place, and one whose transport takes no more is left where it is.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import structlog

from yoi.core.observation import Stream
from yoi.limits import LIMITS, Limits
from yoi.protocol.cursors import CursorKeys
from yoi.protocol.observation import Hop, Subject
from yoi.serving.channel import Channel
from yoi.serving.watcher import HubCounters, Watching
from yoi.types import Clock

E = TypeVar("E")
_TICK_SECONDS = 1.0
_log = structlog.get_logger("yoi.serving")


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

    def tick(self) -> None:
        """Let time pass: bookmarks, stalled clients, tokens that expired."""
        now, wall = self.clock.monotonic(), self.clock.wall_ms()
        for channel in self:
            for watcher in channel.watchers:
                expires = watcher.watching.expires_at_ms
                if expires is not None and wall >= expires:
                    watcher.close("session_expired")
            channel.tick(now)

    async def keep_ticking(self) -> None:
        """Tick once a second until cancelled."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            try:
                self.tick()
            except Exception:
                _log.exception("a defect in Yoi", what="letting time pass for who watches")

    def close(self) -> None:
        """Ask everybody to come back a little later, each at another moment."""
        self.closing = True
        spread = self.limits.reconnect_spread_ms
        for channel in self:
            channel.close_all("shutdown", lambda: round(self._rng() * spread))
