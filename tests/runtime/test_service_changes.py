"""Two people, a reload and a fault at the same moment: one wins, nothing is left over."""

import asyncio
import sqlite3

import pytest
from tests.runtime.fakes import Bench, FakeInstance

from yoi.core.lifecycle import Lifecycle
from yoi.errors import GuestRefused, GuestTrapped, ServiceError
from yoi.limits import Limits
from yoi.permissions.connection_settings import OnFull
from yoi.protocol.commands import OutputCommand
from yoi.protocol.ingress import EventKind, TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, AnswerRefused, Commands, Reply
from yoi.runtime.service_manager import ServiceManager
from yoi.runtime.services import Services


def echo(event):
    return Reply(event.text) if isinstance(event, TextFrame) else NO_COMMANDS


async def running(*instances, **options) -> Bench:
    bench = Bench(instances, **options)
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    return bench


def ask(event, *items):
    return Commands(
        [
            OutputCommand(
                correlation_id="x",
                source_event_id=event.event_id,
                command_id=f"c{n}",
                kind=kind,
                payload=payload,
                requested_at="2026-01-01T00:00:00Z",
            )
            for n, (kind, payload) in enumerate(items)
        ]
    )


async def test_of_two_restarts_at_once_one_is_refused():
    """S3: one instance per plugin, whoever asks."""
    instances = [FakeInstance(echo) for _ in range(3)]
    bench = await running(*instances)
    outcomes = await asyncio.gather(
        bench.service.restart(), bench.service.restart(), return_exceptions=True
    )
    assert [getattr(one, "code", None) for one in outcomes] == [None, "service.not_running"]
    assert [one.calls for one in instances] == [["start", "stop", "close"], ["start"], []]


async def test_a_stop_during_a_restart_waits_for_it_and_wins():
    instances = [FakeInstance(echo) for _ in range(2)]
    bench = await running(*instances)
    await asyncio.gather(bench.service.restart(), bench.service.stop())
    assert bench.service.lifecycle is Lifecycle.STOPPED
    assert [one.calls for one in instances] == [["start", "stop", "close"]] * 2


async def test_a_restart_that_is_due_during_a_stop_does_not_come():
    def trap(event):
        raise GuestTrapped("sandbox.trap", "unreachable")

    bench = await running(
        FakeInstance(trap), FakeInstance(echo), limits=Limits(restart_first_ms=1, restart_max_ms=1)
    )
    bench.link.receive("x")
    await bench.diagnostics.until(lambda: "notice.restart" in bench.codes())
    await bench.service.stop()
    await bench.settle()
    assert bench.service.lifecycle is Lifecycle.STOPPED


async def test_nothing_more_is_read_while_a_stop_drains():
    """W8: a flood must not hold a shutdown up until its bound."""
    bench = await running(FakeInstance(echo), max_events=8)
    bench.turns.hold()
    for n in range(8):
        bench.link.receive(str(n))
    link = bench.link
    stopping = asyncio.create_task(bench.service.stop())
    await bench.settle()
    bench.turns.release()
    await stopping
    assert "resume" not in link.log
    assert link.log[-1] == "close 1001"
    assert [text for _, text in link.sent] == [str(n) for n in range(8)]


async def test_a_restart_that_is_due_after_a_person_was_quicker_does_not_come():
    instances = [FakeInstance(echo) for _ in range(2)]
    bench = await running(*instances)
    bench.service._restarts.due()
    await bench.settle()
    assert bench.service.lifecycle is Lifecycle.RUNNING
    assert instances[1].calls == []


async def test_a_retired_service_cannot_be_started_again():
    """P3: a control call that comes late does not bring a disabled plugin back."""
    bench = await running(FakeInstance(echo), FakeInstance(echo))
    await bench.service.retire(reason="disabled")
    with pytest.raises(ServiceError) as refused:
        await bench.service.restart()
    assert refused.value.code == "service.stopping"
    await bench.service.start()
    assert bench.service.lifecycle is Lifecycle.STOPPED


async def test_a_host_that_stops_starts_nothing_more():
    """A shutdown during an apply: what has not started is left alone."""
    bench = Bench([FakeInstance(echo)])
    services = Services()
    host = ServiceManager(services, bench.around)
    bench.turns.hold()
    applying = asyncio.create_task(host.apply([bench.spec]))
    await asyncio.sleep(0)
    stopping = asyncio.create_task(host.stop())
    await bench.settle()
    bench.turns.release()
    await asyncio.gather(applying, stopping)
    (service,) = services
    assert service.lifecycle is Lifecycle.STOPPED
    with pytest.raises(ServiceError):
        await host.apply([bench.spec])


async def test_events_behind_a_tool_that_traps_lose_no_attempt():
    """S5: an attempt counts only when the event was tried."""
    first, second = FakeInstance(echo), FakeInstance(echo)

    def call_tool(name, input_json, budget_ms, call_id):
        def gone(events, budget_ms):
            raise GuestTrapped("sandbox.gone", "the instance has been discarded")

        first.dispatch = gone
        raise GuestTrapped("sandbox.trap", "unreachable")

    first.call_tool = call_tool
    bench = await running(first, second, limits=Limits(restart_first_ms=1, restart_max_ms=1))
    second.seen.clear()
    bench.turns.hold()
    calling = asyncio.create_task(bench.service.call_tool("t", {}))
    await bench.settle()
    bench.link.receive("a")
    bench.link.receive("b")
    await bench.settle()
    bench.turns.release()
    with pytest.raises(GuestTrapped):
        await calling
    await bench.diagnostics.until(lambda: bench.codes().count("notice.lifecycle") == 2)
    await bench.settle()
    assert [text for _, text in bench.link.sent] == ["a", "b"]
    assert {attempt for _, attempt in second.seen} == {1}


async def test_a_late_trap_of_an_old_instance_does_not_cost_the_new_one():
    old, new = FakeInstance(echo), FakeInstance(echo)

    def call_tool(name, input_json, budget_ms, call_id):
        raise GuestTrapped("sandbox.gone", "the instance has been discarded")

    old.call_tool = call_tool
    bench = await running(old, new)
    bench.turns.hold()
    calling = asyncio.create_task(bench.service.call_tool("t", {}))
    await bench.settle()
    restarting = asyncio.create_task(bench.service.restart())
    await bench.settle()
    bench.turns.release()
    with pytest.raises(GuestTrapped):
        await calling
    await restarting
    assert bench.service.lifecycle is Lifecycle.RUNNING
    assert new.calls == ["start"]


async def test_a_tool_that_does_not_answer_in_json_is_refused():
    instance = FakeInstance(echo)
    instance.call_tool = lambda *_: "["
    bench = await running(instance)
    with pytest.raises(GuestRefused) as refused:
        await bench.service.call_tool("t", {})
    assert refused.value.code == "sandbox.answer_malformed"


async def test_a_replay_without_room_keeps_the_letter():
    """No event is lost because a person asked for it at a bad moment."""
    bench = await running(
        FakeInstance(
            lambda e: (
                AnswerRefused("sandbox.answer_malformed", "bad")
                if isinstance(e, TextFrame)
                else NO_COMMANDS
            )
        ),
        max_events=4,
        limits=Limits(queue_overdraft_bytes=1),
    )
    bench.link.receive("x" * 1000)
    await bench.settle()
    (letter,) = bench.service.dead_letters
    account = bench.service._queue.account("events")
    account.max_bytes, account.high_bytes = 500, 250
    account.overdrawn.add("gateway")  # one frame beyond the bound is let in, no second
    with pytest.raises(ServiceError) as refused:
        bench.service.replay(letter.event.event_id)
    assert refused.value.code == "service.queue_full"
    assert bench.service.dead_letters == (letter,)
    assert letter.event.attempt == 1


async def test_a_defect_while_carrying_out_costs_one_command():
    """S8: a disk that fails under `state_set` must not stand the queue still."""
    bench = await running(
        FakeInstance(
            lambda e: (
                ask(
                    e,
                    ("state_set", {"key": "k", "value": 1}),
                    ("websocket_send", {"text": e.text}),
                )
                if isinstance(e, TextFrame)
                else NO_COMMANDS
            )
        )
    )

    def full(*args):
        raise sqlite3.OperationalError("database or disk is full")

    bench.around.state.set = full
    for text in "ab":
        bench.link.receive(text)
    await bench.settle()
    assert [text for _, text in bench.link.sent] == ["a", "b"]
    assert bench.service.status().counters.commands_failed == 2
    assert bench.codes().count("usage.internal") == 2


async def test_a_plugin_that_loads_in_an_unforeseen_way_fails_alone():
    """S8: nothing that one package does ends the host."""
    bench = Bench([OSError(28, "No space left on device")])
    await bench.service.start()
    assert bench.service.lifecycle is Lifecycle.FAILED
    assert bench.service.status().last_error_code == "usage.internal"
    await bench.service.stop()


async def test_a_flood_of_refusals_is_counted_not_told_one_by_one():
    """S8, S9: bounded lines on the operator's screen."""
    bench = await running(
        FakeInstance(
            lambda e: (
                ask(e, *[("websocket_send", {"text": "x", "connection": "no"})] * 64)
                if isinstance(e, TextFrame)
                else NO_COMMANDS
            )
        ),
        deliver=frozenset({EventKind.TEXT}),
        overflow=OnFull.PAUSE,
    )
    for _ in range(20):
        bench.link.receive("x")
    await bench.settle()
    denied = [d for d in bench.diagnostics if d.code == "denied.not_requested"]
    assert len(denied) == Limits().diagnostics_per_second
    assert bench.service.status().counters.commands_denied == 20 * 64
    bench.clock.advance(1.0)
    held_back = [d for d in bench.service.status().diagnostics if "held_back" in d.fields]
    assert [d.fields["held_back"] for d in held_back] == [20 * 64 - len(denied)]
