from datetime import UTC, datetime

import pytest

from yoi_pdk import CloseEvent, Event
from yoi_pdk.events import KINDS, JsonEvent, event_from_json
from yoi_pdk.testing import (
    binary_event,
    close_event,
    denied_event,
    error_event,
    gap_event,
    open_event,
    send_failed_event,
    text_event,
)


def test_a_text_event_knows_where_it_came_from():
    event = text_event('{"a": 1}', connection="gw", ingress="in", session="s", seq=4, attempt=2)
    assert (event.connection, event.ingress, event.session) == ("gw", "in", "s")
    assert (event.id, event.attempt, event.kind) == ("s.4", 2, "websocket_text")
    assert event.received_at == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert event.json() == {"a": 1}
    assert "gw" in repr(event)


def test_a_text_event_holds_nothing_else():
    with pytest.raises(AttributeError):
        text_event("x").note = 1  # type: ignore[attr-defined]


def test_every_kind_has_its_class_and_attributes():
    assert open_event("chat.v2").subprotocol == "chat.v2"
    assert open_event().subprotocol is None
    closed = close_event(4004, "no", clean=False)
    assert (closed.code, closed.reason, closed.clean) == (4004, "no", False)
    gap = gap_event("overflow", seconds=2, count=3)
    assert gap.since is not None
    assert gap.until is not None
    assert (gap.until - gap.since).total_seconds() == 2
    assert (gap.why, gap.count) == ("overflow", 3)
    assert gap.missing == []


def test_a_gap_names_the_numbers_that_are_missing_and_a_message_that_it_came_before():
    gap = gap_event("sequence", missing=[("BTC", 5, 6)])
    assert gap.missing == [("BTC", 5, 6)]
    assert gap.missing[0].last == 6
    gap.payload["missing"][0]["last"] = "18446744073709551615"
    assert gap.missing[0].last == 2**64 - 1
    assert not text_event("x").duplicate
    again = text_event("x", duplicate=True)
    assert again.duplicate
    assert again.payload["duplicate"] is True
    assert "duplicate" not in text_event("x").payload
    assert binary_event(b"\x00\x01").data == b"\x00\x01"
    assert error_event().code == "connection.refused"
    assert not error_event().reconnect_needed
    assert error_event("connection.reconnect_needed").reconnect_needed
    assert (error_event().status, error_event(status=403).status) == (None, 403)
    for event in (denied_event("c1"), send_failed_event("c1")):
        assert (event.command_id, event.command) == ("c1", "websocket_send")
        assert event.message


def test_each_event_has_a_connection_a_session_and_a_time():
    event = open_event(connection="other", session="s9", ingress="in", attempt=3)
    assert (event.connection, event.session, event.ingress, event.attempt) == (
        "other",
        "s9",
        "in",
        3,
    )
    assert event.created_at == datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_an_unknown_kind_is_a_plain_event():
    event = event_from_json(
        {
            "kind": "calendar",
            "source": "host",
            "ingress_name": "events",
            "payload": {"n": 1},
            "created_at": "2026-01-01T00:00:00.000Z",
            "attempt": 1,
            "correlation_id": "t1",
        }
    )
    assert type(event) is JsonEvent
    assert (event.payload, event.connection, event.session) == ({"n": 1}, None, None)


@pytest.mark.parametrize("cls", KINDS.values())
def test_payloads_of_the_wrong_type_do_not_break_attributes(cls):
    event = cls(
        "k",
        {"code": [], "reason": 7, "message": {}, "connection": 1, "why": None, "since": 3},
        ingress="i",
        source="s",
        created_at="2026-01-01T00:00:00Z",
        attempt=1,
        id="x",
    )
    names = [name for name in dir(cls) if isinstance(getattr(cls, name), property)]
    for name in set(names) - {"data"}:
        getattr(event, name)
    assert isinstance(event, Event)


def test_a_lost_connection_has_the_code_the_rfc_gives_it():
    assert close_event().code == 1000
    lost = close_event()
    del lost.payload["code"]
    assert isinstance(lost, CloseEvent)
    assert lost.code == 1006


def test_a_started_event_says_what_the_instance_takes_over():
    from yoi_pdk.testing import started_event

    session = {"connection": "gateway", "session": "s1", "since": "2026-01-01T00:00:00.000Z"}
    event = started_event(2, connections=[session], timers=[{"ingress": "events", "name": "t"}])
    assert (event.restarts, event.replaced) == (2, True)
    assert event.connections == [session]
    assert event.timers == [{"ingress": "events", "name": "t"}]
    assert not started_event().replaced
