"""`Pace`: bounds how much of something there may be in a second, where each part is used first.

Sans-I/O: `now` is monotonic seconds. A token bucket refuses what it has no token for; what a step
costs, or how much a socket brings, is known only afterwards, so this one waits for it instead.
"""


class Pace:
    """Allows `per_second`, and `most` at once after a rest; at the beginning that much is saved."""

    __slots__ = ("_at", "_left", "_most", "_per_second")

    def __init__(self, per_second: float, most: float, now: float) -> None:
        self._per_second = per_second
        self._most = self._left = most
        self._at = now

    def spend(self, amount: float, now: float) -> None:
        """Take note that `amount` was used."""
        self._refill(now)
        self._left -= amount

    def wait(self, now: float, saved: float = 0.0) -> float:
        """Return in how many seconds there may be more, with `saved` of it left; 0: now."""
        self._refill(now)
        if self._left > 0:
            return 0.0
        return (saved - self._left) / self._per_second

    def is_rested(self, now: float) -> bool:
        """Return whether as much is saved as may be."""
        self._refill(now)
        return self._left >= self._most

    def _refill(self, now: float) -> None:
        if now > self._at:
            self._left = min(self._most, self._left + (now - self._at) * self._per_second)
            self._at = now
