"""Policies: the same answer for snapshot, replay and live, and nothing left over."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.backend.observed import (
    BOARD_EVENTS,
    BOARD_SNAPSHOTS,
    SERVICE_EVENTS,
    SERVICE_SNAPSHOTS,
    SNAPSHOTS,
    WORKER_EVENTS,
)

from yoi.backend.policy import ConfiguredPolicy
from yoi.backend.redaction import redacted
from yoi.core.observation import BoardView, ServiceView, WorkerView
from yoi.errors import ProtocolMalformed
from yoi.protocol import events as ev
from yoi.protocol.board_events import (
    BoardEntry,
    BoardItem,
    BoardSnapshot,
    ThreadAdded,
    TicketChanged,
)
from yoi.protocol.observation import Subject, SubjectKind
from yoi.protocol.service_events import (
    ServiceDiagnosed,
    ServiceSnapshot,
    ServiceSnapshotData,
    ServiceStatusChanged,
    ServiceStatusData,
)
from yoi.serving.principals import (
    Principal,
    PrincipalKind,
    Redaction,
    SubjectPattern,
    operator,
)

HIDES = st.frozensets(st.sampled_from(Redaction))
WORKER = Subject(SubjectKind.WORKER, "w", "r")
SECRET = "SECRET"


def plain(snapshot: object) -> object:
    """A snapshot as JSON values, so that two are equal when a client cannot tell them apart."""
    return msgspec.json.decode(msgspec.json.encode(snapshot))


@given(SNAPSHOTS, st.lists(WORKER_EVENTS, max_size=30), HIDES)
def test_redacting_a_fold_is_folding_what_is_redacted(
    snapshot: ev.Snapshot, events: list[ev.Event], hide: frozenset[Redaction]
) -> None:
    whole = WorkerView.of(snapshot)
    shown = WorkerView.of(redacted(whole.snapshot(), hide))
    for event in events:
        try:
            whole.apply(event)
        except ProtocolMalformed:
            continue
        shown.apply(redacted(event, hide))
        assert plain(redacted(whole.snapshot(), hide)) == plain(shown.snapshot())


@given(SERVICE_SNAPSHOTS, st.lists(SERVICE_EVENTS, max_size=20), HIDES)
def test_the_same_for_a_service(
    snapshot: ServiceSnapshot, events: list, hide: frozenset[Redaction]
) -> None:
    whole = ServiceView.of(snapshot)
    shown = ServiceView.of(redacted(whole.snapshot(), hide))
    for event in events:
        whole.apply(event)
        shown.apply(redacted(event, hide))
    assert plain(redacted(whole.snapshot(), hide)) == plain(shown.snapshot())


@given(BOARD_SNAPSHOTS, st.lists(BOARD_EVENTS, max_size=20), HIDES)
def test_the_same_for_a_board(
    snapshot: BoardSnapshot, events: list, hide: frozenset[Redaction]
) -> None:
    whole = BoardView.of(snapshot)
    shown = BoardView.of(redacted(whole.snapshot(), hide))
    for event in events:
        whole.apply(event)
        shown.apply(redacted(event, hide))
    assert plain(redacted(whole.snapshot(), hide)) == plain(shown.snapshot())


@pytest.mark.parametrize("category", [Redaction.TICKETS, Redaction.TOOL_ARGUMENTS])
def test_of_work_items_ids_states_and_times_stay(category: Redaction) -> None:
    """What a worker wrote into a thread is the arguments of its tool: hiding those hides it."""
    words = dict.fromkeys(["title", "assignee", "damage", "thread_damage", "state"], SECRET)
    item = BoardItem(id="a", updated_at="2026-01-01T00:00:00Z", events=3, undecided=True, **words)
    said = dict.fromkeys(["author", "step", "text", "at", "kind"], SECRET)
    entry = BoardEntry(ticket="a", number=2, **said)
    view = BoardView()
    for event in (TicketChanged(item), ThreadAdded(entry)):
        view.apply(event)
    data = redacted(view.snapshot(), frozenset({category})).data
    assert SECRET not in msgspec.json.encode(data).decode()
    assert data.items == [
        BoardItem(id="a", updated_at=item.updated_at, events=3, undecided=True, redacted=True)
    ]
    assert data.entries == [BoardEntry(ticket="a", number=2, kind="", redacted=True)]
    others = frozenset(Redaction) - {Redaction.TICKETS, Redaction.TOOL_ARGUMENTS}
    assert redacted(view.snapshot(), others).data.entries == [entry]
    known = BoardItem(id="a", state="queued")
    assert redacted(TicketChanged(known), frozenset({category})).data == known


@given(WORKER_EVENTS | SERVICE_EVENTS | BOARD_EVENTS, HIDES)
def test_redacting_twice_is_redacting_once(event: object, hide: frozenset[Redaction]) -> None:
    once = redacted(event, hide)
    assert plain(redacted(once, hide)) == plain(once)


@given(WORKER_EVENTS | SERVICE_EVENTS | BOARD_EVENTS)
def test_with_nothing_to_hide_an_event_is_itself(event: object) -> None:
    assert redacted(event, frozenset()) is event


HIDDEN = {
    Redaction.THINKING: [
        ev.ThinkingDelta(ev.TextData(text=SECRET)),
        ev.ThinkingDone(ev.TextData(text=SECRET)),
    ],
    Redaction.TICKETS: [],
    Redaction.TOOL_ARGUMENTS: [
        ev.ToolCallArgsDelta(ev.ToolArgsDeltaData(id="c", json=SECRET)),
        ev.ToolCallDone(ev.ToolCallDoneData(id="c", name="t", arguments=SECRET)),
        ev.ApprovalRequest(ev.ApprovalRequestData(id="c", name="t", arguments=SECRET)),
    ],
    Redaction.TOOL_OUTPUT: [
        ev.ToolResult(ev.ToolResultData(id="c", summary=SECRET, is_error=True)),
        ev.ToolResult(ev.ToolResultData(id="c", summary="", is_error=True, output=SECRET)),
        ev.Error(ev.ErrorData(code="tool_error", message=SECRET)),
    ],
    Redaction.DIAGNOSTICS: [
        ev.Error(ev.ErrorData(code="provider_error", message=SECRET)),
        ev.Alert(ev.AlertData(level="error", source="x", message=SECRET, timestamp_ms=1)),
        ev.CompactFailed(ev.CompactFailedData(error=SECRET)),
        ev.LlmRetry(
            ev.LlmRetryData(
                llm_call=1, failed_attempt=1, max_attempts=2, wait_ms=1, elapsed_ms=1, error=SECRET
            )
        ),
    ],
}


@pytest.mark.parametrize(
    ("category", "event"),
    [(category, event) for category, each in HIDDEN.items() for event in each],
    ids=lambda value: type(value).__name__ if isinstance(value, msgspec.Struct) else str(value),
)
def test_each_field_is_emptied_and_marked_by_its_own_category_only(
    category: Redaction, event: ev.Event
) -> None:
    shown = redacted(event, frozenset({category}))
    text = msgspec.json.encode(shown).decode()
    assert SECRET not in text
    assert '"redacted":true' in text
    # An error of a tool is both its output and a diagnostic.
    others = frozenset(Redaction) - {category, Redaction.DIAGNOSTICS}
    assert SECRET in msgspec.json.encode(redacted(event, others)).decode()


@pytest.mark.parametrize("category", list(Redaction))
def test_a_snapshot_holds_nothing_of_what_its_events_hide(category: Redaction) -> None:
    view = WorkerView(ev.Greeting(worker_name="w", provider="p", model="m", tools=[]))
    for event in HIDDEN[category]:
        view.apply(event)
    in_flight = redacted(view.snapshot(), frozenset({category}))
    view.apply(ev.LlmCallEnd(ev.LlmCallData(llm_call=1, seq=3)))
    committed = redacted(view.snapshot(), frozenset({category}))
    for shown in (in_flight, committed):
        assert SECRET not in msgspec.json.encode(shown).decode()


def test_an_empty_end_of_a_hidden_text_hides_nothing() -> None:
    hide = frozenset({Redaction.THINKING})
    view = WorkerView(ev.Greeting(worker_name="w", provider="p", model="m", tools=[]))
    shown = view.copy()
    for event in (
        ev.ThinkingDelta(ev.TextData(text=SECRET)),
        ev.ThinkingDone(ev.TextData(text="")),
    ):
        view.apply(event)
        shown.apply(redacted(event, hide))
    assert plain(redacted(view.snapshot(), hide)) == plain(shown.snapshot())


@pytest.mark.parametrize("category", list(Redaction))
def test_what_is_not_known_becomes_a_placeholder_under_any_redaction(category: Redaction) -> None:
    hide = frozenset({category})
    raw = b'{"event":"thought_summary","data":{"text":"SECRET"}}'
    shown = redacted(ev.decode_event(raw), hide)
    assert msgspec.json.encode(shown) == b'{"event":"thought_summary","data":{"redacted":true}}'
    entry = {"seq": 4, "type": "thought_summary", "at_ms": 2, "text": SECRET}
    part = {"kind": "thought", "text": SECRET}
    assistant = {"seq": 5, "type": "assistant", "parts": [part, "SECRET"], "later": SECRET}
    snapshot = ev.Snapshot(
        ev.SnapshotData(
            entries=[entry, assistant],
            greeting=ev.Greeting(worker_name="w", provider="p", model="m", tools=[]),
            status="idle",
        )
    )
    shown = redacted(snapshot, hide)
    assert shown.data.entries[0] == {
        "seq": 4,
        "type": "thought_summary",
        "at_ms": 2,
        "redacted": True,
    }
    assert SECRET not in msgspec.json.encode(shown).decode()


@pytest.mark.parametrize("odd", [[], {}, [SECRET], {SECRET: 1}, 1, None, 1e300], ids=repr)
def test_a_field_of_another_type_than_ours_is_not_shown_and_is_no_defect(odd: object) -> None:
    hide = frozenset(Redaction)
    parts = [{"kind": odd, "text": SECRET}, {"kind": "thinking", "text": odd}, odd]
    entries = [
        {"seq": 1, "type": "assistant", "parts": parts},
        {"seq": 2, "type": "assistant", "parts": odd},
        {"seq": 3, "type": "system_item", "provenance": odd, "text": odd},
        {"seq": 4, "type": "tool_result", "summary": odd, "output": odd},
    ]
    snapshot = ev.Snapshot(
        ev.SnapshotData(
            entries=entries,
            greeting=ev.Greeting(worker_name="w", provider="p", model="m", tools=[]),
            status="idle",
        )
    )
    diagnostic = {"code": odd, "severity": odd, "scope": odd, "at": odd, "message": SECRET}
    status = {"counters": odd, "connections": odd, "pull_sockets": [odd], "name": odd}
    service = ServiceSnapshot(ServiceSnapshotData(status=status, diagnostics=[diagnostic]))
    for event in (snapshot, service, ServiceDiagnosed(diagnostic)):
        assert SECRET not in msgspec.json.encode(redacted(event, hide)).decode()


def test_a_field_of_a_newer_runtime_is_left_behind() -> None:
    raw = b'{"event":"text_delta","data":{"text":"hello","thought":"SECRET"}}'
    event = ev.decode_event(raw)
    shown = redacted(event, frozenset({Redaction.THINKING}))
    # Another object: a feed sends the runtime's own bytes only for the very same one.
    assert shown is not event
    assert shown == event


def test_a_service_without_diagnostics_shows_states_and_codes_but_nobody_s_words() -> None:
    hide = frozenset({Redaction.DIAGNOSTICS})
    entry = {
        "at": "now",
        "code": "notice.log",
        "severity": "error",
        "scope": "service:x",
        "message": SECRET,
        "hint": SECRET,
        "fields": {"line": SECRET},
    }
    status = {
        "name": "x",
        "lifecycle": "running",
        "last_error": SECRET,
        "plugin_status": {"said": SECRET},
        "counters": {"dispatched": 3, "later": SECRET},
        "connections": [
            {"name": "main", "state": "open", "last_error": SECRET, "close_reason": SECRET}
        ],
        "later": SECRET,
    }
    for event in (
        ServiceDiagnosed(entry),
        ServiceStatusChanged(ServiceStatusData(status=status)),
        ServiceSnapshot(ServiceSnapshotData(status=status, diagnostics=[entry])),
    ):
        text = msgspec.json.encode(redacted(event, hide)).decode()
        assert SECRET not in text
        assert '"redacted":true' in text
    shown = redacted(ServiceStatusChanged(ServiceStatusData(status=status)), hide)
    assert shown.data.status["connections"] == [{"name": "main", "state": "open"}]
    assert shown.data.status["counters"] == {"dispatched": 3}
    assert redacted(ServiceDiagnosed(entry), hide).data["code"] == "notice.log"
    unlisted = redacted(ServiceDiagnosed({**entry, "code": SECRET, "severity": SECRET}), hide)
    assert (unlisted.data["code"], unlisted.data["severity"]) == ("", "info")


def observer(
    *patterns: str, redact: tuple[Redaction, ...] = (), commands: tuple[str, ...] = ()
) -> Principal:
    return Principal(
        name="eve",
        kind=PrincipalKind.TOKEN,
        observe=tuple(SubjectPattern.parse(each) for each in patterns),
        redact=frozenset(redact),
        commands=frozenset(commands),
    )


def test_what_is_not_allowed_is_denied_and_denied_wins() -> None:
    policy = ConfiguredPolicy(
        {"*": (SubjectPattern.parse("r/worker/x"),), "eve": (SubjectPattern.parse("r/worker/y"),)}
    )
    eve = observer("r/worker/*")
    seen = {
        name: policy.observe(eve, Subject(SubjectKind.WORKER, name, "r"))
        for name in ("w", "x", "y")
    }
    assert seen == {"w": True, "x": False, "y": False}
    assert not policy.observe(eve, Subject(SubjectKind.SERVICE, "w", "r"))
    assert not policy.observe(observer(), WORKER)
    assert policy.observe(operator(), Subject(SubjectKind.WORKER, "y", "r"))
    assert not policy.observe(operator(), Subject(SubjectKind.WORKER, "x", "r"))


def test_a_projection_s_name_says_what_is_hidden_and_nothing_else() -> None:
    policy = ConfiguredPolicy()
    names = {
        policy.projection(observer("*", redact=each), WORKER)
        for size in range(len(Redaction) + 1)
        for each in itertools.combinations(Redaction, size)
    }
    assert len(names) == 2 ** len(Redaction)
    one = observer("*", redact=(Redaction.THINKING, Redaction.DIAGNOSTICS))
    other = observer("r/worker/w", redact=(Redaction.DIAGNOSTICS, Redaction.THINKING))
    assert policy.projection(one, WORKER) == policy.projection(other, WORKER)


def test_a_command_needs_the_token_s_word_and_sight_of_its_subject() -> None:
    policy = ConfiguredPolicy()
    eve = observer("r/worker/w", commands=("send", "cancel"))
    assert policy.affordances(eve, WORKER) == ("cancel", "send")
    assert policy.forward("send", eve, WORKER)
    assert not policy.forward("compact", eve, WORKER)
    blind = observer("*", redact=(Redaction.TOOL_ARGUMENTS,), commands=("approve", "pause"))
    assert policy.affordances(blind, WORKER) == ("pause",)
    assert not policy.forward("approve", blind, WORKER)
    hidden = Subject(SubjectKind.WORKER, "other", "r")
    assert policy.affordances(eve, hidden) == ()
    assert not policy.forward("send", eve, hidden)
