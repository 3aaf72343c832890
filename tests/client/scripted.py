"""A real WebSocket server on loopback that plays one script per connection."""

import asyncio
from contextlib import asynccontextmanager
from http import HTTPStatus

from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response

from yoi.protocol.observation import SUBPROTOCOL


def answer(status, body=b"", **headers):
    """Return a script that refuses the upgrade."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    head = Headers({"Content-Length": str(len(body)), "Connection": "close", **named})
    return Response(status, HTTPStatus(status).phrase, head, body)


def says(*frames, close=None, abort=False, stay=False):
    """Return a script that sends `frames` and then closes, aborts or stays."""

    async def play(wire):
        for frame in frames:
            await wire.send(frame)
        if abort:
            wire.transport.abort()
        elif close is not None:
            await wire.close(close)
        if stay:
            await wire.wait_closed()

    return play


class Scripted:
    """`scripts` are played in order, the last one for every connection after it."""

    def __init__(self, *scripts):
        self.scripts = list(scripts)
        self.requests = []
        self.heard = []
        self.closes = []
        self.port = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self):
        return [request.path for request in self.requests]

    def _script(self, number):
        return self.scripts[min(number, len(self.scripts) - 1)]

    def request(self, wire, request):
        self.requests.append(request)
        wire.script = self._script(len(self.requests) - 1)
        return wire.script if isinstance(wire.script, Response) else None

    async def play(self, wire):
        try:
            await wire.script(wire)
            async for message in wire:
                self.heard.append(message)
        except ConnectionClosed:
            pass
        self.closes.append(wire.close_code)


@asynccontextmanager
async def scripted(*scripts, tls=None, subprotocols=(SUBPROTOCOL,)):
    """Serve `scripts` on a free port."""
    one = Scripted(*scripts)
    async with serve(
        one.play,
        "127.0.0.1",
        0,
        process_request=one.request,
        subprotocols=list(subprotocols) or None,
        ssl=tls,
        compression=None,
        close_timeout=0.2,
    ) as server:
        one.port = server.sockets[0].getsockname()[1]
        yield one


@asynccontextmanager
async def deaf():
    """Give the port of a server that accepts and says nothing."""
    held = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for writer in held:
            writer.close()
