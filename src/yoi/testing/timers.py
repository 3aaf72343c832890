"""Timers that fire when a test moves the clock."""

import heapq
import itertools
from collections.abc import Callable

from yoi.testing.clock import ManualClock


class ManualTimer:
    """A handle of `ManualTimers.call_later`."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the timer."""
        self.callback = None


class ManualTimers:
    """A `call_later` in step with a `ManualClock`; `advance` moves both."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._order = itertools.count()
        self._due: list[tuple[float, int, ManualTimer]] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> ManualTimer:
        """Call back once the clock has been advanced by `delay` seconds."""
        timer = ManualTimer(callback)
        heapq.heappush(self._due, (self._clock.monotonic() + delay, next(self._order), timer))
        return timer

    @property
    def pending(self) -> int:
        """Return how many timers would still fire."""
        return sum(timer.callback is not None for _, _, timer in self._due)

    def advance(self, seconds: float) -> None:
        """Move the clock forward, calling back at each moment that is due on the way."""
        until = self._clock.monotonic() + seconds
        while self._due and self._due[0][0] <= until:
            at, _, timer = heapq.heappop(self._due)
            self._clock.advance(max(0.0, at - self._clock.monotonic()))
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
        self._clock.advance(max(0.0, until - self._clock.monotonic()))
