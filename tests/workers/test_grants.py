"""Approvals that cover later calls: what they cover, how long, and who gave them."""

import asyncio

import pytest
from tests.workers.worlds import World, answers, echo, run_ended, spec, tool

from yoi.errors import WorkerError
from yoi.permissions.match import Match
from yoi.permissions.pointers import JsonPointer
from yoi.protocol import events as ev
from yoi.workers import items as it
from yoi.workers.approvals import Decision
from yoi.workers.grants import canonical
from yoi.workers.scripted import CallTool, Say
from yoi.workers.tools import Tool


def pay(text="a"):
    return [CallTool("pay", f'{{"text":"{text}"}}')]


async def decide(world, count, scope="once", approved=True, **more):
    await world.until(ev.ApprovalRequest, count)
    await world.until_status("paused")
    (waiting,) = world.worker.status().approvals
    await world.worker.approve(
        Decision(question=waiting.item, approved=approved, scope=scope, **more), "ann"
    )


def outside_tool(name):
    plain = spec(name, "ask")
    fields = {f: getattr(plain, f) for f in plain.__struct_fields__}
    origin = it.Origin(kind="plugin", service="p", plugin_id="project:p", digest="d", tool=name)
    return Tool(it.ToolSpec(**{**fields, "after_outside": "ask", "origin": origin}), echo)


def asked(world):
    return sum(isinstance(e, ev.ApprovalRequest) for e in world.heard)


async def outcomes(world):
    return [i.outcome for i in await world.items() if isinstance(i, it.ToolResult)]


async def test_an_exact_call_is_covered_for_eight_hours_and_says_by_whom():
    script = answers(pay(), [Say("1")], pay(), [Say("2")], pay("b"), [Say("3")], pay(), [Say("4")])
    async with World(script, [tool("pay", "ask")]) as world:
        await world.worker.send("one")
        await decide(world, 1, "exact")
        await world.until(run_ended("finished"))
        await world.worker.send("two")
        await world.until(run_ended("finished"), 2)
        decided = [i for i in await world.items() if isinstance(i, it.ApprovalDecided)]
        assert decided[1].by.startswith("ann, by the grant at item ")
        await world.restart()
        assert [g.tool for g in world.worker.status().grants] == ["pay"]
        await world.worker.send("three")
        await decide(world, 3)  # other arguments
        await world.until(run_ended("finished"), 3)
        world.clock.advance(8 * 3600)
        assert world.worker.status().grants == []
        await world.worker.send("four")
        await decide(world, 4)
        await world.until(run_ended("finished"), 4)
        assert await outcomes(world) == ["returned"] * 4


async def test_a_grant_for_a_run_ends_with_it():
    script = answers(pay("a"), pay("b"), [Say("1")], pay("c"), [Say("2")])
    async with World(script, [tool("pay", "ask")]) as world:
        await world.worker.send("one")
        await decide(world, 1, "run")
        await world.until(run_ended("finished"))
        assert world.worker.status().grants == []
        await world.worker.send("two")
        await decide(world, 3)
        await world.until(run_ended("finished"), 2)
        assert await outcomes(world) == ["returned"] * 3


async def test_a_revoked_grant_covers_nothing():
    script = answers(pay(), [Say("1")], pay(), [Say("2")])
    async with World(script, [tool("pay", "ask")]) as world:
        await world.worker.send("one")
        await decide(world, 1, "exact")
        await world.until(run_ended("finished"))
        (grant,) = world.worker.status().grants
        await world.worker.revoke(grant.item, "ann")
        with pytest.raises(WorkerError) as caught:
            await world.worker.revoke(grant.item, "ann")
        assert caught.value.code == "worker.no_approval"
        await world.worker.send("two")
        await decide(world, 2, approved=False)
        await world.until(run_ended("finished"), 2)
        assert await outcomes(world) == ["returned", "denied"]


async def test_a_call_that_was_denied_is_not_asked_about_again_in_its_run():
    script = answers(pay(), pay(), pay(), [Say("1")], pay(), [Say("2")])
    async with World(script, [tool("pay", "ask")]) as world:
        await world.worker.send("one")
        await decide(world, 1, approved=False)
        await world.until(run_ended("finished"))
        assert await outcomes(world) == ["denied"] * 3
        assert asked(world) == 1
        await world.worker.send("two")
        await decide(world, 2)
        await world.until(run_ended("finished"), 2)


def test_equal_json_is_one_call():
    assert canonical('{"a": 1, "b": 2}') == canonical('{"b":2,"a":1}')
    assert canonical("{broken") == "{broken"


async def test_a_grant_for_matching_arguments_covers_what_fits_for_its_time():
    script = answers(pay("ab"), [Say("1")], pay("ac"), [Say("2")], pay("b"), [Say("3")])
    async with World(script, [tool("pay", "ask")]) as world:
        await world.worker.send("one")
        fits = (Match(JsonPointer.parse("/text"), prefix="a"),)
        await decide(world, 1, "matching", matches=fits, lasts_ms=60_000)
        await world.until(run_ended("finished"))
        await world.restart()
        (grant,) = world.worker.status().grants
        assert (grant.by, grant.matches) == ("ann", [{"at": "/text", "prefix": "a"}])
        await world.worker.send("two")
        await world.until(run_ended("finished"), 2)
        decided = [i for i in await world.items() if isinstance(i, it.ApprovalDecided)]
        assert decided[-1].by == f"ann, by the grant at item {grant.item}"
        await world.worker.send("three")
        await decide(world, 3, approved=False)
        await world.until(run_ended("finished"), 3)
        world.clock.advance(60)
        assert world.worker.status().grants == []


async def test_the_same_call_twice_in_one_answer_is_one_question():
    twice = [*pay(), *pay(), *pay("b")]
    async with World(answers(twice, pay(), [Say("1")]), [tool("pay", "ask")]) as world:
        await world.worker.send("one")
        await world.until(ev.ApprovalRequest)
        await world.until_status("paused")
        (waiting,) = world.worker.status().approvals
        assert waiting.times == 2
        await decide(world, 1)
        await decide(world, 3)  # the other arguments
        await decide(world, 4)  # the same call in a later answer
        await world.until(run_ended("finished"))
        decided = [i for i in await world.items() if isinstance(i, it.ApprovalDecided)]
        assert decided[1].by == f"ann, asked at item {waiting.item}"
        assert await outcomes(world) == ["returned"] * 4


async def test_of_two_who_decide_at_once_one_wins_and_the_other_reads_who():
    async with World(answers(pay(), [Say("1")]), [tool("pay", "ask")]) as world:
        await world.worker.send("one")
        await world.until(ev.ApprovalRequest)
        (waiting,) = world.worker.status().approvals
        yes, no = (Decision(question=waiting.item, approved=one) for one in (True, False))
        first, second = await asyncio.gather(
            world.worker.approve(no, "ann"),
            world.worker.approve(yes, "ben"),
            return_exceptions=True,
        )
        assert first is None
        assert (second.code, second.fields["by"]) == ("worker.decided", "ann")
        await world.until(run_ended("finished"))
        await world.restart()
        with pytest.raises(WorkerError) as caught:
            await world.worker.approve(yes, "ben")
        assert caught.value.code == "worker.decided"
        assert await outcomes(world) == ["denied"]


async def test_a_decision_about_a_call_that_is_gone_never_meets_another_of_its_id():
    script = answers([CallTool("pay", '{"text":"a"}')], [CallTool("pay", '{"text":"b"}')])
    async with World(script, [tool("pay", "ask")]) as world:
        await world.worker.send("one")
        await world.until(ev.ApprovalRequest)
        (gone,) = world.worker.status().approvals
        await world.worker.cancel()
        await world.until(run_ended("cancelled"))
        await world.worker.send("two")
        await world.until(ev.ApprovalRequest, 2)
        with pytest.raises(WorkerError) as caught:
            await world.worker.approve(Decision(question=gone.item, approved=True), "ann")
        assert caught.value.code == "worker.no_approval"
        assert len(world.worker.status().approvals) == 1


async def test_a_grant_from_before_text_from_outside_covers_only_the_exact_call():
    script = answers(pay("a"), [*pay("a"), *pay("b")], [Say("1")])
    act = outside_tool("pay")
    async with World(script, [act]) as world:
        await world.worker.send("one")
        await decide(world, 1, "run")
        await decide(world, 2)  # its own answer was from outside: asked again
        await decide(world, 3)
        await world.until(run_ended("finished"))
        asked = [i.after_outside for i in await world.items() if isinstance(i, it.ApprovalAsked)]
        assert asked == [False, True, True]


@pytest.mark.parametrize(
    ("table", "at"),
    [
        ({"item": 1, "approved": "yes"}, "approved"),
        ({"approved": True}, "item"),
        ({"item": 0, "approved": True}, "item"),
        ({"item": 1, "approved": True, "scope": "matching"}, "matches"),
        ({"item": 1, "approved": True, "matches": [{"at": "", "equals": "x"}]}, "matches"),
        ({"item": 1, "approved": True, "scope": "matching", "matches": [{"at": "/a"}]}, "matches"),
        ({"item": 1, "approved": False, "scope": "run"}, "scope"),
        ({"item": 1, "approved": True, "scope": "run", "lasts_s": 5}, "lasts_s"),
        ({"item": 1, "approved": True, "scope": "exact", "lasts_s": 10**9}, "lasts_s"),
        ({"item": 1, "approved": True, "by": "root"}, "by"),
    ],
)
def test_a_decision_that_is_not_written_as_it_must_be_is_refused(table, at):
    with pytest.raises(WorkerError) as caught:
        Decision.parse(table)
    assert caught.value.code == "worker.decision"
    assert caught.value.fields["at"].startswith(at)
