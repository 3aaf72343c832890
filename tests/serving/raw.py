"""Bytes as an attacker writes them, and what comes back."""

import asyncio
import contextlib
import os
import struct
from collections.abc import Callable

UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: MDAwMDAwMDAwMDAwMDAwMA==\r\n"
)


def frame(opcode: int, payload: bytes = b"", first: int = 0x80, mask: bool = True) -> bytes:
    """Return one frame of a client; `first` holds FIN and the reserved bits."""
    assert len(payload) < 65536
    masked = 0x80 if mask else 0
    size = (
        struct.pack("!B", masked | len(payload))
        if len(payload) < 126
        else struct.pack("!BH", masked | 126, len(payload))
    )
    if not mask:
        return bytes([first | opcode]) + size + payload
    key = os.urandom(4)
    body = bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
    return bytes([first | opcode]) + size + key + body


class Raw:
    """One connection. `data` is all that came and was not taken."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.data = b""

    async def until(self, words: bytes) -> bytes:
        """Return everything up to and with `words`."""
        while words not in self.data:
            more = await self.reader.read(65536)
            assert more, self.data
            self.data += more
        found, _, self.data = self.data.partition(words)
        return found + words

    async def rest(self) -> bytes:
        """Return what comes until the server ends the connection."""
        with contextlib.suppress(ConnectionError):
            while more := await self.reader.read(65536):
                self.data += more
        return self.data


@contextlib.asynccontextmanager
async def connected(address: tuple[str, int], *pieces: bytes):
    """Open a connection, write `pieces`, and hang up at the end."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        for piece in pieces:
            writer.write(piece)
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


async def eventually(found: Callable[[], bool], seconds: float = 10) -> None:
    """Let others have their turns until `found` says so."""
    async with asyncio.timeout(seconds):
        while not found():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
