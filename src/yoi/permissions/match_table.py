"""`MATCH`: a `Match` as it is written in TOML."""

from typing import Any

from yoi.limits import LIMITS
from yoi.permissions.match import Match
from yoi.permissions.pointers import JsonPointer
from yoi.toml import AnyValue, Key, ListOf, Parsed, Row, TableSpec, Text


def _anywhere(text: str) -> JsonPointer | None:
    return JsonPointer.parse(text) if text else None


def _match(row: Row) -> Match:
    given = [key for key in ("equals", "one_of", "prefix") if row[key] is not None]
    if len(given) != 1:
        row.fault("value", "equals", "or one_of or prefix is required, and only one of them")
    if row["prefix"] is not None:
        return Match(row["at"], prefix=row["prefix"])
    values = (row["equals"],) if row["equals"] is not None else tuple(row["one_of"] or ())
    key = given[0] if given else "equals"
    if row["at"] is None and not all(isinstance(value, str) for value in values):
        row.fault("value", key, "the whole text is compared with a text")
    if not all(map(_is_json, values)):
        row.fault("value", key, "must be a JSON value: no date or time, and no nan or inf")
    return Match(row["at"], values)


def _is_json(value: Any) -> bool:
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += one.values()
        elif isinstance(one, list):
            left += one
        elif not isinstance(one, str | int) and not (isinstance(one, float) and one - one == 0):
            return False
    return True


MATCH = TableSpec(
    (
        Key(
            "at",
            Parsed(Text(LIMITS.pointer_chars, blank=True), _anywhere, "JSON pointer"),
            "the position in the message; empty for its whole text",
            required=True,
        ),
        Key("equals", AnyValue(), "the value there"),
        Key("one_of", ListOf(AnyValue(), LIMITS.senders), "one of these values there"),
        Key("prefix", Text(LIMITS.match_prefix_chars), "how the text there begins"),
    ),
    _match,
    about="What a message must hold: exactly one of `equals`, `one_of` and `prefix`.",
)
