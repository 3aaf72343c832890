"""`Hints`: a word between machines that something may be free. It saves a wait, decides nothing."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from nats.aio.client import Client

from yoi.cluster.bucket import UNSURE

_PAUSE_SECONDS = 0.3


class Hints:
    """See the module docstring.

    They are not sealed, and come by the connection that keeps the lease: however many somebody
    sends, a machine looks a few times in a second, and its connection carries no more than those.
    """

    def __init__(
        self,
        client: Client,
        prefix: str,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._subject = f"{prefix}.hint"
        self._sleep = sleep

    async def listen(self, heard: Callable[[], None]) -> None:
        """Call `heard` at a word, and again after a pause for those that came meanwhile.

        It ends when it is cancelled.
        """
        while True:
            with contextlib.suppress(*UNSURE):
                await self._one()
                heard()
            await self._sleep(_PAUSE_SECONDS)
            heard()

    async def _one(self) -> None:
        """Return at the next word. None come to this process from then on."""
        told = await self._client.subscribe(self._subject, pending_msgs_limit=1)
        try:
            await told.next_msg(timeout=None)
        finally:
            with contextlib.suppress(*UNSURE):
                await told.unsubscribe()

    async def give(self) -> None:
        """Tell the others, if that is possible now."""
        with contextlib.suppress(*UNSURE):
            await self._client.publish(self._subject, b"")
