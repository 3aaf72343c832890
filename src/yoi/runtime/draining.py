"""Waits for a service that stops until nothing is queued any more, within a bound."""

import asyncio
from collections.abc import Callable

from yoi.core.ingress_queue import IngressQueue
from yoi.limits import Limits


class Draining:
    """See the module docstring. `wake` has the dispatcher go on with what is queued."""

    def __init__(self, queue: IngressQueue, wake: Callable[[], None], limits: Limits) -> None:
        self._queue = queue
        self._wake = wake
        self._limits = limits
        self._changed = asyncio.Event()

    def look_again(self) -> None:
        """Have a wait see that the queue is empty, or that the service no longer runs."""
        self._changed.set()

    async def wait(self, running: Callable[[], bool]) -> bool:
        """Return when the queue is empty or the service not `running`; False: it took too long."""
        if not self._queue.depth:
            return True
        self._changed.clear()
        self._wake()
        try:
            async with asyncio.timeout(self._limits.drain_ms / 1000):
                while self._queue.depth and running():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True
