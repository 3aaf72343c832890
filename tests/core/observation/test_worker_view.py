"""A worker's view: the same fold everywhere, bounded, and never broken by what it is given."""

import contextlib
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.observation.strategies import EVENTS, struct
from tests.event_names import event_name

from yoi.core.observation.measure import json_bytes
from yoi.core.observation.worker_view import EntryWindow, WorkerView
from yoi.errors import ProtocolMalformed
from yoi.limits import Limits
from yoi.protocol import events as ev

SMALL = Limits(
    snapshot_entries=3,
    snapshot_bytes=400,
    snapshot_alerts=2,
    observed_inflight_bytes=700,
    observed_aside_bytes=320,
    observed_depth=4,
)
GREETING = ev.Greeting(worker_name="w", provider="p", model="m", tools=["t"])


def tried(view: WorkerView, event: object) -> None:
    """Apply `event`; where it is refused, nothing may have changed."""
    before = ev.encode_event(view.snapshot())
    try:
        view.apply(event)
    except ProtocolMalformed:
        assert ev.encode_event(view.snapshot()) == before


def folded(events, limits: Limits = SMALL) -> WorkerView:
    view = WorkerView(GREETING, limits)
    for event in events:
        tried(view, event)
    return view


def user(seq: int | None, text: str = "hi") -> ev.UserMessage:
    return ev.UserMessage(
        ev.UserMessageData(segments=[ev.Segment(kind="text", text=text)], seq=seq, at_ms=1)
    )


def over_the_wire(event: ev.Event) -> ev.Event:
    again = ev.decode_event(ev.encode_event(event))
    assert not isinstance(again, ev.UnknownEvent)
    return again


@given(st.lists(EVENTS, max_size=20), st.lists(EVENTS, max_size=10))
@settings(max_examples=200)
def test_a_fold_goes_on_from_its_snapshot_as_if_nothing_had_happened(before, after):
    """Split anywhere: the runtime, the backend and a client may each begin at another place."""
    view = folded(before)
    shown = over_the_wire(view.snapshot())
    again, twin = WorkerView.of(shown, SMALL), view.copy()
    for event in after:
        assert again.snapshot() == twin.snapshot() == view.snapshot()
        for each in (view, again, twin):
            tried(each, event)
    assert again.snapshot() == twin.snapshot() == view.snapshot()


@given(st.lists(EVENTS, max_size=15), st.lists(EVENTS, max_size=15))
def test_a_copy_goes_its_own_way(before, after):
    view = folded(before)
    shown = ev.encode_event(view.snapshot())
    twin = view.copy()
    for event in after:
        tried(twin, event)
    assert ev.encode_event(view.snapshot()) == shown


@given(st.lists(EVENTS, max_size=40))
def test_a_snapshot_is_bounded_whatever_comes(events):
    data = folded(events).snapshot().data
    assert len(data.entries) <= SMALL.snapshot_entries
    assert sum(len(msgspec.json.encode(entry)) for entry in data.entries) <= SMALL.snapshot_bytes
    assert len(data.alerts) <= SMALL.snapshot_alerts
    assert json_bytes(data.in_flight) <= SMALL.observed_inflight_bytes + 20
    aside = [data.greeting, *data.waiting, *data.alerts]
    assert sum(map(json_bytes, aside)) <= SMALL.observed_aside_bytes


@given(EVENTS)
@settings(max_examples=300)
def test_every_event_reads_back_as_it_was_and_the_fold_of_it_is_the_same(event):
    """What a backend hears is what the runtime's own fold took in."""
    heard = over_the_wire(event)
    ours, theirs = WorkerView(GREETING, SMALL), WorkerView(GREETING, SMALL)
    tried(ours, event)
    tried(theirs, heard)
    assert ev.encode_event(ours.snapshot()) == ev.encode_event(theirs.snapshot())


@given(struct(ev.Snapshot))
@settings(max_examples=300)
def test_any_snapshot_is_taken_on_or_refused_and_then_stands(snapshot):
    try:
        view = WorkerView.of(snapshot, SMALL)
    except ProtocolMalformed:
        return
    shown = view.snapshot()
    assert WorkerView.of(over_the_wire(shown), SMALL).snapshot() == shown


BAD_ENTRIES = [
    {},
    {"seq": "1", "type": "user_input"},
    {"seq": 1},
    {"seq": 1, "type": None},
    {"seq": None, "type": "x"},
    {"seq": True, "type": "x"},
    {"seq": 1.0, "type": "x"},
    {"seq": -1, "type": "x"},
    {"seq": 2**53, "type": "x"},
    {"seq": 10**5000, "type": "x"},
    {"seq": 1, "type": "x", "n": 10**5000},
    {"seq": 1, "type": "x", "text": "\ud800"},
    {"seq": 1, "type": "x", "deep": [[[[[1]]]]]},
    {"seq": 1, "type": "x", "odd": {1, 2}, "more": object()},
]


@pytest.mark.parametrize("entry", BAD_ENTRIES, ids=range(len(BAD_ENTRIES)))
def test_an_entry_that_cannot_be_placed_or_passed_on_is_refused(entry):
    data = ev.SnapshotData(entries=[entry], greeting=GREETING, status="idle")
    with pytest.raises(ProtocolMalformed):
        WorkerView.of(ev.Snapshot(data), SMALL)
    view = folded([user(1)])
    tried(view, ev.Snapshot(data))
    assert [entry["seq"] for entry in view.snapshot().data.entries] == [1]


def test_an_entry_that_is_a_tower_of_lists_ends_no_process():
    tower: list = []
    for _ in range(100_000):
        tower = [tower]
    data = ev.SnapshotData(
        entries=[{"seq": 1, "type": "x", "t": tower}], greeting=GREETING, status="idle"
    )
    with pytest.raises(ProtocolMalformed):
        WorkerView.of(ev.Snapshot(data))


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.text(max_size=5) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["seq", "id", "text", "data", "entries", "blocks", "kind", "usage", "type"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.sampled_from([event_name(e) for e in [ev.ThinkingStart(), ev.Shutdown()]])
    | st.sampled_from(["snapshot", "tool_result", "usage", "alert", "text_delta", "brand_new"]),
    JSONISH,
)
@settings(max_examples=300)
def test_garbage_in_place_of_data_is_read_past_or_refused(name, data):
    with contextlib.suppress(ProtocolMalformed):
        event = ev.decode_event(json.dumps({"event": name, "data": data}))
        view = WorkerView(GREETING, SMALL)
        tried(view, event)
        ev.encode_event(view.snapshot())


def test_the_oldest_entries_make_room_and_their_place_is_told():
    view = folded([user(seq) for seq in (2, 4, 6, 8)])
    data = view.snapshot().data
    assert [entry["seq"] for entry in data.entries] == [4, 6, 8]
    assert data.left_out == 2


def test_an_entry_larger_than_a_snapshot_leaves_all_out_and_says_so():
    data = folded([user(2), user(5, "x" * 500)]).snapshot().data
    assert (data.entries, data.left_out) == ([], 5)


def test_what_has_no_place_is_shown_at_place_nought():
    """An older runtime says no `seq`."""
    view = folded([user(None), user(None)])
    assert [entry["seq"] for entry in view.snapshot().data.entries] == [0, 0]


def test_an_item_said_again_or_out_of_order_comes_once():
    view = folded([user(3), user(3), user(2), user(4)])
    assert [entry["seq"] for entry in view.snapshot().data.entries] == [3, 4]
    again = WorkerView.of(over_the_wire(view.snapshot()), SMALL)
    again.apply(user(4))
    assert [entry["seq"] for entry in again.snapshot().data.entries] == [3, 4]


def test_tokens_are_summed_within_what_a_reader_can_hold():
    most = ev.Usage(ev.UsageData(input_tokens=ev.MOST, output_tokens=1))
    usage = over_the_wire(folded([most, most]).snapshot()).data.usage
    assert usage == ev.UsageData(input_tokens=ev.MOST, output_tokens=2)


def test_a_paused_run_keeps_what_waits_and_what_was_said():
    asked = ev.ApprovalRequestData(id="1", name="reply", arguments="{}")
    view = folded(
        [
            ev.TextDelta(ev.TextData(text="so far")),
            ev.ApprovalRequest(asked),
            ev.RunEnd(ev.RunEndData(result="paused")),
            ev.Status(ev.StatusData(status="paused")),
        ]
    )
    data = view.snapshot().data
    assert (data.waiting, data.entries, data.status) == ([asked], [], "paused")
    assert data.in_flight is not None
    view.apply(ev.RunEnd(ev.RunEndData(result="cancelled", seq=4)))
    data = view.snapshot().data
    assert (data.waiting, data.in_flight) == ([], None)
    assert [entry["type"] for entry in data.entries] == ["run_end"]


def test_the_calls_of_an_answer_that_broke_off_are_in_no_entry():
    def spoken(finish: str) -> list[str]:
        view = folded(
            [
                ev.TextDelta(ev.TextData(text="so far")),
                ev.ToolCallStart(ev.ToolCallStartData(id="1", name="reply")),
                ev.LlmCallEnd(ev.LlmCallData(llm_call=1, seq=3, finish=finish)),
            ]
        )
        (entry,) = view.snapshot().data.entries
        return [part["kind"] for part in entry["parts"]]

    assert spoken("complete") == spoken("cut") == ["text", "call"]
    assert spoken("interrupted") == spoken("failed") == ["text"]


def test_what_was_hidden_in_flight_is_marked_in_history():
    view = folded(
        [
            ev.ThinkingDelta(ev.TextData(text="", redacted=True)),
            ev.TextDelta(ev.TextData(text="a")),
            ev.LlmCallEnd(ev.LlmCallData(llm_call=1, seq=3, finish="complete")),
        ]
    )
    (entry,) = view.snapshot().data.entries
    assert entry["parts"] == [
        {"kind": "thinking", "text": "", "redacted": True},
        {"kind": "text", "text": "a"},
    ]


def test_only_so_much_may_wait():
    view = folded(
        ev.ApprovalRequest(ev.ApprovalRequestData(id=str(number), name="n", arguments="{}"))
        for number in range(100)
    )
    waiting = view.snapshot().data.waiting
    assert 0 < len(waiting) < 20
    for call in waiting:
        view.apply(ev.ApprovalDone(ev.ApprovalDoneData(id=call.id, approved=True, by="ann")))
    view.apply(ev.ApprovalRequest(waiting[0]))
    assert view.snapshot().data.waiting == waiting[:1]


def test_a_call_that_is_asked_about_again_waits_once():
    call = ev.ApprovalRequest(ev.ApprovalRequestData(id="1", name="n", arguments="{}"))
    other = ev.ApprovalRequest(ev.ApprovalRequestData(id="2", name="n", arguments="{}"))
    view = folded([call] * 1000 + [other])
    assert view.snapshot().data.waiting == [call.data, other.data]


def test_the_newest_alerts_are_kept():
    alerts = [
        ev.Alert(ev.AlertData(level="info", source="s", message=str(n), timestamp_ms=n))
        for n in range(5)
    ]
    data = folded(alerts * 20).snapshot().data
    assert [alert.message for alert in data.alerts] == ["3", "4"]


def test_a_new_call_begins_with_nothing_said():
    """Where the end of the one before was not heard."""
    text = ev.TextDelta(ev.TextData(text="a"))
    view = folded([text, ev.LlmCallStart(ev.LlmCallData(llm_call=2))])
    assert view.snapshot().data.in_flight is None


def test_what_was_left_out_does_not_come_again():
    data = ev.SnapshotData(entries=[], greeting=GREETING, status="idle", left_out=7)
    view = WorkerView.of(ev.Snapshot(data), SMALL)
    view.apply(user(7))
    view.apply(user(8))
    assert [entry["seq"] for entry in view.snapshot().data.entries] == [8]


def test_a_greeting_larger_than_a_snapshot_may_be_is_refused():
    greeting = msgspec.structs.replace(GREETING, tools=["t" * 40] * 10)
    data = ev.SnapshotData(entries=[], greeting=greeting, status="idle")
    with pytest.raises(ProtocolMalformed):
        WorkerView.of(ev.Snapshot(data), SMALL)
    with pytest.raises(ProtocolMalformed):
        folded([]).apply(ev.Configured(ev.ConfiguredData(tools=greeting.tools)))


def test_a_copy_has_as_much_room_as_what_it_was_copied_from():
    calls = [
        ev.ApprovalRequest(ev.ApprovalRequestData(id=str(n), name="n", arguments="{}"))
        for n in range(20)
    ]
    view = folded(calls)
    twin, again = view.copy(), WorkerView.of(view.snapshot(), SMALL)
    for each in (view, twin, again):
        for call in calls:
            tried(each, call)
    assert view.snapshot() == twin.snapshot() == again.snapshot()


def test_what_this_version_cannot_read_changes_nothing():
    view = folded([user(1)])
    before = view.snapshot()
    view.apply(ev.UnknownEvent("brand_new", msgspec.Raw(b"{}")))
    assert view.snapshot() == before


def test_the_largest_parts_together_fit_one_event():
    """A snapshot within its bounds is never refused for its size by the next hop."""
    limits = Limits()
    parts = limits.snapshot_bytes + limits.observed_inflight_bytes + limits.observed_aside_bytes
    # And the commas, names and numbers between them.
    assert parts + limits.snapshot_entries + 64 * 1024 <= limits.observed_event_bytes
    # A worker's own answer fits however it is escaped: \u0001 is six bytes of one.
    assert 6 * limits.answer_text_bytes + 256 * limits.answer_parts < limits.observed_inflight_bytes
    assert 6 * limits.answer_text_bytes + 4096 < limits.observed_event_bytes


def test_a_window_and_its_copy_count_alike():
    window = EntryWindow(SMALL)
    for seq in range(1, 4):
        window.add({"seq": seq, "type": "x"})
    twin = window.copy()
    twin.add({"seq": 4, "type": "x"})
    assert [e["seq"] for e in window.entries] == [1, 2, 3]
    assert [e["seq"] for e in twin.entries] == [2, 3, 4]
    assert (window.left_out, twin.left_out) == (0, 1)
