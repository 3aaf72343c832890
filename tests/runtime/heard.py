"""A list of diagnostics that a test can wait on, instead of sleeping."""

import asyncio
from collections.abc import Callable

from yoi.protocol.diagnostics import Diagnostic


class Heard(list[Diagnostic]):
    """Pass `heard.append` as the listener; await `until` for what the diagnostics announce."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = asyncio.Event()

    def append(self, entry: Diagnostic) -> None:
        super().append(entry)
        self._changed.set()

    @property
    def codes(self) -> list[str]:
        return [entry.code for entry in self]

    def first(self, code: str) -> Diagnostic:
        return next(entry for entry in self if entry.code == code)

    async def until(self, true: Callable[[], object]) -> None:
        """Return once `true()` holds, looking again after each diagnostic."""
        async with asyncio.timeout(20):
            while not true():
                self._changed.clear()
                await self._changed.wait()
