"""What a worker may do once it has read text from outside."""

import asyncio
import json
from dataclasses import replace

import msgspec
import pytest
from tests.redactors import NoRedaction
from tests.workers.test_notify import desk, note
from tests.workers.worlds import World, answers, echo, run_ended, spec

from yoi.errors import ModelError
from yoi.protocol import events as ev
from yoi.workers import items as it
from yoi.workers.approvals import Decision
from yoi.workers.items import Origin
from yoi.workers.notify import Notifications
from yoi.workers.rules import NotifyRule
from yoi.workers.same import answers_where_asked
from yoi.workers.scripted import CallTool, Say, ScriptedEngine
from yoi.workers.tools import PluginTool, Tool, ToolChoice, plugin_tool

PLUGIN = Origin(kind="plugin", service="p", plugin_id="project:p", digest="d", tool="read")


def made(name, after_outside, origin=None):
    plain = spec(name)
    changed = {"after_outside": after_outside, **({"origin": origin} if origin else {})}
    fields = {f: getattr(plain, f) for f in plain.__struct_fields__} | changed
    return Tool(it.ToolSpec(**fields), echo)


def calls(name):
    return [CallTool(name, '{"text":"x"}')]


@pytest.mark.parametrize(
    ("after", "becomes"), [("allow", "returned"), ("deny", "denied"), ("ask", "waits")]
)
async def test_the_operator_decides_about_calls_after_a_stranger_spoke(after, becomes):
    script = answers([Say("hi")], calls("act"), [Say("ok")])
    async with World(script, [made("act", after)]) as world:
        await world.run("a person")
        assert not world.worker.status().outside
        await desk(world).notify(note("a stranger"))
        if becomes == "waits":
            await world.until(ev.ApprovalRequest)
            await world.until_status("paused")
            (asked,) = world.worker.status().approvals
            assert asked.after_outside
            await world.worker.approve(Decision(question=asked.item, approved=True), "ann")
        await world.until(run_ended("finished"), 2)
        (result,) = [i for i in await world.items() if isinstance(i, it.ToolResult)]
        assert result.outcome == ("returned" if becomes == "waits" else becomes)
        assert world.worker.status().outside


async def test_without_a_stranger_it_runs():
    async with World(answers(calls("act"), [Say("ok")]), [made("act", "deny")]) as world:
        await world.run("a person")
        (result,) = [i for i in await world.items() if isinstance(i, it.ToolResult)]
        assert result.outcome == "returned"


async def test_it_follows_tool_results_summaries_and_restarts():
    script = answers(calls("read"), [Say("ok")], [Say("summary")], calls("act"), [Say("end")])
    tools = [made("read", "allow", PLUGIN), made("act", "deny")]
    async with World(script, tools) as world:
        await world.run("read it")
        assert world.worker.status().outside
        await world.worker.compact()
        await world.until(ev.CompactDone)
        await world.restart()
        assert world.worker.status().outside
        await world.run("act")
        results = [i for i in await world.items() if isinstance(i, it.ToolResult)]
        assert [r.outcome for r in results] == ["returned", "denied"]


@pytest.mark.parametrize(
    ("writes", "chosen", "after"),
    [
        (True, None, "ask"),
        (False, None, "allow"),
        (True, "allow", "allow"),
        (False, "deny", "deny"),
    ],
)
def test_a_tool_that_writes_to_the_outside_asks_unless_the_operator_says_else(
    writes, chosen, after
):
    offered = PluginTool("p", "act", "d", {"type": "object"}, "project:p", "d", writes)
    choice = replace(ToolChoice("p", "act", "act", "auto"), after_outside=chosen)
    assert plugin_tool(offered, choice, None).spec.after_outside == after


TALK = '{"type":"message","channel":"C1","author":7,"say":"hello"}'
ANSWER = Origin(kind="plugin", service="chat", plugin_id="project:chat", digest="d", tool="reply")
PLACES = {
    "type": "object",
    "properties": {"channel": {"type": "string"}, "text": {"type": "string"}},
    "required": ["channel", "text"],
}


def replying(approval="auto", after="ask"):
    return Tool(
        it.ToolSpec(
            name="reply",
            description="answers",
            input_schema=PLACES,
            approval=approval,
            origin=ANSWER,
            after_outside=after,
            same=(it.Same("/channel", "/channel"),),
        ),
        lambda _: asyncio.sleep(0, "sent"),
    )


def reply(channel, call_id="c1"):
    return [CallTool("reply", json.dumps({"text": "x", "channel": channel}))]


def hears(world, **more):
    """Return a desk at which plugins are heard, and what is compared is read."""
    made = Notifications(NoRedaction(), world.clock)
    rules = {name: NotifyRule(name, True, 30) for name in ("chat", "other")}
    made.open(world.worker, rules, ["/channel"])
    return lambda frame, **rest: made.notify(
        replace(note("a stranger"), frame=frame, **{**more, **rest})
    )


@pytest.mark.parametrize(
    ("channel", "frames", "plugin", "outcome"),
    [
        ("C1", [TALK], "chat", "returned"),
        ("C2", [TALK], "chat", "denied"),
        ("C1", [TALK, TALK.replace("C1", "C2")], "chat", "denied"),  # two places asked
        ("C1", [TALK], "other", "denied"),  # another plugin's channel of that name
        ("C1", ['{"say":"hello"}'], "chat", "denied"),
        ("C1", ["not JSON"], "chat", "denied"),
        ("C1", [TALK.replace('"C1"', '["C1"]')], "chat", "denied"),
        (300 * "C", [TALK.replace("C1", 300 * "C")], "chat", "denied"),  # too long to be kept
    ],
)
async def test_a_call_that_answers_where_it_was_asked_needs_no_question(
    channel, frames, plugin, outcome
):
    script = answers(reply(channel), [Say("ok")])
    async with World(script, [replying(after="deny")]) as world:
        await world.worker.pause("ann")
        for number, frame in enumerate(frames):
            await hears(world)(frame, plugin=plugin, event_id=f"e-{number}")
        await world.worker.resume("ann")
        await world.until(run_ended("finished"))
        (result,) = [i for i in await world.items() if isinstance(i, it.ToolResult)]
        assert result.outcome == outcome


class Down:
    """An engine that fails in passing until it is `up`, then says what `script` gives."""

    name = "down"

    def __init__(self, script):
        self.up = False
        self._engine = ScriptedEngine(script)

    async def ask(self, request):
        if not self.up:
            raise ModelError("model.provider", "down", retryable=True)
        async for piece in self._engine.ask(request):
            yield piece

    async def close(self):
        pass


async def test_what_proves_it_outlives_a_passing_fault_but_not_the_run():
    engine = Down(answers(reply("C1"), [Say("ok")], reply("C1"), [Say("end")]))
    async with World(engine, [replying(after="deny")], agains=3) as world:
        failed = run_ended("failed")
        world.worker.bus.listen(lambda event: setattr(engine, "up", engine.up or failed(event)))
        await hears(world)(TALK)
        await world.until(run_ended("finished"))
        assert any(map(failed, world.heard))
        await world.restart()
        await world.run("and once more, there")  # a person's run: nothing was asked there
        results = [i.outcome for i in await world.items() if isinstance(i, it.ToolResult)]
        assert results == ["returned", "denied"]


def test_of_two_keys_of_one_name_the_one_that_is_sent_is_compared():
    item = it.SystemItem(
        at_ms=0,
        text="x",
        provenance=ev.Provenance(
            plugin="chat", plugin_id="", digest="", ingress="", event_id="", command_id=""
        ),
        wakes=True,
        facts={"/channel": "C1"},
    )
    asked = '{"channel":"C2","channel":"C1"}', '{"channel":"C1","channel":"C2"}'
    calls = [it.Call("c", "reply", text) for text in asked]
    assert [answers_where_asked([item], replying().spec, c) for c in calls] == [True, False]
    assert not answers_where_asked([], replying().spec, calls[0])
    # Neither says where: that is no agreement.
    nowhere = msgspec.structs.replace(item, facts={})
    assert not answers_where_asked([nowhere], replying().spec, it.Call("c", "reply", "{}"))
