"""Real nats-server processes for tests: one, or a cluster, on free ports of 127.0.0.1."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from yoi.journal.jetstream import JetStreamJournal
from yoi.journal.jetstream_server import NatsSettings
from yoi.limits import LIMITS, Limits
from yoi.secrets.deployment import DeploymentKey

BINARY = Path(sys.executable).with_name("nats-server")
_WAIT_SECONDS = 30.0
_names = itertools.count(1)


class NatsServer:
    """One process; started again it has its port and what it stored."""

    def __init__(
        self,
        folder: Path,
        extra: str = "",
        *,
        binary: Path = BINARY,
        jetstream: bool = True,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._binary = binary
        self._extra = extra
        if jetstream:
            where = f'store_dir: "{folder}/js"'
            self._extra += f"\njetstream {{ {where}, max_mem: 64M, max_file: 64G }}"
        self._port = -1
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"nats://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Return its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it listens."""
        config = self.folder / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self._port}"\nports_file_dir: "{self.folder}"\n'
            f"max_payload: 8MB\n"
            f"{self._extra}\n"
        )
        self._process = subprocess.Popen(
            [self._binary, "-c", config, "-l", self.folder / "log"], stdin=subprocess.DEVNULL
        )
        until = time.monotonic() + _WAIT_SECONDS
        while True:
            found = next(self.folder.glob(f"*_{self._process.pid}.ports"), None)
            if found is not None and (text := found.read_text()):
                self._port = int(json.loads(text)["nats"][0].rpartition(":")[2])
                return
            assert time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.005)

    def pause(self) -> None:
        """Stop the process where it is, and return when it stands."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def go_on(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)
                self._process.send_signal(number)
            self._process.wait(_WAIT_SECONDS)
            self._process = None


@contextlib.contextmanager
def running(folder: Path, extra: str = "", **about: Any) -> Iterator[NatsServer]:
    """Run one server for as long as the block lasts."""
    server = NatsServer(folder, extra, **about)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def cluster(folder: Path, size: int = 3) -> Iterator[list[NatsServer]]:
    """Run `size` servers that are one cluster."""
    ports = [_free_port() for _ in range(size)]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    servers = [
        NatsServer(
            folder / f"n{index}",
            f'server_name: n{index}\ncluster {{ name: yoi, listen: "127.0.0.1:{port}", '
            f"routes: [{routes}] }}",
        )
        for index, port in enumerate(ports)
    ]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.stop()


def settings_of(
    *servers: NatsServer, replicas: int = 1, seal: DeploymentKey | None = None
) -> NatsSettings:
    """Return settings with a name that no test had before: streams are never made twice."""
    name = f"t{next(_names)}-{time.time_ns():x}"
    urls = tuple(server.url for server in servers)
    return NatsSettings(urls, name, replicas, 1 << 26, seal=seal)


async def journal_of(settings: NatsSettings, limits: Limits = LIMITS) -> JetStreamJournal:
    """Return a journal of its own connection."""
    return await JetStreamJournal.open(settings, limits)


async def new_journal(
    server: NatsServer, limits: Limits = LIMITS, seal: DeploymentKey | None = None
) -> JetStreamJournal:
    """Return an empty journal."""
    async with asyncio.timeout(_WAIT_SECONDS):
        return await journal_of(settings_of(server, seal=seal), limits)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
