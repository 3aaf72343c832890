"""Medians with their range, as people and as JSON read them."""

import json
import statistics
from collections.abc import Iterable, Sequence
from typing import Any


def median(values: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Return `median (min-max)`, or a dash where nothing was measured."""
    if not values:
        return "-"
    low, middle, high = (f"{v:,.{digits}f}" for v in (min(values), median(values), max(values)))
    return f"{middle} ({low}-{high})"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


class Runs:
    """What every run of several cases gave: figures, or why there are none.

    A case that fails says so in the table and in the last line; the others go on.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._runs: dict[str, dict[int, list[dict[str, Any]]]] = {}
        self.errors: dict[str, str] = {}
        """By case: why the last of its runs that failed did."""

    def add(self, name: str, window: int, run: dict[str, Any]) -> None:
        """Keep what a run gave."""
        self._runs.setdefault(name, {}).setdefault(window, []).append(run)

    def fail(self, name: str, why: str) -> None:
        """Keep why a run gave nothing."""
        self.errors[name] = why
        print(f"{name}: FAILED: {why}", flush=True)

    def of(self, name: str, window: int, key: str) -> list[float]:
        """Return one figure of every run of a case that gave it."""
        return [run[key] for run in self._runs.get(name, {}).get(window, [])]

    def named(self, name: str) -> str:
        """Return how the table names a case."""
        return name if name not in self.errors else f"{name} (FAILED: {self.errors[name]})"


def last_line(result: dict[str, Any]) -> None:
    """Print the result as the JSON line that ends every benchmark."""
    print(json.dumps(result), flush=True)
