"""The network, as a process: one listener per link, and orders on standard input.

    {"link": "c0-plain", "to": "stall"}

open     bytes pass
stall    nothing is read or written, in either direction; connections stay
deaf     what the server says is not passed on; the other direction is open
drip     a few bytes at a time
refuse   connections are cut, and new ones refused
cut      connections are cut with a reset, and what was on the way is lost; then open
end      connections are ended in good order; then open

    python -m chaos.proxy '{"c0-plain": [LISTEN_PORT, TARGET_PORT], ...}'
"""

import asyncio
import contextlib
import json
import socket
import struct
import sys
from collections.abc import Iterable

import uvloop

_CHUNK = 65536
_BUFFER_BYTES = 131072
"""Left alone, the kernel takes megabytes for who does not read, and nobody ever lags; with less
than a loopback segment (64 KiB) everything comes to a crawl."""
_DRIP_BYTES = 97
_DRIP_SECONDS = 0.002
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time: closing sends a reset."""


class Link:
    """One listener, its mode, and the connections that came through it."""

    def __init__(self, port: int, target: int) -> None:
        self._port, self._target = port, target
        self._mode = "open"
        self._flowing = {"up": asyncio.Event(), "down": asyncio.Event()}
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def turn(self, mode: str) -> None:
        """Enter `mode`, or cut or end what is open."""
        if mode in ("cut", "end"):
            self._drop(reset=mode == "cut")
            return
        self._mode = mode
        for direction, flowing in self._flowing.items():
            if mode == "stall" or (mode == "deaf" and direction == "down"):
                flowing.clear()
            else:
                flowing.set()
        if mode == "refuse":
            await self._stop_listening()
            self._drop(reset=True)
        elif self._server is None:
            self._server = await asyncio.start_server(
                self._serve, "127.0.0.1", self._port, limit=_CHUNK
            )

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _drop(self, *, reset: bool) -> None:
        for writer in list(self._writers):
            if reset and not writer.transport.is_closing():
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()
            elif not reset:
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if not writer.transport.is_closing():
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        there: asyncio.StreamWriter | None = None
        try:
            await self._flowing["up"].wait()
            answers, there = await self._dial()
            self._writers.add(there)
            ways = {
                asyncio.ensure_future(self._pass(reader, there, self._flowing["up"])),
                asyncio.ensure_future(self._pass(answers, writer, self._flowing["down"])),
            }
            _, rest = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            # The other way may have something left, as a server that ends has.
            if rest:
                await asyncio.wait(rest, timeout=1.0)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass
        finally:
            for one in (writer, there):
                if one is not None:
                    self._writers.discard(one)
                    one.close()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = socket.socket()
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._target))
            return await asyncio.open_connection(sock=sock, limit=_CHUNK)
        except BaseException:
            sock.close()
            raise

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                await flowing.wait()
                data = await reader.read(_DRIP_BYTES if self._mode == "drip" else _CHUNK)
                if not data:
                    break
                await flowing.wait()
                writer.write(data)
                await writer.drain()
                if self._mode == "drip":
                    await asyncio.sleep(_DRIP_SECONDS)
            if writer.can_write_eof():
                writer.write_eof()


async def orders() -> asyncio.StreamReader:
    """Return standard input as a stream of lines."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def run(links: dict[str, Link]) -> None:
    """Open all links, say so, and obey until standard input ends."""
    await _turn(links.values(), "open")
    print("ready", flush=True)
    lines = await orders()
    while line := await lines.readline():
        order = json.loads(line)
        chosen = links.values() if order["link"] == "*" else [links[order["link"]]]
        await _turn(chosen, order["to"])


async def _turn(links: Iterable[Link], mode: str) -> None:
    for link in links:
        await link.turn(mode)


def main() -> None:
    """Run the proxy."""

    async def proxied() -> None:
        found = json.loads(sys.argv[1])
        await run({name: Link(*ports) for name, ports in found.items()})

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(proxied())


if __name__ == "__main__":
    main()
