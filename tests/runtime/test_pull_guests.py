"""Host calls by real guests in both worlds, through the whole runtime (W7, S5, P4)."""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.desks import PULL as PULL_PERMISSION
from tests.runtime.desks import Desk, Host, having
from tests.runtime.desks import target as ws_target
from tests.runtime.heard import Heard
from tests.runtime.hosts import quiet_host
from tests.sandbox import wat
from tests.sandbox.conftest import run_on_guest_thread

import yoi
from yoi.errors import SandboxError
from yoi.limits import LIMITS
from yoi.packages import EnabledEntry, Store, add_to_store, read_package
from yoi.packages.edits import write_enablement
from yoi.permissions import PermissionKind, PermissionSet
from yoi.runtime.hostcalls import OPERATIONS
from yoi.runtime.paths import cache_dir
from yoi.runtime.workspace import operator_file
from yoi.sandbox import Sandbox
from yoi.testing.gateway import FakeGateway
from yoi.testing.http_server import HttpAnswer, HttpServer
from yoi.types import InstanceName

PLUGIN = """
from yoi_pdk import HostError, Plugin, Request, SocketClosed

class Puller(Plugin):
    def start(self, ctx, config):
        self.kept = None
        ctx.state.set("starts", ctx.state.get("starts", 0) + 1)

    def on_text(self, event, ctx):
        return event.reply(f"{ctx.name}:{event.text}")

    def on_event(self, event, ctx):
        if self.kept is None and event.kind == "service_started" and ctx.config.get("wait"):
            self.kept = ctx.websocket.open(URL)
            self.kept.send(ctx.name)
            self.kept.recv(30)

    def on_tool(self, call, ctx):
        todo = call.input["do"]
        try:
            if todo == "exchange":
                with ctx.websocket.open(URL) as socket:
                    socket.send("ping")
                    socket.send(b"\\x01")
                    return f"{socket.recv()} {socket.recv()}"
            if todo == "leave open":
                return str(ctx.websocket.open(URL).handle)
            if todo == "block":
                ctx.websocket.open(URL).recv(30)
            if todo == "http":
                answer = ctx.request(Request("api", "GET", "/x"))
                return f"{answer.status} {answer.json()}"
            if todo == "state":
                return str(ctx.state.get("starts"))
            if todo == "many":
                codes = set()
                for _ in range(9_000):
                    try:
                        ctx.websocket.open(URL + "denied")
                    except HostError as exc:
                        codes.add(exc.code)
                return " ".join(codes)
        except SocketClosed as exc:
            return f"closed {exc.close_code}"
        except HostError as exc:
            return exc.code
"""

MANIFEST = """
schema_version = 1
id = "puller"
name = "Puller"
version = "0.1.0"

[runtime]
kind = "python"
runner = "1"
entry = "plugin:Puller"

[[services]]
name = "chat"
description = "waits"

[[tools]]
name = "do"
description = "does"
input_schema = {{ type = "object" }}

[[ingresses]]
name = "events"
description = "events"
event_kinds = ["service_started"]
deadline_ms = {deadline_ms}

[config_schema]
type = "object"
properties = {{ wait = {{ type = "boolean" }} }}

[[websocket]]
scheme = "ws"
host = "127.0.0.1"
port = {port}
path_prefixes = ["/pull"]

[[request]]
name = "api"
scheme = "http"
host = "127.0.0.1"
port = {http}
methods = ["GET"]
"""


@dataclass
class Pullers:
    """A workspace whose plugin opens sockets itself."""

    folder: Path
    diagnostics: Heard = field(default_factory=Heard)

    def codes(self) -> list[str]:
        return self.diagnostics.codes

    def install_puller(
        self, url: str, *, http: int = 1, deadline_ms: int = 30_000
    ) -> PermissionSet:
        source = self.folder / "source"
        source.mkdir(exist_ok=True)
        port = url.rsplit(":", 1)[1].strip("/")
        (source / "plugin.toml").write_text(
            MANIFEST.format(port=port, http=http, deadline_ms=deadline_ms)
        )
        (source / "plugin.py").write_text(PLUGIN.replace("URL", repr(url + "pull")))
        add_to_store(source, Store.project(self.folder))
        return read_package(source).manifest.requested

    def enable_puller(
        self, name: str, *, granted: PermissionSet | None = None, wait: bool = False
    ) -> None:
        package = read_package(next(Store.project(self.folder).path.iterdir()), "project")
        write_enablement(
            operator_file(self.folder),
            EnabledEntry(
                reference="project:puller",
                name=InstanceName(name),
                version=package.manifest.version,
                digest=package.digest,
                granted=package.manifest.requested if granted is None else granted,
                config={"wait": wait},
            ),
        )

    def host(self, **limits: int) -> yoi.Host:
        bounds = replace(LIMITS, restart_first_ms=1, restart_max_ms=20, **limits)
        return quiet_host(self.folder, self.diagnostics.append, bounds)


@pytest.fixture
def workspace(tmp_path, compiled_runner) -> Pullers:
    return Pullers(tmp_path)


async def do(service: Any, what: str) -> str:
    answer = await service.call_tool("do", {"do": what})
    summary: str = answer["summary"]
    return summary


async def test_a_plugin_exchanges_messages_inside_a_tool_call(workspace):
    """W7: and what it leaves open is closed when the call returns."""
    async with FakeGateway() as gateway:
        workspace.install_puller(gateway.url)
        workspace.enable_puller("mine")
        async with workspace.host() as runtime:
            service = runtime.services["mine"]
            asked = asyncio.create_task(do(service, "exchange"))
            peer = await gateway.accept()
            assert [await peer.receive(), await peer.receive()] == ["ping", b"\x01"]
            await peer.send("pong")
            await peer.send(b"\x02")
            assert await asked == "pong b'\\x02'"
            assert (await peer.closed())[0] == 1000

            assert await do(service, "leave open") == "2"
            peer = await gateway.accept()
            assert await peer.closed() == (1000, "the tool call has returned")
            assert service.status().pull_sockets == []


async def test_state_requests_and_denials(workspace):
    """A denial is a value: ten thousand of them do not end the plugin."""

    def answer(request):
        return HttpAnswer.of_json({"at": request.path})

    async with HttpServer(answer) as server, FakeGateway() as gateway:
        workspace.install_puller(gateway.url, http=server.port)
        workspace.enable_puller("mine")
        async with workspace.host() as runtime:
            service = runtime.services["mine"]
            assert await do(service, "http") == "200 {'at': '/x'}"
            assert await do(service, "state") == "1"
            await service.restart()
            assert await do(service, "state") == "2"
            assert await do(service, "many") == "denied.not_requested"
            assert service.lifecycle == "running"
            assert workspace.codes().count("denied.not_requested") == 1


async def test_without_a_grant_the_guest_hears_the_code_and_the_operator_the_hint(workspace):
    """P4, S7."""
    async with FakeGateway() as gateway:
        requested = workspace.install_puller(gateway.url)
        local = [p for p in requested.permissions if p.kind is not PermissionKind.HOST_API]
        workspace.enable_puller("mine", granted=PermissionSet.of(local, ()))
        async with workspace.host() as runtime:
            service = runtime.services["mine"]
            assert await do(service, "exchange") == "denied.not_granted"
            assert await do(service, "http") == "denied.not_granted"
            await workspace.diagnostics.until(lambda: "denied.not_granted" in workspace.codes())
        refused = next(d for d in workspace.diagnostics if d.code == "denied.not_granted")
        assert "yoi plugin enable" in refused.hint


async def test_the_budget_really_interrupts_a_blocked_recv(workspace):
    """S5, W7: the turn ends at its deadline, the instance goes, and its sockets with it."""
    async with FakeGateway() as gateway:
        workspace.install_puller(gateway.url)
        workspace.enable_puller("mine")
        async with workspace.host(tool_ms=300) as runtime:
            service = runtime.services["mine"]
            with pytest.raises(SandboxError) as ended:
                await do(service, "block")
            assert ended.value.code == "sandbox.deadline"
            peer = await gateway.accept()
            assert (await peer.closed())[0] in (1000, 1001)
            await workspace.diagnostics.until(lambda: service.lifecycle == "running")
            assert await do(service, "state") == "2"


async def test_forty_plugins_wait_in_recv_and_a_neighbour_keeps_answering(workspace):
    """DESIGN 3: blocking host calls hold none of the threads that the others need."""
    names = [f"p{number}" for number in range(40)]
    async with FakeGateway() as gateway:
        workspace.install_puller(gateway.url)
        for name in names:
            workspace.enable_puller(name, wait=True)
        workspace.enable_puller("neighbour")
        async with workspace.host() as runtime:
            peers = [await gateway.accept() for _ in names]
            waiting = [await peer.receive() for peer in peers]
            assert sorted(waiting) == sorted(names)
            neighbour = runtime.services["neighbour"]
            async with asyncio.timeout(25):  # below the 30 s for which the others wait
                for _ in range(50):
                    assert await do(neighbour, "state") == "1"
            statuses = [runtime.services[name].status() for name in names]
            assert {len(one.pull_sockets) for one in statuses} == {1}
            assert {one.pull_sockets[0].owner for one in statuses} == {"service"}
            for peer in peers:
                await peer.send("go on")
        for peer in peers:
            assert (await peer.closed())[0] == 1001


# -- the public world ------------------------------------------------------------------------------

SIGNATURES = {
    "open": '(param "request-json" string)',
    "send-text": '(param "handle" u32) (param "text" string)',
    "send-binary": '(param "handle" u32) (param "data" string)',
    "recv": '(param "handle" u32) (param "timeout-ms" u32)',
    "close": '(param "handle" u32)',
    "status": '(param "handle" u32)',
}
CORE = {
    "open": "i32 i32 i32", "send-text": "i32 i32 i32 i32", "send-binary": "i32 i32 i32 i32",
    "recv": "i32 i32 i32", "close": "i32 i32", "status": "i32 i32",
}  # fmt: skip


def websocket_component(body: str) -> bytes:
    """A component that imports all of yoi:host/websocket; `body` is its tool."""
    exports = "".join(
        f'(export "{name}" (func {params} (result string)))' for name, params in SIGNATURES.items()
    )
    return wat.component(
        texts=("{}", "YmluYXJ5"),
        imports=f'(import "yoi:host/websocket@1.0.0" (instance $ws {exports}))',
        lowered="".join(
            f'(core func ${name}_l (canon lower (func $ws "{name}") '
            "(memory $mem) (realloc $realloc)))"
            for name in SIGNATURES
        ),
        core_imports="".join(
            f'(import "ws" "{name}" (func ${name} (param {types})))' for name, types in CORE.items()
        ),
        instances='(with "ws" (instance '
        + "".join(f'(export "{name}" (func ${name}_l))' for name in SIGNATURES)
        + "))",
        handle_tool=body,
    )


EXCHANGE = """
(call $open (local.get $lp) (local.get $ll) (i32.const 16))
(call $send-text (i32.const 1) (local.get $lp0) (local.get $ll0) (i32.const 16))
(call $send-binary (i32.const 1) (i32.const 4098) (i32.const 8) (i32.const 16))
(call $recv (i32.const 1) (i32.const 5000) (i32.const 16))
(i32.const 16)
"""


async def test_a_component_of_the_public_world_does_the_same(compiled_runner):
    """W7: the names and types of wit/host/1.0.0."""
    async with FakeGateway() as gateway:
        desk = Desk(having(PULL_PERMISSION, websocket=[ws_target(gateway.port)]), host=Host())
        sandbox = Sandbox(desk.host.limits, cache_dir())

        def work() -> tuple[str, str, str]:
            guest = sandbox.load_component(websocket_component(EXCHANGE), desk.calls)
            call = f'{{"url":"{gateway.url}"}}'
            try:
                with desk.calls.tool_call():
                    first = guest.call_tool("hello", call, 20_000)
                # The handle ended with the call: this one is number 2, and 1 is nobody's.
                return first, guest.call_tool("x", call, 20_000), ""
            finally:
                guest.close()

        asked = asyncio.create_task(asyncio.to_thread(run_on_guest_thread, work))
        peer = await gateway.accept()
        assert [await peer.receive(), await peer.receive()] == ["hello", b"binary"]
        await peer.send("welcome")
        first, second, _ = await asked
        assert first == '{"ok":{"type":"text","text":"welcome"}}'
        assert '"service.handle"' in second
        await desk.end()
        await asyncio.to_thread(sandbox.close)


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_function_of_the_interface_is_offered(name):
    """The WIT and the host agree: what is declared can be linked and is carried out."""
    text = (Path(__file__).parents[2] / "wit/host/1.0.0/host.wit").read_text()
    assert f"  {name}: func(" in text
    assert f"websocket.{name}" in OPERATIONS
