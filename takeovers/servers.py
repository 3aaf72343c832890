"""The NATS servers of a run: one, or three that are one cluster, of a version that is asked for."""

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import nats.errors
from tests.journal.nats import BINARY, NatsServer

from takeovers.network import free_port
from takeovers.process import REPO
from yoi.errors import YoiError
from yoi.journal.jetstream_server import NatsSettings, connected
from yoi.secrets.deployment import DeploymentKey

_WRITES = "pwrite64,fsync,fdatasync"
_FOUND = re.compile(r"v(\d+\.\d+\.\d+)")
_INFO = "$JS.API.STREAM.INFO."


def binary_of(version: str | None) -> Path:
    """Return the program nats-server of `version`: the pinned one, or that of the peers."""
    places = [BINARY, REPO / ".venv-peers/bin/nats-server"]
    found = {version_of(one): one for one in places if one.exists()}
    if version is None:
        return BINARY
    if version not in found:
        there = ", ".join(found)
        sys.exit(f"no nats-server {version}: there is {there}; `make peers` fetches another one")
    return found[version]


def version_of(binary: Path) -> str:
    """Return what the program says of itself."""
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    match = _FOUND.search(said)
    assert match is not None, said
    return match[1]


class Servers:
    """The servers, started once entered."""

    def __init__(
        self, folder: Path, nodes: int, binary: Path, name: str, seal: DeploymentKey | None
    ) -> None:
        self._name, self._seal = name, seal
        routes = [free_port() for _ in range(nodes)]
        words = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        extra = (
            [""]
            if nodes == 1
            else [
                # Not advertised: clients would learn of ways around their proxies.
                f'server_name: n{index}\ncluster {{ name: yoi, listen: "127.0.0.1:{port}", '
                f"no_advertise: true, routes: [{words}] }}"
                for index, port in enumerate(routes)
            ]
        )
        self.all = [
            NatsServer(folder / f"n{index}", one, binary=binary) for index, one in enumerate(extra)
        ]

    @property
    def settings(self) -> NatsSettings:
        """Return how they are reached without a proxy."""
        return NatsSettings(tuple(one.url for one in self.all), self._name, seal=self._seal)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run them for as long as the block lasts."""
        try:
            for server in self.all:
                await asyncio.to_thread(server.start)
            yield
        finally:
            for server in self.all:
                await asyncio.to_thread(server.stop)

    async def leader_of(self, stream: str) -> NatsServer:
        """Return the server that leads `stream`, as the servers say; ask until one does."""
        while True:
            with contextlib.suppress(nats.errors.Error, YoiError, TimeoutError, OSError, KeyError):
                client = await connected(self.settings)
                try:
                    answer = await client.request(_INFO + stream, timeout=2)
                    leader: str = json.loads(answer.data)["cluster"]["leader"]
                    return self.all[int(leader.removeprefix("n"))]
                finally:
                    await client.close()
            await asyncio.sleep(0.2)

    async def slow_disk(self, server: NatsServer, seconds: float, delay_ms: int) -> bool:
        """Let each write of the server to its files, and each sync, take `delay_ms` longer.

        Returns whether it was: strace must be there, and be let.
        """
        inject = f"inject={_WRITES}:delay_enter={delay_ms * 1000}"
        words = ("-f", "-qq", "-o", "/dev/null", "-e", f"trace={_WRITES}", "-e", inject)
        try:
            tracer = await asyncio.create_subprocess_exec(
                *("strace", *words, "-p", str(server.pid)), stderr=asyncio.subprocess.DEVNULL
            )
        except FileNotFoundError:
            return False
        try:
            async with asyncio.timeout(seconds):
                await tracer.wait()
            return False  # it was not let
        except TimeoutError:
            tracer.send_signal(signal.SIGINT)
            await tracer.wait()
            return True

    @property
    def streams(self) -> tuple[str, ...]:
        """Return the names of the streams that the machines rely on: logs, leases and owners."""
        prefix = self.settings.prefix
        return (self.settings.stream, f"KV_{prefix}_leases", f"KV_{prefix}_units")
