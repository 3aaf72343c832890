"""How much a value takes: bytes as JSON, the unit of every bound on a view."""

import msgspec

from yoi.errors import ProtocolMalformed

_encode = msgspec.json.Encoder().encode


def json_bytes(value: object) -> int:
    """Return the bytes of `value` as JSON. Raises ProtocolMalformed where it has none."""
    try:
        return len(_encode(value))
    except (ValueError, OverflowError, TypeError, RecursionError):
        # A lone surrogate, a number of thousands of digits, a tower of lists.
        raise ProtocolMalformed("protocol.malformed", "a value that is not JSON") from None
