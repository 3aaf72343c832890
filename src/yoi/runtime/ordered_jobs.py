"""Runs jobs one after another for each key; a job that waits delays only those of its own key."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
Job = Callable[[], Awaitable[T]]


class OrderedJobs(Generic[T]):
    """See the module docstring. The caller bounds how many jobs wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[str, deque[tuple[Job[T], asyncio.Future[T]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, key: str, job: Job[T]) -> asyncio.Future[T]:
        """Run `job` after those put before it under `key`; return its outcome to come."""
        outcome: asyncio.Future[T] = self._loop.create_future()
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = waiting = deque()
            task = self._loop.create_task(self._run(key, waiting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        waiting.append((job, outcome))
        return outcome

    def cancel(self) -> None:
        """Cancel what runs and what waits; their outcomes are cancelled."""
        for task in tuple(self._tasks):
            task.cancel()
        for waiting in self._waiting.values():
            for _, outcome in waiting:
                outcome.cancel()
        self._waiting.clear()

    async def _run(self, key: str, waiting: deque[tuple[Job[T], asyncio.Future[T]]]) -> None:
        while waiting:
            job, outcome = waiting.popleft()
            try:
                result = await job()
            except asyncio.CancelledError:
                outcome.cancel()
                raise
            except Exception as exc:
                if not outcome.done():
                    outcome.set_exception(exc)
            else:
                if not outcome.done():
                    outcome.set_result(result)
        del self._waiting[key]
