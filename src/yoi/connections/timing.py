"""Timers as the driver uses them: the loop's, or a test's."""

import asyncio
from collections.abc import Callable
from typing import Protocol


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
