"""`TokenBucket`: bounds how often something may happen in a period. Sans-I/O."""


class TokenBucket:
    """Holds up to `most` tokens and fills evenly, from empty to full in `period_s` seconds.

    Full at the beginning: `most` may go at once. `reserved` tokens lie on top, for
    `take_reserved` alone. `now` is monotonic seconds; a clock that goes back gives nothing.
    """

    __slots__ = ("_filled_at", "_per_second", "_reserved", "_size", "_tokens")

    def __init__(
        self, most: float, now: float, *, period_s: float = 1.0, reserved: float = 0.0
    ) -> None:
        if most < 1 or period_s <= 0:
            raise ValueError("a rate is at least one in a period")
        self._per_second = most / period_s
        self._reserved = 1.0 + reserved
        self._size = self._tokens = most + reserved
        self._filled_at = now

    def take(self, now: float) -> bool:
        """Take one token; False when there is none but the reserved ones."""
        # As `_fill`, written out: every message that is sent passes here.
        tokens = self._tokens
        if now > self._filled_at:
            tokens += (now - self._filled_at) * self._per_second
            if tokens > self._size:
                tokens = self._size
            self._filled_at = now
        if tokens < self._reserved:
            self._tokens = tokens
            return False
        self._tokens = tokens - 1.0
        return True

    def take_reserved(self, now: float) -> None:
        """Take one token, a reserved one if need be; the others then wait longer."""
        self._fill(now)
        self._tokens = max(0.0, self._tokens - 1.0)

    def wait_ms(self, now: float) -> int:
        """Return the milliseconds until there is one to take, at least 1."""
        self._fill(now)
        return max(1, round((self._reserved - self._tokens) / self._per_second * 1000))

    def _fill(self, now: float) -> None:
        if now > self._filled_at:
            tokens = self._tokens + (now - self._filled_at) * self._per_second
            self._tokens = min(self._size, tokens)
            self._filled_at = now
