"""What Yoi relies on in the sans-I/O protocols of `websockets`, beyond its documented methods.

`yoi.connections` (client) and `yoi.serving` (server) read and write the protocols' own attributes.
A new version of the library that fails here is kept out by the upper bound in pyproject.toml.
"""

import logging

import pytest
from websockets.asyncio.client import connect
from websockets.client import ClientProtocol
from websockets.exceptions import (
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    PayloadTooBig,
    ProtocolError,
)
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN, State
from websockets.server import ServerProtocol
from websockets.uri import WebSocketURI

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

SILENT = logging.Logger("silent", logging.CRITICAL + 1)


def pair() -> tuple[ClientProtocol, ServerProtocol]:
    """Return a client and a server that have shaken hands."""
    client = ClientProtocol(
        WebSocketURI(True, "a.example", 443, "/ws", "q=1"), max_size=64, logger=SILENT
    )
    server = ServerProtocol(max_size=64)
    client.send_request(client.connect())
    server.receive_data(b"".join(client.data_to_send()))
    [request] = server.events_received()
    assert isinstance(request, Request)
    server.send_response(server.accept(request))
    client.receive_data(b"".join(server.data_to_send()))
    [response] = client.events_received()
    assert isinstance(response, Response)
    assert (client.state, server.state) == (State.OPEN, OPEN)
    return client, server


def test_a_request_can_be_changed_before_it_is_sent():
    client = ClientProtocol(WebSocketURI(True, "a.example", 443, "/ws", ""), logger=SILENT)
    request = client.connect()
    request.path = "/other"
    del request.headers["Host"]
    request.headers["Host"] = "b.example"
    assert "User-Agent" not in request.headers
    client.send_request(request)
    [sent] = client.data_to_send()
    assert sent.startswith(b"GET /other HTTP/1.1\r\n")
    assert b"Host: b.example\r\n" in sent
    assert b"a.example" not in sent


def test_what_is_put_into_writes_is_sent_with_the_rest_and_in_order():
    client, server = pair()
    client.send_ping(b"")
    waiting = len(client.writes)
    payload, mask = b"hello", b"\x01\x02\x03\x04"
    client.writes += (bytes((0x81, 0x80 | len(payload))), mask, apply_mask(payload, mask))
    assert len(client.writes) == waiting + 3
    server.receive_data(b"".join(client.data_to_send()))
    assert client.writes == []
    ping, text = server.events_received()
    assert isinstance(ping, Frame)
    assert isinstance(text, Frame)
    assert (ping.opcode, text.opcode) == (Opcode.PING, Opcode.TEXT)
    assert bytes(text.data) == payload


def test_every_frame_passes_recv_frame_and_current_size_says_whether_a_message_is_open():
    passed = []

    class Client(ClientProtocol):
        def recv_frame(self, frame: Frame) -> None:
            passed.append((frame.opcode, self.current_size))
            super().recv_frame(frame)

    client, server = pair()
    client.__class__ = Client
    assert client.current_size is None
    server.send_text(b"ab", fin=False)
    server.send_ping(b"")
    server.send_continuation(b"cd", fin=True)
    first, ping, last = server.data_to_send()
    client.receive_data(first)
    assert client.current_size == 2
    client.receive_data(ping + last)
    assert client.current_size is None
    assert passed == [(Opcode.TEXT, None), (Opcode.PING, 2), (Opcode.CONT, 2)]
    # The whole reason for the override: a close between fragments is a close like any other.
    server.send_text(b"ab", fin=False)
    server.send_close(1000, "bye")
    client.receive_data(b"".join(server.data_to_send()))
    assert isinstance(client.parser_exc, ProtocolError), "then the override is needed no more"


def test_the_readers_buffer_is_empty_exactly_between_frames():
    client, server = pair()
    assert not client.reader.buffer
    server.send_text(b"hello")
    [frame] = server.data_to_send()
    client.receive_data(frame[:3])
    assert client.reader.buffer
    client.receive_data(frame[3:])
    assert not client.reader.buffer
    [event] = client.events_received()
    assert isinstance(event, Frame)
    assert event.fin
    assert str(event.data, "utf-8") == "hello"


def test_bounds_and_faults_are_attributes():
    client, server = pair()
    assert client.max_message_size == 64
    assert client.parser_exc is client.handshake_exc is client.close_rcvd is None
    server.max_message_size = None
    server.send_text(b"x" * 65)
    client.receive_data(b"".join(server.data_to_send()))
    assert isinstance(client.parser_exc, PayloadTooBig)
    assert client.state is not State.OPEN


def test_a_close_is_answered_by_the_library_and_kept():
    client, server = pair()
    server.send_close(1001, "going")
    client.receive_data(b"".join(server.data_to_send()))
    assert client.close_rcvd is not None
    assert (client.close_rcvd.code, client.close_rcvd.reason) == (1001, "going")
    assert client.writes, "the answer to the close frame"


@pytest.mark.parametrize("received", [b"HTTP/1.1 404 Not Found\r\n\r\n", b"garbage\r\n\r\n"])
def test_a_handshake_that_fails_leaves_its_exception(received):
    client = ClientProtocol(WebSocketURI(False, "a.example", 80, "/", ""), logger=SILENT)
    client.send_request(client.connect())
    client.data_to_send()
    client.receive_data(received)
    client.receive_eof()
    assert isinstance(client.handshake_exc, InvalidHandshake | InvalidMessage)
    if b"404" in received:
        assert isinstance(client.handshake_exc, InvalidStatus)
        assert client.handshake_exc.response.status_code == 404


def test_a_server_answers_what_is_no_handshake_and_its_words_can_be_replaced():
    server = ServerProtocol(max_size=64)
    server.receive_data(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000)
    assert server.handshake_exc is not None
    assert server.events_received() == []
    server.data_to_send()
    server = ServerProtocol(max_size=64)
    server.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    [request] = server.events_received()
    response = server.accept(request)
    assert response.status_code == 426
    assert b"426" in response.serialize()


def test_the_client_for_watching_asks_one_method_whether_to_follow_a_redirect():
    """`yoi.client.dialling` overrides it: a token goes to the server it was meant for alone."""
    assert callable(connect.process_redirect)
    assert connect.process_redirect.__code__.co_varnames[:2] == ("self", "exc")
