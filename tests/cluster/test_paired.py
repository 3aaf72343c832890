"""M2: who was let in by a pairing code is heard, and forgotten, on every machine."""

from dataclasses import replace

import pytest

from yoi.cluster.paired import SharedPairings
from yoi.decisions.paired import PairedSender
from yoi.errors import JournalError, TrustError, WorkerError
from yoi.journal.log import Append, LogBounds
from yoi.journal.memory import MemoryJournal
from yoi.limits import LIMITS


def sender(name, plugin="echo"):
    return PairedSender(plugin=plugin, rule="r", sender=name, worker="w", at_ms=7)


def names(store, plugin="echo"):
    return [one.sender for one in store.of_plugin(plugin)]


async def test_what_one_machine_writes_counts_on_the_others():
    journal = MemoryJournal()
    one, other = SharedPairings(journal), SharedPairings(journal)
    await one.reload()
    await one.add(sender("ann"))
    await one.add(sender(7))
    await other.refresh()
    assert names(other) == ["ann", 7]
    # Neither overwrites what the other has written meanwhile.
    await other.add(sender("eve", plugin="other"))
    assert await one.remove("echo", "7") == [sender(7)]
    assert await one.remove("echo", "7") == []
    await other.refresh()
    for store in (one, other):
        assert (names(store), names(store, "other")) == (["ann"], ["eve"])
    # Of what was there before, nothing is kept for long.
    assert (await journal.status("paired")).records == 1


async def test_of_two_that_write_at_once_the_second_writes_again():
    journal = MemoryJournal()
    one, other = SharedPairings(journal), SharedPairings(journal)
    commit, first = journal.commit, [True]

    async def contested(appends):
        if first.pop() if first else False:
            await other.add(sender("eve"))
        return await commit(appends)

    journal.commit = contested
    await one.add(sender("ann"))
    assert names(one) == ["eve", "ann"]


async def test_where_it_cannot_be_read_nobody_is_heard_until_it_can():
    journal = MemoryJournal()
    one, other = SharedPairings(journal), SharedPairings(journal)
    await one.add(sender("ann"))
    await other.remove("echo", "ann")
    status = journal.status

    async def lost(log):
        raise JournalError("journal.io", "no answer")

    journal.status = lost
    with pytest.raises(JournalError):
        await one.reload()
    assert names(one) == []
    journal.status = status
    await other.add(sender("eve"))
    await one.refresh()
    assert names(one) == ["eve"]
    head = (await journal.status("paired")).head
    await journal.commit([Append("paired", head, [b"{}"], LogBounds(8, 10_000))])
    with pytest.raises(TrustError) as damaged:
        await one.refresh()
    assert damaged.value.code == "trust.damaged"
    assert names(one) == []


async def test_as_many_as_may_be():
    one = SharedPairings(MemoryJournal(), replace(LIMITS, paired_senders=1))
    await one.add(sender("ann"))
    await one.add(sender("ann"))
    with pytest.raises(WorkerError) as refused:
        await one.add(sender("eve"))
    assert refused.value.code == "worker.pairing"
    await one.add(sender("eve", plugin="other"))
