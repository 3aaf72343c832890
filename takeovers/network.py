"""What stands between a machine and what it reaches, and who is at the other end of a socket."""

import asyncio
import contextlib
import os
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self

_CHUNK = 65536
_HELD = 64
"""Chunks that wait in one direction of a connection; beyond that nothing more is read of it."""


@dataclass(eq=False)
class Source:
    """The process that dialled, as the system says."""

    pid: int
    ended_at: float = float("inf")
    """When it ended the connection: what arrives later was sent before."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Cut(ABC):
    """A listener before others that passes bytes on, unless it is cut: then nothing passes.

    A cut looks like a network that is gone: what is open stays open, nobody answers, and what was
    sent meanwhile arrives when it is mended.
    """

    def __init__(self) -> None:
        self.port = 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def cut(self) -> None:
        """Let nothing pass."""
        self._flowing.clear()

    def mend(self) -> None:
        """Let everything pass, also what waited."""
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served by a task"
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            await self._lead_on(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # only `__aexit__` cancels, and waits
        finally:
            writer.close()

    @abstractmethod
    async def _lead_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Find out where the connection leads, and serve it."""

    async def _between(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        there: asyncio.StreamWriter,
        source: Source | None,
    ) -> None:
        """Pass on what both say until one of them ends."""
        both = [
            asyncio.create_task(self._pass(reader, there, source)),
            asyncio.create_task(self._pass(answers, writer, None)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            there.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: Source | None
    ) -> None:
        held: asyncio.Queue[bytes] = asyncio.Queue(_HELD)
        reading = asyncio.create_task(_read(reader, held, source))
        try:
            while data := await held.get():
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
            await self._flowing.wait()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


class Forward(Cut):
    """Leads to one port."""

    def __init__(self, target: int) -> None:
        super().__init__()
        self.target = target

    async def _lead_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        answers, there = await asyncio.open_connection("127.0.0.1", self.target)
        await self._between(reader, writer, answers, there, None)


Sources = dict[tuple[int, int], Source]
"""By both ports of a connection to a gateway: one local port may lead to several gateways."""


class Proxy(Cut):
    """The HTTP proxy through which one machine reaches all gateways, by their ports."""

    def __init__(self, pids: Callable[[], list[int]], sources: Sources) -> None:
        super().__init__()
        self._pids, self._sources = pids, sources

    async def _lead_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pid = owner_of(writer.get_extra_info("peername")[1], self.port, self._pids())
        asked = (await reader.readuntil(b"\r\n\r\n")).split()
        if pid is None:
            return
        await self._flowing.wait()
        port = int(asked[1].rpartition(b":")[2])
        answers, there = await asyncio.open_connection("127.0.0.1", port)
        ends = (there.get_extra_info("sockname")[1], port)
        source = self._sources[ends] = Source(pid)
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await self._between(reader, writer, answers, there, source)


async def _read(
    reader: asyncio.StreamReader, held: asyncio.Queue[bytes], source: Source | None
) -> None:
    """Read to the end, also while nothing passes: the end is the last moment of a sender."""
    data = b"-"
    while data:
        try:
            data = await reader.read(_CHUNK)
        except OSError:
            data = b""
        if not data and source is not None:
            source.ended_at = time.time()
            source.ended.set()
        await held.put(data)


def owner_of(port: int, to: int, pids: Iterable[int]) -> int | None:
    """Return the process of `pids` that has a TCP connection from local port `port` to port `to`.

    One local port may lead to several others: the pair is what tells connections apart.
    """
    wanted = f"socket:[{_inode(port, to)}]"
    for pid in pids:
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/{pid}/fd/{name}") == wanted:
                        return pid
    return None


def _inode(port: int, to: int) -> str | None:
    with open("/proc/net/tcp") as table:
        next(table)
        for line in table:
            parts = line.split()
            ends = [int(one.rpartition(":")[2], 16) for one in parts[1:3]]
            if ends == [port, to] and parts[3] == "01":
                return parts[9]
    return None


def free_port() -> int:
    """Return a port that nothing listens at."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
