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
_PAUSE_S = 0.001
"""After a slice, in which others have several turns: what is shorter is no pause to uvloop."""

_USUAL_SWITCH_S = sys.getswitchinterval()
_QUICK_SWITCH_S = 0.0005
"""How long a thread that wants the interpreter waits for it while a large body is worked on."""


class BackgroundWork:
    """See the module docstring. One for all plugins of a host; it belongs to the event loop."""

    def __init__(self) -> None:
        self._one = asyncio.Semaphore(1)

    async def run(self, size: int, work: Callable[[], T]) -> T:
        """Return what `work` returns, which looks at a body of `size` bytes; raises what it does.

        Cancelled, it does not wait for `work`, which must change nothing.
        """
        if size <= _SMALL_BYTES:
            return work()
        async with self._one:
            with _quick_switches():
                return await asyncio.to_thread(work)

    async def in_slices(self, steps: Generator[None, None, T]) -> T:
        """Return what `steps` returns; the loop does other things between slices of its work."""
        async with self._one:
            while True:
                until = time.perf_counter() + _SLICE_S
                try:
                    next(steps)
                    while time.perf_counter() < until:
                        next(steps)
                except StopIteration as end:
                    result: T = end.value
                    return result
                await asyncio.sleep(_PAUSE_S)


@contextlib.contextmanager
def _quick_switches() -> Iterator[None]:
    """Let threads change quickly for a while; always would cost the frame path a third."""
    sys.setswitchinterval(_QUICK_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(_USUAL_SWITCH_S)
