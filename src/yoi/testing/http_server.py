"""A real HTTP/1.1 server whose answers a test writes as one function."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import h11

_BODY_BYTES = 4 * 1024 * 1024
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request as it arrived. Header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """Return the target without its query."""
        return urlsplit(self.target).path

    def values(self) -> dict[str, Any]:
        """Return the fields of the body: a JSON object, else a form; with those of the query."""
        found: dict[str, Any] = dict(parse_qsl(urlsplit(self.target).query))
        if self.headers.get("content-type", "").startswith("application/json"):
            value = json.loads(self.body)
            return {**found, **value} if isinstance(value, dict) else found
        return {**found, **dict(parse_qsl(self.body.decode("utf-8", "replace")))}


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What to answer."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(
        cls, value: Any, status: int = 200, headers: dict[str, str] | None = None
    ) -> "HttpAnswer":
        """Return the answer with `value` as its JSON body."""
        kind = {"content-type": "application/json; charset=utf-8"}
        return cls(json.dumps(value).encode(), status, {**kind, **(headers or {})})


class HttpServer:
    """`async with HttpServer(answer) as server:` listens on a free port of 127.0.0.1.

    `answer` is called on the loop for each request; what it returns may be awaited, so that a test
    lets a client wait. `tls` makes it `https`.
    """

    def __init__(
        self,
        answer: Callable[[HttpRequest], HttpAnswer | Awaitable[HttpAnswer]],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._answer = answer
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        """Return the address, by literal and without a path."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        protocol = h11.Connection(h11.SERVER)
        try:
            while await self._exchange(protocol, reader, writer):
                protocol.start_next_cycle()
        except (h11.RemoteProtocolError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    async def _exchange(
        self, protocol: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; return whether another may follow on this connection."""
        head: h11.Request | None = None
        body = b""
        while True:
            event = protocol.next_event()
            if event is h11.NEED_DATA:
                if protocol.they_are_waiting_for_100_continue:
                    go_on = protocol.send(h11.InformationalResponse(status_code=100, headers=[]))
                    writer.write(go_on or b"")
                protocol.receive_data(await reader.read(_CHUNK))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > _BODY_BYTES:
                    return False
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return False
        assert head is not None
        found = self._answer(
            HttpRequest(
                head.method.decode("ascii"),
                head.target.decode("ascii"),
                {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers},
                body,
            )
        )
        answer = found if isinstance(found, HttpAnswer) else await found
        headers = {**answer.headers, "content-length": str(len(answer.body))}
        for part in (
            h11.Response(status_code=answer.status, headers=list(headers.items())),
            h11.Data(data=answer.body),
            h11.EndOfMessage(),
        ):
            writer.write(protocol.send(part) or b"")
        await writer.drain()
        return protocol.our_state is h11.DONE and protocol.their_state is h11.DONE
