"""Backends, what shares clients out among them, and clients that keep their own account.

A client here is no part of Yoi: it knows the frames, and counts what follows what. An event must
follow the last one by its number within its epoch, or something must have been said: a typed
diagnostic whose action is `resync`, and a snapshot.
"""

import asyncio
import contextlib
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import tomlkit
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from takeovers.network import Cut, free_port
from takeovers.process import YoiProcess
from yoi.control.wire import BACKEND
from yoi.protocol.observation import SUBPROTOCOL

_ID = re.compile(r"([0-9a-f]+)-(\d+)(\.s)?")
_AGAIN_S = 0.3


class Backend(YoiProcess):
    """`yoi backend` on a machine of its own, at a port of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder, name, BACKEND, "backend")
        self.port = free_port()


class RoundRobin(Cut):
    """Leads each client to the next backend that listens."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        super().__init__()
        self._next = itertools.cycle(backends)
        self._count = len(backends)

    def move(self) -> None:
        """Let all clients go: each comes back, and is led to another backend."""
        for task in tuple(self._serving):
            task.cancel()

    async def _lead_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(self._count):
            with contextlib.suppress(ConnectionRefusedError):
                port = next(self._next).port
                answers, there = await asyncio.open_connection("127.0.0.1", port)
                await self._between(reader, writer, answers, there, None)
                return


@dataclass
class Watcher:
    """One client that watches one worker or service, over any number of connections."""

    path: str
    silent_gaps: int = 0
    """Events that did not follow, and snapshots that nothing had announced."""
    events: int = 0
    snapshots: int = 0
    resyncs: Counter[str] = field(default_factory=Counter)
    """By the code of what was said."""
    resumed: int = 0
    attached: bool = False
    """Whether a backend has said something on the connection that there is."""
    heard_at: float = 0.0
    """When the last event or snapshot came."""
    _cursor: str | None = None
    _last: tuple[str, int] | None = None
    _may_begin: bool = True

    async def watch(self, port: int, token: str) -> None:
        """Watch until cancelled."""
        while True:
            where = f"ws://localhost:{port}{self.path}/events/ws"
            where += "" if self._cursor is None else f"?cursor={quote(self._cursor)}"
            with contextlib.suppress(WebSocketException, OSError, TimeoutError):
                async with connect(
                    where,
                    additional_headers={"Authorization": f"Bearer {token}"},
                    subprotocols=[SUBPROTOCOL],
                    max_size=1 << 24,
                    close_timeout=1,
                    ping_interval=2,
                    ping_timeout=4,
                ) as socket:
                    await self._hear(socket)
            self.attached = False
            await asyncio.sleep(_AGAIN_S)

    async def _hear(self, socket: ClientConnection) -> None:
        async for text in socket:
            self.attached = True
            self.take(json.loads(text))

    def take(self, frame: dict[str, object]) -> None:
        """Take one frame."""
        match frame:
            case {"kind": "event", "envelope": {"event_id": str(name), "cursor": str(cursor)}}:
                self._cursor = cursor
                self._place(name)
            case {"kind": "bookmark", "cursor": str(cursor)}:
                self._cursor = cursor
            case {"kind": "resumed", "cursor": str(cursor)}:
                self._cursor = cursor
                self.resumed += 1
            case {"kind": "diagnostic", "diagnostic": {"action": "resync", "code": str(code)}}:
                self.resyncs[code] += 1
                self._may_begin = True

    def _place(self, name: str) -> None:
        found = _ID.fullmatch(name)
        assert found is not None, name
        place = (found[1], int(found[2]))
        self.heard_at = time.time()
        if found[3]:
            self.snapshots += 1
            if not self._may_begin:
                self._complain(f"a snapshot {name}")
            self._last, self._may_begin = place, False
            return
        self.events += 1
        if self._last is not None and place[0] == self._last[0] and place[1] <= self._last[1]:
            return  # at least once
        if self._last != (place[0], place[1] - 1):
            self._complain(name)
        self._last = place

    def _complain(self, what: str) -> None:
        self.silent_gaps += 1
        print(f"{self.path}: {what} after {self._last}", flush=True)


class Watching:
    """Two backends with clients before them."""

    def __init__(self, folder: Path, backends: int, paths: Sequence[str]) -> None:
        self.backends = [Backend(folder, f"b{number}") for number in range(backends)]
        self.shared = RoundRobin(self.backends)
        self.watchers = [Watcher(one) for one in paths]

    def decide(self, cluster: dict[str, object], key_file: Path) -> str:
        """Write what a person would have decided on the backends; return a client's token."""
        for one in self.backends:
            (one.workspace / ".yoi").mkdir(parents=True, mode=0o700)
            (one.folder / "config/yoi").mkdir(parents=True)
            host = one.folder / "config/yoi/host.toml"
            host.write_text(tomlkit.dumps({"cluster": {"key_file": str(key_file)}}))
            host.chmod(0o600)
            observation = {
                "listen": f"127.0.0.1:{one.port}",
                "names": [f"localhost:{self.shared.port}"],
            }
            file = one.workspace / ".yoi/yoi.toml"
            file.write_text(tomlkit.dumps({"cluster": cluster, "observation": observation}))
            file.chmod(0o600)
        first, *others = self.backends
        token: str = json.loads(first.said("token", "create", "watcher", "--json"))["token"]
        tokens = (first.workspace / ".yoi/tokens.toml").read_bytes()
        for one in others:
            file = one.workspace / ".yoi/tokens.toml"
            file.write_bytes(tokens)
            file.chmod(0o600)
        return token

    @contextlib.asynccontextmanager
    async def going(self, token: str) -> AsyncIterator[None]:
        """Keep backends and clients running for as long as the block lasts."""
        running = [asyncio.create_task(one.run()) for one in self.backends]
        port = self.shared.port
        watching = [asyncio.create_task(one.watch(port, token)) for one in self.watchers]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            for one in self.backends:
                one.stop()
            await asyncio.gather(*running, *watching, return_exceptions=True)

    def account(self) -> dict[str, Any]:
        """Return what the clients have counted."""
        counts = {
            f"watched_{key}": sum(getattr(one, key) for one in self.watchers)
            for key in ("events", "snapshots", "resumed")
        }
        resyncs = sum((one.resyncs for one in self.watchers), Counter[str]())
        silent = sum(one.silent_gaps for one in self.watchers)
        return {"silent_gaps": silent, **counts, "watched_resyncs": dict(resyncs)}
