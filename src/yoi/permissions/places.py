"""`Place`: a position that a value may fill, with the literal text that must stand before it."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from yoi.display import printable
from yoi.limits import LIMITS
from yoi.permissions.pointers import JsonPointer, PointerFault, array_index
from yoi.toml import BAD, Bad, Faults, Kind, Parsed, Text

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
POINTER = Parsed(Text(LIMITS.url_chars, blank=True), JsonPointer.parse, "JSON pointer")
"""A pointer where it stands in a table."""
_IN_PATH = re.compile(r"[A-Za-z0-9._~:@!$&'()*+,;=-]*\Z")


@dataclass(frozen=True, slots=True)
class Position:
    """Where a command wants a value to go, and what stands before it there."""

    pointer: JsonPointer
    before: str = ""
    """The literal text that the value follows: its prefix, or the message up to it."""
    literal: bool = False
    """Whether the value becomes part of a text (a segment of a path, a part of a message)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a manifest or a grant lets one value go."""

    pointer: JsonPointer
    after: str | None = None
    """The text that must stand before the value, exactly; None: whatever a JSON value or header
    has before it, and no literal text at all."""

    def admits(self, position: Position) -> bool:
        """Return whether a value may go to `position` under this place."""
        if self.pointer != position.pointer:
            return False
        if self.after is None:
            return not position.literal
        return self.after == position.before

    @property
    def words(self) -> str:
        """The place for a person, escaped: `/path/0 after "bot"`."""
        where = printable(str(self.pointer), 200)
        if self.after is None:
            return where
        return f'{where} after "{printable(self.after, LIMITS.place_after_chars)}"'

    @property
    def words_in_message(self) -> str:
        """The place in a connection's message: of one made of parts, which part it is."""
        index = array_index(self.pointer.tokens[0])
        if index is None or index >= len(_ORDINALS):
            return self.words
        return f"{self.words} (in the {_ORDINALS[index]} part)"

    @property
    def in_path(self) -> bool:
        """Whether it is a segment of the path of a request or handshake: `/path/N`."""
        return len(self.pointer.tokens) == 2 and self.pointer.tokens[0] == "path"

    def to_value(self) -> str | dict[str, str]:
        """Return what is written in TOML; parsing it gives an equal place."""
        if self.after is None:
            return str(self.pointer)
        return {"at": str(self.pointer), "after": self.after}

    @property
    def order(self) -> tuple[tuple[str, ...], bool, str]:
        """The key that sorts places."""
        return self.pointer.tokens, self.after is not None, self.after or ""


def path_value_fault(value: str) -> str | None:
    """Return why `value` cannot stand in a segment of a path, or None."""
    if any(char in "/\\" or not char.isprintable() for char in value):
        return "it holds a slash, a backslash or a control character"
    return None if value else "it is empty"


def part_value_fault(value: str) -> str | None:
    """Return why `value` cannot be a part of a message by itself, or None."""
    if not value.isprintable():
        return "it holds a line break or another control character"
    return None if value else "it is empty"


class PlaceKind(Kind[Place]):
    """A JSON pointer as text, or `{ at, after }`."""

    words = "JSON pointer, or { at, after }"
    bound = f"at most {LIMITS.url_chars} characters"

    def read(self, value: Any, at: str, faults: Faults) -> Place | Literal[Bad.BAD]:
        """Return the place, or BAD after adding at least one fault."""
        after: str | None = None
        pointer: Any = value
        if isinstance(value, dict):
            if value.keys() != {"at", "after"}:
                faults.add("value", at, "must be a JSON pointer, or { at = ..., after = ... }")
                return BAD
            pointer, after = value["at"], value["after"]
        try:
            made = Place(JsonPointer.parse(pointer), _after(after))
        except PointerFault as exc:
            faults.add("type" if not isinstance(pointer, str) else "value", at, str(exc))
            return BAD
        problem = _literal_fault(made)
        if problem is not None:
            faults.add("value", at, problem)
            return BAD
        return made

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        text = {"type": "string", "maxLength": LIMITS.url_chars}
        after = {"type": "string", "maxLength": LIMITS.place_after_chars}
        both = {"type": "object", "properties": {"at": text, "after": after}}
        return {"anyOf": [text, {**both, "required": ["at", "after"]}]}


def _after(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise PointerFault("has an `after` that is no text")
    if len(value) > LIMITS.place_after_chars or not (value.isascii() and value.isprintable()):
        raise PointerFault(
            f"has an `after` that is not printable ASCII of at most {LIMITS.place_after_chars} "
            "characters"
        )
    return value


def _literal_fault(place: Place) -> str | None:
    tokens = place.pointer.tokens
    if not place.in_path:
        return None
    if place.after is None:
        return (
            "is a segment of the path: say what stands before the value there, "
            f'{{ at = "{place.pointer}", after = "bot" }}, or after = "" for a whole segment'
        )
    if not (tokens[1].isascii() and tokens[1].isdecimal() and len(tokens[1]) <= 2):
        return "must be /path/N, N counting the segments of the path from 0"
    if not _IN_PATH.match(place.after):
        return "has an `after` that cannot stand in a path as it is"
    return None
