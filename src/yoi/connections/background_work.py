"""`BackgroundWork`: works on large bodies and messages without holding the event loop up.

One at a time, because work on JSON holds the interpreter's lock: eight threads of it would keep
the loop waiting eight times as long. Work that can stop is better done on the loop, half a
millisecond at a time: a thread would hold the lock for five.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

T = TypeVar("T")

_SMALL_BYTES = 16 * 1024
"""Up to this size a change of threads costs more than the work."""

_SLICE_S = 0.0005
"""How long a slice of work lasts."""
_MOVED_S_PER_BYTE = 1e-9
"""What a transport takes to bring the bytes that are worked on: of 64 KiB, 65 µs."""
_PAUSE_S = 0.001
"""After a slice, in which others have several turns: what is shorter is no pause to uvloop."""

_USUAL_SWITCH_S = sys.getswitchinterval()
_QUICK_SWITCH_S = 0.0005
"""How long a thread that wants the interpreter waits for it while a large body is worked on."""


class BackgroundWork:
    """See the module docstring. One for all plugins of a host; it belongs to the event loop."""

    def __init__(self) -> None:
        self._one = asyncio.Semaphore(1)
        self._slice_left_s = _SLICE_S

    async def run(self, size: int, work: Callable[[], T]) -> T:
        """Return what `work` returns, which looks at a body of `size` bytes; raises what it does.

        Cancelled, it does not wait for `work`, which must change nothing.
        """
        if size <= _SMALL_BYTES:
            return work()
        async with self._one:
            with _quick_switches():
                return await asyncio.to_thread(work)

    async def in_slices(self, steps: Generator[None, None, T], moved: int = 0) -> T:
        """Return what `steps` returns; the loop does other things between slices of its work.

        Several works take turns, a slice each. Short ones share a slice, so that many of them
        leave the loop as much time as a long one; the time that a transport took for `moved` bytes
        counts too.
        """
        moving_s = moved * _MOVED_S_PER_BYTE
        while True:
            async with self._one:
                until = time.perf_counter() + self._slice_left_s - moving_s
                moving_s = 0.0
                try:
                    next(steps)
                    while time.perf_counter() < until:
                        next(steps)
                except StopIteration as end:
                    self._slice_left_s = max(0.0, until - time.perf_counter())
                    result: T = end.value
                    return result
                await asyncio.sleep(_PAUSE_S)
                self._slice_left_s = _SLICE_S


@contextlib.contextmanager
def _quick_switches() -> Iterator[None]:
    """Let threads change quickly for a while; always would cost the frame path a third."""
    sys.setswitchinterval(_QUICK_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(_USUAL_SWITCH_S)
