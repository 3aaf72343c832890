"""The timers of a connection, on the loop's clock or a test's."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from yoi.core.session_effects import Timer


class TimerHandle(Protocol):
    """A timer that can be forgotten."""

    def cancel(self) -> None:
        """Forget the timer."""
        ...


CallLater = Callable[[float, Callable[[], None]], TimerHandle]
"""Call back in so many seconds: the loop's `call_later`, or a test's."""


def loop_call_later(delay: float, callback: Callable[[], None]) -> TimerHandle:
    """Call back in `delay` seconds on the running loop."""
    return asyncio.get_running_loop().call_later(delay, callback)


class Timers:
    """Runs at most one timer of each kind; `fired` hears which one ran out."""

    def __init__(self, call_later: CallLater, fired: Callable[[Timer], None]) -> None:
        self._call_later = call_later
        self._fired = fired
        self._running: dict[Timer, TimerHandle] = {}

    def arm(self, timer: Timer, delay_ms: float) -> None:
        """Let `timer` run out in `delay_ms`, instead of an earlier one of its kind."""
        self.disarm(timer)
        due = partial(self._due, timer)
        self._running[timer] = self._call_later(delay_ms / 1000, due)

    def disarm(self, timer: Timer) -> None:
        """Forget `timer`."""
        handle = self._running.pop(timer, None)
        if handle is not None:
            handle.cancel()

    def _due(self, timer: Timer) -> None:
        self._running.pop(timer, None)
        self._fired(timer)
