"""A start from a checkpoint is a start from the whole history, or there is no checkpoint."""

import msgspec
import pytest
from tests.workers.test_notify import desk, note
from tests.workers.worlds import World, answers, run_ended, tool

from yoi.errors import JournalError
from yoi.journal.log import Append, LogBounds
from yoi.protocol import events as ev
from yoi.workers import checkpoint
from yoi.workers.approvals import Decision
from yoi.workers.history import History
from yoi.workers.scripted import CallTool, Say

BOUNDS = LogBounds(100, 2**20)
SUMMARIES = "summed-up:w"


class Counting:
    """A journal that says which logs were read, from where."""

    def __init__(self, journal):
        self._journal = journal
        self.read_from = []

    def __getattr__(self, name):
        return getattr(self._journal, name)

    async def read(self, log, after, limit):
        self.read_from.append((log, after))
        return await self._journal.read(log, after, limit)


def holds(transcript):
    """Return all that a transcript adds up to."""
    return {name: value for name, value in vars(transcript).items() if name != "undone"}


async def both(journal):
    """Return what a start reads, whole and from the checkpoint, and from where it read."""
    whole, kept = History(journal, "w", lambda _: None), History(journal, "w", lambda _: None)
    await whole._folded(frozenset())
    kept._journal = counting = Counting(journal)
    await kept.load()
    found = [after for log, after in counting.read_from if log == "worker:w"]
    return holds(whole.transcript), holds(kept.transcript), found


async def summed_up(world, count=1):
    await world.worker.compact()
    await world.until(ev.CompactDone, count)
    await world.until_status("idle")


@pytest.fixture
async def world():
    script = answers([CallTool("echo", '{"text":"a"}')], [Say("1")], [Say("short")], [Say("2")])
    async with World(script, [tool("echo", "ask")]) as made:
        await made.worker.send("one")
        await made.until(ev.ApprovalRequest)
        (call,) = made.worker.status().approvals
        decision = {"item": call.item, "approved": True, "scope": "exact"}
        await made.worker.approve(Decision.parse(decision), "ann")
        await made.until(run_ended("finished"))
        await desk(made).notify(note("from outside", plugin="feed"))
        await summed_up(made)
        yield made


async def test_it_is_the_same_and_what_is_summed_up_is_not_read(world):
    head = world.worker.status().items
    await world.run("two")
    whole, kept, read = await both(world.journal)
    assert kept == whole
    assert kept["grants"]
    assert kept["waiting"] == {}
    assert min(read) == head - 1  # the item that it names, then what follows
    await summed_up(world, 2)
    whole, kept, read = await both(world.journal)
    assert kept == whole
    assert (await world.journal.status(SUMMARIES)).records == 1
    before = world.worker.as_sent()
    await world.restart()
    assert world.worker.as_sent() == before


async def test_an_undone_summary_is_read_from_the_start(world):
    await world.worker.uncompact("ann")
    _, kept, read = await both(world.journal)
    assert min(read) == 0
    assert kept["summary_at"] is None
    assert "one" in str(world.worker.as_sent().messages)
    assert holds(world.worker._driver.transcript) == kept
    await summed_up(world, 2)
    _, kept, read = await both(world.journal)
    assert min(read) > 0


@pytest.mark.parametrize("damage", ["garbage", "version", "digest", "ahead"])
async def test_one_that_does_not_fit_is_not_used(world, damage):
    (record,) = await world.journal.read(SUMMARIES, 0, 1)
    good = checkpoint.decode(record.data)
    changed = {
        "garbage": b"{}",
        "version": checkpoint.encode(msgspec.structs.replace(good, version="0/0")),
        "digest": checkpoint.encode(msgspec.structs.replace(good, digest="0" * 64)),
        "ahead": checkpoint.encode(msgspec.structs.replace(good, head=good.head + 1000)),
    }[damage]
    await world.journal.commit([Append(SUMMARIES, record.seq, [changed], BOUNDS)])
    whole, kept, _ = await both(world.journal)
    assert kept == whole


async def test_without_room_for_it_the_summary_counts_all_the_same(world):
    async def full(appends):
        if appends[0].log == SUMMARIES:
            raise JournalError("journal.full", "no room")
        await commit(appends)

    commit, world.journal.commit = world.journal.commit, full
    await world.run("two")
    await summed_up(world, 2)
    whole, kept, _ = await both(world.journal)
    assert kept == whole
