"""Messages made of parts: literal texts and JSON documents, written one after the other.

    ["40", {"token": null}]   ->   40{"token":null}

A literal text cannot change where a document begins or ends, and text that a plugin only passes on
cannot begin another message.
"""

import itertools
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from yoi.limits import LIMITS

Json = Any
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
"""Control characters: what protocols mark the ends of lines, headers and frames with."""
_WHOLE: Final = re.compile(r"/(?:0|[1-9][0-9]*)\Z", re.ASCII)
_INDEX_CHARS: Final = 5
_BRACKETS: Final = re.compile(r'["\[\]{}]')


def parts_fault(parts: object, insert: Sequence[Json], max_chars: int) -> str | None:
    """Return why `parts` make no message into which `insert` may put values, or None.

    A part is a literal text of 1 to `max_chars` characters, a JSON object or array, or null where
    `insert` puts a whole text.
    """
    filled = _whole_parts(insert)
    if not isinstance(parts, list) or not 1 <= len(parts) <= LIMITS.message_parts:
        return f"parts must be a list of 1 to {LIMITS.message_parts}"
    for index, part in enumerate(parts):
        if isinstance(part, str):
            if not 1 <= len(part) <= max_chars:
                return f"parts[{index}] must have 1 to {max_chars} characters"
            if insert and _BRACKETS.search(part):
                return (
                    f"parts[{index}] holds a quote or bracket: where values are inserted, "
                    "a literal text may hold none, so that each document stays as it was granted"
                )
        elif part is None:
            if index not in filled:
                return f"parts[{index}] is null, and nothing is inserted there"
        elif not isinstance(part, dict | list):
            return f"parts[{index}] must be a text, or a JSON object or array"
    for index, (one, other) in enumerate(itertools.pairwise(parts)):
        literal = isinstance(one, str) and isinstance(other, str)
        if literal and (CONTROL.search(one) or CONTROL.search(other)):
            return (
                f"parts[{index}] and parts[{index + 1}] are literal texts side by side: neither "
                "may hold control characters, which could begin another message"
            )
    return None


def _whole_parts(insert: Sequence[Json]) -> set[int]:
    """Return the parts that `insert` fills whole."""
    places = [item.get("at") for item in insert if isinstance(item, dict)]
    return {
        int(at[1:])
        for at in places
        if isinstance(at, str) and len(at) <= _INDEX_CHARS and _WHOLE.match(at)
    }


def fills_a_text(at: object, parts: Sequence[Json]) -> bool:
    """Return whether the pointer `at` names a whole part of `parts` that is left to it, a null."""
    return any(parts[one] is None for one in _whole_parts([{"at": at}]) if one < len(parts))


def inside_a_part(at: object) -> bool:
    """Return whether the pointer `at` leads into a part, not to a whole one."""
    return isinstance(at, str) and at.count("/") >= 2


def as_json(document: Json) -> str:
    """Return `document` written as JSON."""
    return msgspec.json.encode(document).decode()


def joined(parts: Sequence[Json]) -> str:
    """Return the message that `parts` make; documents are written as JSON."""
    return "".join(part if isinstance(part, str) else as_json(part) for part in parts)
