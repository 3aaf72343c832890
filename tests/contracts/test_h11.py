"""What `yoi.serving` and `yoi.connections` rely on in h11 beyond reading its events."""

import h11
import pytest


def test_a_bound_is_told_by_its_status_hint():
    connection = h11.Connection(h11.SERVER, 64)
    connection.receive_data(b"GET /" + b"x" * 100)
    with pytest.raises(h11.RemoteProtocolError) as refused:
        connection.next_event()
    assert refused.value.error_status_hint == 431


def test_next_event_can_be_overridden_to_refuse():
    class Bounded(h11.Connection):
        def next_event(self):
            event = super().next_event()
            if isinstance(event, h11.Request):
                raise h11.RemoteProtocolError("no", error_status_hint=431)
            return event

    connection = Bounded(h11.SERVER)
    connection.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    with pytest.raises(h11.RemoteProtocolError, match="no"):
        connection.next_event()
    assert connection.our_state is h11.SEND_RESPONSE, "an answer may still be written"


def test_what_came_behind_an_upgrade_is_kept():
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nearly"
    )
    assert isinstance(connection.next_event(), h11.Request)
    assert isinstance(connection.next_event(), h11.EndOfMessage)
    assert connection.next_event() is h11.PAUSED
    assert connection.trailing_data == (b"early", False)
