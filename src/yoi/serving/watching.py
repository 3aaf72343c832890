"""Hear of saved files from one moment on, so that no save falls between reading and watching."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from watchfiles import awatch

_SETTLE_MS = 100
"""Editors save in several steps; one reload is enough."""


class Watch:
    """Watches `folder` while it is entered; `wanted` says which paths count.

    What changes while nobody waits is told to the next `changed`.
    """

    def __init__(self, folder: Path, wanted: Callable[[Path], bool], stop: asyncio.Event) -> None:
        self._changes = awatch(
            folder,
            watch_filter=lambda _, path: wanted(Path(path)),
            debounce=_SETTLE_MS,
            stop_event=stop,
        )

    async def __aenter__(self) -> "Watch":
        self._next = asyncio.ensure_future(anext(self._changes, None))
        await asyncio.sleep(0)  # its first step, which runs now, begins to watch
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._next.cancel()
        await asyncio.gather(self._next, return_exceptions=True)
        await self._changes.aclose()

    async def changed(self) -> bool:
        """Wait for a change; return False once `stop` is set."""
        if await self._next is None:
            return False
        self._next = asyncio.ensure_future(anext(self._changes, None))
        return True
