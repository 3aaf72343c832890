"""Reads what a follower was handed, the way the other end would."""

import struct

from yoi.core.observation import Framing
from yoi.protocol.observation import Frame, UnknownFrame, decode_frame


def read_frames(framing: Framing, data: bytes) -> list[tuple[Frame | UnknownFrame, str]]:
    """Return the frames in `data`, each with its cursor (empty where it has none)."""
    texts = websocket_texts(data) if framing is Framing.WEBSOCKET else sse_events(data)
    return [(decode_frame(text), cursor_of(decode_frame(text)) if cursor is None else cursor)
            for text, cursor in texts]  # fmt: skip


def cursor_of(frame: object) -> str:
    """Return the cursor a frame carries itself."""
    envelope = getattr(frame, "envelope", frame)
    return getattr(envelope, "cursor", "")


def websocket_texts(data: bytes) -> list[tuple[str, None]]:
    """Return the text messages in `data`: whole, unmasked, shortest length form (RFC 6455 5.2)."""
    texts: list[tuple[str, None]] = []
    while data:
        assert data[0] == 0x81
        size, at = data[1], 2
        if size == 126:
            (size,), at = struct.unpack_from("!H", data, 2), 4
            assert size >= 126
        elif size == 127:
            (size,), at = struct.unpack_from("!Q", data, 2), 10
            assert size >= 65536
        assert len(data) >= at + size
        texts.append((data[at : at + size].decode(), None))
        data = data[at + size :]
    return texts


def sse_events(data: bytes) -> list[tuple[str, str]]:
    """Return data and id of each event in `data` (WHATWG HTML 9.2.6)."""
    events: list[tuple[str, str]] = []
    assert data == b"" or data.endswith(b"\n\n")
    for block in data.decode().split("\n\n")[:-1]:
        fields: dict[str, list[str]] = {}
        for line in block.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
        assert fields.keys() <= {"id", "event", "data"}
        (kind,) = fields["event"]
        text = "\n".join(fields["data"])
        assert kind in text
        (cursor,) = fields.get("id", [""])
        events.append((text, cursor))
    return events
