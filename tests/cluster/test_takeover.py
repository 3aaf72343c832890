"""M2, M3: two hosts with real NATS: one runs, the other takes over what the first had accepted."""

import asyncio
import json
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import ClassVar

import pytest
from tests.journal.nats import NatsServer, running
from tests.runtime.conftest import compiled_runner
from websockets.asyncio.server import Server, ServerConnection, serve

__all__ = ["compiled_runner"]
pytestmark = pytest.mark.slow
WAIT_SECONDS = 90.0
LEASE_MS = 3_000

MANIFEST = """
schema_version = 1
id = "echo"
name = "Echo"
version = "0.1.0"

[runtime]
kind = "python"
runner = "1"
entry = "plugin:Echo"

[[services]]
name = "chat"

[[ingresses]]
name = "events"
durability = "disk"

[[connections]]
name = "gateway"
ingress = "events"
url = "ws://127.0.0.1:{port}/ws"
deliver = ["text", "open", "close", "gap"]
backoff = {{ first_ms = 100, max_ms = 300 }}
"""
PLUGIN = """
from yoi_pdk import Context, Plugin, StartedEvent, TextEvent, ToolResult

class Echo(Plugin):
    def on_text(self, event: TextEvent, ctx: Context):
        count = int(ctx.state.get("count") or 0) + 1
        ctx.state["count"] = count
        return event.reply(f"{count}:{event.text}")
"""


class Gateway:
    """Knows who is connected, and what was said."""

    def __init__(self) -> None:
        self.sockets: list[ServerConnection] = []
        self.open: set[ServerConnection] = set()
        self.most_open = 0
        self.heard: deque[str] = deque(maxlen=1000)
        self._server: Server | None = None
        self._change = asyncio.Event()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def __aenter__(self) -> "Gateway":
        self._server = await serve(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not true():
                self._change.clear()
                await self._change.wait()

    async def say(self, text: str) -> None:
        await self.sockets[-1].send(text)

    async def _serve(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        self.open.add(socket)
        self.most_open = max(self.most_open, len(self.open))
        self._change.set()
        try:
            async for text in socket:
                self.heard.append(str(text))
                self._change.set()
        finally:
            self.open.discard(socket)
            self._change.set()


class HostProcess:
    """`yoi serve` on a machine of its own: another folder, another account's state."""

    children: ClassVar[list[asyncio.subprocess.Process]] = []
    """What a test has started; `tests/cluster/conftest.py` ends what it leaves."""

    def __init__(self, folder: Path, gateway: Gateway, nats: NatsServer, prefix: str) -> None:
        self.folder = folder / "w"
        self._env = {
            **os.environ,
            "YOI_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
        }
        source = self.folder / "source"
        source.mkdir(parents=True)
        (source / "plugin.toml").write_text(MANIFEST.format(port=gateway.port))
        (source / "plugin.py").write_text(PLUGIN)
        (self.folder / ".yoi").mkdir()
        (self.folder / ".yoi/yoi.toml").write_text(
            f'[cluster]\nnats = ["{nats.url}"]\nname = "{prefix}"\nlease_ms = {LEASE_MS}\n'
            'size_bytes = 67108864\n\n[observation]\nlisten = "127.0.0.1:0"\n'
        )
        (folder / "config/yoi").mkdir(parents=True)
        (folder / "config/yoi/host.toml").write_text(f'[cluster]\nname = "{folder.name}"\n')
        (folder / "config/yoi/host.toml").chmod(0o600)
        self._child: asyncio.subprocess.Process | None = None
        self.lines: list[dict] = []

    async def enable(self) -> None:
        child = await self._run("plugin", "enable", "./source", "--grant-requested", "--yes")
        assert await child.wait() == 0

    async def start(self) -> None:
        self._child = await self._run("serve", "--trust-workspace", "--verbose", "--json")

    async def _run(self, *arguments: str) -> asyncio.subprocess.Process:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "yoi", *arguments, cwd=self.folder, env=self._env,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self.children.append(child)
        return child

    async def line(self, true: Callable[[dict], object]) -> dict:
        """Return the next line that it prints of which `true` is."""
        assert self._child is not None
        assert self._child.stdout is not None
        async with asyncio.timeout(WAIT_SECONDS):
            while text := await self._child.stdout.readline():
                value = json.loads(text)
                self.lines.append(value)
                if true(value):
                    return value
        raise AssertionError(f"it ended: {self.lines[-3:]}")

    def send(self, number: signal.Signals) -> None:
        assert self._child is not None
        self._child.send_signal(number)

    async def ended(self) -> int:
        assert self._child is not None
        assert self._child.stdout is not None
        async with asyncio.timeout(WAIT_SECONDS):
            await self._child.stdout.read()
            return await self._child.wait()


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    with running(tmp_path / "nats") as server:
        yield server


def code(wanted: str) -> Callable[[dict], bool]:
    return lambda line: wanted in json.dumps(line)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_another_host_goes_on_where_the_first_stopped(tmp_path, nats, compiled_runner, how):
    async with Gateway() as gateway:
        one, other = (
            HostProcess(tmp_path / name, gateway, nats, f"d{how.value}") for name in ("a", "b")
        )
        for host in (one, other):
            await host.enable()
        await one.start()
        await gateway.until(lambda: gateway.open)
        await other.start()
        standby = await other.line(code("notice.standby"))
        assert "a has what there is to run" in json.dumps(standby)
        for number in range(5):
            await gateway.say(f"m{number}")
        await gateway.until(lambda: "5:m4" in gateway.heard)
        one.send(how)
        await gateway.until(lambda: len(gateway.sockets) == 2)
        await gateway.say("after")
        # The state is the first host's: it was folded from the log.
        await gateway.until(lambda: "6:after" in gateway.heard)
        if how is signal.SIGSTOP:
            # The kernel has ended it before it could send anything.
            one.send(signal.SIGCONT)
            assert await one.ended() == -signal.SIGALRM
        else:
            assert await one.ended() == -signal.SIGKILL
        other.send(signal.SIGTERM)
        assert await other.ended() == 0
    assert [text for text in gateway.heard if ":m" in text] == [f"{n + 1}:m{n}" for n in range(5)]


async def test_a_host_without_its_servers_stops_in_time(tmp_path, nats, compiled_runner):
    async with Gateway() as gateway:
        host = HostProcess(tmp_path / "a", gateway, nats, "alone")
        await host.enable()
        await host.start()
        await gateway.until(lambda: gateway.open)
        nats.stop(signal.SIGKILL)
        assert await host.ended() != 0
        await gateway.until(lambda: not gateway.open)
