"""The `websockets` library's sans-I/O client, as this driver uses it.

The library is the authority on the protocol. Around it: a lean way out for whole messages, and the
one case of the conformance suite that it answers otherwise (docs/decisions/websocket-driver.md).
"""

import os
from collections.abc import Callable, Generator
from typing import Any

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.streams import StreamReader

from yoi.connections.deflate import BoundedDeflate, margin_of

try:
    from websockets.speedups import apply_mask
except ImportError:  # the same function in plain Python, where no compiled wheel exists
    from websockets.utils import apply_mask

_FIN = 0x80
_MASKED = 0x80
_MASK_POOL_BYTES = 4096


class _Reader(StreamReader):
    """Knows whether it stands between two frames, the only place where the stream may end."""

    in_frame = True

    def at_eof(self) -> Generator[None, None, bool]:
        """See StreamReader: the library asks before each frame, and waits here for its start."""
        self.in_frame = False
        ended = yield from super().at_eof()
        self.in_frame = True
        return ended


class Client(ClientProtocol):
    """See the module docstring. `entropy(n)` returns n unpredictable bytes."""

    entropy: Callable[[int], bytes] = staticmethod(os.urandom)
    _masks = b""
    _mask_at = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.granted = self.max_message_size or 0
        """The bytes that a message may hold."""
        self._reader = self.reader = _Reader()
        self.parser = self.parse()  # the one that was begun reads from another reader
        next(self.parser)

    def process_response(self, response: Response) -> None:
        """Take the server's answer; the bound on the wire leaves room for what deflate adds."""
        super().process_response(response)
        for agreed in self.extensions:
            if isinstance(agreed, BoundedDeflate):
                agreed.margin = margin_of(self.granted)
                self.max_message_size = self.granted + agreed.margin

    def recv_frame(self, frame: Frame) -> None:
        """Take one frame; a close frame between fragments is a close like any other.

        RFC 6455 5.4 lets control frames stand there; the library alone answers 1002 (Autobahn case
        7.1.5).
        """
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)

    def send_whole(self, opcode: Opcode, payload: bytes) -> None:
        """Write one unfragmented message: what `send_text` does, in a quarter of its time.

        The mask is unpredictable (RFC 6455 10.3). It matters here as it does in a browser: the
        payload is chosen by untrusted code, which could otherwise speak plain HTTP to
        whatever lies in between.
        """
        at = self._mask_at
        if at == len(self._masks):
            self._masks, at = self.entropy(_MASK_POOL_BYTES), 0  # one system call for many frames
        mask = self._masks[at : at + 4]
        self._mask_at = at + 4
        size = len(payload)
        if size < 126:
            head = bytes((_FIN | opcode, _MASKED | size))
        elif size < 65536:
            head = bytes((_FIN | opcode, _MASKED | 126, size >> 8, size & 0xFF))
        else:
            head = bytes((_FIN | opcode, _MASKED | 127)) + size.to_bytes(8, "big")
        self.writes += (head, mask, apply_mask(payload, mask))

    @property
    def between_messages(self) -> bool:
        """Return whether nothing that was received is still being put together."""
        return not self._reader.in_frame and self.current_size is None
