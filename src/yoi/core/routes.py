"""Routes that a server asked to leave alone for a while: `429` and `503` with `Retry-After`.

Sans-I/O: times are arguments. A route is one method on one path of one named target, because that
is what servers count; a plugin that is told to wait on one may go on with another.
"""

from datetime import datetime
from typing import NamedTuple

from yoi.core.retry_after import retry_after_ms
from yoi.limits import LIMITS, Limits

WAIT_STATUSES = frozenset({429, 503})


class Route(NamedTuple):
    """What a wait applies to."""

    target: str
    method: str
    path: str


class Routes:
    """The waits of one plugin. At most `routes` at once; when full, the shortest wait goes."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._until: dict[Route, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def wait_ms(self, route: Route, now: float) -> int:
        """Return how long `route` is still to be left alone; 0 means it may be used."""
        until = self._until.get(route)
        if until is None:
            return 0
        if until <= now:
            del self._until[route]
            return 0
        return max(1, round((until - now) * 1000))

    def answered(
        self, route: Route, status: int, retry_after: str | None, now: float, wall: datetime
    ) -> int | None:
        """Take note of one answer; return its wait in milliseconds, None where it names none."""
        if status not in WAIT_STATUSES or retry_after is None:
            return None
        wait = retry_after_ms(retry_after, wall, self._limits)
        if wait:
            self._hold(route, now + wait / 1000, now)
        return wait

    def expire(self, now: float) -> None:
        """Forget the waits that are over."""
        self._until = {route: until for route, until in self._until.items() if until > now}

    def _hold(self, route: Route, until: float, now: float) -> None:
        # Two requests may have been under way: the longer wait is the one that counts.
        until = max(until, self._until.pop(route, 0.0))
        if len(self._until) >= self._limits.routes:
            self.expire(now)
        if len(self._until) >= self._limits.routes:
            del self._until[min(self._until, key=self._until.__getitem__)]
        self._until[route] = until
