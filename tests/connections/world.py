"""A connection whose server, clock and timers are the test."""

import asyncio
import itertools

from tests.connections.conftest import FixedResolver, Sink, allow, settings_for

from yoi.connections import HostConnection
from yoi.core.redaction import NOTHING
from yoi.testing import ManualClock
from yoi.testing.connector import MemoryConnector
from yoi.testing.timers import ManualTimers
from yoi.types import SessionId


class World:
    """One connection whose server, clock and timers are the test."""

    def __init__(
        self,
        url="wss://gateway.example.com/ws",
        *,
        budget=None,
        authorise=allow,
        masker=lambda: NOTHING,
        **changes,
    ):
        self.clock = ManualClock()
        self.timers = ManualTimers(self.clock)
        self.connector = MemoryConnector(self.clock.monotonic)
        self.sink = Sink()
        self.resolver = FixedResolver("93.184.215.14")
        names = (SessionId(f"s{n}") for n in itertools.count(1))
        changes = {"backoff_first_ms": 500, "backoff_max_ms": 60_000, **changes}
        self.host = HostConnection(
            settings_for(url, **changes),
            self.sink,
            authorise=authorise,
            clock=self.clock,
            rng=lambda: 0.5,
            connector=self.connector,
            resolver=self.resolver,
            budget=budget,
            call_later=self.timers.call_later,
            new_session=lambda: next(names),
            masker=masker,
        )

    async def open(self, subprotocol=None):
        socket = (await self.connector.dialled()).accept(subprotocol)
        await self.sink.next("opened")
        return socket

    async def settle(self):
        """Let everything that is due on the loop happen."""
        for _ in range(10):
            await asyncio.sleep(0)

    async def shut(self):
        """Close, whether or not the server answers."""
        closing = asyncio.ensure_future(self.host.close())
        await self.settle()
        self.timers.advance(100)
        await closing
