"""One reload at a time: requests that come meanwhile are carried out together, as one more."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from yoi.errors import ServiceError

T = TypeVar("T")


class ReloadQueue(Generic[T]):
    """Calls `apply`, which reads the settings afresh, for all callers; never twice at once.

    A caller gets the result of an `apply` that began after its request, so that it holds what the
    caller wrote before. Belongs to the event loop.
    """

    def __init__(self, apply: Callable[[], Awaitable[T]]) -> None:
        self._apply = apply
        self._running: asyncio.Task[T] | None = None
        self._waiting: asyncio.Task[T] | None = None
        self._closed = False

    async def reload(self) -> T:
        """Return what the next `apply` returns, or raise what it raises.

        Cancelling the caller ends its waiting only: others may wait for the same.
        """
        return await asyncio.shield(self.request())

    def request(self) -> "asyncio.Task[T]":
        """Return the task of the next `apply`: begun at once, or when the running one has ended."""
        if self._closed:
            raise ServiceError("service.stopping", "the host is stopping")
        if self._running is None:
            self._running = self._begin(None)
            return self._running
        if self._waiting is None:
            self._waiting = self._begin(self._running)
        return self._waiting

    async def close(self) -> None:
        """Cancel what runs and what waits."""
        self._closed = True
        tasks = [task for task in (self._waiting, self._running) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, after: "asyncio.Task[T] | None") -> "asyncio.Task[T]":
        task = asyncio.get_running_loop().create_task(self._carry_out(after))
        task.add_done_callback(self._ended)
        return task

    async def _carry_out(self, after: "asyncio.Task[T] | None") -> T:
        if after is not None:
            await asyncio.wait({after})
        return await self._apply()

    def _ended(self, task: "asyncio.Task[T]") -> None:
        if not task.cancelled():
            task.exception()  # the callers have it; where all were cancelled, it is dropped
        if task is self._running:
            self._running, self._waiting = self._waiting, None
