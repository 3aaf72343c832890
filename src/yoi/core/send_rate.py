"""How many messages one connection may send per second, with room kept free for heartbeats."""

_RESERVED = 1.0
"""Heartbeats come once a second at most, so one token that others cannot take is enough."""


class SendRate:
    """A bucket of `per_second` messages that fills evenly; a full second may leave at once."""

    __slots__ = ("_filled_at", "_per_second", "_tokens")

    def __init__(self, per_second: int, now: float) -> None:
        if per_second < 1:
            raise ValueError("a rate is at least one message per second")
        self._per_second = float(per_second)
        self._tokens = self._per_second + _RESERVED
        self._filled_at = now

    def take(self, now: float) -> bool:
        """Take room for one message; False when there is none but what heartbeats need."""
        if self._tokens < 1.0 + _RESERVED:
            self._fill(now)
            if self._tokens < 1.0 + _RESERVED:
                return False
        self._tokens -= 1.0
        return True

    def take_reserved(self, now: float) -> None:
        """Take room for a heartbeat: there is always some, and others wait for it."""
        self._fill(now)
        self._tokens = max(0.0, self._tokens - 1.0)

    def _fill(self, now: float) -> None:
        earned = max(0.0, now - self._filled_at) * self._per_second
        self._tokens = min(self._per_second + _RESERVED, self._tokens + earned)
        self._filled_at = now
