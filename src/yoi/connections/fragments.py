"""`Fragments`: puts the frames of one message together, within bounds the library leaves open."""

import codecs

from websockets.frames import Frame, Opcode

from yoi.connections.message_faults import flood, not_utf8
from yoi.limits import Limits

_Utf8 = codecs.getincrementaldecoder("utf-8")


class Fragments:
    """See the module docstring. The library has checked the frames' order and total size."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._decoder = _Utf8()
        self._opcode: Opcode | None = None
        self._parts: list[str] = []
        self._body = bytearray()
        self._frames = 0
        self._empty = 0

    def take(self, frame: Frame) -> tuple[str | bytes, int] | None:
        """Return the message that `frame` completes, with its size in bytes; None where more come.

        Raises ConnectionFailure for a flood of tiny frames and for text that is not UTF-8.
        """
        if frame.opcode is not Opcode.CONT:
            self._opcode = frame.opcode
        self._frames += 1
        self._empty = 0 if frame.data else self._empty + 1
        limits = self._limits
        # Large messages may come in many fragments; a flood is tiny ones.
        bound = limits.fragments_per_message + len(self._body) // limits.fragment_bytes
        if self._frames > bound:
            raise flood(
                f"{self._frames} fragments of {len(self._body) // self._frames} bytes on "
                "average in one message"
            )
        if self._empty > limits.empty_fragments:
            raise flood(f"more than {limits.empty_fragments} empty fragments in a row")
        self._body += frame.data
        text = self._opcode is Opcode.TEXT
        if text:
            # Bad text is refused as it arrives, not after 16 MiB of it.
            try:
                self._parts.append(self._decoder.decode(frame.data, frame.fin))
            except UnicodeDecodeError:
                raise not_utf8() from None
        if not frame.fin:
            return None
        message: str | bytes = "".join(self._parts) if text else bytes(self._body)
        size = len(self._body)
        self.forget()
        return message, size

    def forget(self) -> None:
        """Begin with the next message."""
        self._opcode = None
        self._body, self._parts = bytearray(), []
        self._frames = self._empty = 0
        self._decoder.reset()
