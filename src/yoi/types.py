"""Ids and the clock that every room shares."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NewType, NoReturn, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

Digest = NewType("Digest", str)
"""`sha256:` and 64 lowercase hex digits."""

InstanceName = NewType("InstanceName", str)
"""The name of one enabled plugin on one host: a safe id, unique there."""

SessionId = NewType("SessionId", str)
"""One stretch of one connection from OPEN to its close: a random token, never reused."""


def is_close_code(code: int) -> bool:
    """Return whether `code` may stand in a WebSocket close frame (RFC 6455 7.4, IANA registry)."""
    # 1004 to 1006 and 1015 never do.
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999


class Clock(Protocol):
    """Two times: `monotonic` for durations, `wall` for what people read."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards; the zero means nothing."""
        ...

    def wall(self) -> datetime:
        """Return the current UTC time."""
        ...

    def wall_ms(self) -> int:
        """Return the current UTC time as whole milliseconds since 1970 (cheaper than `wall`)."""
        ...


class SystemClock:
    """The real clock."""

    monotonic = staticmethod(time.monotonic)
    """The function itself, not a method around it: every message asks for it."""

    def wall(self) -> datetime:
        """Return the current UTC time."""
        return datetime.now(UTC)

    def wall_ms(self) -> int:
        """Return `time.time()` in milliseconds."""
        return time.time_ns() // 1_000_000


def rfc3339_ms(moment_ms: int) -> str:
    """Return milliseconds since 1970 as RFC 3339 UTC."""
    return rfc3339(datetime.fromtimestamp(moment_ms / 1000, UTC))


def rfc3339(moment: datetime) -> str:
    """Return `moment` as RFC 3339 UTC with milliseconds and a `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Secret:
    """A value that no repr, log or error shows; `reveal` is called where it leaves the host.

    `str`, `format` and `repr` show its name. It is not pickled, copied, iterated or written as
    JSON, and two are equal only if they are one: comparing values is the caller's deliberate act.
    """

    __slots__ = ("_reveal", "name")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        # In a closure, so that whatever walks over attributes finds a function, not the value.
        self._reveal: Callable[[], str] = lambda: value

    def reveal(self) -> str:
        """Return the value itself."""
        return self._reveal()

    def __repr__(self) -> str:
        return f"<secret {self.name}>"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce_ex__(self, *_: object) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")

    __reduce__ = __getstate__ = __copy__ = __deepcopy__ = __reduce_ex__


class SecretSource(Protocol):
    """Where secrets come from: never the environment, never a plugin."""

    def secret(self, name: str) -> Secret | None:
        """Return the secret called `name`, or None when there is none."""
        ...
