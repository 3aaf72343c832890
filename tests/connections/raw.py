"""Servers written byte by byte, for what no library would send."""

import asyncio
import base64
import hashlib
import struct

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


async def read_request(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b": ")
        if name.lower() == b"sec-websocket-key":
            return base64.b64encode(hashlib.sha1(value + _GUID).digest()), head
    raise AssertionError("no key")


def upgrade(accept, *more):
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept,
        *more,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def frame(first, payload, *, mask=b""):
    size = len(payload)
    flag = 0x80 if mask else 0
    if size < 126:
        head = bytes((first, flag | size))
    elif size < 65536:
        head = bytes((first, flag | 126)) + struct.pack("!H", size)
    else:
        head = bytes((first, flag | 127)) + struct.pack("!Q", size)
    return head + mask + payload


class RawServer:
    """A TCP server whose first connection is answered by `script(reader, writer)`."""

    def __init__(self, script, *, host="127.0.0.1", port=0):
        self._script = script
        self._place = host, port
        self._writers = []
        self.connections = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, *self._place)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"ws://{self._place[0]}:{self.port}/"
        return self

    async def __aexit__(self, *_):
        for writer in self._writers:
            writer.close()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        self.connections += 1
        self._writers.append(writer)
        try:
            await self._script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()


def answer(response):
    """Return a script that answers the request with `response(accept)`."""

    async def script(reader, writer):
        accept, _ = await read_request(reader)
        writer.write(response(accept))
        await writer.drain()

    return script


async def read_close(reader):
    """Return the code of the first close frame the client writes."""
    while True:
        first, second = await reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await reader.readexactly(2))
        mask = await reader.readexactly(4)
        payload = bytes(b ^ mask[i % 4] for i, b in enumerate(await reader.readexactly(size)))
        if first == 0x88:
            return struct.unpack("!H", payload[:2])[0] if payload else 1005
