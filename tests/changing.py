"""`Changing`: a server of a test that the test can wait on, instead of sleeping."""

import asyncio
from collections.abc import Callable


class Changing:
    """What calls `_changed` after everything that happens in it. Made on the event loop."""

    wait_seconds = 20.0
    """What is waited for comes within this time or never: then TimeoutError."""

    def __init__(self) -> None:
        self._change = asyncio.Event()

    async def until(self, true: Callable[[], object]) -> None:
        """Wait until `true()` is; it is asked again after everything that happens here."""
        async with asyncio.timeout(self.wait_seconds):
            while not true():
                await self._change.wait()

    def _changed(self) -> None:
        past, self._change = self._change, asyncio.Event()
        past.set()
