"""`SequenceSettings`: which numbers in the messages of a connection prove that none is missing."""

from dataclasses import dataclass
from enum import StrEnum

from yoi.permissions.match import Match
from yoi.permissions.pointers import JsonPointer


class SequenceReset(StrEnum):
    """When the numbers begin anew, where no message says so."""

    OPEN = "open"
    """With each session."""
    NEVER = "never"
    """They go on over sessions."""


@dataclass(frozen=True, slots=True)
class SequenceSettings:
    """Where the numbers stand. Each message has those from `first` to `last`."""

    last: JsonPointer
    first: JsonPointer | None = None
    """None: each message has one number, at `last`."""
    previous: JsonPointer | None = None
    """Where the last number of the message before stands; None: the numbers follow by `step`."""
    per: JsonPointer | None = None
    """Where the key stands whose messages are a sequence of their own; None: all are one."""
    step: int = 1
    reset: SequenceReset | Match = SequenceReset.OPEN
    """A match: a message that fits begins the sequence of its key anew, and nothing else does."""

    @property
    def pointers(self) -> tuple[JsonPointer, ...]:
        """Return all places that are read."""
        matched = self.reset.at if isinstance(self.reset, Match) else None
        found = (self.last, self.first, self.previous, self.per, matched)
        return tuple(one for one in found if one is not None)
