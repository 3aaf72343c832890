"""O2 at its source: a snapshot and the events after it add up to the worker, at every moment.

The worker's own snapshot is made from its history; a watcher's is folded from what it hears. They
are the same, but that a live fold still shows what stood before a compaction.
"""

import asyncio
from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.event_names import event_name
from tests.workers.test_faults import Failing
from tests.workers.test_interleavings import OPS, MortalJournal, Simulation
from tests.workers.worlds import World, answers, run_ended, tool

from yoi.core.observation import WorkerView
from yoi.errors import JournalError
from yoi.limits import Limits
from yoi.protocol import events as ev
from yoi.workers.approvals import Decision
from yoi.workers.scripted import CallTool, Fail, Say, Think
from yoi.workers.worker import Worker

ECHO = CallTool("echo", '{"text":"hi"}')


def shown_since(data: ev.SnapshotData, place: int) -> list:
    return [entry for entry in data.entries if entry["seq"] >= place]


class Watch:
    """Follows a worker over the wire format, and compares at every event."""

    def __init__(self, worker: Worker, limits: Limits) -> None:
        self.worker = worker
        self.different: list[tuple[str, object, object]] = []
        self.heard: list[str] = []
        self.view = WorkerView.of(self.worker.watch(self.hear), limits)
        self.compare("watch")

    def hear(self, event: ev.Event) -> None:
        read = ev.decode_event(ev.encode_event(event))
        assert read == event
        self.view.apply(read)
        self.heard.append(event_name(event))
        if not isinstance(event, ev.Error):  # it comes just before the end of the run it explains
            self.compare(self.heard[-1])

    def compare(self, when: str) -> None:
        folded, own = self.view.snapshot().data, self.worker.snapshot().data
        since = max((e["seq"] for e in own.entries if e["type"] == "compaction"), default=0)
        pairs = [(shown_since(folded, since), shown_since(own, since))]
        pairs += [
            (getattr(folded, name), getattr(own, name))
            for name in own.__struct_fields__
            if name not in ("entries", "left_out")
        ]
        if not any(e["type"] == "compaction" for e in folded.entries):
            pairs.append((folded.left_out, own.left_out))
        self.different += [(when, ours, theirs) for ours, theirs in pairs if ours != theirs]

    def check(self) -> None:
        assert self.different == [], self.heard[-10:]
        assert self.heard, "nothing was heard: the listener was dropped"


class WatchAll:
    """Begins a new watch at every event, as the worst of clients would."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.watches = [Watch(world.worker, world.setup.limits)]
        world.worker.bus.listen(self.hear)

    def hear(self, event: ev.Event) -> None:
        if len(self.watches) < 80:
            self.watches.append(Watch(self.world.worker, self.world.setup.limits))

    def check(self) -> None:
        self.watches[0].check()
        for watch in self.watches[1:]:
            watch.compare("the end")
            assert watch.different == []


async def test_answers_thoughts_tools_and_usage():
    script = answers([Think("hm"), Say("one two"), ECHO, ECHO], [Say("done")], [])
    async with World(script, [tool()]) as world:
        everybody = WatchAll(world)
        await world.run("go")
        await world.run("again")
        await world.until_status("idle")
        everybody.check()
        data = everybody.watches[0].view.snapshot().data
        assert [entry["type"] for entry in data.entries][:3] == [
            "user_input",
            "assistant",
            "tool_result",
        ]
        assert data.usage.input_tokens > 0
        assert data.greeting.tools == ["echo"]
    everybody.check()


@pytest.mark.parametrize("approved", [True, False])
async def test_a_call_that_waits_for_a_person(approved):
    async with World(answers([ECHO], [Say("done")]), [tool(approval="ask")]) as world:
        everybody = WatchAll(world)
        await world.worker.send("go")
        await world.until_status("paused")
        everybody.check()
        (waiting,) = everybody.watches[0].view.snapshot().data.waiting
        await world.worker.approve(Decision(question=waiting.item, approved=approved), "ann")
        await world.until(run_ended("finished"))
        everybody.check()


async def test_cancelled_while_a_call_waits():
    async with World(answers([ECHO]), [tool(approval="ask")]) as world:
        everybody = WatchAll(world)
        await world.worker.send("go")
        await world.until_status("paused")
        await world.worker.cancel()
        await world.until(run_ended("cancelled"))
        await world.until_status("idle")
        everybody.check()
        assert everybody.watches[0].view.snapshot().data.waiting == []


class Stuck:
    """Says `said` and then nothing."""

    name = "stuck"

    def __init__(self, *said: ev.Event) -> None:
        self.said = said

    async def ask(self, request):
        for event in self.said:
            yield event
        await asyncio.Event().wait()

    async def close(self):
        pass


@pytest.mark.parametrize(
    "said",
    [
        [],
        [ev.TextDelta(ev.TextData(text="so far"))],
        [ev.ToolCallStart(ev.ToolCallStartData(id="1", name="echo"))],
        [
            ev.ThinkingStart(),
            ev.TextDelta(ev.TextData(text="so far")),
            ev.ToolCallStart(ev.ToolCallStartData(id="1", name="echo")),
            ev.ToolCallArgsDelta(ev.ToolArgsDeltaData(id="1", json="{")),
        ],
    ],
    ids=["nothing", "text", "a call", "all"],
)
@pytest.mark.parametrize("how", ["cancel", "stop"])
async def test_an_answer_that_is_broken_off(said, how):
    async with World(Stuck(*said), [tool()]) as world:
        everybody = WatchAll(world)
        await world.worker.send("go")
        await world.until(type(said[-1]) if said else ev.LlmCallStart)
        everybody.check()
        if how == "cancel":
            await world.worker.cancel()
            await world.until(run_ended("cancelled"))
            everybody.check()
    everybody.check()
    data = everybody.watches[0].view.snapshot().data
    assert (data.status, data.in_flight) == ("idle", None)


async def test_failures_and_retries():
    script = answers(
        [Fail("busy", retryable=True)],
        [Say("half"), Fail("broke")],
        [Fail("refused")],
        [CallTool("echo", "{nonsense"), CallTool("gone", "{}")],
    )
    async with World(script, [tool()]) as world:
        everybody = WatchAll(world)
        for _ in range(3):
            await world.run("go")
        await world.until_status("idle")
        everybody.check()
        assert "llm_retry" in everybody.watches[0].heard


async def test_a_compaction_that_succeeds_and_one_that_fails():
    script = answers([Say("a")], [Say("the "), Say("summary")], [Say("b")], [Fail("no")])
    async with World(script) as world:
        everybody = WatchAll(world)
        await world.run("go")
        await world.worker.compact()
        await world.until(ev.CompactDone)
        everybody.watches.append(Watch(world.worker, world.setup.limits))
        await world.run("again")
        await world.worker.compact()
        await world.until(ev.CompactFailed)
        everybody.check()
        data = world.worker.snapshot().data
        assert data.entries[0]["type"] == "compaction"
        assert data.left_out == data.entries[0]["seq"] - 1


async def test_alerts_beyond_what_a_snapshot_holds():
    limits = Limits(snapshot_alerts=2, worker_alerts=5)
    async with World(limits=limits) as world:
        everybody = WatchAll(world)
        for number in range(4):
            world.worker.alerts.add("info", "test", str(number))
        everybody.check()


async def test_a_history_beyond_what_a_snapshot_holds():
    limits = Limits(snapshot_entries=3, snapshot_bytes=400)
    async with World(limits=limits) as world:
        everybody = WatchAll(world)
        for number in range(4):
            await world.run(f"go {number} " + "x" * 50 * number)
        everybody.check()
        assert everybody.watches[0].view.snapshot().data.left_out > 0


async def test_tools_that_change_between_runs():
    async with World(answers([ECHO])) as world:
        everybody = WatchAll(world)
        await world.run("go")
        everybody.check()
        assert "configured" in everybody.watches[0].heard


@pytest.mark.parametrize("swallow", [True, False])
async def test_a_fault_and_what_a_person_brings_back(swallow):
    """What was remembered and what is stored may differ: then there is a snapshot in between."""
    journal = Failing()
    script = answers([ECHO], [Say("done")])

    async def fails(arguments):
        journal.swallow, journal.broken = swallow, not swallow
        return "ok"

    async with World(script, [tool(function=fails)], journal) as world:
        everybody = WatchAll(world)
        await world.worker.send("go")
        await world.until_status("paused")
        everybody.watches[0].check()
        journal.broken = False
        await world.worker.resume("ann")
        await world.until(run_ended("finished"))
        await world.until_status("idle")
        everybody.watches[0].check()
        assert "snapshot" in everybody.watches[0].heard


async def test_a_fault_while_something_is_said():
    journal = Failing()
    async with World(Stuck(ev.TextDelta(ev.TextData(text="so far"))), journal=journal) as world:
        everybody = WatchAll(world)
        await world.worker.send("go")
        await world.until(ev.TextDelta)
        journal.broken = True
        with pytest.raises(JournalError):
            await world.worker.send("more")
        everybody.watches[0].check()
        with pytest.raises(JournalError):
            await world.worker.resume("ann")
        everybody.watches[0].check()
        journal.broken = False
        await world.worker.resume("ann")
        await world.until(ev.TextDelta, 2)
        everybody.watches[0].check()


class FaultyJournal(MortalJournal):
    """May also fail: without storing, or after it."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.random = random
        self.faults = 0

    async def commit(self, appends):
        fault = self.faults and self.random.random() < 0.3
        if fault:
            self.faults -= 1
        if fault and self.random.random() < 0.5:
            raise JournalError("journal.io", "not stored")
        await super().commit(appends)
        if fault:
            raise JournalError("journal.io", "stored, and the answer lost")


class WatchedSimulation(Simulation):
    """Random histories with a watcher from each birth on, and more from any moment."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.journal = FaultyJournal(Random(seed + 1))
        self.watches: list[Watch] = []

    async def birth(self) -> None:
        self.journal.faults = 0  # a worker that cannot read its history does not start
        await super().birth()
        self.watches = [Watch(self.worker, self.world.setup.limits)]

    async def do(self, op: str, number: int) -> None:
        if op == "fault":
            self.journal.faults += 1
            op = "none"
        await super().do(op, number)
        if self.alive and self.life == self.journal.generation:
            for watch in self.watches:
                assert watch.different == [], watch.heard[-10:]
            if len(self.watches) < 8:
                self.watches.append(Watch(self.worker, self.world.setup.limits))

    async def live(self, ops: list[tuple[str, int]]) -> None:
        """Do all of `ops`, come to rest, and compare once more."""
        for op, number in ops:
            await self.do(op, number)
        self.journal.faults = 0
        await self.settle()
        await self.worker.stop()
        for watch in self.watches:
            watch.compare("the end")
            assert watch.different == [], watch.heard[-10:]


@settings(max_examples=120, phases=[Phase.reuse, Phase.generate])
@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(OPS | st.just("fault"), st.integers(0, 40)), min_size=5, max_size=40),
)
def test_every_fold_is_the_worker_at_every_moment(seed, ops):
    asyncio.run(WatchedSimulation(seed).live(ops))
