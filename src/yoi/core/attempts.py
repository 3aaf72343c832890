"""How long an event waits between two attempts, so that a fault that passes does not cost it."""

from yoi.limits import LIMITS, Limits

_FACTOR = 10


def attempt_delay_ms(attempt: int, jitter: float, limits: Limits = LIMITS) -> float:
    """Return how long to wait before `attempt` (2 or more); `jitter` is in [0, 1).

    Ten times as long each time, and up to a quarter more.
    """
    delay_ms = limits.retry_first_ms * _FACTOR ** max(0, attempt - 2)
    return float(min(delay_ms, limits.retry_max_ms)) * (1 + jitter / 4)
