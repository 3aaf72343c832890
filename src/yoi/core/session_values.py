"""What the host keeps of one session to put into its messages: last values and the counter."""

from collections.abc import Mapping
from typing import Any, Final

from yoi.errors import ConnectionFailure

LAST_COUNT: Final = 2**53 - 1
"""The largest whole number that every JSON reader keeps exactly (RFC 8259 6)."""


class SessionValues:
    """One session's values. The counter begins at 1 and is shared by all that is sent on it."""

    __slots__ = ("_count", "last")

    def __init__(self, last: Mapping[str, Any], count: int = 0) -> None:
        self.last = last
        """The last values, by name."""
        self._count = count

    @property
    def count(self) -> int:
        """Return the last number that was given out; 0 before the first."""
        return self._count

    def next_count(self) -> int:
        """Return the next number, greater than all before it.

        Raises ConnectionFailure (`connection.counter`) after 2**53 - 1.
        """
        if self._count >= LAST_COUNT:
            raise ConnectionFailure(
                "connection.counter", f"the session has used every number up to {LAST_COUNT}"
            )
        self._count += 1
        return self._count
