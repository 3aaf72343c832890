"""One real host with hostile plugins and a neighbour, and the gateway that all of them talk to."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomlkit
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from hostile.cases import Case
from yoi.control.client import call
from yoi.errors import CODES, YoiError
from yoi.packages import Store, add_to_store
from yoi.testing.trusting import entry_as_requested, trust_workspace

NEIGHBOUR = "neighbour"
_PATIENCE_S = 90.0
"""A budget is a guest's own time: on a busy machine its end comes late, ten times at most."""
_ECHO = """
from yoi_pdk import Plugin

class Hostile(Plugin):
    def on_text(self, event, ctx):
        return event.reply(event.text)
"""
_MANIFEST = """schema_version = 1
id = "{name}"
name = "{name}"
version = "0.1.0"
description = "one of the hostile corpus"
{tables}
{runtime}
[[services]]
name = "{name}"

[[ingresses]]
name = "events"
deadline_ms = 300

[[connections]]
name = "gateway"
ingress = "events"
url = "ws://127.0.0.1:{port}/{name}"
deliver = ["text", "gap"]
backoff = {{ first_ms = 200, max_ms = 2000 }}
{connection}
"""
_PYTHON = '[runtime]\nkind = "python"\nrunner = "1"\nentry = "plugin:Hostile"\n'
_COMPONENT = (
    '[runtime]\nkind = "wasm-component"\ncomponent = "plugin.wasm"\n'
    'world = "yoi:plugin/instance@1.0.0"\n'
)


class Gateway:
    """A WebSocket server; each plugin has a path of its own."""

    def __init__(self) -> None:
        self.sockets: dict[str, ServerConnection] = {}
        self.said: dict[str, int] = {}
        self.answers: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        name = socket.request.path.strip("/")
        self.sockets[name] = socket
        try:
            async for message in socket:
                if name == NEIGHBOUR:
                    self.answers.put_nowait(str(message))
                else:
                    self.said[name] = self.said.get(name, 0) + 1
        except ConnectionClosed:
            pass
        finally:
            if self.sockets.get(name) is socket:
                del self.sockets[name]

    async def send(self, name: str, text: str) -> None:
        """Send one frame, where the plugin is connected."""
        with contextlib.suppress(KeyError, ConnectionClosed):
            await self.sockets[name].send(text)


class Neighbour:
    """Asks its echo again and again; `waits` are milliseconds, one of 10,000 is no answer."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.waits: list[float] = []

    async def ask_on(self) -> None:
        """Ask until cancelled."""
        number = 0
        while True:
            if NEIGHBOUR in self._gateway.sockets:
                number += 1
                text, begun = str(number), time.perf_counter()
                await self._gateway.send(NEIGHBOUR, text)
                try:
                    async with asyncio.timeout(10):
                        while await self._gateway.answers.get() != text:
                            pass
                except TimeoutError:
                    self.waits.append(10_000.0)
                else:
                    self.waits.append((time.perf_counter() - begun) * 1000)
            await asyncio.sleep(0.01)

    def taken(self) -> list[float]:
        """Return the waits since the last call."""
        waits, self.waits = self.waits, []
        return waits


class World:
    """One host with `cases` and the neighbour enabled, in the new folder `folder`."""

    def __init__(self, folder: Path, cases: Sequence[Case]) -> None:
        self.folder = folder
        self.workspace = folder / "w"
        self.cases = list(cases)
        self.gateway = Gateway()
        self.neighbour = Neighbour(self.gateway)
        self.found: dict[str, str] = {}
        """What each case ended in: a code, `harmless`, or `untyped: ...`."""
        self.quiet: list[float] = []
        self.busy: list[float] = []
        self.crashes = 0
        self.rss_mb = 0
        self._host: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Start all, let each case have its way, and stop."""
        async with serve(self.gateway, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            enabled = self.write(port)
            asking = asyncio.create_task(self.neighbour.ask_on())
            try:
                await self.start()
                await self.until(lambda: len(self.neighbour.waits) > 3, 60)
                # Those that attack while they load or start are at it now.
                await asyncio.sleep(2)
                self.busy += self.neighbour.taken()
                await self._settled(enabled)
                self.neighbour.taken()
                await asyncio.sleep(3)
                self.quiet += self.neighbour.taken()
                for case in enabled:
                    await self._attack(case)
                    self.busy += self.neighbour.taken()
                    if self._host is None or self._host.returncode is not None:
                        self.crashes += 1
                        self.found[case.name] = "untyped: the host is gone"
                        await self.start()
            finally:
                asking.cancel()
                await self.stop()

    def write(self, port: int) -> list[Case]:
        """Put the packages into the store and enable them; return those that it took."""
        store, rows, taken = Store.project(self.workspace), [], []
        (self.workspace / ".yoi").mkdir(parents=True, mode=0o700)
        for case in [Case(NEIGHBOUR, _ECHO), *self.cases]:
            source = self.folder / "source" / case.name
            source.mkdir(parents=True)
            runtime = _COMPONENT if case.component else _PYTHON
            manifest = _MANIFEST.format(
                name=case.name,
                runtime=runtime,
                port=port,
                connection=case.connection,
                tables=case.tables,
            )
            (source / "plugin.toml").write_text(manifest)
            if case.component:
                (source / "plugin.wasm").write_bytes(case.component)
            else:
                raw = case.source.encode("utf-8", "surrogateescape")
                (source / "plugin.py").write_bytes(raw)
            try:
                package = add_to_store(source, store)
            except YoiError as exc:
                self.found[case.name] = exc.code
                continue
            chosen = {name: name for name in case.secrets}
            granted = package.manifest.requested.granting(chosen)
            entry = replace(entry_as_requested(package, case.name), granted=granted)
            rows.append(entry.to_table())
            if case.name != NEIGHBOUR:
                taken.append(case)
        file = self.workspace / ".yoi" / "yoi.toml"
        document = {"observation": {"listen": "127.0.0.1:0"}, "plugins": {"enabled": rows}}
        file.write_text(tomlkit.dumps(document))
        file.chmod(0o600)
        trust_workspace(self.workspace)
        return taken

    async def start(self) -> None:
        """Start the host and wait until it answers."""
        with (self.folder / "host.log").open("ab") as log:
            self._host = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "yoi.cli", "serve"),
                cwd=self.workspace,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        await self.until(lambda: self._ask("host.status") is not None, 90)

    async def stop(self) -> None:
        """Stop the host; one that does not end with 0 counts as a crash."""
        host = self._host
        if host is None or host.returncode is not None:
            return
        self.rss_mb = max(self.rss_mb, _peak_mb(host.pid))
        host.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                status = await host.wait()
        except TimeoutError:
            host.kill()
            await host.wait()
            status = -9
        if status != 0:
            self.crashes += 1

    async def _settled(self, enabled: Sequence[Case]) -> None:
        """Wait until no instance is about to start: each runs, or waits out its backoff."""
        names = {case.name for case in enabled}

        def all_settled() -> bool:
            listed = self._ask("service.list") or []
            rows = listed["services"] if isinstance(listed, dict) else listed
            states = [row["lifecycle"] for row in rows if row["name"] in names]
            return bool(states) and "starting" not in states

        await self.until(all_settled, 20, every=0.5)

    async def _attack(self, case: Case) -> None:
        before = self._seen(case.name)
        if before is not None and not before["good"] and before["code"] is not None:
            self.found[case.name] = before["code"]  # it never got as far as an event
            return
        for _ in range(case.frames):
            await self.gateway.send(case.name, case.frame)
            await asyncio.sleep(0.03)

        def ended() -> bool:
            now = self._seen(case.name)
            return now is not None and (now["handled"] > 0 or now["code"] is not None)

        await self.until(ended, _PATIENCE_S)
        await asyncio.sleep(0.3)
        self.found[case.name] = self._verdict(case)

    def _verdict(self, case: Case) -> str:
        now = self._seen(case.name) or self._seen(case.name)
        if now is None:
            return "untyped: no status"
        if case.silent and self.gateway.said.get(case.name):
            return "escaped"
        code = now["code"]
        if code is None:
            return "harmless" if now["handled"] else "untyped: nothing came of it"
        if code not in CODES or code == "usage.internal":
            return f"untyped: {code}"
        return str(code)

    def _seen(self, name: str) -> dict[str, Any] | None:
        answer = self._ask("service.status", name=name)
        if answer is None:
            return None
        status = answer.get("service", answer)
        counters = status["counters"]
        codes = [
            one["code"]
            for one in status["diagnostics"]
            if one["severity"] in ("error", "warning") and not one["code"].startswith("notice.")
        ]
        internal = "usage.internal" if "usage.internal" in codes else None
        return {
            "good": counters["succeeded"],
            "handled": counters["succeeded"] + counters["failed"] + counters["dead"],
            "code": internal or status.get("last_error_code") or (codes[-1] if codes else None),
        }

    def _ask(self, method: str, **params: Any) -> Any:
        try:
            return call(self.workspace, method, **params)
        except YoiError:
            return None

    async def until(self, true: Any, seconds: float, every: float = 0.1) -> None:
        """Wait until `true()` holds, for `seconds` at most."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and not await asyncio.to_thread(true):  # noqa: ASYNC110
            await asyncio.sleep(every)


def _peak_mb(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    return 0


def show(found: dict[str, str]) -> str:
    """Return how many ended in what, as one line."""
    counts: dict[str, int] = {}
    for ended in found.values():
        counts[ended] = counts.get(ended, 0) + 1
    return json.dumps(dict(sorted(counts.items(), key=lambda item: -item[1])))


def private_home(folder: Path) -> None:
    """Keep what an account decides in `folder`; what it has compiled is shared."""
    os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    (folder / "state").mkdir(mode=0o700, parents=True, exist_ok=True)
