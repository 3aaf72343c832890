"""`Beside`: does what a large body needs beside the event loop, one body at a time.

One at a time, because work on JSON holds the interpreter's lock: eight threads of it would keep
the loop waiting eight times as long.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_SMALL_BYTES = 16 * 1024
"""Up to this size a change of threads costs more than the work."""


class Beside:
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
