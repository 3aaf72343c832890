"""M2: state and spent dials of a service follow it to another machine, durable ingress or not."""

import asyncio

import pytest
from tests.runtime.fakes import Bench, FakeInstance
from tests.runtime.test_service import command

from yoi.core.budget import DAY_MS, DailyBudget, Spent
from yoi.core.lifecycle import Lifecycle
from yoi.errors import JournalError
from yoi.journal.memory import MemoryJournal
from yoi.journal.ownership import SoleOwner
from yoi.journal.state import StateStore
from yoi.limits import Limits
from yoi.protocol.ingress import TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, Commands
from yoi.runtime.kept_dials import KeptDials
from yoi.runtime.service_log import folded

NOW = Limits(retry_first_ms=0, kept_state_ms=1, service_log_retry_ms=1, state_keys=1024)
SPENT = Spent(20_000, 7)


class Machine(SoleOwner):
    """One machine of several: its own state file, and the epoch under which it owns."""

    shared = True

    def __init__(self, journal, epoch, state=None):
        self.journal, self.state = journal, state or StateStore(None, NOW)
        self._epoch, self.lost = epoch, asyncio.Event()

    def epoch(self, log):
        return self._epoch

    def fenced(self, log, epoch):
        self.lost.set()

    async def start(self, durable=False):
        self.bench = Bench(
            [FakeInstance(keeping)], limits=NOW, durable=durable, journal=self.journal,
            state=self.state, ownership=self,
        )  # fmt: skip
        await self.bench.service.start()
        if self.bench.links:
            self.bench.link.arrive()
        await self.bench.settle()
        return self

    async def hears(self, text):
        self.bench.link.receive(text)
        await self.bench.settle()

    @property
    def dials(self):
        return KeptDials(self.state, "echo")


def keeping(event):
    if not isinstance(event, TextFrame):
        return NO_COMMANDS
    key, _, value = event.text.partition("=")
    return Commands([command(event, "state_set", {"key": key, "value": value}, "s")])


async def until_logged(journal, true):
    """Wait until `true` is of what the log adds up to, and return that."""
    async with asyncio.timeout(30):
        while True:
            picture = await folded(journal, "service:echo", "echo", NOW)
            if true(picture):
                return picture
            await asyncio.sleep(0.001)


async def test_state_of_a_plugin_in_memory_follows_it_and_the_machine_before_is_refused():
    journal = MemoryJournal()
    a = await Machine(journal, 1).start()
    await a.hears("k=one")
    await a.hears("gone=x")
    await until_logged(journal, lambda one: "gone" in one.state)
    # It dies here, and another machine has never heard of it.
    b = await Machine(journal, 2).start()
    assert dict(b.state.all("echo")) == {"k": '"one"', "gone": '"x"'}
    await b.hears("k=two")
    await until_logged(journal, lambda one: one.state["k"] == '"two"')
    # The first one was only stopped: what it still keeps is refused.
    await a.hears("k=stale")
    async with asyncio.timeout(30):
        await a.lost.wait()
    await b.bench.service.stop()
    # Back on the first machine: its own file is older than the log.
    back = await Machine(journal, 3, a.state).start()
    assert back.state.get("echo", "k") == '"two"'
    for one in (a, back):
        await one.bench.service.stop()


@pytest.mark.parametrize("durable", [False, True])
async def test_a_budget_of_dials_that_is_spent_is_spent_on_every_machine(durable):
    journal = MemoryJournal()
    a = await Machine(journal, 1).start(durable)
    await asyncio.get_running_loop().run_in_executor(None, a.dials.keep, "gateway", SPENT)
    await until_logged(journal, lambda one: one.dials == {"gateway": (20_000, 7)})
    b = Machine(journal, 2)
    b.dials.keep("gateway", Spent(20_000, 3))  # of an hour ago, when it was here
    await b.start(durable)
    assert b.dials.of("gateway") == SPENT
    noon = 20_000 * DAY_MS + DAY_MS // 2
    assert DailyBudget(7, b.dials.of("gateway")).wait_ms(noon) == DAY_MS // 2
    # Where more was spent here than the log knows, that is written.
    c = Machine(journal, 3)
    c.dials.keep("gateway", Spent(20_001, 1))
    await c.start(durable)
    await until_logged(journal, lambda one: one.dials == {"gateway": (20_001, 1)})
    for one in (a, b, c):
        await one.bench.service.stop()


async def test_the_same_machine_after_a_crash_has_what_it_had_itself():
    journal = MemoryJournal()
    a = await Machine(journal, 1).start()
    await a.hears("k=one")
    await until_logged(journal, lambda one: one.state == {"k": '"one"'})
    # In the file, and on its way to the log when the host is killed.
    survivor = StateStore(None, NOW)
    for owner in ("echo", "echo#log"):
        for key, value in a.state.all(owner).items():
            survivor.set(owner, key, value)
    survivor.set("echo", "k", '"two"')
    survivor.set("echo", "new", "1")
    again = await Machine(journal, 2, survivor).start()
    assert dict(again.state.all("echo")) == {"k": '"two"', "new": "1"}
    await until_logged(journal, lambda one: one.state == {"k": '"two"', "new": "1"})
    for one in (a, again):
        await one.bench.service.stop()


class Refusing(MemoryJournal):
    """Takes nothing for a while."""

    refuses = False

    async def commit(self, appends):
        if self.refuses:
            raise JournalError("journal.io", "not now")
        await super().commit(appends)


async def test_a_log_that_fails_costs_the_service_nothing_and_catches_up():
    journal = Refusing()
    a = await Machine(journal, 1).start()
    journal.refuses = True
    for number in range(300):
        await a.hears(f"k{number % 3}={number}")
    assert a.bench.service.status().lifecycle == Lifecycle.RUNNING
    assert a.bench.codes().count("journal.io") == 1
    journal.refuses = False
    wanted = {"k0": '"297"', "k1": '"298"', "k2": '"299"'}
    picture = await until_logged(journal, lambda one: one.state == wanted)
    # Few records, however many changes: what changed meanwhile went together.
    assert picture.head < 20
    await a.hears("k0=last")
    await a.bench.service.stop()
    assert (await folded(journal, "service:echo", "echo", NOW)).state["k0"] == '"last"'


async def test_without_its_log_a_service_does_not_dial():
    journal = Refusing()
    journal.refuses = True
    a = await Machine(journal, 1).start()
    assert a.bench.links == []
    assert a.bench.service.status().lifecycle == Lifecycle.FAILED
    await a.bench.service.stop()


async def test_a_host_by_itself_has_no_log_for_it():
    journal = MemoryJournal()
    bench = Bench([FakeInstance(keeping)], limits=NOW, journal=journal)
    await bench.service.start()
    bench.link.arrive()
    bench.link.receive("k=one")
    await bench.settle()
    await bench.service.stop()
    assert await journal.logs() == []


async def test_a_host_by_itself_goes_on_with_logs_that_were_moved_to_it():
    journal = MemoryJournal()
    a = await Machine(journal, 1).start()
    await a.hears("k=one")
    await a.bench.service.stop()
    alone = Machine(journal, 0)
    alone.shared = False
    await alone.start()
    assert dict(alone.state.all("echo")) == {"k": '"one"'}
    await alone.hears("k=two")
    await until_logged(journal, lambda one: one.state == {"k": '"two"'})
    await alone.bench.service.stop()
