"""How large a value is as JSON, and whether an event's JSON may be passed on."""

import msgspec

from yoi.errors import ProtocolMalformed
from yoi.limits import Limits
from yoi.protocol.depth import json_beyond

_encode = msgspec.json.Encoder().encode


def json_bytes(value: object) -> int:
    """Return the bytes of `value` as JSON. Raises ProtocolMalformed where it has none."""
    try:
        return len(_encode(value))
    except (ValueError, OverflowError, TypeError, RecursionError):
        # A lone surrogate, a number of thousands of digits, a tower of lists.
        raise ProtocolMalformed("protocol.malformed", "a value that is not JSON") from None


def on_one_line(raw: bytes, limits: Limits) -> bytes:
    """Return an event's JSON as it may be passed on. Raises ProtocolMalformed beyond the bounds.

    Server-sent events end at a line's end, so a line break between tokens would cut one short.
    """
    if len(raw) > limits.observed_event_bytes:
        raise ProtocolMalformed("protocol.malformed", "the event is over its bound")
    if json_beyond(raw, limits.observed_depth, limits.observed_containers):
        raise ProtocolMalformed("protocol.malformed", "the event is nested too deeply")
    if b"\n" in raw or b"\r" in raw:
        return msgspec.json.format(raw, indent=-1)
    return raw
