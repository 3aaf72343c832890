"""The network between a host and a gateway, in one process: a proxy with faults, and its names.

It reads the server's WebSocket frames as they pass, so that it knows of each when its last byte was
handed on, or that it never was and when its connection ended.
"""

import asyncio
import contextlib
import json
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any

_RESET = struct.pack("ii", 1, 0)
_CHUNK = 65536


class Fault(StrEnum):
    """How one connection is spoilt; each ends it sooner or later, but for `STALL`."""

    RESET = "reset"
    END = "end"
    HALF_OPEN = "half_open"
    STALL = "stall"
    STALL_RESET = "stall_reset"
    DRIP = "drip"
    GARBAGE = "garbage"
    TRUNCATE = "truncate"
    STORM = "storm"
    REFUSE = "refuse"
    NAMES = "names"
    """The name is silent, fails, or leads to another address."""


class Frames:
    """Finds the server's frames in the bytes that pass; `done` hears of each text, whole."""

    def __init__(self, done: Callable[[bytes], None]) -> None:
        self._done = done
        self._held = b""
        self._shaken = False

    def passed(self, data: bytes) -> None:
        self._held += data
        if not self._shaken:
            end = self._held.find(b"\r\n\r\n")
            if end < 0:
                return
            self._shaken, self._held = True, self._held[end + 4 :]
        while (size := self._size()) is not None:
            head, total = size
            if self._held[0] & 15 == 1:
                self._done(self._held[head:total])
            self._held = self._held[total:]

    def _size(self) -> tuple[int, int] | None:
        """Return head and whole of the first frame, None while it is not whole."""
        held = self._held
        if len(held) < 2:
            return None
        length, head = held[1] & 127, 2
        if length >= 126:
            head = 4 if length == 126 else 10
            if len(held) < head:
                return None
            length = int.from_bytes(held[2:head], "big")
        return (head, head + length) if len(held) >= head + length else None


class Way:
    """One connection through the proxy."""

    def __init__(self, frames: "dict[int, int]", now_ms: Callable[[], int]) -> None:
        self.ended_ms: int | None = None
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.dead = False
        """Whether nothing passes any more, though both ends believe it open."""
        self.drip = False
        self.client: asyncio.StreamWriter | None = None
        self.server: asyncio.StreamWriter | None = None
        self._frames, self._now_ms = frames, now_ms
        self.parser = Frames(self._whole)

    def _whole(self, payload: bytes) -> None:
        with contextlib.suppress(ValueError, KeyError):
            self._frames[json.loads(payload)["number"]] = self._now_ms()

    async def down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what the server says."""
        while data := await reader.read(_CHUNK):
            for part in [data[i : i + 1] for i in range(len(data))] if self.drip else [data]:
                await self.flowing.wait()
                writer.write(part)
                self.parser.passed(part)
                await writer.drain()
                if self.drip:
                    await asyncio.sleep(0.0005)

    async def up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what the host says."""
        while data := await reader.read(_CHUNK):
            if self.dead:
                continue
            await self.flowing.wait()
            writer.write(data)
            await writer.drain()

    def reset(self) -> None:
        """Cut it: what is on the way is lost."""
        for writer in (self.client, self.server):
            if writer is not None and not writer.transport.is_closing():
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()

    def end(self, last: bytes = b"") -> None:
        """Write `last` to the host and close in good order."""
        if self.client is not None and not self.client.transport.is_closing():
            if last:
                self.client.write(last)
            self.client.close()
        if self.server is not None:
            self.server.close()


class Proxy:
    """One listener before one gateway."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.passed: dict[int, int] = {}
        """When each frame was handed on whole, by number."""
        self._serving: set[asyncio.Task[None]] = set()
        self.by_port: dict[int, Way] = {}
        """The newest connection of each port that the gateway sees."""
        self.refusing = 0
        """How many of the next connections are cut at once."""
        self.ways: set[Way] = set()
        self._target = target
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._serve, "0.0.0.0", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for way in tuple(self.ways):
            way.flowing.set()
            way.reset()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        way = Way(self.passed, wall_ms)
        way.client = writer
        if self.refusing:
            self.refusing -= 1
            way.reset()
            return
        self.ways.add(way)
        task = asyncio.current_task()
        assert task is not None, "a connection is served by a task"
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            answers, way.server = await asyncio.open_connection("127.0.0.1", self._target)
            self.by_port[way.server.get_extra_info("sockname")[1]] = way
            both = [
                asyncio.create_task(way.up(reader, way.server)),
                asyncio.create_task(way.down(answers, writer)),
            ]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)
        except OSError:
            pass
        finally:
            self.ways.discard(way)
            way.ended_ms = wall_ms()
            way.end()

    async def spoil(self, fault: Fault, rng: random.Random, names: "Names") -> None:
        """Carry `fault` out on what is open."""
        for way in tuple(self.ways):
            match fault:
                case Fault.RESET:
                    way.reset()
                case Fault.END:
                    way.end()
                case Fault.HALF_OPEN:
                    way.dead = True
                    way.flowing.clear()
                case Fault.STALL | Fault.STALL_RESET:
                    way.flowing.clear()
                    await asyncio.sleep(rng.uniform(0.02, 0.2))
                    if fault is Fault.STALL_RESET:
                        way.reset()
                    way.flowing.set()
                case Fault.DRIP:
                    way.drip = True
                    await asyncio.sleep(rng.uniform(0.02, 0.2))
                    way.reset()
                case Fault.GARBAGE:
                    way.flowing.clear()
                    way.end(bytes(rng.randrange(256) for _ in range(rng.randrange(1, 64))))
                    way.flowing.set()
                case Fault.TRUNCATE:
                    way.flowing.clear()
                    way.end(b"\x81\x20" + b"x" * rng.randrange(0, 31))
                    way.flowing.set()
                case Fault.REFUSE:
                    self.refusing = rng.randrange(1, 4)
                    way.reset()
                case Fault.NAMES:
                    names.turn(rng.choice(["silent", "fails", "moves"]))
                    way.reset()
                case Fault.STORM:
                    way.reset()


class Names:
    """What the name of the gateways leads to, as the system's resolver would say."""

    NAME = "gateway.faults.example"

    def __init__(self) -> None:
        self._mode = "well"
        self._address = "127.0.0.1"
        self._system: Any = socket.getaddrinfo
        self._well_at = 0.0

    def turn(self, mode: str) -> None:
        """Be silent for a moment, fail for a moment, or lead to another address from now on."""
        if mode == "moves":
            self._address = "127.0.0.2" if self._address == "127.0.0.1" else "127.0.0.1"
        else:
            self._mode, self._well_at = mode, time.monotonic() + 0.15

    @contextlib.contextmanager
    def asked(self) -> Iterator[None]:
        """Let everything in this process ask here."""
        socket.getaddrinfo = self._answer
        try:
            yield
        finally:
            socket.getaddrinfo = self._system

    def _answer(self, host: Any, *args: Any, **kwargs: Any) -> Any:
        if host != self.NAME:
            return self._system(host, *args, **kwargs)
        left = self._well_at - time.monotonic()
        if left > 0 and self._mode == "silent":
            time.sleep(left)
        elif left > 0:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return self._system(self._address, *args, **kwargs)


def wall_ms() -> int:
    """Return the time as gaps say it."""
    return time.time_ns() // 1_000_000
