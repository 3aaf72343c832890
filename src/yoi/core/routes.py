"""Routes that a server asked to leave alone for a while: `429` and `503` with `Retry-After`.

Sans-I/O: times are arguments. A route is one method on one path of one named target, because that
is what servers count; a plugin that is told to wait on one may go on with another.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from yoi.limits import LIMITS, Limits

WAIT_STATUSES = frozenset({429, 503})
# RFC 9110 10.2.3 has whole seconds; chat services send fractions.
_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?\Z")
_LONGEST_DATE = 64
# In 2001, and 31 years as a wait: so large a number is a moment.
_UNIX_TIME = 1e9


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


def retry_after_ms(text: str, wall: datetime, limits: Limits = LIMITS) -> int | None:
    """Return the wait that a `Retry-After` header names; None where it cannot be read.

    Seconds, an HTTP date, or (as some servers write) seconds since 1970; from 0 to
    `retry_after_max_ms`. `wall` is the time now.
    """
    text = text.strip(" \t")
    if _SECONDS.match(text):
        seconds = float(text)
        if seconds >= _UNIX_TIME:
            seconds = max(0.0, seconds - wall.timestamp())
        return min(round(seconds * 1000), limits.retry_after_max_ms)
    if len(text) > _LONGEST_DATE or not text.isascii():
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        seconds = (moment - wall).total_seconds()
    except OverflowError:
        return None
    return min(max(0, round(seconds * 1000)), limits.retry_after_max_ms)
