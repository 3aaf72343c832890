"""`Histogram`: how often something took how long, in fixed buckets of seconds."""

from bisect import bisect_left

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Histogram:
    """Counts seconds; a value belongs to the first bound that is not below it."""

    def __init__(self) -> None:
        self.sum = 0.0
        self._counts = [0] * (len(BOUNDS) + 1)

    def add(self, seconds: float) -> None:
        """Count one."""
        self.sum += seconds
        self._counts[bisect_left(BOUNDS, seconds)] += 1

    def cumulative(self) -> list[tuple[str, float]]:
        """Return for each bound, and for `+Inf`, how many took at most that."""
        total, found = 0, []
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self._counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found
