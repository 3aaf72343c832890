"""D1: `order = "per_key"` in a running service, and over a crash of its host."""

import asyncio
import json

from tests.runtime.fakes import Bench, FakeInstance
from tests.runtime.test_durable import DyingJournal, World, let_go  # noqa: F401

from yoi.limits import Limits
from yoi.permissions import JsonPointer
from yoi.protocol.ingress import TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, HandlerFailed, Reply

AT = JsonPointer.parse("/channel")
LONG = Limits(retry_first_ms=600_000, retry_max_ms=600_000)


def text(key, number):
    return json.dumps({"channel": key, "number": number})


class Handling:
    """Fails for what is in `fails`; remembers what was handled well, and with which attempt."""

    def __init__(self, *fails):
        self.fails = set(fails)
        self.done = []
        self.attempts = []
        self.failed = []

    def __call__(self, event):
        if not isinstance(event, TextFrame):
            return NO_COMMANDS
        number = json.loads(event.text)["number"]
        if number in self.fails:
            self.failed.append(event)
            return HandlerFailed("RuntimeError", "away", "")
        self.done.append(number)
        self.attempts.append(event.attempt)
        return Reply(event.text)


async def running(bench):
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()


async def test_other_keys_go_on_while_an_event_waits_for_its_next_attempt():
    handling = Handling(0)
    bench = Bench([FakeInstance(handling)], limits=LONG, order_key=AT)
    await running(bench)
    for number, key in enumerate("abab"):
        bench.link.receive(text(key, number))
        await bench.settle()
    assert handling.done == [1, 3]
    handling.fails.clear()
    bench.service._dispatcher._release(handling.failed[0])
    await bench.settle()
    assert handling.done == [1, 3, 0, 2]
    assert handling.attempts == [1, 1, 2, 1]


async def test_a_crash_while_an_event_waits_costs_nothing_and_keeps_the_order_of_its_key():
    world, journal = World(), DyingJournal()
    handling = Handling(0)
    bench = world.bench(journal, FakeInstance(handling), limits=LONG, order_key=AT)
    await running(bench)
    for number, key in enumerate("aab"):
        bench.link.receive(text(key, number))
        await bench.settle()
    assert handling.done == [2]
    journal.dead.set()
    bench.link.receive(text("a", 3))
    await bench.settle()
    after = Handling()
    again = world.bench(journal.survivor(), FakeInstance(after), limits=LONG, order_key=AT)
    await again.service.start()
    await again.settle()
    assert after.done == [0, 1]
    assert after.attempts == [3, 2]
    await asyncio.wait_for(again.service.stop(), 60)


async def test_what_passed_a_retry_is_a_further_attempt_whatever_order_is_declared_then():
    """First tries are free: which order held before the crash is in the log."""
    limits = Limits(retry_first_ms=600_000, retry_max_ms=600_000, in_hand_events=1)
    world, journal = World(), DyingJournal()
    bench = world.bench(journal, FakeInstance(Handling(0)), limits=limits, order_key=AT)
    await running(bench)
    bench.link.receive(text("a", 0))
    await bench.settle()
    bench.link.receive(text("a", 1))
    await bench.settle()
    # The answer to what passed them is never written.
    journal.dies_at = journal.commits + 2
    bench.link.receive(text("b", 2))
    await bench.settle()
    assert journal.dead.is_set()
    # It dies once more before anything is handled: now the log was opened under another order.
    between = DyingJournal()
    between._logs = journal.survivor()._logs
    between.dies_at = 3
    second = world.bench(between, FakeInstance(Handling()), limits=limits)
    starting = asyncio.ensure_future(second.service.start())
    await second.settle()
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert between.dead.is_set()
    after = Handling()
    again = world.bench(between.survivor(), FakeInstance(after), limits=limits)
    await again.service.start()
    await again.settle()
    assert after.done == [0, 1, 2]
    assert after.attempts[0] > 1
    assert after.attempts[2] > 1
    await asyncio.wait_for(again.service.stop(), 60)
