"""What a host has opened, and how it is closed: last first, all of it, whatever fails meanwhile."""

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TypeVar

from yoi.defects import described
from yoi.errors import YoiError

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


def _note(error: BaseException) -> str:
    words = str(error) if isinstance(error, YoiError) else described(error)
    return "\n".join([f"and then: {words}", *getattr(error, "__notes__", ())])
