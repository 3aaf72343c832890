import pytest
from tests.chaos.recorded import EMPTY, EVENTS, FINAL

from chaos import fold


def folded(events):
    state = fold.begin(EMPTY)
    for event in events:
        fold.apply(state, event)
    return state


def test_events_add_up_to_the_snapshot():
    assert fold.differences(folded(EVENTS), fold.begin(FINAL)) == []


def test_a_fold_does_not_change_what_it_began_with():
    state = fold.begin(FINAL)
    fold.apply(state, EVENTS[1])
    assert FINAL["data"]["status"] == "idle"


@pytest.mark.parametrize("missing", [0, 7, 9, 10, 11, 12])
def test_a_missing_event_shows(missing):
    events = [event for number, event in enumerate(EVENTS) if number != missing]
    if missing == 7:  # a piece of a text that is said whole afterwards: seen while it lasts
        events, whole = events[:7], EVENTS[:8]
        assert fold.differences(folded(events), folded(whole)) == ["blocks"]
    else:
        assert fold.differences(folded(events), fold.begin(FINAL)) != []


def test_hiding_the_events_hides_the_state():
    hidden = folded([fold.hidden(event) for event in EVENTS])
    assert hidden == fold.hidden_state(folded(EVENTS))
    assert "canary" not in str(hidden)


def test_a_call_that_waits_and_is_decided():
    asked = {"event": "approval_request", "data": {"id": "c", "name": "n", "arguments": "{}"}}
    decided = {"event": "approval_done", "data": {"id": "c", "approved": True, "by": "p"}}
    assert list(folded([asked])["waiting"]) == ["c"]
    assert folded([asked, decided])["waiting"] == {}


def test_a_call_in_flight_and_its_result():
    state = folded(
        [
            {"event": "tool_call_start", "data": {"id": "c", "name": "n"}},
            {"event": "tool_call_args_delta", "data": {"id": "c", "json": '{"a"'}},
        ]
    )
    block = {"kind": "call", "id": "c", "name": "n", "text": '{"a"', "done": False}
    assert state["blocks"] == [block]
    result = {"id": "c", "name": "n", "summary": "ok", "is_error": False, "seq": 5, "at_ms": 1}
    fold.apply(state, {"event": "tool_result", "data": result})
    assert state["entries"] == [{**result, "type": "tool_result"}]


def test_older_entries_may_be_left_out_on_either_side():
    shorter = fold.begin(FINAL)
    shorter["left_out"] = 2
    shorter["entries"] = shorter["entries"][2:]
    assert fold.differences(fold.begin(FINAL), shorter) == []
    shorter["entries"] = []
    assert fold.differences(fold.begin(FINAL), shorter) == ["entries"]


def test_a_service():
    snapshot = {"event": "service_snapshot", "data": {"status": {"a": 1}, "diagnostics": []}}
    state = fold.begin(snapshot)
    fold.apply(state, {"event": "diagnostic", "data": {"code": "x"}})
    fold.apply(state, {"event": "service_status", "data": {"status": {"a": 2}}})
    assert fold.differences(state, fold.begin(snapshot)) == ["status"]
    later = {"status": {"a": 2}, "diagnostics": [{"code": "y"}]}
    other = fold.begin({"event": "service_snapshot", "data": later})
    assert fold.differences(state, other) == ["diagnostics"]
