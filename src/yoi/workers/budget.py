"""The operator's bounds on what a worker may spend in a day; the host enforces them."""

from dataclasses import dataclass
from decimal import Decimal

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, read and written, in the operator's currency."""

    input: Decimal
    output: Decimal

    def of(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Return what so many tokens cost."""
        return (self.input * input_tokens + self.output * output_tokens) / 1_000_000


@dataclass(slots=True)
class Spent:
    """The tokens of one day (UTC), as providers counted them."""

    day: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, at_ms: int, input_tokens: int, output_tokens: int) -> None:
        """Count a model call that ended at `at_ms`; a new day begins at nothing."""
        day = at_ms // DAY_MS
        if day > self.day:
            self.day, self.input_tokens, self.output_tokens = day, 0, 0
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens

    def today(self, now_ms: int) -> tuple[int, int]:
        """Return the tokens read and written on the day of `now_ms`."""
        if now_ms // DAY_MS > self.day:
            return 0, 0
        return self.input_tokens, self.output_tokens


@dataclass(frozen=True, slots=True)
class Budget:
    """The bounds of one day; a bound on money needs `price`."""

    tokens: int | None = None
    money: Decimal | None = None
    price: Price | None = None

    def exhausted(self, spent: Spent, now_ms: int) -> str | None:
        """Return in words which bound is reached, or None while the model may be asked."""
        read, written = spent.today(now_ms)
        if self.tokens is not None and read + written >= self.tokens:
            return f"the budget of {self.tokens} tokens a day is spent"
        if self.money is None or self.price is None or self.price.of(read, written) < self.money:
            return None
        return f"the budget of {self.money} a day is spent"

    def money_today(self, spent: Spent, now_ms: int) -> str | None:
        """Return what the day has cost so far, where a price is known."""
        return None if self.price is None else f"{self.price.of(*spent.today(now_ms)):.4f}"


NO_BUDGET = Budget()


def next_day_ms(now_ms: int) -> int:
    """Return when the next day (UTC) begins."""
    return (now_ms // DAY_MS + 1) * DAY_MS
