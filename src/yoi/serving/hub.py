"""The streams of one process, each with its watchers.

Publishing waits for no client: a channel flushes once per turn of the event loop, each watcher is
sent shared bytes from its own position, and a client that takes no more is left where it is.

    Hub -> Channel -> Watcher -> its transport; a transport knows the channel it entered.
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
from yoi.serving.channel import Channel, ChannelContext
from yoi.serving.counters import HubCounters, WatcherCount
from yoi.serving.watcher import Watching
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
        self.clock = clock
        self.limits = limits
        self.counters = HubCounters()
        self.soon = asyncio.get_running_loop().call_soon if soon is None else soon
        self._rng = rng
        self._closing = False
        self._channels: dict[Subject, Channel[Any]] = {}
        self._leaving: dict[Channel[Any], None] = {}
        """Those that no new client can find, until their last watcher is gone."""
        self._counts = WatcherCount(limits)
        self._context = ChannelContext(
            hop=hop,
            keys=keys,
            clock=clock,
            limits=limits,
            soon=self.soon,
            counters=self.counters,
            counts=self._counts,
        )

    def __iter__(self) -> Iterator[Channel[Any]]:
        return iter(list(self._channels.values()))

    @property
    def watched(self) -> int:
        """Return how many clients watch anything now."""
        return self._counts.total

    @property
    def stalled(self) -> int:
        """Return how many of them take nothing now."""
        return sum(watcher.stalled for channel in self._all() for watcher in channel.watchers)

    def add(
        self, stream: Stream[E], encode: Callable[[E], bytes], subject: Subject | None = None
    ) -> Channel[E]:
        """Return a new channel of `stream`, shown as `subject` (its own one unless given).

        Raises ValueError where this hub has a channel of that subject.
        """
        shown = stream.subject if subject is None else subject
        if shown in self._channels:
            raise ValueError(f"{shown} is there already")
        channel = self._channels[shown] = Channel(self._context, shown, stream, encode)
        return channel

    def remove(self, subject: Subject, reason: str = "stream_closed") -> None:
        """End the stream of `subject`: its watchers are sent what is left, then `reason`."""
        channel = self._channels.get(subject)
        if channel is not None:
            self.retire(channel)
            channel.stream.end(reason)

    def retire(self, channel: Channel[Any]) -> None:
        """Let no new client find `channel`; its stream is not ended. Twice is harmless."""
        if self._channels.get(channel.subject) is channel:
            del self._channels[channel.subject]
            if channel.watched:
                self._leaving[channel] = None

    def channel(self, subject: Subject) -> Channel[Any] | None:
        """Return the channel of `subject`, or None."""
        return self._channels.get(subject)

    def room(self, principal: str) -> bool:
        """Return whether one more client may watch, and one more of this principal."""
        return not self._closing and self._counts.has_room(principal)

    def review(self, judge: Callable[[Watching, Subject], str | None]) -> None:
        """Decide again about every watcher, after tokens or policies have changed.

        `judge` returns None for a client that may stay, else the observation code it leaves with.
        """
        for channel in self._all():
            for watcher in channel.watchers:
                name = judge(watcher.watching, channel.subject)
                if name is not None:
                    watcher.close(name)

    def tick(self) -> None:
        """Let time pass: end expired sessions, cut off stalled clients, send bookmarks."""
        now, wall = self.clock.monotonic(), self.clock.wall_ms()
        for channel in self._all():
            for watcher in channel.watchers:
                expires = watcher.watching.expires_at_ms
                if expires is not None and wall >= expires:
                    watcher.close("session_expired")
            channel.tick(now)
        for channel in [one for one in self._leaving if not one.watched]:
            del self._leaving[channel]

    def _all(self) -> list[Channel[Any]]:
        return [*self._channels.values(), *self._leaving]

    async def keep_ticking(self) -> None:
        """Tick once a second until cancelled."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            try:
                self.tick()
            except Exception:
                _log.exception("a defect in Yoi", what="letting time pass for watchers")

    def close(self) -> None:
        """Admit no more clients, and ask every watcher to reconnect, each after another delay."""
        self._closing = True
        spread = self.limits.reconnect_spread_ms
        for channel in self._all():
            channel.close_all("shutdown", lambda: round(self._rng() * spread))
