"""A real WebSocket server that a test drives one connection at a time."""

import asyncio
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol


class GatewayPeer:
    """The server's end of one connection."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._released = asyncio.Event()

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Return the request's headers, in order."""
        request = self._connection.request
        return [] if request is None else list(request.headers.raw_items())

    @property
    def path(self) -> str:
        """Return the request target."""
        request = self._connection.request
        return "" if request is None else request.path

    async def send(self, message: str | bytes | Sequence[str] | Sequence[bytes]) -> None:
        """Send one message; a sequence is sent as fragments."""
        await self._connection.send(message)

    async def receive(self) -> str | bytes:
        """Return the next message; raises websockets' ConnectionClosed at the end."""
        return await self._connection.recv()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Do the closing handshake."""
        await self._connection.close(code, reason)
        self._released.set()

    def kill(self) -> None:
        """End the TCP connection with a reset, as a dying process or middlebox does."""
        self._connection.transport.abort()
        self._released.set()

    async def closed(self) -> tuple[int | None, str | None]:
        """Wait for the end and return the client's close code and reason."""
        await self._connection.wait_closed()
        return self._connection.close_code, self._connection.close_reason

    async def hold(self) -> None:
        """Keep the connection until the test or the client ends it."""
        released = asyncio.ensure_future(self._released.wait())
        closed = asyncio.ensure_future(self._connection.wait_closed())
        try:
            await asyncio.wait({released, closed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            released.cancel()
            closed.cancel()


class FakeGateway:
    """`async with FakeGateway() as gateway:` listens on a free port of `host`.

    `tls` makes it `wss`. `accept()` returns the connections in the order they came.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        subprotocols: Sequence[str] = (),
        host: str = "127.0.0.1",
    ) -> None:
        self._host = host
        self._tls = tls
        self._subprotocols = [Subprotocol(name) for name in subprotocols] or None
        self._peers: asyncio.Queue[GatewayPeer] = asyncio.Queue()
        self._server: Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Return the address to dial, by literal."""
        return f"{'wss' if self._tls else 'ws'}://{self._host}:{self.port}/"

    async def start(self) -> None:
        """Listen; again on the same port after a `stop`."""
        self._server = await serve(
            self._serve,
            self._host,
            self.port,
            ssl=self._tls,
            subprotocols=self._subprotocols,
            compression=None,
            ping_interval=None,
            close_timeout=1,
            max_size=None,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def accept(self) -> GatewayPeer:
        """Return the next connection."""
        return await self._peers.get()

    async def stop(self) -> None:
        """Close every connection with 1001 and listen no more."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _serve(self, connection: ServerConnection) -> None:
        peer = GatewayPeer(connection)
        self._peers.put_nowait(peer)
        await peer.hold()
