"""What a worker may do once it has read text from outside."""

from dataclasses import replace

import pytest
from tests.workers.test_notify import desk, note
from tests.workers.worlds import World, answers, echo, run_ended, spec

from yoi.protocol import events as ev
from yoi.workers import items as it
from yoi.workers.approvals import Decision
from yoi.workers.items import Origin
from yoi.workers.scripted import CallTool, Say
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
