"""The bytes that carry a frame: a WebSocket text message, or a server-sent event."""

import struct

_TEXT = 0x81
"""FIN and opcode 1 (RFC 6455 5.2); a server does not mask."""


def websocket_frame(payload: bytes) -> bytes:
    """Return `payload` as one unmasked, unfragmented text frame (RFC 6455 5.2)."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", _TEXT, size) + payload
    if size < 65536:
        return struct.pack("!BBH", _TEXT, 126, size) + payload
    return struct.pack("!BBQ", _TEXT, 127, size) + payload


def sse_frame(payload: bytes, kind: str, cursor: str) -> bytes:
    """Return `payload`, JSON text, as a server-sent event (WHATWG HTML 9.2)."""
    if b"\n" in payload or b"\r" in payload:
        # Between tokens, from an upstream that writes its JSON so: a reader joins the lines again.
        payload = b"\ndata: ".join(payload.splitlines())
    id_line = b"id: %b\n" % cursor.encode() if cursor else b""
    return b"%bevent: %b\ndata: %b\n\n" % (id_line, kind.encode(), payload)
