"""Approvals that cover later calls: what they cover, how long, and who gave them."""

import pytest
from tests.workers.worlds import World, answers, run_ended, tool

from yoi.errors import WorkerError
from yoi.protocol import events as ev
from yoi.workers import items as it
from yoi.workers.grants import canonical
from yoi.workers.scripted import CallTool, Say


def pay(text="a"):
    return [CallTool("pay", f'{{"text":"{text}"}}')]


async def decide(world, count, scope="once", approved=True):
    await world.until(ev.ApprovalRequest, count)
    await world.until_status("paused")
    (waiting,) = world.worker.status().approvals
    await world.worker.approve(waiting.id, approved=approved, by="ann", scope=scope)


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
