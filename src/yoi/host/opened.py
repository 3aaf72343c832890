"""What a host has opened, and how it is closed: last first, all of it, whatever fails meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from types import TracebackType
from typing import Any, Self, TypeVar

from yoi.defects import described
from yoi.errors import YoiError
from yoi.tasks import ended

T = TypeVar("T")


class Opened:
    """The parts opened so far, by name.

    `close` exits every one of them even when some raise, or when it is cancelled meanwhile. The
    first error is raised; it carries the others as notes.
    """

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._errors: list[BaseException] = []

    async def enter(self, what: str, part: AbstractAsyncContextManager[T]) -> T:
        """Open `part`, called `what` in messages, and return what it gives; `close` exits it."""
        value = await part.__aenter__()
        self._stack.push_async_callback(self._leave, what, part)
        return value

    async def close(self, cause: BaseException | None = None) -> None:
        """Exit every part, last first. Raises the first error, unless `cause` is raised anyway.

        Then the errors are notes of `cause`.
        """
        await self._stack.aclose()
        errors, self._errors = self._errors, []
        first = cause
        for error in errors:
            if first is None:
                first = error
            else:
                first.add_note(_note(error))
        if cause is None and first is not None:
            raise first

    async def _leave(self, what: str, part: AbstractAsyncContextManager[object]) -> None:
        try:
            await part.__aexit__(None, None, None)
        except BaseException as exc:
            exc.add_note(f"while closing {what}")
            self._errors.append(exc)


class EnteredOnce:
    """A host as an async context manager: `_open` opens its parts, and leaving it closes them.

    Where `_open` raises, what it had opened is closed again.
    """

    _opened: Opened | None = None

    async def _open(self, opened: Opened) -> None:
        """Enter each part of the host into `opened`."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        if self._opened is not None:
            raise RuntimeError("a host is entered once")
        opened = self._opened = Opened()
        try:
            await self._open(opened)
        except BaseException as exc:
            await opened.close(exc)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._opened is not None
        await self._opened.close(exc)


@asynccontextmanager
async def following(follow: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run `follow` as a task while entered; leaving cancels it and waits for its end."""
    task = asyncio.get_running_loop().create_task(follow())
    try:
        yield
    finally:
        await ended(task)


@asynccontextmanager
async def holding(part: AbstractContextManager[object]) -> AsyncIterator[None]:
    """Hold `part`, which opens without waiting, while entered."""
    with part:
        yield


def _note(error: BaseException) -> str:
    words = str(error) if isinstance(error, YoiError) else described(error)
    return "\n".join([f"and then: {words}", *getattr(error, "__notes__", ())])
