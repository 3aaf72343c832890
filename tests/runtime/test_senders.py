"""A plugin hears only whom the operator lists, and a worker reads who it was."""

import asyncio
import json
import re
import sys
from asyncio.subprocess import PIPE
from dataclasses import replace

import pytest
from tests.runtime import test_workers as desk
from tests.runtime.test_workers import World, gateway, host  # noqa: F401

from yoi.errors import ControlError
from yoi.packages import Enablement
from yoi.packages.edits import write_enablement
from yoi.permissions import JsonPointer
from yoi.permissions.match import Match
from yoi.permissions.senders import SenderRule
from yoi.runtime.workspace import operator_file
from yoi.workers.items import RunEnd, SystemItem

PLUGIN = """
import asyncio
import json
import re
import sys
from asyncio.subprocess import PIPE
from yoi_pdk import DeniedEvent, Notify, Plugin, Send, SendFailedEvent

class Desk(Plugin):
    def on_text(self, event, ctx):
        return [Send("heard " + event.text), Notify("triage", json.loads(event.text)["say"])]
"""
RULE = SenderRule(
    Match(JsonPointer.parse("/type"), ("message",)),
    JsonPointer.parse("/author"),
    ("ann",),
    pair=JsonPointer.parse("/say"),
)


def says(author, kind="message"):
    return json.dumps({"type": kind, "author": author, "say": f"it is {author}"})


@pytest.fixture
async def world(tmp_path, gateway, compiled_runner, monkeypatch):  # noqa: F811
    monkeypatch.setattr(desk, "PLUGIN", PLUGIN)
    same = 'same = [{ arg = "/do", event = "/author" }], approval ='
    desk.enable(tmp_path, gateway.url, desk.WORKER.replace("approval =", same))
    path = operator_file(tmp_path)
    (entry,) = Enablement.load(path).entries
    write_enablement(path, replace(entry, senders=(RULE,)))
    async with host(tmp_path) as (runtime, heard):
        yield World(tmp_path, runtime, heard, await gateway.accept())


async def test_a_stranger_is_counted_a_friend_is_heard_and_named(world):
    for frame in (says("eve"), says("eve"), says("x", "hello"), says("ann")):
        await world.peer.send(frame)
    assert json.loads((await world.peer.receive()).partition(" ")[2])["type"] == "hello"
    assert json.loads((await world.peer.receive()).partition(" ")[2])["author"] == "ann"
    worker = world.runtime.workers.worker_set.worker("triage")
    while not (items := await worker.history(0, 10)) or not isinstance(items[-1].item, RunEnd):
        await world.ask("service.status", name="desk")
    (item,) = [one.item for one in items if isinstance(one.item, SystemItem)]
    assert (item.text, item.provenance.sender) == ("it is ann", "ann")
    assert item.facts == {"/author": "ann"}
    assert '"sender":"ann"' in worker.as_sent().messages[0].text
    service = world.service()
    assert service["connections"][0]["unlisted_senders"] == 2
    assert "denied.sender" in [one.get("code") for one in service["commands"]]
    assert world.diagnostics.codes.count("notice.sender") == 1


async def yoi(world, command, *arguments):
    """Return what `yoi worker COMMAND triage` prints."""
    line = ["-m", "yoi.cli", "worker", command, "triage", *arguments, "-w", str(world.folder)]
    process = await asyncio.create_subprocess_exec(sys.executable, *line, stdout=PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def test_a_stranger_is_paired_by_the_code_and_forgotten_again(world):
    made = json.loads(await yoi(world, "pair", "--json"))
    assert (made["plugin"], made["minutes"], made["tries"]) == ("desk", 10, 5)

    async def talk(author, say):
        frame = {"type": "message", "author": author, "say": say}
        await world.peer.send(json.dumps(frame))

    async def paired():
        (found,) = await world.ask("worker.senders", name="triage")
        return [one["sender"] for one in found["paired"]]

    await talk("eve", "is anybody there?")
    await talk("eve", "AAAA-AAAA")
    await talk("bob", f"hello, {made['code'].lower()}")
    while await paired() != ["bob"]:
        pass
    await talk("bob", "it is bob")
    while "it is bob" not in (text := await world.peer.receive()):
        assert "eve" not in text
    worker = world.runtime.workers["triage"]
    assert "bob said the pairing code" in worker.status().alerts[-1].message
    await talk("eve", made["code"])  # it was used
    await talk("eve", made["code"])
    assert await paired() == ["bob"]
    told = await yoi(world, "senders")
    (command,) = re.findall(r"hint: yoi worker senders triage (.*)", told)
    assert "ann (yoi.toml)" in told
    assert "bob" not in await yoi(world, "senders", *command.split())
    with pytest.raises(ControlError) as caught:
        await world.ask("worker.forget_sender", plugin="desk", sender="bob")
    assert caught.value.code == "worker.pairing"
    with pytest.raises(ControlError) as caught:
        await world.ask("worker.pair", name="triage", plugin="other")
    assert caught.value.code == "worker.pairing"
    await talk("bob", "it is bob again")
    await talk("ann", "it is ann")
    while "it is ann" not in (text := await world.peer.receive()):
        assert "again" not in text
    made = await world.ask("worker.pair", name="triage")
    for _ in range(5):
        await talk("eve", "AAAA-AAAA")
    while "void" not in worker.status().alerts[-1].message:
        await world.ask("service.status", name="desk")
    await talk("eve", made["code"])
    await talk("ann", "the end")
    while "the end" not in await world.peer.receive():
        pass
    assert await paired() == []
