"""`PausingReader`: the bytes of one connection, at the pace at which they are asked for.

A transport reads whatever has arrived whenever the event loop looks, and hands over up to
256 KiB at once: a few connections with large answers keep every other callback waiting. This
protocol has its transport read one buffer, and nothing more until that was asked for.
"""

import asyncio
from typing import cast

from yoi.limits import KIB

_BUFFER_BYTES = 64 * KIB
"""Larger ones save nothing measurable; this one takes some 20 µs to fill and to hand over."""


class PausingReader(asyncio.BufferedProtocol):
    """See the module docstring. For one reader, which awaits one `read` at a time."""

    def __init__(self, buffer_bytes: int = _BUFFER_BYTES) -> None:
        self._buffer = memoryview(bytearray(buffer_bytes))
        self._filled = 0
        self._paused = False
        self._ended = False
        self._fault: Exception | None = None
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """Return the next bytes, empty at the end; what follows stays with the transport.

        Raises OSError where the connection was lost, after all that arrived before.
        """
        if not self._filled and self._paused and not self._ended and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        if not self._filled and not self._ended:
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        if not self._filled and self._fault is not None:
            raise self._fault
        data = bytes(self._buffer[: self._filled])
        self._filled = 0
        return data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the transport may write; it is paused while nothing is free."""
        return self._buffer[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Take note of `nbytes` that were written, and stop reading."""
        self._filled += nbytes
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Take note that nothing more comes; the transport stays open for what is written."""
        self._ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the connection is gone."""
        self._ended = True
        self._fault = exc
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
