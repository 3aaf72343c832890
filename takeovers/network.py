"""What stands between a machine and the servers, and who is at the other end of a socket."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterable

_CHUNK = 65536


class Cut:
    """A listener before one server that passes bytes on, unless it is cut: then nothing passes.

    A cut looks like a network that is gone: what is open stays open, and nobody answers.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Cut":
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
        there: asyncio.StreamWriter | None = None
        try:
            await self._flowing.wait()
            answers, there = await asyncio.open_connection("127.0.0.1", self._target)
            both = [
                asyncio.create_task(self._pass(reader, there)),
                asyncio.create_task(self._pass(answers, writer)),
            ]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)
        except OSError:
            pass
        finally:
            for one_end in (writer, there):
                if one_end is not None:
                    one_end.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()


def owner_of(port: int, pids: Iterable[int]) -> int | None:
    """Return the process of `pids` that has the local TCP port `port` open, if one has."""
    inode = _inode(port)
    if inode is None:
        return None
    wanted = f"socket:[{inode}]"
    for pid in pids:
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/{pid}/fd/{name}") == wanted:
                        return pid
    return None


def _inode(port: int) -> str | None:
    with open("/proc/net/tcp") as table:
        next(table)
        for line in table:
            parts = line.split()
            if int(parts[1].rpartition(":")[2], 16) == port and parts[3] == "01":
                return parts[9]
    return None


def free_port() -> int:
    """Return a port that nothing listens at."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
