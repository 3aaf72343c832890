"""S7, D2: each effect has one life, and it is told once how it ended."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core.effects import (
    Effect,
    EffectLedger,
    EffectState,
    HttpRequest,
    refusal,
)
from yoi.errors import PermissionDenied, ServiceError, YoiError
from yoi.limits import Limits
from yoi.protocol.session_commands import Request
from yoi.protocol.status import Counters

STEPS = {
    "begin": EffectState.SENDING,
    "done": EffectState.DONE,
    "failed": EffectState.FAILED,
    "unknown": EffectState.UNKNOWN,
}
ALLOWED = {
    EffectState.PENDING: {"begin", "failed"},
    EffectState.SENDING: {"done", "failed", "unknown"},
}


def effect(number: int = 1) -> HttpRequest:
    payload = Request("api", "GET", "/", {}, {}, None, None, (), ())
    return HttpRequest(f"e{number}", f"c{number}", "request", payload, "events")


def ledger(**limits: int) -> EffectLedger:
    return EffectLedger(Counters(), lambda: 0, Limits(**limits))


@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=5))
def test_only_the_table_s_steps_are_possible(steps):
    counters = Counters()
    book, one = EffectLedger(counters, lambda: 0), effect()
    error = ServiceError("service.stopping", "no")
    for step in steps:
        possible = step in ALLOWED.get(one.state, set())
        arguments = (one,) if step in ("begin", "done") else (one, error)
        if not possible:
            with pytest.raises(YoiError, match="cannot become"):
                getattr(book, step)(*arguments)
            continue
        getattr(book, step)(*arguments)
        assert one.state is STEPS[step]
    settled = one.state not in (EffectState.PENDING, EffectState.SENDING)
    told = counters.commands_done + counters.commands_failed + counters.commands_unknown
    assert told == len(book.results) == settled, "told once, and only when it has ended"


def test_a_denial_while_carrying_out_is_told_as_denied():
    book, one = ledger(), effect()
    book.begin(one)
    told = book.failed(one, PermissionDenied("denied.not_granted", "no", hint="grant it"))
    assert (told.status, told.hint) == ("denied", "grant it")
    assert book.results[-1].status == "denied"
    assert refusal(one, told_error := ServiceError("service.rate", "r")).code == told_error.code


def test_what_waits_is_bounded_and_leaves_when_it_settles():
    book = ledger(effects_waiting=2)
    first, second, third = (effect(n) for n in range(3))
    book.keep(first)
    book.keep(second)
    with pytest.raises(ServiceError) as refused:
        book.keep(third)
    assert refused.value.code == "service.effects_full"
    book.begin(first)
    book.done(first)
    book.keep(third)
    assert book.waiting == 2


def test_a_stop_tells_what_had_begun_apart_from_what_had_not():
    counters = Counters()
    book = EffectLedger(counters, lambda: 0)
    begun, waiting = effect(1), effect(2)
    for one in (begun, waiting):
        book.keep(one)
    book.begin(begun)
    told = {one.command_id: one.status for one in book.abandon()}
    assert told == {"c1": "unknown", "c2": "failed"}
    assert (counters.commands_unknown, counters.commands_failed) == (1, 1)
    assert book.waiting == 0
    assert book.abandon() == []


def test_the_last_records_are_kept():
    book = ledger(command_results=3)
    for number in range(5):
        one: Effect = effect(number)
        book.begin(one)
        book.done(one)
    assert [r.command_id for r in book.results] == ["c2", "c3", "c4"]
    assert {r.source_event_id for r in book.results} == {"e2", "e3", "e4"}


def test_what_is_unknown_is_not_hidden_by_what_went_well():
    """D2: a busy plugin's later commands push no unknown one out of its status."""
    book = ledger(command_results=8)
    lost = effect(0)
    book.begin(lost)
    book.unknown(lost, ServiceError("service.stopping", "cut"))
    for number in range(1, 30):
        one = effect(number)
        book.begin(one)
        book.done(one)
    results = book.results
    assert [(one.command_id, one.status) for one in results[:2]] == [
        ("c0", "unknown"),
        ("c22", "done"),
    ]
    assert len(results) == 9
