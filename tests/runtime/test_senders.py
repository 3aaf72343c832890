"""A plugin hears only whom the operator lists, and a worker reads who it was."""

import json
from dataclasses import replace

import pytest
from tests.runtime import test_workers as desk
from tests.runtime.test_workers import World, gateway, host  # noqa: F401

from yoi.packages import Enablement
from yoi.packages.edits import write_enablement
from yoi.permissions import JsonPointer
from yoi.permissions.match import Match
from yoi.permissions.senders import SenderRule
from yoi.runtime.workspace import operator_file
from yoi.workers.items import RunEnd, SystemItem

PLUGIN = """
import json
from yoi_pdk import DeniedEvent, Notify, Plugin, Send, SendFailedEvent

class Desk(Plugin):
    def on_text(self, event, ctx):
        return [Send("heard " + event.text), Notify("triage", json.loads(event.text)["say"])]
"""
RULE = SenderRule(
    Match(JsonPointer.parse("/type"), ("message",)), JsonPointer.parse("/author"), ("ann",)
)


def says(author, kind="message"):
    return json.dumps({"type": kind, "author": author, "say": f"it is {author}"})


@pytest.fixture
async def world(tmp_path, gateway, compiled_runner, monkeypatch):  # noqa: F811
    monkeypatch.setattr(desk, "PLUGIN", PLUGIN)
    desk.enable(tmp_path, gateway.url, desk.WORKER)
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
    assert '"sender":"ann"' in worker.as_sent().messages[0].text
    service = world.service()
    assert service["connections"][0]["unlisted_senders"] == 2
    assert "denied.sender" in [one.get("code") for one in service["commands"]]
    assert world.diagnostics.codes.count("notice.sender") == 1
