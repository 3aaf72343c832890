"""Clients that share no line with the client library: a bare WebSocket, and a bare HTTP answer."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from urllib.parse import quote, urlsplit

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from chaos.transcript import read_frame
from chaos.watcher import Watcher

_FINAL = 4500
_TRY_AGAIN = (408, 425, 429)
_RECEIVE_BYTES = 131072
"""So that a client that does not read is soon felt by the server."""


class SocketWatcher(Watcher):
    """Frames over WebSocket."""

    async def connect(self) -> None:
        """Watch over one connection."""
        spec = self.spec
        self.opened()
        query = "" if self.cursor is None else f"?cursor={quote(self.cursor)}"
        if self.asks_again:
            query += "&snapshot=always"
        try:
            async with asyncio.timeout(15):
                wire = await connect(
                    f"{spec.url.replace('http', 'ws', 1)}{spec.path}/ws{query}",
                    sock=await _dial(spec.url),
                    subprotocols=["yoi.observe.v1"],  # type: ignore[list-item]
                    additional_headers={"Authorization": f"Bearer {spec.token}"},
                    compression=None,
                    proxy=None,
                    ping_interval=None,
                    max_size=None,
                    max_queue=4,
                    close_timeout=0.2,
                )
        except InvalidStatus as exc:
            self.judge(exc.response.status_code)
            return
        except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed):
            return
        try:
            while True:
                await self.breathe()
                self.hear(await wire.recv(decode=True))
        except ConnectionClosed as exc:
            if exc.rcvd is not None and exc.rcvd.code >= _FINAL:
                self.finish(f"close {exc.rcvd.code}")
        finally:
            wire.transport.abort()

    def hear(self, text: str) -> None:
        """Write a frame down, then look at it."""
        self.transcript.write("frame", text)
        for step in read_frame(text):
            self.note(step)

    def judge(self, status: int) -> None:
        """Give up on an answer that will not change."""
        if status < 500 and status not in _TRY_AGAIN:
            self.finish(f"status {status}")


class EventsWatcher(SocketWatcher):
    """The same frames as server-sent events."""

    async def connect(self) -> None:
        """Watch over one answer."""
        self.opened()
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(15):
                sock = await _dial(self.spec.url)
                reader, writer = await asyncio.open_connection(sock=sock, limit=1 << 24)
                status, chunked = await self._ask(reader, writer)
            if status != 200:
                self.judge(status)
                return
            lines = _lines(_body(reader, chunked=chunked))
            async for told in _events(lines):
                await self.breathe()
                self._take(told)
        except (OSError, TimeoutError, EOFError):
            return
        finally:
            if writer is not None:
                writer.transport.abort()

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[int, bool]:
        spec = self.spec
        head = [
            f"GET {spec.path}/sse{'?snapshot=always' if self.asks_again else ''} HTTP/1.1",
            f"Host: {urlsplit(spec.url).netloc}",
            f"Authorization: Bearer {spec.token}",
            "Accept: text/event-stream",
        ]
        if self.cursor is not None:
            head.append(f"Last-Event-ID: {self.cursor}")
        writer.write("\r\n".join([*head, "", ""]).encode())
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        return int(answer.split()[1]), b"transfer-encoding: chunked" in answer

    def _take(self, told: dict[str, str]) -> None:
        frame = msgspec.json.decode(told["data"])
        cursor = frame.get("cursor") or frame.get("envelope", {}).get("cursor", "")
        if told.get("event") != frame["kind"] or told.get("id", "") != cursor:
            self.finish("an event whose id or name is not its frame's")
            return
        self.hear(told["data"])
        if frame.get("diagnostic", {}).get("close_code", 0) >= _FINAL:
            self.finish(frame["diagnostic"]["code"])


async def _dial(url: str) -> socket.socket:
    parts = urlsplit(url)
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (parts.hostname, parts.port))
    except BaseException:
        sock.close()
        raise
    return sock


async def _body(reader: asyncio.StreamReader, *, chunked: bool) -> AsyncIterator[bytes]:
    """Yield the pieces of an answer's body (RFC 9112, 7.1), up to its end or the connection's."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            if not chunked:
                data = await reader.read(65536)
            else:
                size = int(await reader.readuntil(b"\r\n"), 16)
                data = await reader.readexactly(size)
                await reader.readexactly(2)
            if not data:
                return
            yield data


async def _lines(body: AsyncIterator[bytes]) -> AsyncIterator[str]:
    rest = b""
    async for data in body:
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line.decode()


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, str]]:
    """Yield the fields of each event; one that its end cut short is none (HTML, 9.2.6)."""
    told: dict[str, str] = {}
    async for line in lines:
        if line:
            name, _, value = line.partition(":")
            told[name] = value.removeprefix(" ")
        elif "data" in told:
            yield told
            told = {}
