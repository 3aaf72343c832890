"""A service's log over real engines: groups, fences, checkpoints, faults (D1)."""

import asyncio

import pytest

from yoi.errors import JournalError
from yoi.journal.log import Append, LogBounds
from yoi.journal.memory import MemoryJournal
from yoi.journal.sqlite import SqliteJournal
from yoi.limits import LIMITS, Limits
from yoi.protocol import service_log as log
from yoi.protocol.ingress import TextFrame
from yoi.protocol.service_log import Command, accepted
from yoi.runtime.service_log import ServiceLog
from yoi.testing.clock import ManualClock
from yoi.types import SessionId


def frame(n):
    return accepted(TextFrame("events", "gw", SessionId("s"), n, f"t{n}", n, 2))


@pytest.fixture(params=["memory", "sqlite"])
async def journal(request, tmp_path):
    made = (
        MemoryJournal()
        if request.param == "memory"
        else await SqliteJournal.open(tmp_path / "journal.db")
    )
    yield made
    await made.close()


async def opened(journal, *, limits=LIMITS, epoch=0, told=None):
    told = [] if told is None else told
    return await ServiceLog.open(
        "echo", journal, ManualClock(), told.append, epoch=epoch, limits=limits
    )


async def test_what_was_committed_is_there_again(journal):
    first = await opened(journal)
    await first.append([frame(1), frame(2)])
    await first.append([log.Handled("s.1", 1, (Command("c", "notify", {}),), {"k": "1"})])
    await first.close()
    again = await opened(journal)
    assert list(again.picture.waiting) == ["s.2"]
    assert again.picture.state == {"k": "1"}
    assert list(again.picture.unsettled) == [("s.1", "c")]
    assert again.picture.head == first.picture.head + 1
    await again.close()


async def test_appends_of_one_turn_are_one_commit_in_order(journal):
    service = await opened(journal)
    counted = []
    commit = journal.commit

    async def counting(appends):
        counted.append(len(appends[0].records))
        await commit(appends)

    journal.commit = counting
    done = [service.append([frame(n)]) for n in range(1, 101)]
    await asyncio.gather(*done)
    assert counted == [100]
    assert list(service.picture.waiting) == [f"s.{n}" for n in range(1, 101)]
    await service.close()


async def test_an_earlier_owner_is_fenced(journal):
    told = []
    stale = await opened(journal, told=told)
    await stale.append([frame(1)])
    owner = await opened(journal, epoch=3)
    with pytest.raises(JournalError) as refused:
        await stale.append([frame(2)])
    assert refused.value.code == "journal.conflict"
    assert told == [refused.value]
    with pytest.raises(JournalError):
        await stale.append([frame(3)])
    await owner.append([frame(4)])
    assert list(owner.picture.waiting) == ["s.1", "s.4"]
    again = await opened(journal)
    assert (list(again.picture.waiting), again.picture.epoch) == (["s.1", "s.4"], 3)


@pytest.mark.parametrize("records", [1, 3, 7])
async def test_checkpoints_keep_the_log_short_and_lose_nothing(journal, records):
    limits = Limits(service_checkpoint_records=records, service_part_items=2)
    service = await opened(journal, limits=limits)
    for n in range(1, 30):
        await service.append([frame(n)])
        if n % 3 == 0:
            await service.append([log.Handled(f"s.{n}", 1, (), {f"k{n % 4}": str(n)})])
        if n % 10 == 0:
            await service.append([log.Dead("s.2", "c", "m", 1)])
    await service.close()
    status = await journal.status("service:echo")
    assert status.records < 100
    again = await opened(journal)
    assert list(again.picture.waiting) == [f"s.{n}" for n in range(1, 30) if n % 3 and n != 2]
    assert list(again.picture.dead) == ["s.2"]
    assert again.picture.state == service.picture.state
    assert again.picture.checkpoint > 1


async def test_a_full_log_refuses_and_goes_on_when_there_is_room(journal):
    limits = Limits(service_log_records=10, service_checkpoint_records=1000)
    service = await opened(journal, limits=limits)
    for n in range(1, 10):
        await service.append([frame(n)])
    with pytest.raises(JournalError) as refused:
        await service.append([frame(10)])
    assert refused.value.code == "journal.full"
    assert service.fault is None
    assert len(service.picture.waiting) == 9
    await journal.trim("service:echo", 3)
    await service.append([frame(11)])
    assert "s.11" in service.picture.waiting


async def test_a_disk_that_fails_stops_the_log_and_tells_once(journal):
    told = []
    service = await opened(journal, told=told)

    async def broken(appends):
        raise JournalError("journal.io", "no")

    journal.commit = broken
    futures = [service.append([frame(n)]) for n in (1, 2)]
    for future in futures:
        with pytest.raises(JournalError, match="no"):
            await future
    with pytest.raises(JournalError, match="no"):
        await service.append([frame(3)])
    assert len(told) == 1
    assert service.picture.waiting == {}


async def test_a_log_that_does_not_keep_up_and_a_closed_one_refuse_at_once(journal):
    service = await opened(journal, limits=Limits(service_log_waiting_bytes=200))
    first = service.append([frame(1)])
    with pytest.raises(JournalError) as refused:
        await service.append([frame(n) for n in range(2, 9)])
    assert refused.value.code == "journal.full"
    await first
    with pytest.raises(JournalError) as refused:
        await service.append(
            [accepted(TextFrame("e", "g", SessionId("s"), 9, "x" * 5_000_000, 1, 1))]
        )
    assert refused.value.code == "journal.too_large"
    await service.close()
    with pytest.raises(JournalError) as refused:
        await service.append([frame(3)])
    assert refused.value.code == "journal.closed"


async def test_a_log_that_cannot_be_understood_is_not_touched(journal):
    service = await opened(journal)
    await service.close()
    await journal.commit(
        [Append("service:echo", 1, [b'{"type":"later"}'], LogBounds(100, 100_000))]
    )
    before = await journal.status("service:echo")
    with pytest.raises(JournalError) as refused:
        await opened(journal)
    assert refused.value.code == "journal.format"
    assert await journal.status("service:echo") == before


async def test_a_cancelled_caller_stops_nothing(journal):
    service = await opened(journal)
    future = service.append([frame(1)])
    task = asyncio.ensure_future(asyncio.shield(future))
    await asyncio.sleep(0)
    task.cancel()
    future.cancel()
    await service.append([frame(2)])
    assert list(service.picture.waiting) == ["s.1", "s.2"]


async def test_what_waits_behind_a_refused_append_is_refused_too(journal):
    """A smaller one would fit; but it may not stand before what came before it."""
    service = await opened(journal, limits=Limits(service_log_bytes=900, journal_batch=1))
    large = accepted(TextFrame("events", "gw", SessionId("s"), 1, "x" * 900, 1, 900))
    futures = [service.append([large]), service.append([frame(2)])]
    for future in futures:
        with pytest.raises(JournalError) as refused:
            await future
        assert refused.value.code == "journal.full"
    await service.append([frame(3)])
    assert list(service.picture.waiting) == ["s.3"]


async def test_a_log_with_much_to_read_is_closed_with_a_checkpoint(journal):
    limits = Limits(service_close_records=4)
    first = await opened(journal, limits=limits)
    await first.append([frame(1), frame(2), frame(3)])
    await first.append([log.Handled("s.1", 1, (), {"k": "1"})])
    await first.close()
    again = await opened(journal, limits=limits)
    assert again.picture.checkpoint > 0
    assert list(again.picture.waiting) == ["s.2", "s.3"]
    assert again.picture.state == {"k": "1"}
    await again.close()
    third = await opened(journal, limits=limits)
    assert third.picture.checkpoint == again.picture.checkpoint
    await third.close()
