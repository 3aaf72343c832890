"""A listener on loopback for the one answer that a browser brings (RFC 8252, 7.3)."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import h11

from yoi.errors import ServingError
from yoi.limits import LIMITS, Limits

PATH = "/callback"
_HOST = "127.0.0.1"
_SAID = "Yoi has the answer; the terminal says what became of it. This page may be closed.\n"
_READ_BYTES = 4096


class Callback:
    """Waits for one GET of `redirect_uri`; other requests are answered with an error."""

    def __init__(self, port: int = 0, limits: Limits = LIMITS) -> None:
        self._wanted, self._limits = port, limits
        self._query: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._server: asyncio.Server | None = None
        self._port = 0

    @property
    def redirect_uri(self) -> str:
        """Where the browser is sent."""
        return f"http://{_HOST}:{self._port}{PATH}"

    async def __aenter__(self) -> Self:
        """Listen. Raises ServingError (`serving.listen`)."""
        try:
            self._server = await asyncio.start_server(self._serve, _HOST, self._wanted)
        except OSError as exc:
            raise ServingError(
                "serving.listen",
                f"port {self._wanted} of {_HOST} cannot be listened at: {exc.strerror}",
                hint="yoi secret authorize --help",
            ) from None
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def query(self) -> str:
        """Return the query of the first request to `redirect_uri`."""
        return await self._query

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER, self._limits.authorize_callback_bytes)
        status = 400
        with contextlib.suppress(OSError, TimeoutError, h11.RemoteProtocolError):
            async with asyncio.timeout(self._limits.authorize_callback_ms / 1000):
                request = await _head(http, reader)
                status = 404 if request is None else self._answered(request)
        with contextlib.suppress(OSError, TimeoutError, h11.LocalProtocolError):
            async with asyncio.timeout(self._limits.authorize_callback_ms / 1000):
                writer.write(_page(http, status))
                await writer.drain()
        writer.close()

    def _answered(self, request: h11.Request) -> int:
        """Take what the browser brought, and return the status of the page it gets."""
        target = urlsplit(request.target.decode("ascii", "replace"))
        hosts = [value for name, value in request.headers if name == b"host"]
        # Another name for this machine is a page that was rebound to it.
        if hosts != [f"{_HOST}:{self._port}".encode()]:
            return 403
        if request.method != b"GET" or target.path != PATH:
            return 404
        if not self._query.done():
            self._query.set_result(target.query)
        return 200


async def _head(http: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(_READ_BYTES))
        else:
            return event if isinstance(event, h11.Request) else None


def _page(http: h11.Connection, status: int) -> bytes:
    text = (_SAID if status == 200 else "There is nothing here.\n").encode()
    headers = [
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", str(len(text))),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("connection", "close"),
    ]
    made = http.send(h11.Response(status_code=status, headers=headers))
    return (made or b"") + (http.send(h11.Data(data=text)) or b"")
