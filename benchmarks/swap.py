"""What replacing a plugin's version costs its session: 1,000 replacements under load.

    python benchmarks/swap.py [--replacements 1000] [--rate 200] [--durability memory]

A real `yoi serve`, one plugin, one WebSocket server that sends numbered frames at a steady rate and
expects each to be answered, in order, once. Each replacement is a package with a new version in the
store, enabled, as `yoi plugin enable` leaves it. `p99_pause_ms` is over the replacements: the
longest that a frame waited for its answer, from the order to replace until the new version's first
answer.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from harness import ending
from harness.processes import BenchmarkError
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from yoi.control.client import call
from yoi.decisions.recording import enable
from yoi.packages import Store, add_to_store, read_package
from yoi.testing.trusting import entry_as_requested

MANIFEST = """\
schema_version = 1
id = "swapped"
name = "Swapped"
version = "0.0.{version}"

[runtime]
kind = "python"
runner = "1"
entry = "plugin:Swapped"

[[services]]
name = "answers"
description = "answers each frame"

[[ingresses]]
name = "events"
description = "numbered frames"
durability = "{durability}"

[[connections]]
name = "gateway"
ingress = "events"
url = "ws://127.0.0.1:{port}/"
target = {{ scheme = "ws", host = "127.0.0.1", port = {port}, addresses = "private" }}
"""
PLUGIN = """\
import json

from yoi_pdk import Plugin


class Swapped(Plugin):
    def start(self, ctx, config):
        self.before = ctx.state.get("count", 0)

    def on_text(self, event, ctx):
        count = ctx.state.get("count", 0) + 1
        ctx.state["count"] = count
        return event.reply(json.dumps([json.loads(event.text), count, {version}]))
"""
_START_S = 120.0


class Gateway:
    """Sends numbered frames at a steady rate and reads the answers."""

    def __init__(self, per_second: float) -> None:
        self.sessions = 0
        self.sent: list[float] = []
        self.answered = 0
        self.wrong = 0
        """Answers that were not the next one, or whose count in the plugin's state was not."""
        self.version = 0
        self.longest = 0.0
        """The longest wait of a frame since the last look, in seconds."""
        self.changed = asyncio.Condition()
        self.sending = True
        self._every = 1 / per_second

    async def __call__(self, socket: ServerConnection) -> None:
        self.sessions += 1
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send(socket))
                group.create_task(self._read(socket))

    async def _send(self, socket: ServerConnection) -> None:
        due = time.monotonic()
        while True:
            due += self._every
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if not self.sending:
                break
            self.sent.append(time.monotonic())
            await socket.send(str(len(self.sent)))

    async def _read(self, socket: ServerConnection) -> None:
        async for text in socket:
            number, count, version = json.loads(text)
            self.wrong += (number, count) != (self.answered + 1, self.answered + 1)
            self.answered += 1
            self.longest = max(self.longest, time.monotonic() - self.sent[number - 1])
            async with self.changed:
                self.version = version
                self.changed.notify_all()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(_START_S), self.changed:
            await self.changed.wait_for(condition)


class Operator:
    """Packs, enables and reloads: what a person does by commands."""

    def __init__(self, folder: Path, port: int, durability: str) -> None:
        self.workspace = folder / "w"
        self._source = folder / "source"
        self._port, self._durability = port, durability
        self._source.mkdir()
        (self.workspace / ".yoi").mkdir(parents=True, mode=0o700)
        self._store = Store.project(self.workspace)

    def enable(self, version: int) -> str:
        """Put that version into the store and into yoi.toml, decided; return the entry's name."""
        manifest = MANIFEST.format(version=version, port=self._port, durability=self._durability)
        (self._source / "plugin.toml").write_text(manifest)
        (self._source / "plugin.py").write_text(PLUGIN.replace("{version}", str(version)))
        package = read_package(self._source)
        entry = replace(entry_as_requested(package, "swapped"), reference=f"project:{package.id}")
        copying = partial(add_to_store, self._source, self._store)
        return enable(self.workspace, entry, copying=copying)


async def measured(folder: Path, replacements: int, rate: float, durability: str) -> dict[str, Any]:
    """Run the host, replace its plugin that often; return the figures."""
    os.environ["YOI_STATE_HOME"] = str(folder / "state")
    gateway = Gateway(rate)
    pauses: list[float] = []
    async with serve(gateway, "127.0.0.1", 0, ping_interval=None) as server:
        operator = Operator(folder, server.sockets[0].getsockname()[1], durability)
        operator.enable(0)
        host = await _host(operator.workspace, folder / "host.log")
        try:
            await gateway.until(lambda: gateway.answered >= 50)
            for version in range(1, replacements + 1):
                gateway.longest = 0.0
                entry = await asyncio.to_thread(operator.enable, version)
                await asyncio.to_thread(call, operator.workspace, "host.reload", entries=[entry])
                await gateway.until(lambda wanted=version: gateway.version == wanted)
                pauses.append(gateway.longest * 1000)
            status = await asyncio.to_thread(
                call, operator.workspace, "service.status", name="swapped"
            )
            gateway.sending = False
            await gateway.until(lambda: gateway.answered == len(gateway.sent))
        except TimeoutError:
            raise BenchmarkError((folder / "host.log").read_text()[-2000:]) from None
        finally:
            host.send_signal(signal.SIGTERM)
            await host.wait()
    print(f"  the host's own figures: {_own(status)}")
    return {
        "replacements": len(pauses),
        "durability": durability,
        "frames": len(gateway.sent),
        "dropped_sessions": gateway.sessions - 1,
        "lost": len(gateway.sent) - gateway.answered,
        "out_of_order": gateway.wrong,
        "p50_pause_ms": round(_percentile(pauses, 50), 1),
        "p99_pause_ms": round(_percentile(pauses, 99), 1),
        "max_pause_ms": round(max(pauses), 1),
    }


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def _own(status: dict[str, Any]) -> str:
    """Return what the host says of the last replacements that it shows."""
    found = [
        one["fields"]["pause_ms"] for one in status["diagnostics"] if "pause_ms" in one["fields"]
    ]
    return f"pauses of the last {len(found)}: {sorted(found)} ms"


async def _host(workspace: Path, log: Path) -> asyncio.subprocess.Process:
    with log.open("ab") as out:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "yoi.cli", "serve", "--port", "0"),
            cwd=workspace,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )


def conclusion(replacements: int, rate: float, durability: str) -> dict[str, Any]:
    """Return the last line."""
    with tempfile.TemporaryDirectory(prefix="yoi-swap-") as name:
        return asyncio.run(measured(Path(name), replacements, rate, durability))


def main() -> None:
    """Measure, print, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replacements", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=200.0, help="frames a second")
    parser.add_argument("--durability", choices=("memory", "disk"), default="memory")
    given = parser.parse_args()
    ending.conclude(lambda: conclusion(given.replacements, given.rate, given.durability))


if __name__ == "__main__":
    main()
