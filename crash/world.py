"""A real host that is killed again and again, the gateways it talks to, and what all of them know.

One gateway lets a plugin sign in and numbers the frames of each visit; the other sends what was not
echoed again on the next visit. The plugins count in their state what they have handled, so the
services' logs show after each death which frames were accepted, and which were handled.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import tomlkit
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from yoi.core.service_fold import ServicePicture
from yoi.journal.sqlite import SqliteJournal
from yoi.packages import Store, add_to_store
from yoi.runtime.service_log import folded
from yoi.testing.trusting import entry_as_requested, trust_workspace
from yoi.workers.items import SystemItem, decode_item

_PLUGINS = Path(__file__).parent
_OUTSTANDING = 64
_START_S = 120.0
"""The first start of all compiles the runner."""


class Gateway:
    """Lets a client sign in, then sends numbered frames, at most so many without an answer."""

    def __init__(self) -> None:
        self.visits = 0
        self.sent = 0
        self.acks: Counter[tuple[int, int]] = Counter()
        self.answered = asyncio.Event()

    async def __call__(self, socket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            if json.loads(await socket.recv())["op"] != "identify":
                return
            await socket.send('{"op":"welcome"}')
            self.visits += 1
            visit, number, open_acks = self.visits, 0, 0
            while True:
                while open_acks < _OUTSTANDING:
                    number += 1
                    await socket.send(f'{{"op":"event","visit":{visit},"number":{number}}}')
                    self.sent += 1
                    open_acks += 1
                ack = json.loads(await socket.recv())
                self.acks[ack["visit"], ack["number"]] += 1
                open_acks -= ack["visit"] == visit
                self.answered.set()


class EchoGateway:
    """Sends numbered messages, at most so many without an echo; on a new visit those first."""

    def __init__(self) -> None:
        self.sent = 0
        self.echoed = 0
        """The highest number that came back."""
        self.unasked = 0
        """Echoes of what was not sent on their visit, or came back on it before."""
        self._open: dict[int, None] = {}

    async def __call__(self, socket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            here = set(self._open)
            for number in tuple(self._open):
                await self._send(socket, number)
            while True:
                while len(self._open) < _OUTSTANDING:
                    self.sent += 1
                    self._open[self.sent] = None
                    here.add(self.sent)
                    await self._send(socket, self.sent)
                number = json.loads(await socket.recv())["number"]
                self.unasked += number not in here
                here.discard(number)
                self._open.pop(number, None)
                self.echoed = max(self.echoed, number)

    async def _send(self, socket: ServerConnection, number: int) -> None:
        await socket.send(f'{{"number":{number}}}')


class World:
    """One workspace in the new folder `folder`, and its host."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder = folder
        self.workspace = folder / "w"
        self.gateway = Gateway()
        self.echo = EchoGateway()
        self.echo_seen = {"last": 0, "wrong": 0, "marked": 0}
        """What the plugin that echoes has counted in its state."""
        self.echo_lost = 0
        """Messages that came back and that the plugin does not know."""
        self.accepted: dict[int, int] = {}
        """The last frame of each visit that the host is known to have accepted."""
        self.handled: dict[int, tuple[int, int]] = {}
        """The last frame of each visit that was handled, and how many came out of order."""
        self.kills = 0
        self.unknown = 0
        self.notified: Counter[str] = Counter()
        self.to_notify: set[str] = set()
        """Notifications that the next host will repeat."""
        self.waited = 0
        """Accepted frames that a killed host has left."""
        self.dead_letters = 0
        self._rng = rng
        self._host: asyncio.subprocess.Process | None = None

    async def run(self, kills: int, until: float) -> None:
        """Kill the host `kills` times, or until that moment, then let it finish."""
        async with (
            serve(self.gateway, "127.0.0.1", 0, ping_interval=None) as server,
            serve(self.echo, "127.0.0.1", 0, ping_interval=None) as echo,
        ):
            self._write(
                {
                    "counter": server.sockets[0].getsockname()[1],
                    "echo": echo.sockets[0].getsockname()[1],
                }
            )
            while self.kills < kills and time.monotonic() < until:
                self.kills += 1
                await self._start()
                # Some die while they recover, before the gateway hears of them.
                if self._rng.random() < 0.85:
                    await self._until_answered()
                await asyncio.sleep(self._rng.uniform(0, 0.8))
                await self._end(signal.SIGKILL)
                await self._look()
            await self._start()
            await self._until_answered()
            await self._end(signal.SIGTERM)
            await self._look()

    async def _start(self) -> None:
        self.gateway.answered.clear()
        with (self.folder / "host.log").open("ab") as log:
            self._host = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "yoi.cli", "serve", "--port", "0"),
                cwd=self.workspace,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def _until_answered(self) -> None:
        async with asyncio.timeout(_START_S):
            await self.gateway.answered.wait()

    async def _end(self, number: signal.Signals) -> None:
        assert self._host is not None
        with contextlib.suppress(ProcessLookupError):
            self._host.send_signal(number)
        await self._host.wait()

    async def _look(self) -> None:
        """Read what the dead host has left, with the code that the next one reads it with."""
        path = self.workspace / ".yoi" / "journal.db"
        if not path.exists():
            return
        self.dead_letters = 0
        journal = await SqliteJournal.open(path)
        try:
            picture = await folded(journal, "service:counter", "counter")
            self._look_at_echo(await folded(journal, "service:echo", "echo"))
            await self._look_at_worker(journal)
        finally:
            await journal.close()
        commands = picture.unsettled.values()
        self.to_notify = {one.payload["text"] for one in commands if one.kind == "notify"}
        self.unknown += sum(not one.repeatable for one in picture.unsettled.values())
        self.dead_letters += len(picture.dead)
        self.waited += len(picture.waiting)
        for visit, (last, wrong) in json.loads(picture.state.get("visits", "{}")).items():
            self.handled[int(visit)] = last, wrong
            self.accepted[int(visit)] = max(last, self.accepted.get(int(visit), 0))
        for one in picture.waiting.values():
            if one.entry.frame is not None and '"visit"' in one.entry.frame.text:
                frame = json.loads(one.entry.frame.text)
                visit = frame["visit"]
                self.accepted[visit] = max(frame["number"], self.accepted.get(visit, 0))

    def _look_at_echo(self, picture: ServicePicture) -> None:
        self.echo_seen = json.loads(picture.state.get("seen", json.dumps(self.echo_seen)))
        self.echo_lost += max(0, self.echo.echoed - self.echo_seen["last"])
        self.unknown += sum(not one.repeatable for one in picture.unsettled.values())
        self.dead_letters += len(picture.dead)
        self.waited += len(picture.waiting)

    async def _look_at_worker(self, journal: SqliteJournal) -> None:
        self.notified.clear()
        after = 0
        while records := await journal.read("worker:ops", after, 1000):
            for record in records:
                after = record.seq
                item = decode_item(record.data)
                if isinstance(item, SystemItem):
                    self.notified[item.text] += 1

    def _write(self, ports: dict[str, int]) -> None:
        """Enable the plugin of each name, for the gateway at its port, beside a worker."""
        (self.workspace / ".yoi").mkdir(parents=True, mode=0o700)
        entries = [self._enabled(name, port) for name, port in ports.items()]
        rule = {"plugin": "counter", "start_run": True, "per_minute": 6000}
        worker = {
            "name": "ops",
            "model": "scripted",
            "script": [{"say": "noted"}],
            "notify": [rule],
        }
        document = {"plugins": {"enabled": entries}, "workers": [worker]}
        file = self.workspace / ".yoi" / "yoi.toml"
        file.write_text(tomlkit.dumps(document))
        file.chmod(0o600)
        trust_workspace(self.workspace)

    def _enabled(self, name: str, port: int) -> dict[str, Any]:
        source = self.folder / f"source-{name}"
        source.mkdir()
        for path in (_PLUGINS / name).glob("plugin.*"):
            (source / path.name).write_text(path.read_text().replace("PORT", str(port)))
        package = add_to_store(source, Store.project(self.workspace))
        return entry_as_requested(package, name).to_table()


def private_home(folder: Path) -> None:
    """Let hosts keep what this account decided below `folder`."""
    os.environ["YOI_STATE_HOME"] = str(folder / "state")
