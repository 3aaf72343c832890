"""Tool calls of a service with fakes all round: deferred, completed, and found after a crash.

With real parts: test_deferred.py.
"""

import asyncio
import json

import pytest
from tests.runtime.fakes import Bench, FakeInstance
from tests.runtime.test_durable import HANGING, DyingJournal, EffectlessJournal, World
from tests.runtime.test_service import command, running

from yoi.errors import GuestRefused, GuestTrapped, ServiceError, YoiError
from yoi.limits import Limits
from yoi.protocol.ingress import TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, Commands


@pytest.fixture(autouse=True)
async def let_go():
    """End the hosts that a test left hanging."""
    yield
    while HANGING:
        HANGING.pop().set()
        for _ in range(20):
            await asyncio.sleep(0)


def completing(event):
    """Complete the call q1 with the text of a frame."""
    if not isinstance(event, TextFrame):
        return NO_COMMANDS
    payload = {"call": "q1", "result": {"summary": event.text}}
    return Commands([command(event, "tool_complete", payload)])


def deferring(*commands, call_id="q1", timeout_ms=60_000):
    """Return an instance whose tool defers each call, as a component's does."""
    instance = FakeInstance(completing)
    answer = {
        "defer": {"id": call_id, "timeout_ms": timeout_ms},
        "output_commands": [
            {"kind": kind, "payload": payload, "command_id": command_id}
            for kind, payload, command_id in commands
        ],
    }
    instance.call_tool = lambda *_: json.dumps(answer)  # type: ignore[method-assign]
    return instance


async def called(bench: Bench) -> "asyncio.Task[object]":
    """Return a call that the guest has deferred."""
    made = asyncio.ensure_future(bench.service.call_tool("t", {}))
    await bench.settle()
    return made


SEND = ("websocket_send", {"text": "ask", "connection": "gateway"}, "c1")
ELSEWHERE = ("websocket_send", {"text": "ask", "connection": "elsewhere"}, "c2")


@pytest.mark.parametrize("durable", [False, True])
async def test_a_call_is_kept_open_and_completed_by_a_later_answer(durable):
    bench = await running(deferring(SEND, ELSEWHERE), durable=durable)
    call = await called(bench)
    assert [text for _, text in bench.link.sent] == ["ask"]
    assert [one.id for one in bench.service.status().deferred_calls] == ["q1"]
    bench.link.receive("on")
    output = await call
    assert output["summary"] == "on"
    # What came to nothing beside it, the caller reads.
    assert [one["command_id"] for one in output["refused"]] == ["c2"]
    assert bench.service.status().deferred_calls == []


async def test_a_question_that_is_refused_ends_its_call_with_that_refusal():
    send = ("websocket_send", {"text": "ask", "connection": "elsewhere"}, "q1")
    bench = await running(deferring(send))
    with pytest.raises(YoiError) as raised:
        await (await called(bench))
    assert raised.value.code == "denied.not_requested"
    assert bench.service.status().deferred_calls == []


async def test_a_malformed_deferral_carries_nothing_out():
    bench = await running(deferring(SEND, timeout_ms=0))
    with pytest.raises(GuestRefused):
        await (await called(bench))
    assert bench.link.sent == []


async def test_a_guest_that_is_busy_for_too_long_gives_no_answer():
    bench = await running(deferring(), limits=Limits(tool_wait_ms=1))
    bench.turns.hold()
    with pytest.raises(ServiceError) as raised:
        await bench.service.call_tool("t", {})
    assert raised.value.code == "service.no_answer"
    bench.turns.release()
    await bench.settle()
    assert bench.service.status().deferred_calls == []


async def test_a_guest_that_is_replaced_while_it_defers_leaves_no_call_open():
    bench = await running(deferring(), FakeInstance())
    bench.turns.hold()
    call = await called(bench)
    restarting = asyncio.ensure_future(bench.service.restart())
    await bench.settle()
    bench.turns.release()
    with pytest.raises(YoiError) as raised:
        await call
    assert raised.value.code in ("service.interrupted", "service.stopping")
    await restarting
    assert bench.service.status().deferred_calls == []


async def test_a_completion_that_a_crash_left_without_an_end_is_not_unknown():
    """Effects: whoever called is gone with the host; nothing has to be looked at by a person."""
    world, journal = World(), EffectlessJournal()
    first = world.bench(journal, deferring())
    await first.service.start()
    first.link.arrive()
    await first.settle()
    call = await called(first)
    first.link.receive("on")
    await first.settle()
    assert (await call)["summary"] == "on"
    later = world.bench(journal.survivor(), FakeInstance())
    await later.service.start()
    await later.settle()
    counters = later.service.status().counters
    assert (counters.commands_unknown, counters.commands_failed) == (0, 1)
    [result] = [one for one in later.service.status().commands if one.kind == "tool_complete"]
    assert result.code == "service.deferred_unknown"


async def test_a_guest_that_traps_leaves_no_call_open():
    def trapping(event):
        if isinstance(event, TextFrame):
            raise GuestTrapped("sandbox.trap", "unreachable")
        return NO_COMMANDS

    instance = deferring()
    instance.answer = trapping
    bench = await running(instance, FakeInstance(), FakeInstance(), FakeInstance())
    call = await called(bench)
    bench.link.receive("x")
    with pytest.raises(ServiceError) as raised:
        await call
    assert raised.value.code == "service.interrupted"
    assert bench.service.status().deferred_calls == []


async def test_what_a_frame_answers_is_known_after_a_crash():
    """Acceptance: the host's finding is in the log with the frame, whoever hears it then."""
    world, journal = World(), DyingJournal()
    first = world.bench(journal, FakeInstance())
    await first.service.start()
    first.link.arrive()
    first.turns.hold()
    first.link.receive("on", in_reply_to="q1")
    first.link.receive("plain")
    await first.settle()
    heard = []

    def hearing(event):
        if isinstance(event, TextFrame):
            heard.append((event.text, event.in_reply_to))
        return NO_COMMANDS

    later = world.bench(journal.survivor(), FakeInstance(hearing))
    await later.service.start()
    await later.settle()
    assert heard == [("on", "q1"), ("plain", None)]


@pytest.mark.parametrize("depth", [200, 900, 980])
async def test_what_is_too_deep_to_be_written_down_costs_its_own_command(depth):
    """A record that can be written and not be read again would cost the service its log."""
    result: object = 1
    for _ in range(depth):
        result = {"a": result}
    instance = deferring(timeout_ms=1_000)
    instance.answer = lambda event: (
        Commands([command(event, "tool_complete", {"call": "q1", "result": result})])
        if isinstance(event, TextFrame)
        else NO_COMMANDS
    )
    bench = await running(instance, durable=True)
    call = await called(bench)
    bench.link.receive("x")
    await bench.settle()
    counters = bench.service.status().counters
    assert (call.done(), counters.commands_failed) == (depth == 200, depth > 200)
    assert ("sandbox.answer_too_large" in bench.codes()) == (depth > 200)
    assert (bench.service.lifecycle, counters.restarts) == ("running", 0)
    call.cancel()
    await asyncio.wait([call])
