"""`Match`: what a message must hold at one place: senders, autoreplies, heartbeats, sequences."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from yoi.permissions.pointers import JsonPointer

Json = Any
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Match:
    """What a message must hold at `at`, None for its whole text: one of `values`, or a `prefix`.

    1 equals 1.0, and true equals only true.
    """

    at: JsonPointer | None
    values: tuple[Json, ...] = ()
    prefix: str | None = None

    def fits(self, text: str, found: Mapping[JsonPointer, Json]) -> bool:
        """Return whether the message `text`, which holds `found` at its pointers, fits."""
        value = text if self.at is None else found.get(self.at, _ABSENT)
        if self.prefix is not None:
            return isinstance(value, str) and value.startswith(self.prefix)
        return value is not _ABSENT and any(json_equal(value, one) for one in self.values)

    @property
    def fixed(self) -> bool:
        """Return whether what fits is known by its whole text: it says nothing new."""
        return self.at is None and self.prefix is None

    def to_table(self) -> dict[str, Any]:
        """Return `{at, equals | one_of | prefix}`, as it is written in TOML and in commands."""
        table: dict[str, Any] = {"at": "" if self.at is None else str(self.at)}
        if self.prefix is not None:
            table["prefix"] = self.prefix
        elif len(self.values) == 1:
            table["equals"] = self.values[0]
        else:
            table["one_of"] = list(self.values)
        return table


def json_equal(one: Json, other: Json) -> bool:
    """Return whether two JSON values are equal: numbers by value, true and false only as such.

    However deep they are: both may come from people who want the comparison to fail.
    """
    left = [(one, other)]
    while left:
        one, other = left.pop()
        if isinstance(one, bool) or isinstance(other, bool):
            if one is not other:
                return False
        elif isinstance(one, dict) and isinstance(other, dict):
            if one.keys() != other.keys():
                return False
            left += [(one[key], other[key]) for key in one]
        elif isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return False
            left += zip(one, other, strict=True)
        elif one != other:
            return False
    return True
