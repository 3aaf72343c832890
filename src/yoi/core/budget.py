"""The daily budget of dials: how often one connection may be dialled between two midnights UTC.

The first half of a day's dials may be used at any pace. What is left after it is spread over what
is left of the day: each dial then waits for its share, so a long outage makes the pauses longer and
never uses up the day. Times are wall times in milliseconds since 1970.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

DAY_MS = 86_400_000


def wall_day(wall_ms: int) -> int:
    """Return the UTC day of a moment, as days since 1970."""
    return wall_ms // DAY_MS


def ms_to_next_day(wall_ms: int) -> int:
    """Return the milliseconds from that moment to the next midnight UTC."""
    return DAY_MS - wall_ms % DAY_MS


class Budget(Protocol):
    """Says when the next dial may be made."""

    def wait_ms(self, now_wall_ms: int) -> int:
        """Return how long the next dial has to wait; 0: it may be made now."""
        ...

    def spend(self, now_wall_ms: int) -> None:
        """Count a dial that is made now."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class Spent:
    """How many dials were made on which day: what outlives the process. The later is larger."""

    day: int
    dials: int

    @property
    def written(self) -> str:
        """Return it as text."""
        return f"{self.day} {self.dials}"

    @classmethod
    def read(cls, text: str | None) -> "Spent":
        """Return what `written` has written; nothing spent for None."""
        day, _, dials = (text or "0 0").partition(" ")
        return cls(int(day), int(dials))


class DailyBudget:
    """A `Budget` of `per_day` dials. `keep` is called with every new count, to store it.

    A day earlier than the last one counts as the last one: setting the clock back gives no dials.
    """

    def __init__(
        self,
        per_day: int,
        spent: Spent | None = None,
        keep: Callable[[Spent], None] = lambda _: None,
    ) -> None:
        if per_day < 1:
            raise ValueError("a budget allows at least one dial a day")
        self.spent = spent or Spent(0, 0)
        self._per_day = per_day
        self._keep = keep
        self._last_ms: int | None = None

    def wait_ms(self, now_wall_ms: int) -> int:
        """Return how long the next dial has to wait; 0: it may be made now."""
        left = self._per_day - self._today(now_wall_ms).dials
        if left <= 0:
            return ms_to_next_day(now_wall_ms)
        last = self._last_ms
        if last is None or 2 * left >= self._per_day:
            return 0
        share = math.ceil(ms_to_next_day(last) / (left + 1))
        return max(0, share - max(0, now_wall_ms - last))

    def spend(self, now_wall_ms: int) -> None:
        """Count a dial that is made now."""
        today = self._today(now_wall_ms)
        self.spent = Spent(today.day, today.dials + 1)
        self._last_ms = now_wall_ms
        self._keep(self.spent)

    def _today(self, now_wall_ms: int) -> Spent:
        day = wall_day(now_wall_ms)
        return Spent(day, 0) if day > self.spent.day else self.spent
