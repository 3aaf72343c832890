"""`BackgroundWork`: works on large bodies and messages without holding the event loop up.

One at a time, because work on JSON holds the interpreter's lock: eight threads of it would keep
the loop waiting eight times as long. Work that can stop is better done on the loop, half a
millisecond at a time: a thread would hold the lock for five.
"""

import asyncio
import time
from collections.abc import Callable, Generator
from typing import TypeVar

T = TypeVar("T")

_SMALL_BYTES = 16 * 1024
"""Up to this size a change of threads costs more than the work."""

_SLICE_S = 0.0005
"""How long a slice of work lasts, and the pause after it, in which others have several turns."""


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
            return await asyncio.to_thread(work)

    async def in_slices(self, steps: Generator[None, None, T]) -> T:
        """Return what `steps` returns; the loop does other things between slices of its work."""
        async with self._one:
            while True:
                until = time.perf_counter() + _SLICE_S
                try:
                    while time.perf_counter() < until:
                        next(steps)
                except StopIteration as end:
                    result: T = end.value
                    return result
                await asyncio.sleep(_SLICE_S)
