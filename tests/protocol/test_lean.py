"""The private world's codec: exact on good input, safe against a guest that forges answers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.errors import GuestRefused
from yoi.protocol.ingress import EventKind, IngressEvent, TextFrame
from yoi.protocol.lean import decode_answer, encode_batch
from yoi.protocol.outcomes import NO_COMMANDS, AnswerRefused, Commands, HandlerFailed, Reply
from yoi.types import SessionId

NOW = "2026-01-01T00:00:00.000Z"


def frame(seq=1, text="hello", session="s1", received_ms=5, attempt=1):
    return TextFrame(
        "events", "gateway", SessionId(session), seq, text, received_ms, len(text), attempt
    )


def opened():
    return IngressEvent(
        kind=EventKind.OPEN,
        source="websocket:gateway",
        ingress_name="events",
        payload={"connection": "gateway", "session": "s1"},
        created_at=NOW,
        correlation_id="s1.open",
    )


def read_batch(batch):
    """An independent reading of the documented format."""
    head, body = batch.split("\n", 1)
    slice_ms, runs = json.loads(head)
    at, events = 0, []
    for run in runs:
        if run[0] == "t":
            _, ingress, connection, session, seq, received_ms, attempt, lengths, *_ = run
            for offset, length in enumerate(lengths):
                text = body[at : at + length]
                at += length
                events.append(
                    (ingress, connection, session, seq + offset, received_ms, attempt, text)
                )
        else:
            events.append(json.loads(body[at : at + run[1]]))
            at += run[1]
    assert at == len(body)
    return slice_ms, events


def test_frames_that_came_before_are_marked_and_share_no_run_with_others():
    frames = [frame(1, "a"), frame(2, "b"), frame(3, "c"), frame(4, "d")]
    frames[1].duplicate = frames[2].duplicate = True
    head = json.loads(encode_batch(frames, 5).split("\n", 1)[0])
    assert [(run[0], run[4], run[8:]) for run in head[1]] == [
        ("t", 1, []),
        ("r", 2, [None, True]),
        ("r", 3, [None, True]),
        ("t", 4, []),
    ]
    assert "duplicate" not in frames[0].as_event().payload
    assert frames[1].as_event().payload["duplicate"] is True


def test_frames_of_one_session_share_a_run():
    batch = encode_batch([frame(1, "a"), frame(2, "bc")], 5)
    assert batch == '[5,[["t","events","gateway","s1",1,5,1,[1,2]]]]\nabc'


@given(
    st.lists(
        st.tuples(st.text(max_size=20), st.sampled_from(["s1", "s2"]), st.integers(1, 2)),
        max_size=12,
    )
)
def test_every_event_arrives_as_it_was(items):
    events = [
        frame(n, text, session, attempt=attempt)
        for n, (text, session, attempt) in enumerate(items, 1)
    ]
    events.insert(len(events) // 2, opened())
    slice_ms, read = read_batch(encode_batch(events, 7))
    assert slice_ms == 7
    for event, got in zip(events, read, strict=True):
        if isinstance(event, TextFrame):
            assert got == (
                "events", "gateway", event.session, event.seq, 5, event.attempt, event.text,
            )  # fmt: skip
        else:
            assert got["kind"] == "websocket_open"
            assert got["correlation_id"] == "s1.open"


def test_outcomes_of_every_shape():
    events = [frame(n) for n in range(1, 5)]
    error = {"type": "ValueError", "message": "no", "trace": "line 1"}
    head = [None, 2, [[None, "websocket_send", {"text": "x"}], ["mine", "other", {}]], error]
    outcomes = decode_answer(json.dumps(head) + "\nhé", events, NOW)
    assert outcomes[0] is NO_COMMANDS
    assert outcomes[1] == Reply("hé")
    assert isinstance(outcomes[2], Commands)
    first, second = outcomes[2].commands
    assert (first.command_id, first.source_event_id, first.requested_at) == ("s1.3:0", "s1.3", NOW)
    assert second.command_id == "mine"
    assert outcomes[3] == HandlerFailed("ValueError", "no", "line 1")


def test_a_prefix_is_a_good_answer():
    assert decode_answer("[null]\n", [frame(1), frame(2)], NOW) == [NO_COMMANDS]


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "[null]",
        "\n",
        "[]\n",
        "{}\n",
        "null\n",
        "[null,null,null]\n",
        "[5]\nabc",
        "[-1]\n",
        "[1]\nabc",
        "[1",
        "[" * 100_000 + "\n",
        "[1e400]\n",
        "[999999999999]\nx",
    ],
)
def test_an_answer_that_cannot_be_accounted_for_is_refused_whole(answer):
    with pytest.raises(GuestRefused) as refused:
        decode_answer(answer, [frame(1), frame(2)], NOW)
    assert refused.value.code == "sandbox.answer_malformed"


@pytest.mark.parametrize(
    "entry",
    [
        True,
        1.5,
        "text",
        [["id", "kind"]],
        [[None, 1, {}]],
        [[None, "kind", "payload"]],
        [["a", "kind", {}], ["a", "kind", {}]],
        [[None, "k" * 1000, {}]],
        [["id\u0007", "kind", {}]],
        [["id", "kind", {}]] * 65,
        [[7, "kind", {}]],
    ],
)
def test_one_bad_outcome_is_refused_and_harms_no_other(entry):
    outcomes = decode_answer(json.dumps([entry, 2]) + "\nok", [frame(1), frame(2)], NOW)
    assert isinstance(outcomes[0], AnswerRefused)
    assert outcomes[1] == Reply("ok")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=4), st.text(max_size=12))
def test_no_forged_answer_escapes_as_anything_else(head, body):
    events = [frame(n) for n in range(1, 4)]
    try:
        outcomes = decode_answer(json.dumps(head) + "\n" + body, events, NOW)
    except GuestRefused:
        return
    assert 1 <= len(outcomes) <= len(events)
    assert sum(len(o.text) for o in outcomes if isinstance(o, Reply)) == len(body)


def test_a_frame_in_its_public_shape_has_every_field_that_was_promised():
    """S6: kind, source, ingress name, payload, creation time, attempt, correlation id."""
    event = frame(seq=3, text="hi", attempt=2).as_event()
    assert (event.kind, event.source, event.ingress_name) == (
        "websocket_text", "websocket:gateway", "events",
    )  # fmt: skip
    assert event.payload == {"connection": "gateway", "session": "s1", "seq": 3, "text": "hi"}
    assert event.created_at == "1970-01-01T00:00:00.005Z"
    assert (event.attempt, event.correlation_id) == (2, "s1.3")


def lean_answer(item, body):
    return decode_answer(json.dumps([[item]]) + "\n" + body, [frame()], NOW)


def test_a_command_may_have_its_text_or_data_beside_it():
    [outcome] = lean_answer([None, "websocket_send", {"connection": "x"}, "data", 2], "\u00e9a")
    assert outcome.commands[0].payload == {"connection": "x", "data": b"\xe9a"}
    [outcome] = lean_answer(["t", "websocket_send", {}, "text", 1], "\u20ac")
    assert outcome.commands[0].payload == {"text": "\u20ac"}


@pytest.mark.parametrize(
    ("item", "body"),
    [
        ([None, "websocket_send", {}, "data", 1], "\u20ac"),
        ([None, "websocket_send", {}, "data", 3], "ab"),
        ([None, "websocket_send", {}, "data", -1], "ab"),
        ([None, "websocket_send", {}, "data", True], "a"),
        ([None, "websocket_send", {}, "session", 1], "a"),
        ([None, "websocket_send", [], "text", 1], "a"),
        ([None, "websocket_send", {}, "text", 1], "ab"),
        ([None, "websocket_send", {}, ["text"], 1], "a"),
    ],
)
def test_a_forged_place_refuses_the_whole_answer(item, body):
    with pytest.raises(GuestRefused) as refused:
        lean_answer(item, body)
    assert refused.value.code == "sandbox.answer_malformed"
