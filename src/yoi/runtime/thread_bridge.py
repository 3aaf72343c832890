"""The way from worker threads back to the event loop, shared so that many hops cost one wake-up."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Turns(Protocol):
    """What the runtime needs of the sandbox's scheduler: serial per key, fair between keys."""

    def submit(self, key: str, turn: Callable[[], None]) -> None:
        """Run `turn` on a worker thread, after earlier turns of `key`."""
        ...

    @property
    def busy(self) -> bool:
        """Return whether a turn of any key waits for a thread or runs."""
        ...


class Mailbox:
    """Calls posted by any thread and made on the loop, in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._posted: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._woken = False

    def post(self, call: Callable[..., None], *args: Any) -> None:
        """Make `call(*args)` on the loop soon. After the loop has closed this does nothing."""
        self._posted.append((call, args))
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:
                self._posted.clear()

    def _drain(self) -> None:
        # Cleared first: a post that comes while we drain may wake us once more for nothing, but
        # never goes unheard.
        self._woken = False
        posted = self._posted
        try:
            for _ in range(len(posted)):
                call, args = posted.popleft()
                call(*args)
        finally:
            # Only after a call raised: the loop reports that one, the others still get their turn.
            if posted and not self._woken:
                self._woken = True
                self._loop.call_soon(self._drain)


async def on_worker(turns: Turns, mailbox: Mailbox, key: str, work: Callable[[], T]) -> T:
    """Return what `work` returns (or raise what it raises), run as a turn of `key`.

    Cancelling the caller does not interrupt `work`: its own budget does.
    """
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def turn() -> None:
        try:
            result = work()
        except BaseException as exc:
            mailbox.post(_fail, future, exc)
        else:
            mailbox.post(_finish, future, result)

    turns.submit(key, turn)
    return await future


def _finish(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[Any]", exc: BaseException) -> None:
    if future.done():
        return
    # A StopIteration cannot travel in a future; nothing of ours raises one on purpose.
    future.set_exception(RuntimeError(repr(exc)) if isinstance(exc, StopIteration) else exc)
