"""How long a `Retry-After` header asks to wait (RFC 9110 10.2.3).

Sans-I/O: the time is an argument. What asks for longer than a bound allows, in however many
digits, is the longest wait.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from yoi.limits import LIMITS, Limits

# RFC 9110 has whole seconds; chat services send fractions.
_SECONDS = re.compile(r"0*([0-9]+)(\.[0-9]+)?\Z")
# In 2001, and 31 years as a wait: so large a number is a moment.
_UNIX_TIME = 1e9
_UNIX_DIGITS = 10
_FRACTION = 7
_LONGEST_DATE = 64


def retry_after_ms(text: str, wall: datetime, limits: Limits = LIMITS) -> int | None:
    """Return the wait that a `Retry-After` header names; None where it cannot be read.

    Seconds, an HTTP date, or (as some servers write) seconds since 1970; from 0 to
    `retry_after_max_ms`. `wall` is the time now.
    """
    text = text.strip(" \t")
    seconds = _seconds(text)
    if seconds is None:
        seconds = _until(text, wall)
        return None if seconds is None else _bounded(seconds, limits)
    return _bounded(seconds - wall.timestamp() if seconds >= _UNIX_TIME else seconds, limits)


def retry_seconds_ms(text: str, limits: Limits = LIMITS) -> int | None:
    """Return the wait of a `Retry-After` header in seconds; None for one that is not in seconds."""
    seconds = _seconds(text.strip(" \t"))
    return None if seconds is None else _bounded(seconds, limits)


def _seconds(text: str) -> float | None:
    found = _SECONDS.match(text)
    if found is None:
        return None
    whole, fraction = found.groups("")
    # More digits are no other wait; a number of any length is never computed.
    return float("inf") if len(whole) > _UNIX_DIGITS else float(whole + fraction[:_FRACTION])


def _until(text: str, wall: datetime) -> float | None:
    if len(text) > _LONGEST_DATE or not text.isascii():
        return None
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - wall).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _bounded(seconds: float, limits: Limits) -> int:
    most = limits.retry_after_max_ms
    return most if seconds * 1000 >= most else max(0, round(seconds * 1000))
