"""What a message may be: a text, a JSON document, or parts. The host checks it again."""

import json
import re
from collections.abc import Iterable
from typing import Any

from yoi_pdk.insertions import Insertion
from yoi_pdk.limits import INSERTIONS, MESSAGE_PARTS

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BRACKETS = re.compile(r'["\[\]{}]')


def insertions(value: Iterable[Insertion]) -> tuple[Insertion, ...]:
    """Return `value` as a tuple of insertions."""
    found = tuple(value)
    if not all(isinstance(item, Insertion) for item in found):
        raise TypeError("insert takes a list such as [insert_secret(at, name)]")
    if len(found) > INSERTIONS:
        raise ValueError(f"insert may have at most {INSERTIONS} places")
    return found


def check_message(
    what: str,
    text: str | None,
    value: Any,
    parts: "list[Any] | None",
    insert: tuple[Insertion, ...],
) -> None:
    """Check a message of `text`, the JSON `value` or `parts`, and what is inserted into it."""
    if (text is not None) + (value is not None) + (parts is not None) > 1:
        raise TypeError(f"{what} takes one of text, json and parts")
    if insert and value is None and parts is None:
        raise TypeError(f"{what}: insert needs json or parts: nothing is ever substituted in text")
    if value is not None:
        json.dumps(value)  # what is not JSON is the caller's own TypeError, raised where it is made
    if parts is not None:
        _check_parts(parts, insert)


def _check_parts(parts: "list[Any]", insert: tuple[Insertion, ...]) -> None:
    if not isinstance(parts, list):
        raise TypeError(f"parts takes a list of texts and documents, not {type(parts).__name__}")
    if not 1 <= len(parts) <= MESSAGE_PARTS:
        raise ValueError(f"parts takes 1 to {MESSAGE_PARTS} texts and documents")
    before = ""
    filled = {one.at for one in insert}
    for index, part in enumerate(parts):
        if part is None:
            if f"/{index}" not in filled:
                raise ValueError(f"parts[{index}] is None, and nothing is inserted at /{index}")
            before = ""
            continue
        if not isinstance(part, (str, dict, list)):
            raise TypeError(f"a part is a str, a dict or a list, not {type(part).__name__}")
        if not isinstance(part, str):
            json.dumps(part)
            before = ""
            continue
        if not part:
            raise ValueError("a part may not be empty")
        if insert and _BRACKETS.search(part):
            raise ValueError(
                "where values are inserted, a part that is text may hold no quote and no bracket"
            )
        if before and (_CONTROL.search(before) or _CONTROL.search(part)):
            raise ValueError(
                "two texts side by side may hold no control characters: they could begin another "
                "message"
            )
        before = part
    for one in insert:
        if one.at.count("/") < 2 and None not in _part(parts, one.at):
            raise ValueError(
                f"{one.at} is a whole part: name a place inside a document, such as /1/token, or "
                "leave the part None for a secret that is granted for the text before it"
            )


def _part(parts: "list[Any]", at: str) -> "list[Any]":
    number = at[1:]
    index = int(number) if number.isdigit() and len(number) < 4 else len(parts)
    return parts[index : index + 1]
