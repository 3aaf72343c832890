"""How long real services take to be connected on a new machine, and after another one died."""

import asyncio
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from typing import IO

from websockets.asyncio.server import Server, ServerConnection, serve

from harness import ending
from harness.instruments import HERE
from harness.processes import (
    LOAD_CORE,
    TESTED_CORE,
    BenchmarkError,
    Pinned,
    cpu_ns,
    rss_bytes,
)

_MOST_S = 600.0


class _Gateway:
    """Takes every connection, and counts those that are open."""

    def __init__(self) -> None:
        self.open: set[ServerConnection] = set()
        self.most = 0
        self._changed = asyncio.Event()

    async def serve(self, socket: ServerConnection) -> None:
        """Keep one connection for as long as it lasts."""
        self.open.add(socket)
        self.most = max(self.most, len(self.open))
        self._changed.set()
        try:
            await socket.wait_closed()
        finally:
            self.open.discard(socket)
            self._changed.set()

    async def until(self, count: int) -> float:
        """Return after how many seconds so many are open."""
        begun = time.monotonic()
        try:
            async with asyncio.timeout(_MOST_S):
                while len(self.open) != count:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise BenchmarkError(f"{len(self.open)} of {count} connected in time") from None
        return time.monotonic() - begun


async def started(services: int, nats: str, log: IO[bytes]) -> dict[str, float]:
    """Return the figures of `services` durable services on a new machine, and on its successor."""
    gateway = _Gateway()
    async with serve(gateway.serve, "127.0.0.1", 0) as listening:
        with ExitStack() as stack:
            about = (_port(listening), services, nats, log)
            one = stack.enter_context(await asyncio.to_thread(_machine, "one", *about))
            found = {"start_300_s": await gateway.until(services)}
            found["start_300_cpu_s"] = cpu_ns(one.pid) / 1e9
            found["start_300_rss_mb"] = rss_bytes(one.pid) / 1e6
            other = stack.enter_context(await asyncio.to_thread(_machine, "other", *about))
            # It has read its workspace and stands by.
            await asyncio.sleep(30)
            busy = cpu_ns(other.pid)
            os.kill(one.pid, signal.SIGKILL)
            died = time.monotonic()
            await gateway.until(0)
            await gateway.until(services)
            found["takeover_300_s"] = time.monotonic() - died
            found["takeover_300_cpu_s"] = (cpu_ns(other.pid) - busy) / 1e9
    if gateway.most > services:
        raise BenchmarkError(f"{gateway.most} connections at once for {services} services")
    return {name: round(value, 1) for name, value in found.items()}


def _machine(name: str, port: int, services: int, nats: str, log: IO[bytes]) -> Pinned:
    """Start a machine and return it as soon as its workspace is written."""
    command = [sys.executable, HERE / "sut_cluster.py", str(port), str(services), nats, name]
    made = Pinned(command, TESTED_CORE, log=log)
    made.expect("R", _MOST_S)
    return made


def _port(listening: Server) -> int:
    return int(next(iter(listening.sockets)).getsockname()[1])


async def measured(services: int, nats: str) -> dict[str, float]:
    """Return what `started` does; everything but the machines is on the other core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {LOAD_CORE})
    try:
        with tempfile.TemporaryFile() as log:
            try:
                return await started(services, nats, log)
            except BenchmarkError:
                ending.tail(log)
                raise
    finally:
        os.sched_setaffinity(0, cores)
