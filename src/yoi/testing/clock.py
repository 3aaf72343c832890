"""A clock that moves only when told to."""

from datetime import UTC, datetime, timedelta


class ManualClock:
    """A `yoi.types.Clock` under the test's control."""

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._elapsed = 0.0

    def monotonic(self) -> float:
        """Return the seconds advanced so far."""
        return self._elapsed

    def wall(self) -> datetime:
        """Return the start moment plus the seconds advanced so far."""
        return self._start + timedelta(seconds=self._elapsed)

    def wall_ms(self) -> int:
        """Return `wall()` as milliseconds since 1970."""
        return round(self.wall().timestamp() * 1000)

    def advance(self, seconds: float) -> None:
        """Move both times forward by `seconds` (not negative)."""
        if seconds < 0:
            raise ValueError("a clock does not go back")
        self._elapsed += seconds
