"""D6: while a log fails, for hours, what waits to be written is bounded and keeps its order."""

import asyncio
from dataclasses import replace

import pytest
from tests.runtime.test_service_log import frame

from yoi.core.service_fold import ServicePicture
from yoi.errors import JournalError
from yoi.journal.memory import MemoryJournal
from yoi.journal.ownership import SoleOwner
from yoi.limits import LIMITS
from yoi.protocol.ingress import EventKind, IngressEvent
from yoi.protocol.service_log import (
    Closed,
    Dead,
    Handled,
    Opened,
    Replayed,
    TimerAt,
    accepted,
)
from yoi.runtime.log_writer import LogWriter
from yoi.testing import ManualClock


class FailingJournal(MemoryJournal):
    """Takes nothing while `fails`, though what it refuses first may be `stored` all the same."""

    def __init__(self):
        super().__init__()
        self.fails = False
        self.stored = False

    async def commit(self, appends):
        if not self.fails:
            await super().commit(appends)
            return
        if self.stored:
            self.stored = False
            await super().commit(appends)
        raise JournalError("journal.io", "the disk is gone")


class Written:
    """A writer over a journal that fails when told so, and what it said."""

    def __init__(self):
        self.journal = FailingJournal()
        self.failed = asyncio.Event()
        self.told = []
        self.writer = LogWriter(
            "echo",
            self.journal,
            ManualClock(),
            asyncio.get_running_loop(),
            LIMITS,
            lambda _: self.failed.set(),
            lambda: None,
            self.told.append,
            {},
            SoleOwner(),
        )

    async def fail(self, entry, then=None):
        """Put `entry`, with which the journal begins to fail."""
        self.journal.fails = True
        self.writer.put(entry, then)
        await self.failed.wait()

    async def again(self) -> ServicePicture:
        """Let the journal work; return the picture once everything that waited is written."""
        self.journal.fails = False
        await self.writer.reopen()
        return await self.written()

    async def written(self) -> ServicePicture:
        """Return the picture once everything that was put is written."""
        written = asyncio.Event()
        self.writer.after(written.set)
        await written.wait()
        return self.writer.picture

    @property
    def waiting(self):
        return len(self.writer._open) + len(self.writer._later)


def told(event_id, **payload):
    return IngressEvent(
        kind=EventKind.GAP,
        source="websocket:gateway",
        ingress_name="events",
        payload={"connection": "gateway", **payload},
        created_at="",
        correlation_id=event_id,
    )


@pytest.fixture
async def written():
    made = Written()
    await made.writer.open()
    yield made
    await made.writer.close()
    assert made.told == []


async def test_sessions_that_come_and_go_meanwhile_leave_nothing(written):
    await written.fail(Opened("gateway", "s0", 1))
    before = written.waiting
    for number in range(1, 2000):
        written.writer.put(Closed("gateway", f"s{number - 1}", number))
        written.writer.put(Opened("gateway", f"s{number}", number))
        written.writer.put(accepted(told("gap", until_ms=number)))
    assert written.waiting <= before + 3
    picture = await written.again()
    assert list(picture.sessions) == ["s1999"]
    assert picture.waiting["gap"].entry.event.payload["until_ms"] == 1999


@pytest.mark.parametrize("stored", [False, True])
async def test_a_session_whose_beginning_may_be_in_the_log_is_closed_there(written, stored):
    written.journal.stored = stored
    await written.fail(Opened("gateway", "s0", 1))
    written.writer.put(Closed("gateway", "s0", 2))
    picture = await written.again()
    assert picture.sessions == {}


async def test_an_event_that_another_one_tells_of_is_let_go_at_once(written):
    await written.fail(frame(1))
    followed = []
    written.writer.put(accepted(told("a")), lambda: followed.append("a"))
    written.writer.put(Handled("a"))
    assert followed == ["a"]
    written.writer.put(accepted(told("b")), lambda: followed.append("b"))
    written.writer.put(accepted(told("b", more=1)))
    picture = await written.again()
    assert followed == ["a", "b"]
    assert list(picture.waiting) == [frame(1).event_id, "b"]
    assert picture.waiting["b"].entry.event.payload["more"] == 1


async def test_an_answer_is_never_taken_for_needless(written):
    await written.fail(frame(1))
    written.writer.put(frame(2))
    written.writer.put(Handled(frame(2).event_id, state={"key": "1"}))
    picture = await written.again()
    assert picture.state == {"key": "1"}


async def test_what_changed_of_committed_events_meanwhile_is_written(written):
    for event_id in ("grows", "goes"):
        written.writer.put(accepted(told(event_id)))
    await written.written()
    await written.fail(frame(1))
    written.writer.put(accepted(told("grows", more=1)))
    written.writer.put(Handled("goes"))
    picture = await written.again()
    assert picture.waiting["grows"].entry.event.payload["more"] == 1
    assert "goes" not in picture.waiting


class GatedJournal(FailingJournal):
    """Lets each commit through only when told, with or without success."""

    def __init__(self):
        super().__init__()
        self.waiting = []
        self.asked = asyncio.Event()

    async def commit(self, appends):
        gate = asyncio.get_running_loop().create_future()
        self.waiting.append(gate)
        self.asked.set()
        if await gate:
            await super().commit(appends)
        else:
            raise JournalError("journal.io", "the disk is gone")

    async def next(self, well):
        while not self.waiting:
            self.asked.clear()
            await self.asked.wait()
        self.waiting.pop(0).set_result(well)
        for _ in range(20):
            await asyncio.sleep(0)


async def gated():
    made = Written()
    made.journal = made.writer._journal = GatedJournal()
    opening = asyncio.ensure_future(made.writer.open())
    await made.journal.next(True)
    await opening
    return made


async def put_turns(made, names):
    """Put an event in each of several turns of the loop: each is an append of its own."""
    for name in names:
        made.writer.put(accepted(told(name)))
        for _ in range(5):
            await asyncio.sleep(0)


async def test_what_was_put_while_a_commit_failed_comes_after_what_failed():
    """In the order in which it was put: what was on its way, and what was not yet."""
    made = await gated()
    await put_turns(made, ["a", "b", "c"])
    made.journal.waiting[0].set_result(False)
    # In the turn in which the failure is heard of.
    made.writer.put(accepted(told("d")))
    await made.failed.wait()
    made.writer.put(accepted(told("e")))
    reopening = asyncio.ensure_future(made.writer.reopen())
    made.journal.waiting.clear()
    await made.journal.next(True)
    await reopening
    await made.journal.next(True)
    picture = await made.written()
    assert list(picture.waiting) == ["a", "b", "c", "d", "e"]
    await made.writer.close()


async def test_what_was_on_its_way_when_a_later_record_was_refused_is_known_before_the_next_owner():
    """A refusal at once overtakes a commit that is under way; it must not be taken for lost."""
    made = await gated()
    made.writer._log._limits = replace(LIMITS, service_log_waiting_bytes=150)
    await put_turns(made, ["a"])
    await put_turns(made, ["b", "c"])
    assert made.failed.is_set()
    reopening = asyncio.ensure_future(made.writer.reopen())
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(made.journal.waiting) == 1, "the log is not opened before that is known"
    for _ in range(2):
        await made.journal.next(True)
    await reopening
    await made.journal.next(True)
    picture = await made.written()
    assert list(picture.waiting) == ["a", "b", "c"]
    await made.writer.close()


@pytest.mark.parametrize("stored", [False, True])
async def test_an_answer_is_in_the_log_once_whatever_was_stored_of_it(written, stored):
    """Also one without commands: its timer must not be set again after it has fired."""
    written.writer.put(accepted(told("e")))
    await written.written()
    ran = []
    answer = Handled("e", timers=(TimerAt("events", "t", 5),))
    written.journal.stored = stored
    written.journal.fails = True
    written.writer.put(answer, lambda: ran.append("then"), accepted=True)
    await written.failed.wait()
    written.journal.fails = False
    taken_back = await written.writer.reopen()
    assert (taken_back, ran) == (([], ["then"]) if stored else (["e"], []))
    picture = await written.written()
    records = await written.journal.read("service:echo", 0, 100)
    assert sum(b'"handled"' in one.data for one in records) == stored
    assert (picture.timers == {}) is not stored


async def test_an_answer_to_a_replayed_letter_waits_for_the_word_that_replays_it(written):
    """Neither was stored: the letter is still one, and the answer may not be taken for there."""
    written.writer.put(accepted(told("e")))
    written.writer.put(Dead("e", "c", "m", 1))
    await written.written()
    ran = []
    written.journal.fails = True
    written.writer.put(Replayed("e"))
    written.writer.put(Handled("e"), lambda: ran.append("then"), accepted=True)
    await written.failed.wait()
    written.journal.fails = False
    assert await written.writer.reopen() == []
    picture = await written.written()
    assert (ran, picture.dead, picture.waiting) == (["then"], {}, {})
