"""S3-S9 on the runtime's side: serial dispatch, retries, dead letters, restarts, refusals."""

import asyncio

import pytest
from tests.runtime.fakes import ALLOWED, Bench, FakeInstance

from yoi.core.lifecycle import Lifecycle
from yoi.errors import GuestRefused, GuestTrapped, ServiceError
from yoi.limits import Limits
from yoi.permissions import Decision
from yoi.permissions.connection_settings import OnFull
from yoi.protocol.commands import OutputCommand
from yoi.protocol.ingress import EventKind, TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, AnswerRefused, Commands, HandlerFailed, Reply
from yoi.runtime.timers import Timers


def echo(event):
    return Reply(event.text) if isinstance(event, TextFrame) else NO_COMMANDS


def command(event, kind, payload, command_id="c1"):
    return OutputCommand(
        correlation_id="x",
        source_event_id=event.event_id,
        command_id=command_id,
        kind=kind,
        payload=payload,
        requested_at="2026-01-01T00:00:00Z",
    )


async def running(*instances, **options) -> Bench:
    bench = Bench(instances, **options)
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    return bench


async def test_each_text_frame_is_answered_in_order_on_its_session():
    """W2, W4."""
    bench = await running(FakeInstance(echo))
    for text in "abc":
        bench.link.receive(text)
    await bench.settle()
    assert [text for _, text in bench.link.sent] == ["a", "b", "c"]
    assert {session for session, _ in bench.link.sent} == {"session1"}
    assert bench.service.status().queue_depth == 0


async def test_dispatch_is_serial_and_batches_what_waited():
    """S3, S5."""
    instance = FakeInstance(echo)
    bench = await running(instance)
    instance.batches.clear()
    bench.turns.hold()
    bench.link.receive("a")
    await bench.settle()
    for text in "bcd":
        bench.link.receive(text)
    await bench.settle()
    assert len(bench.turns.held) == 1
    bench.turns.release()
    await bench.settle()
    assert instance.batches == [1, 3]


async def test_a_long_answer_is_acted_on_in_slices_and_others_have_their_turn():
    instance = FakeInstance(echo)
    bench = await running(instance)
    others = []

    def slowly(session, text, send=bench.link.send_text):
        bench.clock.advance(0.0002)
        send(session, text)
        asyncio.get_running_loop().call_soon(lambda: others.append(len(bench.link.sent)))

    bench.link.send_text = slowly
    for number in range(8):
        bench.link.receive(str(number))
    await bench.settle()
    assert [text for _, text in bench.link.sent] == [str(number) for number in range(8)]
    assert others[0] == 1, "another callback ran after one of the eight"
    status = bench.service.status()
    assert status.counters.loop_ms == 2
    assert status.queue_depth == 0


async def test_between_slices_the_loop_rests_while_other_plugins_are_at_work(monkeypatch):
    """A loop that never waits keeps the interpreter from the threads of their guests."""
    loop, rests = asyncio.get_running_loop(), []

    def later(seconds, call, *args):
        rests.append(seconds)
        return loop.call_soon(call, *args)

    bench = await running(FakeInstance(echo))

    def slowly(session, text, send=bench.link.send_text):
        bench.clock.advance(0.0002)
        send(session, text)

    bench.link.send_text = slowly
    with monkeypatch.context() as patched:
        patched.setattr(bench.service._parts.dispatcher._loop, "call_later", later, raising=False)
        for busy in (False, True):
            bench.turns.busy = busy
            for number in range(4):
                bench.link.receive(str(number))
            await bench.settle()
            assert len(rests) == (3 if busy else 0)
    assert len(bench.link.sent) == 8
    assert all(seconds >= 0.001 for seconds in rests)


async def test_one_answer_of_many_commands_is_acted_on_in_parts_in_order_and_only_once():
    at_once, sent = Limits().commands_at_once, 8

    def many(event):
        if not isinstance(event, TextFrame):
            return NO_COMMANDS
        return Commands(
            [
                command(event, "websocket_send", {"text": f"{event.text}{at}"}, f"c{at}")
                for at in range(sent)
            ]
        )

    bench = await running(FakeInstance(many))
    seen_between = []

    def slowly(session, text, send=bench.link.send_text):
        bench.clock.advance(0.0002)
        send(session, text)
        asyncio.get_running_loop().call_soon(lambda: seen_between.append(len(bench.link.sent)))

    bench.link.send_text = slowly
    bench.link.receive("a")
    bench.link.receive("b")
    await bench.settle()
    texts = [f"{of}{at}" for of in "ab" for at in range(sent)]
    assert [text for _, text in bench.link.sent] == texts
    assert seen_between[0] <= at_once, "another callback ran after a part of the first answer"
    counters = bench.service.status().counters
    assert (counters.succeeded, counters.dispatched, counters.commands_done) == (3, 3, 2 * sent)
    assert bench.service.status().queue_depth == 0


async def test_a_plugin_that_takes_more_than_its_share_of_the_loop_waits_and_is_told():
    bench = await running(FakeInstance(echo))

    def slowly(session, text, send=bench.link.send_text):
        bench.clock.advance(2.0)
        send(session, text)

    bench.link.send_text = slowly
    bench.link.receive("a")
    await bench.settle()
    bench.link.receive("b")
    await bench.settle()
    assert [text for _, text in bench.link.sent] == ["a"]
    assert bench.service.status().counters.loop_waits == 1
    (told,) = [one for one in bench.diagnostics if one.code == "service.loop_time"]
    assert told.hint


async def test_an_answer_for_an_ended_session_is_refused_and_the_plugin_told():
    """DESIGN 5: an acknowledgement belongs on the socket that asked."""
    instance = FakeInstance(echo)
    bench = await running(instance)
    bench.turns.hold()
    bench.link.receive("late")
    await bench.settle()
    bench.link.end()
    bench.link.arrive()
    bench.turns.release()
    await bench.settle()
    assert bench.link.sent == []
    status = bench.service.status()
    assert status.counters.commands_failed == 1
    assert status.commands[-1].code == "connection.session_ended"
    assert "connection.session_ended" in bench.codes()


async def test_a_denied_send_names_the_hint_and_sends_nothing():
    """S7, P4."""
    denied = Decision(
        allowed=False,
        code="denied.not_granted",
        message="not granted",
        hint="yoi plugin enable echo",
    )
    bench = await running(FakeInstance(echo), authorise=lambda: denied)
    bench.link.receive("a")
    await bench.settle()
    assert bench.link.sent == []
    refused = [d for d in bench.diagnostics if d.code == "denied.not_granted"]
    assert refused[0].hint == "yoi plugin enable echo"
    assert bench.service.status().counters.commands_denied == 1


async def test_feedback_about_feedback_is_never_sent():
    """A plugin that answers a refusal with the same mistake does not loop."""
    instance = FakeInstance(
        lambda event: Commands(
            [command(event, "websocket_send", {"text": "x", "connection": "no"})]
        )
    )
    bench = await running(instance)
    await bench.settle()
    kinds = [d.code for d in bench.diagnostics if d.code == "denied.not_requested"]
    assert len(kinds) == 2  # the open event, and the one feedback about it


async def test_one_bad_command_does_not_stop_the_others():
    """S7: authorisation is decided per command."""

    def answer(event):
        if not isinstance(event, TextFrame):
            return NO_COMMANDS
        return Commands(
            [
                command(event, "launch_missiles", {}, "c1"),
                command(event, "websocket_send", {"text": "fine"}, "c2"),
                command(event, "websocket_send", {"text": 1}, "c3"),
                command(event, "diagnostic_status_update", {"status": {"mood": "good"}}, "c4"),
            ]
        )

    bench = await running(FakeInstance(answer))
    bench.link.receive("a")
    await bench.settle()
    status = bench.service.status()
    assert [text for _, text in bench.link.sent] == ["fine"]
    assert [r.status for r in status.commands] == ["unsupported", "done", "failed", "done"]
    assert status.plugin_status == {"mood": "good"}


async def test_a_refused_answer_does_nothing_and_becomes_a_dead_letter():
    """S7: a malformed answer is refused whole."""
    bench = await running(
        FakeInstance(
            lambda e: (
                AnswerRefused("service.command_malformed", "bad")
                if isinstance(e, TextFrame)
                else NO_COMMANDS
            )
        )
    )
    bench.link.receive("a")
    await bench.settle()
    assert [letter.code for letter in bench.service.dead_letters] == ["service.command_malformed"]
    assert bench.service.lifecycle is Lifecycle.RUNNING


async def test_a_raising_handler_is_tried_three_times_in_order():
    """S5: attempt counts, bounded retry, then a dead letter; later events wait their turn."""
    instance = FakeInstance()

    def dispatch(events, budget_ms):
        outcomes = []
        for event in events:
            instance.seen.append((getattr(event, "text", "-"), event.attempt))
            if getattr(event, "text", "") == "bad":
                return [*outcomes, HandlerFailed("ValueError", "no", "")]
            outcomes.append(echo(event))
        return outcomes

    instance.dispatch = dispatch
    bench = await running(instance)
    bench.turns.hold()
    for text in ("a", "bad", "c"):
        bench.link.receive(text)
    await bench.settle()
    bench.turns.release()
    await bench.settle()
    assert [seen for seen in instance.seen if seen[0] == "bad"] == [
        ("bad", 1),
        ("bad", 2),
        ("bad", 3),
    ]
    assert [text for _, text in bench.link.sent] == ["a", "c"]
    assert [letter.event.text for letter in bench.service.dead_letters] == ["bad"]


async def test_a_trap_restarts_the_plugin_and_isolates_the_culprit():
    """S8: the event that traps is found, the others are handled once more and answered once."""

    def poison(event):
        if getattr(event, "text", "") == "poison":
            raise GuestTrapped("sandbox.trap", "unreachable")
        return echo(event)

    instances = [FakeInstance(poison) for _ in range(5)]
    bench = Bench(instances, limits=Limits(restart_first_ms=1, restart_max_ms=1))
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    bench.turns.hold()
    for text in ("a", "poison", "c"):
        bench.link.receive(text)
    await bench.settle()
    bench.turns.release()
    await bench.diagnostics.until(
        lambda: bench.service.dead_letters and bench.service.lifecycle is Lifecycle.RUNNING
    )
    await bench.settle()
    assert [text for _, text in bench.link.sent] == ["a", "c"]
    assert [letter.event.text for letter in bench.service.dead_letters] == ["poison"]
    assert bench.links == [bench.link], "the connection outlives the instance"
    await bench.service.stop()


async def test_a_plugin_that_cannot_start_is_quarantined_and_can_be_released():
    """S8: backoff, then quarantine, then a person."""
    broken = [GuestRefused("sandbox.start", "no") for _ in range(5)]
    bench = Bench(
        [*broken, FakeInstance(echo)], limits=Limits(restart_first_ms=1, restart_max_ms=1)
    )
    await bench.service.start()
    await bench.diagnostics.until(lambda: "service.quarantined" in bench.codes())
    assert bench.service.lifecycle is Lifecycle.QUARANTINED
    assert bench.codes().count("notice.restart") == 4
    with pytest.raises(ServiceError) as refused:
        await bench.service.call_tool("t", {})
    assert refused.value.code == "service.quarantined"
    await bench.service.restart()
    assert bench.service.lifecycle is Lifecycle.RUNNING


async def test_a_full_queue_pauses_reading_and_resumes():
    bench = await running(FakeInstance(echo), max_events=8)
    bench.turns.hold()
    for n in range(8):
        bench.link.receive(str(n))
        await bench.settle()
    assert "pause" in bench.link.log
    bench.turns.release()
    await bench.settle()
    assert "resume" in bench.link.log
    assert [text for _, text in bench.link.sent] == [str(n) for n in range(8)]


@pytest.mark.parametrize("overflow", [OnFull.DROP_NEWEST, OnFull.DROP_OLDEST])
async def test_dropped_frames_are_counted_and_reported_as_a_gap(overflow):
    """W3: no frame is lost silently."""
    instance = FakeInstance(echo)
    bench = await running(instance, overflow=overflow, max_events=4)
    bench.turns.hold()
    for n in range(10):
        bench.link.receive(str(n))
        await bench.settle()
    bench.turns.release()
    await bench.settle()
    bench.link.receive("after")
    await bench.settle()
    answered = len(bench.link.sent)
    gaps = [d for d in bench.diagnostics if d.code == "notice.gap"]
    assert sum(gap.fields["count"] for gap in gaps) + answered == 11
    assert bench.service.status().counters.dropped == sum(gap.fields["count"] for gap in gaps)


async def test_stop_drains_then_closes_then_stops_the_guest():
    """W8: clean shutdown."""
    instance = FakeInstance(echo)
    bench = await running(instance)
    for text in "ab":
        bench.link.receive(text)
    link = bench.link
    await bench.service.stop()
    assert [text for _, text in link.sent] == ["a", "b"]
    assert link.log[-1] == "close 1001"
    assert instance.calls == ["start", "stop", "close"]
    assert bench.service.lifecycle is Lifecycle.STOPPED


async def test_an_orderly_stop_does_not_call_the_plugin_slow():
    bench = await running(FakeInstance(echo))
    adapter = bench.link.adapter
    adapter.notice("notice.paused", "reading is paused", {})
    await bench.service.stop()
    adapter.notice("notice.paused", "reading is paused", {})
    assert bench.diagnostics.codes.count("notice.paused") == 1


def nested(levels):
    value = {}
    for _ in range(levels - 1):
        value = {"in": value}
    return value


@pytest.mark.parametrize(
    ("status", "code"),
    [(nested(32), None), (nested(33), "sandbox.answer_malformed"),
     (nested(900), "sandbox.answer_malformed"), ({"x": "y" * 20_000}, "sandbox.answer_too_large")],
)  # fmt: skip
async def test_a_status_that_nobody_could_read_is_replaced(status, code):
    """S9: one plugin's status must not break the list for everyone."""
    instance = FakeInstance(echo)
    instance.status = lambda budget_ms: status
    bench = await running(instance)
    await bench.service.ask_status()
    shown = bench.service.status().plugin_status
    assert shown == (status if code is None else {"refused": code})
    assert (code in bench.diagnostics.codes) is (code is not None)


async def test_a_dead_letter_can_be_replayed():
    state = {"fail": True}

    def answer(event):
        if isinstance(event, TextFrame) and state["fail"]:
            return AnswerRefused("sandbox.answer_malformed", "bad")
        return echo(event)

    bench = await running(FakeInstance(answer))
    bench.link.receive("again")
    await bench.settle()
    (letter,) = bench.service.dead_letters
    state["fail"] = False
    bench.service.replay(letter.event.event_id)
    await bench.settle()
    assert [text for _, text in bench.link.sent] == ["again"]
    assert bench.service.dead_letters == ()
    with pytest.raises(ServiceError):
        bench.service.replay(letter.event.event_id)


async def test_only_declared_kinds_are_delivered_but_all_are_seen():
    """W3, W5."""
    instance = FakeInstance(echo)
    bench = await running(instance, deliver=frozenset({EventKind.TEXT}))
    bench.link.adapter.binary(bench.link.session, b"\x00")
    bench.link.end()
    await bench.settle()
    assert instance.seen == []
    assert {"notice.connected", "notice.closed", "notice.binary_ignored"} <= set(bench.codes())


async def test_tools_are_serialized_with_events():
    bench = await running(FakeInstance(echo))
    assert await bench.service.call_tool("t", {"a": 1}) == {"summary": "done"}


def test_the_allowed_decision_is_allowed():
    assert ALLOWED.allowed


def commands(event, *items):
    return Commands(
        [command(event, kind, payload, f"c{n}") for n, (kind, payload) in enumerate(items)]
    )


async def test_a_timer_comes_back_as_an_event():
    instance = FakeInstance(
        lambda e: (
            commands(e, ("timer_set", {"name": "poll", "after_ms": 10}))
            if isinstance(e, TextFrame)
            else NO_COMMANDS
        )
    )
    bench = await running(instance)
    heard = asyncio.Event()
    answer = instance.answer

    def listen(event):
        if event.kind == EventKind.TIMER:
            assert event.payload == {"name": "poll"}
            heard.set()
        return answer(event)

    instance.answer = listen
    bench.link.receive("go")
    async with asyncio.timeout(5):
        await heard.wait()


async def test_timers_are_bounded_replaced_and_cleared():
    """Issue 3, bad input: thousands of timers."""
    fired = []
    timers = Timers(asyncio.get_running_loop(), lambda *key: fired.append(key), Limits(timers=2))
    timers.set("events", "a", 60_000)
    timers.set("events", "a", 60_000)
    timers.set("events", "b", 60_000)
    with pytest.raises(ServiceError) as refused:
        timers.set("events", "c", 60_000)
    assert refused.value.code == "service.timers"
    timers.clear("events", "a")
    timers.clear("events", "unknown")
    timers.set("events", "c", 60_000)
    assert len(timers) == 2
    timers.clear_all()
    assert len(timers) == 0
    assert fired == []


async def test_state_is_kept_and_a_value_too_large_is_told_to_the_plugin():
    big = "x" * 70_000

    def answer(event):
        if not isinstance(event, TextFrame):
            return NO_COMMANDS
        return commands(
            event,
            ("state_set", {"key": "seen", "value": 1}),
            ("state_set", {"key": "big", "value": big}),
            ("state_set", {"key": "seen", "value": {"n": 2}}),
        )

    bench = await running(FakeInstance(answer))
    bench.link.receive("go")
    await bench.settle()
    assert bench.around.state.all("echo") == {"seen": '{"n":2}'}
    results = bench.service.status().commands
    assert [r.status for r in results] == ["done", "failed", "done"]


async def test_a_json_send_is_encoded_once():
    bench = await running(
        FakeInstance(
            lambda e: (
                commands(e, ("websocket_send", {"json": {"op": 1, "d": None}}))
                if isinstance(e, TextFrame)
                else NO_COMMANDS
            )
        )
    )
    bench.link.receive("go")
    await bench.settle()
    assert [text for _, text in bench.link.sent] == ['{"op":1,"d":null}']


async def test_a_plugin_that_opens_its_own_connection_is_told_that_it_started():
    instance = FakeInstance()
    bench = Bench([instance], told_of_start=("events",))
    kinds = []
    instance.answer = lambda event: (kinds.append(event.kind), NO_COMMANDS)[1]
    await bench.service.start()
    await bench.settle()
    assert kinds == [EventKind.STARTED]


async def test_memory_errors_in_a_row_are_a_lost_instance():
    """P1: an instance that is full answers MemoryError for ever; it is replaced and told."""
    full = {"keep"}

    def first(event):
        if isinstance(event, TextFrame) and event.text in full:
            return HandlerFailed("MemoryError", "", "")
        return echo(event)

    limits = Limits(retry_first_ms=0, restart_first_ms=0.001, restart_max_ms=0.001)
    bench = await running(FakeInstance(first), FakeInstance(echo), limits=limits)
    for text in ("keep", "next"):
        bench.link.receive(text)
        await bench.settle()
    assert [text for _, text in bench.link.sent] == ["keep", "next"]
    status = bench.service.status()
    assert status.counters.restarts == 1
    assert (status.last_error_code, status.dead_letters) == ("sandbox.memory", 0)


async def test_one_memory_error_between_good_answers_is_no_loss():
    answers = iter(["MemoryError", "ValueError", "MemoryError"])

    def handle(event):
        if isinstance(event, TextFrame) and event.text == "bad" and event.attempt == 1:
            return HandlerFailed(next(answers), "", "")
        return echo(event)

    bench = await running(FakeInstance(handle))
    for text in ("bad", "a", "bad", "bad"):
        bench.link.receive(text)
        await bench.settle()
    assert [text for _, text in bench.link.sent] == ["bad", "a", "bad", "bad"]
    assert bench.service.status().counters.restarts == 0


async def test_attempts_are_spread_in_time_and_later_events_wait():
    """P3: a fault that passes does not cost the event, and order is kept."""
    fails = [True]

    def handle(event):
        if isinstance(event, TextFrame) and event.text == "a" and fails:
            held.append(event)
            return HandlerFailed("RuntimeError", "away", "")
        return echo(event)

    held: list[TextFrame] = []
    bench = await running(FakeInstance(handle), limits=Limits(retry_first_ms=60_000))
    bench.link.receive("a")
    await bench.settle()
    bench.link.receive("b")
    await bench.settle()
    status = bench.service.status()
    assert (bench.link.sent, status.queue_depth, status.counters.dispatched) == ([], 2, 2)
    fails.clear()
    bench.service._dispatcher._release(held[0])
    await bench.settle()
    assert [text for _, text in bench.link.sent] == ["a", "b"]


@pytest.mark.parametrize("binary", [False, True])
async def test_a_loss_is_told_once_there_is_room_though_no_further_frame_comes(binary):
    """G2: dropped frames of either kind lie in a gap, while the session lives and is quiet."""
    instance = FakeInstance()
    bench = await running(instance, overflow=OnFull.DROP_NEWEST, max_events=2)
    bench.turns.hold()
    for number in range(6):
        if binary:
            bench.link.adapter.binary(bench.link.session, b"x")
        else:
            bench.link.receive(str(number))
    bench.turns.release()
    await bench.settle()
    (gap,) = [d for d in bench.diagnostics if d.code == "notice.gap"]
    assert gap.fields["count"] == 4
    assert bench.service.status().connections[0].queue_drops == 4


async def test_a_replaced_instance_hears_first_what_is_open():
    """B4, D4: ids that must grow on one socket are not guessed, a subscription is not forgotten."""
    second = FakeInstance()
    heard = []
    second.answer = lambda event: heard.append(event) or NO_COMMANDS
    bench = await running(FakeInstance(echo), second, told_of_start=("events",))
    bench.turns.hold()
    bench.link.receive("in hand")
    await bench.settle()
    bench.turns.release()
    await bench.settle()
    bench.service._dispatcher.detach()
    bench.link.receive("waits")
    await bench.service.restart()
    await bench.settle()
    started, opened, frame = heard
    assert started.kind == EventKind.STARTED
    session = {
        "connection": "gateway",
        "session": "session1",
        "since": "2026-01-01T00:00:00.000Z",
        "subprotocol": None,
        "ready": False,
    }
    assert started.payload == {
        "restarts": 0,
        "replaced": True,
        "connections": [session],
        "timers": [],
        "durable": [],
    }
    assert (opened.kind, opened.session) == (EventKind.OPEN, "session1")
    assert (opened.payload["reason"], opened.payload["since"]) == ("still_open", session["since"])
    assert frame.text == "waits"


async def test_an_open_that_still_waits_is_not_told_twice():
    second, heard = FakeInstance(), []
    second.answer = lambda event: heard.append(event) or NO_COMMANDS
    bench = Bench([FakeInstance(), second], told_of_start=("events",))
    await bench.service.start()
    bench.service._dispatcher.detach()
    bench.link.arrive()
    await bench.service.restart()
    await bench.settle()
    assert [event.kind for event in heard] == [EventKind.STARTED, EventKind.OPEN]
    assert heard[1].payload["reason"] == "first"


async def test_what_a_lost_instance_was_told_is_told_anew_to_the_next_not_twice():
    second, third, heard = FakeInstance(), FakeInstance(), []
    third.answer = lambda event: heard.append(event) or NO_COMMANDS
    bench = await running(FakeInstance(), second, third, told_of_start=("events",))
    bench.turns.hold()
    restart = asyncio.create_task(bench.service.restart())
    while second.calls != ["start"]:
        bench.turns.release()
        await asyncio.sleep(0)
    bench.turns.release()
    await restart
    bench.service._dispatcher.detach()
    await bench.service.restart()
    await bench.settle()
    kinds = [event.kind for event in heard]
    assert kinds.count(EventKind.STARTED) == kinds.count(EventKind.OPEN) == 1
    assert bench.service._queue.bytes == 0


async def test_a_connection_that_the_service_closed_begins_with_a_gap():
    """D3: what a gateway sends while a service is quarantined lies inside a gap, too."""
    heard = []
    last = FakeInstance(lambda event: heard.append(event) or NO_COMMANDS)

    def trap(event):
        raise GuestTrapped("sandbox.trap", "unreachable")

    bench = await running(
        FakeInstance(trap), last, limits=Limits(restarts_until_quarantine=1, retry_first_ms=0)
    )
    await bench.settle()
    assert bench.service.lifecycle is Lifecycle.QUARANTINED
    await bench.settle()
    bench.clock.advance(60)
    await bench.service.restart()
    bench.link.arrive()
    await bench.settle()
    kinds = [event.kind for event in heard]
    gap = kinds.index(EventKind.GAP)
    assert kinds[gap + 1] == EventKind.OPEN
    assert (heard[gap].payload["why"], heard[gap].session) == ("stopped", "session1")
