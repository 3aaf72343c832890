"""Deferred tool calls: every state, and what a plugin may do wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core.deferred import CallState, DeferredCall, DeferredCalls
from yoi.errors import ServiceError, YoiError
from yoi.limits import Limits
from yoi.types import SessionId

LIMITS = Limits(deferred_calls=4, deferred_remembered=3)
S1, S2 = SessionId("s1"), SessionId("s2")


class Bench:
    def __init__(self):
        self.calls = DeferredCalls(LIMITS)
        self.ended = []

    def defer(self, call_id):
        call = DeferredCall(call_id, "ask", 0, 5000, lambda: self.ended.append(call_id))
        self.calls.defer(call)
        return call


def code(raised):
    return raised.value.code


def test_a_call_is_completed_once_with_a_result_or_an_error():
    bench = Bench()
    good, bad = bench.defer("q1"), bench.defer("q2")
    bench.calls.complete("q1", {"summary": "on"}, None)
    bench.calls.complete("q2", None, "no \x1b[31mlamp")
    assert (good.state, good.result, good.error) == (CallState.ANSWERED, {"summary": "on"}, None)
    assert bad.error.code == "service.tool_failed"
    assert "\x1b" not in bad.error.message
    assert bench.ended == ["q1", "q2"]
    for again in ("q1", "q2"):
        with pytest.raises(ServiceError, match="answered already") as raised:
            bench.calls.complete(again, {}, None)
        assert code(raised) == "service.deferred_ended"


@pytest.mark.parametrize(
    ("end", "state", "told"),
    [
        (lambda calls, call: calls.time_out(call), CallState.TIMED_OUT, "service.no_answer"),
        (lambda calls, call: calls.cancel(call), CallState.CANCELLED, None),
        (lambda calls, call: calls.instance_gone(), CallState.INTERRUPTED, "service.interrupted"),
        (lambda calls, call: calls.session_gone(S1), CallState.INTERRUPTED, "service.interrupted"),
    ],
)
def test_every_other_end_is_told_and_final(end, state, told):
    bench = Bench()
    call = bench.defer("q1")
    bench.calls.asked("q1", S1)
    end(bench.calls, call)
    assert call.state is state
    assert (call.error.code if call.error else None) == told
    assert bench.ended == ["q1"]
    assert bench.calls.open == []
    with pytest.raises(ServiceError, match=state.value) as raised:
        bench.calls.complete("q1", {}, None)
    assert code(raised) == "service.deferred_ended"
    # What comes later changes nothing.
    bench.calls.time_out(call)
    bench.calls.cancel(call)
    bench.calls.instance_gone()
    assert (call.state, bench.ended) == (state, ["q1"])


def test_a_session_ends_only_the_calls_that_wait_on_it():
    bench = Bench()
    other, answered, none = bench.defer("q2"), bench.defer("q3"), bench.defer("q4")
    bench.calls.asked("q2", S2)
    bench.calls.asked("q3", S1)
    bench.calls.answered("q3")  # the plugin has the answer, and completes the call in a moment
    bench.calls.asked("a send of no call", S1)
    bench.calls.answered("a send of no call")
    bench.calls.session_gone(S1)
    assert {one.state for one in (other, answered, none)} == {CallState.OPEN}
    bench.calls.session_gone(S2)
    assert other.state is CallState.INTERRUPTED


def test_ids_are_the_plugins_own_and_each_waits_once():
    bench = Bench()
    bench.defer("q1")
    with pytest.raises(ServiceError) as raised:
        bench.defer("q1")
    assert code(raised) == "service.deferred_repeated"
    with pytest.raises(ServiceError) as raised:
        DeferredCalls(LIMITS).complete("q1", {}, None)  # another plugin's
    assert code(raised) == "service.deferred_unknown"
    bench.calls.complete("q1", {}, None)
    bench.defer("q1")
    bench.calls.complete("q1", {}, None)


def test_ten_thousand_calls_are_bounded_open_and_ended():
    bench = Bench()
    for number in range(4):
        bench.defer(f"q{number}")
    for number in range(4, 10_000):
        with pytest.raises(ServiceError) as raised:
            bench.defer(f"q{number}")
        assert code(raised) == "service.deferred_full"
    assert len(bench.calls.open) == 4
    for number in range(4, 10_000):
        bench.calls.complete(f"q{number - 4}", {}, None)
        bench.defer(f"q{number}")
    assert len(bench.calls._ended) == 3
    with pytest.raises(ServiceError) as raised:
        bench.calls.complete("q0", {}, None)  # long forgotten
    assert code(raised) == "service.deferred_unknown"


def test_no_other_transition():
    bench = Bench()
    call = bench.defer("q1")
    bench.calls.cancel(call)
    for state in CallState:
        with pytest.raises(YoiError):
            bench.calls._end(call, state)


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["defer", "complete", "time out", "cancel", "asked", "answered", "gone"]),
        st.sampled_from(["a", "b", "c", "d", "e"]),
    ),
    max_size=60,
)


@given(_STEPS)
def test_each_call_ends_once_and_the_open_ones_are_open(steps):
    bench = Bench()
    begun: list[DeferredCall] = []
    for what, name in steps:
        mine = [one for one in begun if one.id == name]
        try:
            match what:
                case "defer":
                    begun.append(bench.defer(name))
                case "complete":
                    bench.calls.complete(name, {}, None)
                case "time out" if mine:
                    bench.calls.time_out(mine[-1])
                case "cancel" if mine:
                    bench.calls.cancel(mine[-1])
                case "asked":
                    bench.calls.asked(name, S1)
                case "answered":
                    bench.calls.answered(name)
                case "gone":
                    bench.calls.session_gone(S1)
        except ServiceError:
            pass
        still = [one for one in begun if one.state is CallState.OPEN]
        assert bench.calls.open == still
        assert len(bench.ended) == len(begun) - len(still)
