"""The daily budget of dials: how often one connection may be dialled between two midnights UTC."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

DAY_MS = 86_400_000


def wall_day(wall_ms: int) -> int:
    """Return the UTC day of a moment in milliseconds since 1970, as days since 1970."""
    return wall_ms // DAY_MS


def ms_to_next_day(wall_ms: int) -> int:
    """Return the milliseconds from that moment to the next midnight UTC."""
    return DAY_MS - wall_ms % DAY_MS


class Budget(Protocol):
    """Says, once per dial, whether it may be made."""

    def take(self, now_wall_day: int) -> bool:
        """Spend one dial of that day (`wall_day`); False when there is none left."""
        ...


@dataclass(frozen=True, slots=True)
class Spent:
    """How many dials were made on which day: what outlives the process."""

    day: int
    dials: int


class DailyBudget:
    """A `Budget` of `per_day` dials. `keep` is called with every new count, to store it."""

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

    def take(self, now_wall_day: int) -> bool:
        """Spend one dial of that day; a day before the last one is the last one (a clock set back).

        What was refused is not counted.
        """
        spent = self.spent
        if now_wall_day > spent.day:
            spent = Spent(now_wall_day, 0)
        if spent.dials >= self._per_day:
            return False
        self.spent = Spent(spent.day, spent.dials + 1)
        self._keep(self.spent)
        return True
