"""`sequence` of `[[connections]]`: which numbers prove that no message is missing."""

from typing import Any, Literal

from yoi.limits import LIMITS
from yoi.permissions.match import Match
from yoi.permissions.match_table import MATCH
from yoi.permissions.places import POINTER
from yoi.permissions.sequence import SequenceReset, SequenceSettings
from yoi.toml import BAD, Bad, Choice, Faults, Key, Kind, Row, TableSpec, Whole, json_schema


class _Reset(Kind[SequenceReset | Match]):
    """`open`, `never`, or a table: the match that begins the numbers anew."""

    words = "`open`, `never` or match"
    _word = Choice(SequenceReset)

    def read(self, value: Any, at: str, faults: Faults) -> SequenceReset | Match | Literal[Bad.BAD]:
        """Return the value, or BAD after adding at least one fault."""
        if isinstance(value, dict):
            return MATCH.read(value, at, faults)
        word = self._word.read(value, at, faults)
        return BAD if isinstance(word, Bad) else SequenceReset(word)

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"anyOf": [self._word.schema(), json_schema(MATCH)]}


def _sequence(row: Row) -> SequenceSettings:
    single, last, first = row["at"], row["last"], row["first"]
    if (single is None) == (last is None):
        row.fault("value", "at", "or last is required, and only one of them")
    if first is not None and last is None:
        row.fault("value", "first", "goes with last: a message holds the numbers between")
    if row["previous"] is not None and row.has("step"):
        row.fault("value", "step", "says nothing where previous names the number before")
    return SequenceSettings(
        last=single or last,
        first=first,
        previous=row["previous"],
        per=row["per"],
        step=row["step"],
        reset=row["reset"],
    )


SEQUENCE = TableSpec(
    (
        Key("at", POINTER, "where the number of a message stands; this or `last`"),
        Key("first", POINTER, "where the first of its numbers stands; goes with `last`"),
        Key("last", POINTER, "where the last of its numbers stands"),
        Key(
            "previous",
            POINTER,
            "where a message names the last number of the one before it; without it numbers follow "
            "by `step`",
        ),
        Key(
            "per",
            POINTER,
            "where the text, number, true or false stands whose messages are a sequence of their "
            f"own; at most {LIMITS.sequence_keys:,}, then the one seen longest ago is forgotten",
        ),
        Key(
            "step",
            Whole(1, LIMITS.sequence_step_max),
            "from one number to the next",
            default=1,
        ),
        Key(
            "reset",
            _Reset(),
            "when numbers begin anew: with each session, `never`, or with a message that fits "
            '`{ at = "/t", equals = "READY" }` (or `one_of`, `prefix`)',
            default=SequenceReset.OPEN,
        ),
    ),
    _sequence,
    about="Which numbers in text messages prove that none is missing.",
)
