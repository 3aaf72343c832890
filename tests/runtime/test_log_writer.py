"""D6: while a log fails, for hours, what waits to be written is bounded and keeps its order."""

import asyncio

import pytest
from tests.runtime.test_service_log import frame

from yoi.core.service_fold import ServicePicture
from yoi.errors import JournalError
from yoi.journal.memory import MemoryJournal
from yoi.limits import LIMITS
from yoi.protocol.ingress import EventKind, IngressEvent
from yoi.protocol.service_log import Closed, Handled, Opened, accepted
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
