"""Frames on the wire, read back by somebody else's parser."""

import pytest
from tests.core.observation.wires import sse_events, websocket_texts
from websockets.frames import Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from yoi.core.observation.framing import sse_frame, websocket_frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70_000])
def test_a_websocket_library_reads_every_length(size):
    client = Protocol(CLIENT, state=OPEN, max_size=None)
    client.receive_data(websocket_frame(b"x" * size) + websocket_frame(b"y"))
    frames = client.events_received()
    assert [(frame.opcode, frame.fin, len(frame.data)) for frame in frames] == [
        (Opcode.TEXT, True, size),
        (Opcode.TEXT, True, 1),
    ]
    assert [len(text) for text, _ in websocket_texts(websocket_frame(b"x" * size))] == [size]


def test_a_server_sent_event_has_id_kind_and_data():
    assert sse_frame(b'{"a":1}', "event", "c1") == b'id: c1\nevent: event\ndata: {"a":1}\n\n'
    assert sse_frame(b"{}", "diagnostic", "") == b"event: diagnostic\ndata: {}\n\n"


@pytest.mark.parametrize("gap", [b"\n", b"\r", b"\r\n", b"\n\n", b" \n\t"])
def test_json_over_several_lines_is_one_event(gap):
    """An upstream may write white space between tokens; a blank line would end the event."""
    payload = b'{"kind":' + gap + b'"event"}'
    ((text, cursor),) = sse_events(sse_frame(payload, "event", "c"))
    assert cursor == "c"
    assert "".join(text.split()) == '{"kind":"event"}'
