"""The way of a frame with real parts: a server made by others, our driver, our sandbox."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.heard import Heard
from tests.runtime.hosts import quiet_host, watching_host
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from yoi.control.client import call
from yoi.decisions.recording import enable
from yoi.host import Host
from yoi.limits import LIMITS
from yoi.packages import EnabledEntry, Store, add_to_store, read_package
from yoi.packages.edits import remove_enablement
from yoi.permissions import PermissionSet
from yoi.runtime.connection_specs import ConnectionSpecMaker
from yoi.runtime.service import Service
from yoi.runtime.workspace import operator_file
from yoi.types import InstanceName

ECHO = """
from yoi_pdk import Plugin

class Echo(Plugin):
    def start(self, ctx, config):
        self.seen = 0

    def on_text(self, event, ctx):
        self.seen += 1
        if event.text == "loop":
            while True:
                pass
        if event.text == "raise":
            raise ValueError("no")
        return event.reply(f"{ctx.name}:{event.text}")

    def status(self):
        return {"seen": self.seen}
"""

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
description = "answers"

[[ingresses]]
name = "events"
description = "frames"
deadline_ms = {deadline_ms}

[[connections]]
name = "gateway"
ingress = "events"
url = "{url}"
deliver = ["text", "open", "close", "gap"]
backoff = {{ first_ms = 100, max_ms = 200 }}
"""


@dataclass
class Gateway:
    """A real WebSocket server; records what it received."""

    port: int = 0
    received: list[str] = field(default_factory=list)
    clients: list[ServerConnection] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    async def handle(self, client: ServerConnection) -> None:
        async with self.changed:
            self.clients.append(client)
            self.changed.notify_all()
        with contextlib.suppress(ConnectionClosed):
            async for message in client:
                async with self.changed:
                    self.received.append(message)
                    self.changed.notify_all()

    async def until(self, true, seconds: float = 20) -> None:
        async with asyncio.timeout(seconds), self.changed:
            await self.changed.wait_for(true)

    async def ask(self, *texts: str) -> None:
        for text in texts:
            await self.clients[-1].send(text)


@contextlib.asynccontextmanager
async def gateway(port: int = 0, most: int = 1 << 20) -> AsyncIterator[Gateway]:
    made = Gateway()
    async with serve(made.handle, "127.0.0.1", port, max_size=most) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


@dataclass
class Workspace:
    folder: Path
    diagnostics: Heard = field(default_factory=Heard)

    def install(
        self, url: str, plugin: str = ECHO, deadline_ms: int = 200, manifest: str = MANIFEST
    ) -> PermissionSet:
        source = self.folder / "source"
        source.mkdir(exist_ok=True)
        (source / "plugin.toml").write_text(manifest.format(url=url, deadline_ms=deadline_ms))
        (source / "plugin.py").write_text(plugin)
        store = Store.project(self.folder)
        for old in store.path.glob("*") if store.path.exists() else ():
            old.unlink()
        add_to_store(source, store)
        return read_package(source).manifest.requested

    def enable(self, name: str = "echo", granted: PermissionSet | None = None) -> None:
        package = read_package(next(Store.project(self.folder).path.iterdir()), "project")
        enable(
            self.folder,
            EnabledEntry(
                reference="project:echo",
                name=InstanceName(name),
                version=package.manifest.version,
                digest=package.digest,
                granted=package.manifest.requested if granted is None else granted,
            ),
        )

    def save(self, text: str) -> None:
        """Write yoi.toml as editors do: a new file takes the old one's place."""
        draft = self.folder / ".yoi" / "draft"
        draft.write_text(text)
        os.replace(draft, operator_file(self.folder))

    def runtime(self) -> Host:
        limits = replace(LIMITS, restart_first_ms=1, restart_max_ms=20)
        return quiet_host(self.folder, self.diagnostics.append, limits)

    def codes(self) -> list[str]:
        return self.diagnostics.codes


@pytest.fixture
def workspace(tmp_path: Path, compiled_runner) -> Workspace:
    return Workspace(tmp_path)


def link(service: Service) -> Any:
    (status,) = service.status().connections
    return status


async def test_frames_are_answered_in_order_by_a_sandboxed_plugin(workspace):
    """W1, W2, W4, S2, S4: the plugin holds no socket; the host dials, reads and sends."""
    async with gateway() as server:
        workspace.install(server.url)
        workspace.enable()
        async with workspace.runtime() as runtime:
            await server.until(lambda: server.clients)
            await server.ask(*(f"m{n}" for n in range(200)))
            await server.until(lambda: len(server.received) == 200)
            status = runtime.services["echo"].status()
        assert server.received == [f"echo:m{n}" for n in range(200)]
        assert status.lifecycle == "running"
        assert status.counters.commands_done == 200
        assert status.connections[0].frames_in == 200


async def test_the_service_outlives_its_server(workspace):
    """W1, W3: the host reconnects, says what may be missing, and the plugin goes on."""
    async with gateway() as server:
        workspace.install(server.url)
        workspace.enable()
        async with workspace.runtime() as runtime:
            await server.until(lambda: server.clients)
            await server.ask("one")
            await server.until(lambda: server.received)
            server.clients[0].transport.abort()
            await server.until(lambda: len(server.clients) == 2)
            await server.ask("two")
            await server.until(lambda: len(server.received) == 2)
            status = link(runtime.services["echo"])
    assert server.received == ["echo:one", "echo:two"]
    assert (status.gaps, status.reconnects) == (1, 1)
    assert "notice.gap" in workspace.codes()


async def test_a_looping_plugin_is_stopped_restarted_and_its_neighbour_never_notices(workspace):
    """S5, S8: a deadline that really interrupts; the culprit becomes a dead letter."""
    async with gateway() as bad, gateway() as good:
        workspace.install(bad.url, deadline_ms=50)
        workspace.enable("bad")
        other = Workspace(workspace.folder / "other")
        other.folder.mkdir()
        other.install(good.url)
        other.enable("good")
        async with workspace.runtime() as runtime, other.runtime() as neighbour:
            await runtime.reload()
            await neighbour.reload()
            await bad.until(lambda: bad.clients)
            await good.until(lambda: good.clients)
            await bad.ask("a", "loop", "b")
            for n in range(50):
                await good.ask(str(n))
                await good.until(lambda n=n: len(good.received) == n + 1)
            await bad.until(lambda: "bad:b" in bad.received)
            service = runtime.services["bad"]
            await workspace.diagnostics.until(lambda: service.dead_letters)
            status = service.status()
        assert bad.received == ["bad:a", "bad:b"]
        assert len(bad.clients) == 1, "the connection outlives the instance"
        assert [letter.code for letter in service.dead_letters] == ["sandbox.deadline"]
        assert status.counters.timed_out >= 3
        assert len(good.received) == 50


async def test_a_raising_handler_is_a_diagnostic_and_a_dead_letter(workspace):
    async with gateway() as server:
        workspace.install(server.url)
        workspace.enable()
        async with workspace.runtime() as runtime:
            await server.until(lambda: server.clients)
            await server.ask("a", "raise", "b")
            await server.until(lambda: len(server.received) == 2)
            service = runtime.services["echo"]
            await workspace.diagnostics.until(lambda: service.dead_letters)
            assert service.lifecycle == "running"
        raised = [d for d in workspace.diagnostics if d.code == "sandbox.exception"]
        assert len(raised) == 1
        assert "ValueError" in raised[0].message
        assert server.received == ["echo:a", "echo:b"]


async def test_one_package_enabled_twice_is_two_services(workspace):
    """P3: two instances of one plugin are never confused."""
    async with gateway() as server:
        workspace.install(server.url)
        workspace.enable("east")
        workspace.enable("west")
        async with workspace.runtime():
            await server.until(lambda: len(server.clients) == 2)
            for client in server.clients:
                await client.send("hi")
            await server.until(lambda: len(server.received) == 2)
        assert sorted(server.received) == ["east:hi", "west:hi"]


async def test_without_a_grant_nothing_is_dialled_and_the_hint_says_what_would(workspace):
    """P4: requested but not granted is refused and shown."""
    async with gateway() as server:
        workspace.install(server.url)
        workspace.enable(granted=PermissionSet())
        async with workspace.runtime() as runtime:
            await workspace.diagnostics.until(lambda: "denied.not_granted" in workspace.codes())
            assert server.clients == []
            status = link(runtime.services["echo"])
        refused = next(d for d in workspace.diagnostics if d.code == "denied.not_granted")
        assert "yoi plugin enable" in refused.hint
        assert status.last_error_code == "denied.not_granted"


async def test_without_the_ingress_permission_its_connection_is_not_dialled(workspace):
    """P4, P5: a connection delivers to an ingress, so both keys are needed there too."""
    async with gateway() as server:
        requested = workspace.install(server.url)
        fewer = [p for p in requested.permissions if p.kind.value != "ingress"]
        workspace.enable(granted=PermissionSet.of(fewer, requested.websocket))
        async with workspace.runtime():
            await workspace.diagnostics.until(lambda: "denied.not_granted" in workspace.codes())
        refused = next(d for d in workspace.diagnostics if d.code == "denied.not_granted")
        assert "ingress" in refused.message
        assert server.clients == []


async def test_revoking_on_a_running_host_closes_the_connection(workspace):
    async with gateway() as server:
        workspace.install(server.url)
        workspace.enable()
        async with workspace.runtime() as runtime:
            await server.until(lambda: server.clients)
            workspace.enable(granted=PermissionSet())
            applied = await asyncio.to_thread(call, workspace.folder, "host.reload")
            assert applied["regranted"] == ["echo"]
            await server.clients[0].wait_closed()
            assert server.clients[0].close_code == 1012
            await workspace.diagnostics.until(lambda: "denied.not_granted" in workspace.codes())
            assert len(server.clients) == 1
            # Given back, it is dialled again, by the same instance.
            workspace.enable()
            await asyncio.to_thread(call, workspace.folder, "host.reload")
            await server.until(lambda: len(server.clients) == 2)
            assert runtime.services["echo"].status().counters.restarts == 0


async def test_a_service_that_cannot_be_made_costs_a_running_host_nothing(workspace, monkeypatch):
    """A defect of ours while a reload makes one service: the host and the others go on."""
    real = ConnectionSpecMaker.make

    def make(self, plugin, *more):
        if plugin.name == "bad":
            raise ValueError("no handshake may carry this")
        return real(self, plugin, *more)

    monkeypatch.setattr(ConnectionSpecMaker, "make", make)
    async with gateway() as server:
        workspace.install(server.url)
        workspace.enable("good")
        async with workspace.runtime() as runtime:
            await server.until(lambda: server.clients)
            workspace.enable("bad")
            applied = await asyncio.to_thread(call, workspace.folder, "host.reload")
            assert applied["started"] == ["bad"]
            rows = await asyncio.to_thread(call, workspace.folder, "service.list")
            assert [(row["name"], row["lifecycle"]) for row in rows] == [
                ("bad", "failed"),
                ("good", "running"),
            ]
            assert "no handshake may carry this" in rows[0]["last_error"]
            await server.ask("x")
            await server.until(lambda: server.received == ["good:x"])
            monkeypatch.undo()
            assert (await runtime.reload()).restarted == ["bad"]
            await server.until(lambda: len(server.clients) == 2)


async def test_a_grant_taken_away_in_an_editor_takes_effect_at_once(workspace):
    """P4: and a broken file changes nothing but is said."""
    async with gateway() as server:
        workspace.install(server.url)
        workspace.enable()
        async with watching_host(workspace.folder, workspace.diagnostics.append):
            await server.until(lambda: server.clients)
            good = operator_file(workspace.folder).read_text()
            workspace.save("not toml [")
            await workspace.diagnostics.until(lambda: "enablement.toml" in workspace.codes())
            assert server.clients[0].close_code is None
            workspace.save(good.replace('kind = "connection"', 'kind = "service"'))
            await server.clients[0].wait_closed()
        assert len(server.clients) == 1


async def test_disabling_on_a_running_host_closes_with_1012(workspace):
    async with gateway() as server:
        workspace.install(server.url)
        workspace.enable()
        async with workspace.runtime():
            await server.until(lambda: server.clients)
            remove_enablement(operator_file(workspace.folder), "echo")
            applied = await asyncio.to_thread(call, workspace.folder, "host.reload")
            assert applied["stopped"] == ["echo"]
            await server.clients[0].wait_closed()
            assert server.clients[0].close_code == 1012


async def test_a_changed_package_does_not_run_until_it_is_reviewed(workspace):
    """P3: approval follows the digest."""
    async with gateway() as server:
        workspace.install(server.url)
        workspace.enable()
        workspace.install(server.url, ECHO + "\n# changed\n")
        async with workspace.runtime() as runtime:
            assert len(runtime.services) == 0
        problem = next(d for d in workspace.diagnostics if d.code == "enablement.digest")
        assert "yoi plugin enable" in problem.hint
        assert server.clients == []


async def test_the_control_socket_shows_and_steers(workspace):
    """S9, W6."""
    async with gateway() as server:
        workspace.install(server.url)
        workspace.enable()
        async with workspace.runtime():
            await server.until(lambda: server.clients)
            await server.ask("x")
            await server.until(lambda: server.received)

            async def ask(method: str, **params: Any) -> Any:
                return await asyncio.to_thread(call, workspace.folder, method, **params)

            (row,) = await ask("service.list")
            assert (row["name"], row["lifecycle"]) == ("echo", "running")
            status = await ask("service.status", name="echo")
            assert status["plugin_status"] == {"seen": 1}
            assert status["connections"][0]["state"] == "open"
            await ask("service.restart", name="echo")
            await server.ask("y")
            await server.until(lambda: "echo:y" in server.received)
            await ask("service.stop", name="echo")
            await server.clients[0].wait_closed()
            assert (await ask("service.list"))[0]["lifecycle"] == "stopped"


async def test_sigterm_drains_and_exits_with_zero(workspace):
    """W8, U3: the process as an operator runs it."""
    async with gateway() as server:
        workspace.install(server.url)
        workspace.enable()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "yoi", "serve", "--port", "0", "--json",
            "--workspace", str(workspace.folder),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )  # fmt: skip
        try:
            await server.until(lambda: server.clients)
            await server.ask("hello")
            await server.until(lambda: server.received == ["echo:hello"])
            process.send_signal(signal.SIGTERM)
            out, _ = await asyncio.wait_for(process.communicate(), 20)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0
        assert server.clients[0].close_code == 1001
        events = [json.loads(line) for line in out.decode().splitlines()]
        assert any(event.get("event") == "ready" for event in events)
