"""Ids and the clock that every room shares."""

import time
from datetime import UTC, datetime
from typing import NewType, Protocol

Digest = NewType("Digest", str)
"""`sha256:` and 64 lowercase hex digits."""

InstanceName = NewType("InstanceName", str)
"""The name of one enabled plugin on one host: a safe id, unique there."""

SessionId = NewType("SessionId", str)
"""One stretch of one connection from OPEN to its close: a random token, never reused."""


class Clock(Protocol):
    """Two times: `monotonic` for durations, `wall` for what people read."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards; the zero means nothing."""
        ...

    def wall(self) -> datetime:
        """Return the current UTC time."""
        ...


class SystemClock:
    """The real clock."""

    def monotonic(self) -> float:
        """Return `time.monotonic()`."""
        return time.monotonic()

    def wall(self) -> datetime:
        """Return the current UTC time."""
        return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """Return `moment` as RFC 3339 UTC with milliseconds and a `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
