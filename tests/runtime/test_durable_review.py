"""D1, D2: schedules that were thought of while the durable path was read; each was wrong once."""

import asyncio

import pytest
from tests.runtime.fakes import FakeInstance
from tests.runtime.test_durable import DyingJournal, FullJournal, World, counting, let_go  # noqa: F401
from tests.runtime.test_durable_requests import Asking, Server, api
from tests.runtime.test_service import command

from yoi.core.lifecycle import Lifecycle
from yoi.errors import ServiceError
from yoi.journal.memory import MemoryJournal
from yoi.limits import Limits
from yoi.protocol.ingress import TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, Commands


async def test_what_lifecycle_events_have_merged_into_is_written_once():
    """A timer that fires afterwards wrote the merged event again, though it had been handled."""

    def setting(event):
        if isinstance(event, TextFrame):
            return Commands([command(event, "timer_set", {"name": "t", "after_ms": 60_000})])
        return NO_COMMANDS

    limits = Limits(retry_first_ms=0, queue_lifecycle_events=4)
    bench = World().bench(MemoryJournal(), FakeInstance(setting), limits=limits)
    await bench.service.start()
    bench.link.arrive()
    bench.link.receive("a")
    await bench.settle()
    bench.turns.hold()
    for number in range(12):
        bench.link.adapter.gap("session1", number, number + 1, "lost")
    await asyncio.sleep(0)
    assert bench.service._queue.merged is not None
    bench.turns.release()
    await bench.settle()
    picture = bench.service._durability._writer.picture
    assert picture.waiting == {}
    bench.service._executor._timer_due("events", "t")
    await bench.settle()
    assert picture.waiting == {}
    assert picture.timers == {}
    await bench.service.stop()


async def test_an_answer_that_comes_when_the_service_has_stopped_stops_nothing_later():
    """It was queued, and waited for ever for a log that was closed; so did all behind it."""
    world, journal, server = World(), DyingJournal(), Server()
    first, second = Asking(), Asking()
    bench = world.bench(
        journal, FakeInstance(first), FakeInstance(second), asked=api(), send=server.send
    )
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    bench.link.receive("go")
    await bench.settle()
    answer, bench.service._executor.stop = bench.service._executor.stop, lambda: None
    await bench.service.stop()
    server.open.set()
    await bench.settle()
    answer()
    await bench.service.start()
    bench.link._count = 10
    bench.link.arrive()
    bench.link.receive("more")
    await bench.settle()
    assert second.answers[0] == (False, "service.effect_unknown")
    assert (True, None) in second.answers, "what came later is handled"
    await bench.service.stop()


async def test_a_tool_s_caller_is_answered_where_its_record_is_never_written():
    """The log fails, and the service is stopped before it takes records again."""
    world, journal = World(), FullJournal()
    instance = FakeInstance(counting)
    instance.call_tool = lambda name, work, budget, *_: (
        '{"output_commands": [{"kind": "notify", "payload": {"worker": "w", "text": "x"}}]}'
    )
    bench = world.bench(journal, instance)
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    journal.full = True
    call = asyncio.ensure_future(bench.service.call_tool("t", {}))
    await bench.settle()
    assert not call.done()
    assert bench.service.lifecycle is Lifecycle.FAILED
    await bench.service.stop()
    with pytest.raises(ServiceError) as refused:
        await asyncio.wait_for(call, 60)
    assert refused.value.code == "service.stopping"
    assert world.workers.told == {}


async def test_what_ended_while_the_log_was_away_is_not_unknown_later():
    """A command whose end came while nothing could be written was reported by the next host."""
    world, journal, server = World(), FullJournal(), Server()
    asking, after = Asking(), Asking()
    bench = world.bench(
        journal, FakeInstance(asking), FakeInstance(asking), asked=api(), send=server.send
    )
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    bench.link.receive("go")
    await bench.settle()
    journal.full = True
    server.open.set()
    await bench.settle()
    assert bench.service.lifecycle is Lifecycle.FAILED
    journal.full = False
    bench.service._restarts.cancel()
    bench.service._restarts.due()
    await bench.settle()
    assert asking.answers == [(True, None)]
    await bench.service.stop()
    later = world.bench(journal, FakeInstance(after), asked=api(), send=server.send)
    await later.service.start()
    await later.settle()
    assert after.answers == []
    assert later.service.status().counters.commands_unknown == 0
    await later.service.stop()
