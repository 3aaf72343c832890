"""A bound on time around an await."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from yoi.errors import ConnectionFailure


@asynccontextmanager
async def timeout(ms: float, what: str) -> AsyncIterator[None]:
    """Raise `connection.timeout`, "`what` within N ms", when the block takes longer than `ms`."""
    try:
        async with asyncio.timeout(ms / 1000):
            yield
    except TimeoutError:
        raise ConnectionFailure("connection.timeout", f"{what} within {ms:g} ms") from None
