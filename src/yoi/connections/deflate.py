"""permessage-deflate (RFC 7692) for what servers send; offered in every handshake.

What arrives is inflated within the granted size of a message, so that a few bytes of wire are never
more than that in memory. What is sent is not compressed: a secret beside text that others chose
would show in its length (CRIME), and a compressor costs 256 KiB for each idle connection, where
inflating costs 40.
"""

from collections.abc import Sequence

from websockets.exceptions import PayloadTooBig
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
)
from websockets.frames import CTRL_OPCODES, Frame
from websockets.typing import ExtensionParameter


def margin_of(size: int) -> int:
    """Return how many bytes more than it holds a compressed message of `size` may have.

    What does not compress is stored in blocks with heads, short blocks where the server spends
    little memory; an empty last fragment is a byte.
    """
    return size // 16 + 64


class BoundedDeflate(PerMessageDeflate):
    """The library's extension, with no way around the bound."""

    margin = 0
    """By how much the library's bound, which is for bytes on the wire, is over the grant."""

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Return `frame` inflated; raises PayloadTooBig beyond `max_size` less the margin."""
        if max_size is None or frame.opcode in CTRL_OPCODES:
            return super().decode(frame, max_size=max_size)
        most = max(0, max_size - self.margin)
        # Where the message has all its bytes: zlib takes a bound of 0 for none.
        made = super().decode(frame, max_size=most or 1)
        if len(made.data) > most:
            raise PayloadTooBig(None, most)
        return made


class _Offer(ClientPerMessageDeflateFactory):
    def process_response_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> BoundedDeflate:
        agreed = super().process_response_params(params, accepted_extensions)
        return BoundedDeflate(
            agreed.remote_no_context_takeover,
            agreed.local_no_context_takeover,
            agreed.remote_max_window_bits,
            agreed.local_max_window_bits,
        )


def offer() -> ClientPerMessageDeflateFactory:
    """Return what one handshake offers."""
    return _Offer(client_no_context_takeover=True, client_max_window_bits=True)
