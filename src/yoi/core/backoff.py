"""Exponential backoff with jitter: how long to wait before the next attempt."""

from collections.abc import Callable


class FullJitter:
    """Delays drawn evenly from zero to a ceiling that doubles with each failure.

    `first_ms` is the first ceiling, `max_ms` the last; `rng` returns a float in [0, 1).
    """

    __slots__ = ("_first_ms", "_max_ms", "_rng", "failures")

    def __init__(self, *, first_ms: float, max_ms: float, rng: Callable[[], float]) -> None:
        if not 0 < first_ms <= max_ms:
            raise ValueError("a backoff needs 0 < first_ms <= max_ms")
        self.failures = 0
        self._first_ms = first_ms
        self._max_ms = max_ms
        self._rng = rng

    @property
    def ceiling_ms(self) -> float:
        """The longest that the next delay may be."""
        # The exponent is bounded before the power: a month of failures must not make a huge float.
        return min(self._max_ms, self._first_ms * 2.0 ** min(self.failures, 64))

    def next_ms(self) -> float:
        """Return the next delay in milliseconds and count one more failure."""
        delay = self._draw(self.ceiling_ms)
        self.failures += 1
        return delay

    def reset(self) -> None:
        """Forget earlier failures."""
        self.failures = 0

    def _draw(self, ceiling_ms: float) -> float:
        return self._rng() * ceiling_ms


class EqualJitter(FullJitter):
    """Delays drawn evenly from half the ceiling to the ceiling: three quarters of it on average.

    For what is counted: with the full range, a pause of "up to a minute" is half a minute.
    """

    __slots__ = ()

    def _draw(self, ceiling_ms: float) -> float:
        return (0.5 + 0.5 * self._rng()) * ceiling_ms
