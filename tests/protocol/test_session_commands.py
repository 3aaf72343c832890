"""Issue 3: every payload is parsed strictly; what does not fit names its field."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.errors import GuestRefused
from yoi.permissions import JsonPointer
from yoi.permissions.match import Match
from yoi.protocol.fields import OutgoingMessage
from yoi.protocol.session_commands import (
    SESSION_KINDS,
    Request,
    StateSet,
    TimerSet,
    WebSocketAutoreply,
    WebSocketHeartbeat,
    WebSocketOpen,
    parse_session_payload,
)


def test_an_open_with_a_handle_and_an_inserted_header():
    insert = [{"at": "/headers/authorization", "secret": "bot"}]
    assert parse_session_payload(
        "websocket_open",
        {"connection": "g", "handle": "h1", "headers": {"x": "y"}, "insert": insert},
    ) == WebSocketOpen("g", None, "h1", {"x": "y"}, {}, tuple(insert))


def test_a_heartbeat_with_an_acknowledgement():
    assert parse_session_payload(
        "websocket_heartbeat",
        {
            "connection": "g",
            "every_ms": 41250,
            "json": {"op": 1, "d": None},
            "insert": [{"at": "/d", "last": "seq"}],
            "ack": {"at": "/op", "equals": 11},
            "first_ms": 100,
        },
    ) == WebSocketHeartbeat(
        "g",
        41250,
        100,
        OutgoingMessage(None, {"op": 1, "d": None}, ({"at": "/d", "last": "seq"},)),
        Match(JsonPointer.parse("/op"), (11,)),
    )


def test_a_heartbeat_ends_with_zero():
    stop = parse_session_payload("websocket_heartbeat", {"connection": "g", "every_ms": 0})
    assert isinstance(stop, WebSocketHeartbeat)
    assert (stop.every_ms, stop.message) == (0, None)


def test_an_autoreply_copies_values_and_can_be_cleared():
    reply = parse_session_payload(
        "websocket_autoreply",
        {
            "connection": "g",
            "when": {"at": "/type", "equals": "ping"},
            "json": {"type": "pong", "id": None},
            "copy": [{"from": "/id", "to": "/id"}],
        },
    )
    assert isinstance(reply, WebSocketAutoreply)
    assert reply.copy == (("/id", "/id"),)
    cleared = parse_session_payload("websocket_autoreply", {"connection": "g", "when": None})
    assert cleared == WebSocketAutoreply("g", None, None, ())


def test_a_whole_text_is_matched_by_value_or_prefix():
    def when(match):
        payload = {"connection": "g", "when": match, "text": "3"}
        parsed = parse_session_payload("websocket_autoreply", payload)
        assert isinstance(parsed, WebSocketAutoreply)
        return parsed.when

    assert when({"at": "", "equals": "2"}) == Match(None, ("2",))
    assert when({"at": "", "one_of": ["2", "ping"]}) == Match(None, ("2", "ping"))
    assert when({"at": "", "prefix": "PING "}) == Match(None, prefix="PING ")


@pytest.mark.parametrize(
    ("parts", "insert", "word"),
    [
        ("40", [], "list"),
        ([], [], "1 to 16"),
        (["x"] * 17, [], "1 to 16"),
        (["x", ""], [], "characters"),
        (["x", 1], [], "object or array"),
        (["PRIVMSG #c :", "hi\r\nQUIT"], [], "side by side"),
        (["SEND\n", "x"], [], "side by side"),
        (['{"a":', {"token": None}, "}"], [{"at": "/1/token", "secret": "t"}], "bracket"),
        (["40", {}], [{"at": "/0", "secret": "t"}], "inside a document"),
        (["40", {}], [{"at": "/1", "secret": "t"}], "inside a document"),
    ],
)
def test_parts_that_would_make_another_message_are_refused(parts, insert, word):
    payload = {"connection": "g", "every_ms": 5000, "parts": parts, "insert": insert}
    with pytest.raises(GuestRefused) as refused:
        parse_session_payload("websocket_heartbeat", payload)
    assert refused.value.code == "service.parts"
    assert word in refused.value.message


def test_a_value_is_not_copied_over_a_literal_part():
    payload = {
        "connection": "g",
        "when": {"at": "/t", "equals": 1},
        "parts": ["4", {"id": None}],
        "copy": [{"from": "/id", "to": "/0"}],
    }
    with pytest.raises(GuestRefused) as refused:
        parse_session_payload("websocket_autoreply", payload)
    assert refused.value.code == "service.parts"


def test_null_is_a_document_and_a_state_value():
    assert parse_session_payload("state_set", {"key": "k", "value": None}) == StateSet("k", None)


def test_a_request():
    request = parse_session_payload(
        "request", {"target": "api", "method": "post", "path": "/api/x", "json": {"a": 1}}
    )
    assert isinstance(request, Request)
    assert (request.method, request.json) == ("POST", {"a": 1})


def test_a_timer():
    assert parse_session_payload("timer_set", {"name": "t", "after_ms": 50}) == TimerSet("t", 50)


@pytest.mark.parametrize(
    ("kind", "payload", "word"),
    [
        ("websocket_open", {}, "connection"),
        ("websocket_open", {"connection": "g", "url": "wss://a/", "handle": "h"}, "together"),
        ("websocket_open", {"connection": "g", "cookies": {}}, "cookies"),
        ("websocket_open", {"connection": "g", "headers": {"a": 1}}, "headers"),
        ("websocket_close", {"connection": "g", "code": 1006}, "code"),
        ("websocket_close", {"connection": "g", "code": 1002}, "code"),
        ("websocket_close", {"connection": "g", "reason": "é" * 100}, "reason"),
        ("websocket_heartbeat", {"connection": "g", "every_ms": 10, "text": "x"}, "at least"),
        ("websocket_heartbeat", {"connection": "g", "every_ms": True, "text": "x"}, "every_ms"),
        (
            "websocket_heartbeat",
            {"connection": "g", "every_ms": 5000, "json": [[]] * 9000},
            "the host repeats",
        ),
        (
            "websocket_autoreply",
            {"connection": "g", "when": {"at": "/a", "equals": 1}, "text": "x" * 20_000},
            "the host repeats",
        ),
        (
            "websocket_autoreply",
            {"connection": "g", "when": {"at": "/a", "equals": "x" * 5000}, "text": "x"},
            "equals",
        ),
        ("websocket_heartbeat", {"connection": "g", "every_ms": 5000}, "text, json or parts"),
        (
            "websocket_heartbeat",
            {"connection": "g", "every_ms": 5000, "text": "x", "insert": [{}]},
            "substituted",
        ),
        (
            "websocket_heartbeat",
            {"connection": "g", "every_ms": 5000, "text": "x", "ack": {"at": "op"}},
            "ack",
        ),
        ("websocket_autoreply", {"connection": "g", "when": {"at": "/a", "equals": 1}}, "answer"),
        (
            "websocket_autoreply",
            {"connection": "g", "when": {"at": "", "equals": 2}, "text": "x"},
            "whole text",
        ),
        (
            "websocket_autoreply",
            {"connection": "g", "when": {"at": "/a", "prefix": ""}, "text": "x"},
            "prefix",
        ),
        (
            "websocket_autoreply",
            {"connection": "g", "when": {"at": "/a", "one_of": []}, "text": "x"},
            "one_of",
        ),
        (
            "websocket_autoreply",
            {"connection": "g", "when": {"at": "/a", "equals": 1, "prefix": "x"}, "text": "x"},
            "one of",
        ),
        (
            "websocket_autoreply",
            {"connection": "g", "when": {"at": "", "equals": "2"}, "text": "x", "copy_rest": True},
            "prefix",
        ),
        ("timer_set", {"name": "t", "after_ms": 1}, "after_ms"),
        ("timer_set", {"name": "", "after_ms": 50}, "name"),
        ("timer_set", {"name": "t", "after_ms": 10**12}, "after_ms"),
        ("state_set", {"key": "k"}, "value"),
        ("state_set", {"key": "k", "value": "x" * 70_000}, "bytes"),
        ("request", {"target": "api", "method": "GET"}, "path"),
        ("request", {"target": "a", "method": "GET", "path": "/", "capture": [1]}, "capture"),
        ("request", {"target": "a", "method": "GET", "path": "/", "text": "", "json": 1}, "json"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_word_about_it(kind, payload, word):
    with pytest.raises(GuestRefused) as refused:
        parse_session_payload(kind, payload)
    assert refused.value.code == "service.command_malformed"
    assert word in refused.value.message


payloads = st.dictionaries(
    st.sampled_from(
        ["connection", "url", "handle", "every_ms", "json", "text", "insert", "ack", "when", "copy",
         "name", "after_ms", "key", "value", "target", "method", "path", "headers", "code", "extra"]
    ),
    st.none() | st.booleans() | st.integers() | st.text(max_size=5)
    | st.lists(st.integers(), max_size=2) | st.dictionaries(st.text(max_size=3), st.integers()),
    max_size=6,
)  # fmt: skip


@given(st.sampled_from(sorted(SESSION_KINDS)), payloads)
def test_nothing_else_ever_comes_out(kind, payload):
    before = dict(payload)
    with contextlib.suppress(GuestRefused):
        parse_session_payload(kind, payload)
    assert payload == before, "the plugin's own object is never changed"


def test_a_stop_says_whether_a_changed_secret_ends_it():
    stop = {"connection": "hub", "reason": "no"}
    assert not parse_session_payload("websocket_stop", stop).until_secret
    assert parse_session_payload("websocket_stop", {**stop, "until": "secret"}).until_secret
    with pytest.raises(GuestRefused):
        parse_session_payload("websocket_stop", {**stop, "until": "tomorrow"})
