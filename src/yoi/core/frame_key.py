"""The key of a text frame: what stands at a place that the manifest names.

`order_key` orders a frame among others by it; `dedupe` knows a frame again that a gateway sends
anew. The key is in the frame, so that it is found again after a crash.
"""

from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from yoi.core.frame_search import PointerReader
from yoi.limits import LIMITS, MIB
from yoi.permissions import JsonPointer
from yoi.protocol.ingress import QueuedEvent, TextFrame

_KEPT_CHARS = 64
"""A longer key is known by its digest, so that keys take no second room beside their frames."""
_WHOLE = replace(LIMITS, last_value_bytes=64 * MIB, watched_bytes=256 * MIB)
"""A key is read whole, however long it is: two long ones must not become one."""
_EXACT = 2**53
"""Up to here a float with nothing behind its point is one whole number."""


def frame_key(event: QueuedEvent, at: JsonPointer) -> str | None:
    """Return what stands `at` in a text frame, as JSON: text, a number, true or false.

    Of a long one, its digest, which is never JSON. `1`, `1.0` and `1e0` are one key. None where
    nothing of these stands there, and for every event that is no text frame.
    """
    if not isinstance(event, TextFrame):
        return None
    found = _reader(at).read(event.text)
    return None if found is None else canonical_key(found.get(at))


@lru_cache(maxsize=64)
def _reader(at: JsonPointer) -> PointerReader:
    return PointerReader([at], _WHOLE)


def canonical_key(value: Any) -> str | None:
    """Return the text, number, true or false `value` as JSON; of a long one `#` and its digest.

    None for anything else.
    """
    if not isinstance(value, str | int | float):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    key = msgspec.json.encode(value)
    return key.decode() if len(key) <= _KEPT_CHARS else f"#{blake2b(key).hexdigest()}"
