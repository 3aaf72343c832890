"""A journal that fails stops a worker visibly, and a person brings it back without a lie."""

import asyncio

import pytest
from tests.workers.worlds import World, answers, run_ended, tool

from yoi.errors import JournalError
from yoi.journal.memory import MemoryJournal
from yoi.protocol import events as ev
from yoi.workers import items as it
from yoi.workers.scripted import CallTool, Say

ECHO = CallTool("echo", '{"text":"hi"}')


class Failing(MemoryJournal):
    """Fails commits while `broken`; `swallow` fails one after it was stored."""

    broken = False
    swallow = False

    async def commit(self, appends):
        if self.broken:
            raise JournalError("journal.io", "the disk is full")
        await super().commit(appends)
        if self.swallow:
            self.swallow = False
            raise JournalError("journal.io", "the answer was lost")


async def test_a_full_disk_pauses_the_worker_and_resume_goes_on():
    journal = Failing()

    async def fill(arguments):
        journal.broken = True
        return "ok"

    async with World(answers([ECHO], [Say("done")]), [tool(function=fill)], journal) as world:
        await world.worker.send("go")
        await world.until_status("paused")
        assert world.worker.status().paused_by == "fault"
        assert "the disk is full" in world.worker.status().last_error
        assert any(isinstance(e, ev.Alert) and e.data.level == "error" for e in world.heard)
        with pytest.raises(JournalError):
            await world.worker.send("more")
        with pytest.raises(JournalError):
            await world.worker.resume("ann")  # still full
        journal.broken = False
        await world.worker.resume("ann")
        await world.until(run_ended("finished"))
        results = [i for i in await world.items() if isinstance(i, it.ToolResult)]
        # The tool did run, but nobody could record it: that is what history says.
        assert [r.outcome for r in results] == ["interrupted"]


async def test_a_commit_whose_answer_was_lost_is_found_again():
    journal = Failing()
    async with World(answers([Say("done")]), journal=journal) as world:
        journal.swallow = True
        with pytest.raises(JournalError):
            await world.worker.send("go")
        assert world.worker.status().paused_by == "fault"
        await world.worker.resume("ann")
        await world.until(ev.RunEnd)
        assert sum(isinstance(i, it.UserInput) for i in await world.items()) == 1


async def test_a_fault_during_a_call_drops_what_the_call_brings_later():
    journal = Failing()
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(arguments):
        begun.set()
        await go.wait()
        return "late"

    async with World(answers([ECHO], [Say("done")]), [tool(function=slow)], journal) as world:
        await world.worker.send("go")
        await begun.wait()
        journal.swallow = True
        with pytest.raises(JournalError):
            await world.worker.send("second")
        await world.worker.resume("ann")
        go.set()
        await world.until(ev.RunEnd, 2)
        results = [i for i in await world.items() if isinstance(i, it.ToolResult)]
        assert [r.outcome for r in results] == ["interrupted"]


async def test_a_defect_in_an_engine_pauses_and_does_not_hang():
    class Broken:
        name = "broken"

        async def ask(self, request):
            raise RuntimeError("a defect")
            yield

        async def close(self):
            pass

    async with World(Broken()) as world:
        await world.worker.send("go")
        await world.until_status("paused")
        assert "a defect" in world.worker.status().last_error


async def test_a_run_that_is_interrupted_again_and_again_waits_for_a_person():
    class Endless:
        name = "endless"

        async def ask(self, request):
            yield ev.TextDelta(ev.TextData(text="a"))
            await asyncio.Event().wait()

        async def close(self):
            pass

    async with World(Endless()) as world:
        await world.worker.send("go")
        for number in range(4):
            await world.until(ev.TextDelta, number + 1)
            await world.restart()
        await world.until_status("paused")
        assert "too often" in world.worker.status().paused_by
        await world.worker.resume("ann")
        await world.until(ev.TextDelta, 5)
