"""Issue 3 with real parts: a plugin steers its session and never sees its secret (W9, W10).

A gateway in the manner of Discord: hello, identify with a token inside a frame, heartbeats that
carry the last sequence number, acknowledgements, and questions the host answers by itself.
"""

import json

import pytest
from tests.canary import Canaries
from tests.runtime.test_frame_path import Workspace, gateway

from yoi.packages import EnabledEntry, Store, read_package
from yoi.packages.edits import write_enablement
from yoi.protocol import lean
from yoi.runtime.workspace import operator_file
from yoi.secrets import Settings, open_store
from yoi.types import InstanceName

MANIFEST = """
schema_version = 1
id = "echo"
name = "Echo"
version = "0.1.0"

[runtime]
kind = "python"
runner = "1"
entry = "plugin:Bot"

[[services]]
name = "chat"
description = "answers"

[[ingresses]]
name = "events"
description = "frames"

[[connections]]
name = "gateway"
ingress = "events"
open = "command"
target = {{ scheme = "ws", host = "127.0.0.1", port = {port}, path_prefixes = ["/gateway"] }}
deliver = ["text", "open", "close", "gap", "denied", "send_failed"]
ready = "command"
last = [{{ name = "seq", at = "/s" }}]
backoff = {{ first_ms = 100, max_ms = 200 }}

[[secrets]]
name = "bot"
description = "the bot's token"
connection = "gateway"
at = ["/d/token", "/1/token"]
"""

PLUGIN = """
import json
from yoi_pdk import *

class Bot(Plugin):
    def start(self, ctx, config):
        self.seen = []

    def on_event(self, event, ctx):
        self.seen.append(event.kind)
        if event.kind == "service_started":
            return Open("gateway", url=ctx.config["url"])
        if event.kind in ("command_denied", "websocket_send_failed"):
            ctx.log(f"refused {event.command_id}: {event.code}")

    def on_text(self, event, ctx):
        if not event.text.startswith("{"):
            return None
        frame = json.loads(event.text)
        if frame["op"] == "hello":
            return [
                Send(
                    json={"op": "identify", "d": {"token": None, "text": "{{bot}} ${bot} <bot>"}},
                    insert=[insert_secret("/d/token", "bot")],
                ),
                Heartbeat("gateway", 60_000, first_ms=50, json={"op": "beat", "d": None, "n": None},
                          insert=[insert_last("/d", "seq"), insert_counter("/n")],
                          ack=("/op", "ack")),
                Autoreply("gateway", when=("/op", "ping"), json={"op": "pong", "id": None},
                          copy={"/id": "/id"}),
                Autoreply("gateway", when=("", "2"), text="3"),
                Autoreply("gateway", when=Match("", prefix="PING "), text="PONG ", copy_rest=True),
            ]
        if frame["op"] == "parts":
            return [
                Send(parts=["40", {"token": None}], insert=[insert_secret("/1/token", "bot")]),
                Send(parts=["41", {"other": None}], insert=[insert_secret("/1/other", "bot")]),
            ]
        if frame["op"] == "count":
            return Send(json={"op": "counted", "n": None}, insert=[insert_counter("/n")])
        if frame["op"] == "ready":
            return Ready("gateway")
        if frame["op"] == "wrong place":
            return Send(json={"op": "x", "d": {"other": None}},
                        insert=[insert_secret("/d/other", "bot")])
        if frame["op"] == "elsewhere":
            return Open("gateway", url=frame["url"])
        if frame["op"] == "leave":
            return StopConnection("gateway")
        if frame["op"] == "say":
            return event.reply(event.text)

    def status(self):
        return {"seen": self.seen}
"""


@pytest.fixture
def canaries():
    return Canaries()


@pytest.fixture
def workspace(tmp_path, monkeypatch, compiled_runner, canaries):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    made = Workspace(tmp_path / "w")
    made.folder.mkdir()
    return made


def install(workspace, server, token):
    source = workspace.folder / "source"
    source.mkdir()
    (source / "plugin.toml").write_text(MANIFEST.format(port=server.port))
    (source / "plugin.py").write_text(PLUGIN)
    from yoi.packages import add_to_store

    add_to_store(source, Store.project(workspace.folder))
    package = read_package(next(Store.project(workspace.folder).path.iterdir()), "project")
    write_enablement(
        operator_file(workspace.folder),
        EnabledEntry(
            reference="project:echo",
            name=InstanceName("bot"),
            version=package.manifest.version,
            digest=package.digest,
            config={"url": f"ws://127.0.0.1:{server.port}/gateway?v=1"},
            granted=package.manifest.requested.granting({"bot": "the-token"}),
        ),
    )
    store = open_store(workspace.folder, Settings.load(workspace.folder), prompt=None)
    store.set("the-token", token)


def frames(server):
    return [json.loads(text) for text in server.received if text.startswith("{")]


def ops(server):
    return [frame["op"] for frame in frames(server)]


async def test_a_session_with_a_secret_a_heartbeat_and_an_autoreply(
    workspace, canaries, monkeypatch
):
    crossed = []

    def recorded(events, slice_ms, encode=lean.encode_batch):
        crossed.append(encode(events, slice_ms))
        return crossed[-1]

    monkeypatch.setattr(lean, "encode_batch", recorded)
    token = canaries.secret("bot")
    async with gateway() as server:
        install(workspace, server, token)
        async with workspace.runtime() as runtime:
            await server.until(lambda: server.clients)
            await server.ask('{"op": "hello", "s": null}')
            await server.until(lambda: "identify" in ops(server))
            identify = frames(server)[0]
            assert identify["d"]["token"] == token
            assert identify["d"]["text"] == "{{bot}} ${bot} <bot>", "nothing is found by scanning"

            await server.ask('{"op": "ready", "s": 7}')
            await server.until(lambda: "beat" in ops(server))
            beat = next(frame for frame in frames(server) if frame["op"] == "beat")
            assert beat["d"] == 7, "the last sequence number, as a number"
            await server.ask('{"op": "ack"}')

            await server.ask('{"op": "ping", "id": [1, "x"]}')
            await server.until(lambda: "pong" in ops(server))
            assert next(f for f in frames(server) if f["op"] == "pong")["id"] == [1, "x"]

            await server.ask("2")
            await server.until(lambda: "3" in server.received)
            await server.ask("PING :there\r\n")
            await server.until(lambda: "PONG :there" in server.received)

            await server.ask('{"op": "parts"}')
            await server.until(lambda: any(text.startswith("40{") for text in server.received))
            [text] = [text for text in server.received if text.startswith("40{")]
            assert json.loads(text[2:]) == {"token": token}
            await server.ask('{"op": "count"}')
            await server.until(lambda: "counted" in ops(server))
            # The first two: the heartbeat's and the message's, in the order they left.
            numbers = [frame["n"] for frame in frames(server) if "n" in frame]
            assert numbers == list(range(1, len(numbers) + 1)), "shared with the heartbeats"
            assert not any(text.startswith("41") for text in server.received)

            await server.ask('{"op": "wrong place"}')
            await workspace.diagnostics.until(
                lambda: list(workspace.diagnostics.codes).count("denied.secret_place") == 2
            )
            await server.ask('{"op": "elsewhere", "url": "ws://127.0.0.1:1/other?secret=1"}')
            await workspace.diagnostics.until(
                lambda: "denied.not_requested" in workspace.diagnostics.codes
            )

            # A server that echoes the token: the plugin hears a mask.
            await server.ask(json.dumps({"op": "say", "text": token}))
            await server.until(lambda: "say" in ops(server))
            assert frames(server)[-1]["text"] == "[masked]"

            service = runtime.services["bot"]
            await service.ask_status()
            status = service.status()
            await server.ask('{"op": "leave"}')
            await server.clients[0].wait_closed()
            assert len(server.clients) == 1
        found = canaries.grep_everything(
            into_the_guest=crossed,
            diagnostics=workspace.diagnostics,
            status=status,
            letters=service.dead_letters,
            reprs=[repr(service), repr(service.spec), repr(runtime)],
        )
        assert crossed
        assert found == []
        assert status.connections[0].url.endswith("?…") or "v=1" not in status.connections[0].url
