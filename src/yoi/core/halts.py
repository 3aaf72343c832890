"""What ends a connection for good, and what makes the host dial it again: one table. Sans-I/O.

`docs/reference/connection-ends.md` is generated from it.
"""

from enum import StrEnum
from typing import TYPE_CHECKING

from yoi.core.dialling import is_final
from yoi.errors import ConnectionFailure, YoiError

if TYPE_CHECKING:
    from yoi.limits import Limits
    from yoi.permissions.connection_settings import ConnectionSettings


class Halt(StrEnum):
    """Why the host dials a connection no more."""

    STOPPED = "stopped"
    REFUSED = "refused"
    DENIED = "denied"
    FATAL_CLOSE = "fatal_close"
    FATAL_STATUS = "fatal_status"
    UNAUTHORISED = "unauthorised"
    OVERSIZED = "oversized"


class Change(StrEnum):
    """What may make the host dial it again."""

    OPEN = "open"
    TARGET = "target"
    SECRET = "secret"
    GRANT = "grant"
    PERSON = "person"


_OUTSIDE = frozenset({Change.SECRET, Change.GRANT, Change.PERSON})
REVIVED_BY: dict[Halt, frozenset[Change]] = {
    Halt.STOPPED: frozenset({Change.OPEN, Change.TARGET, Change.PERSON}),
    Halt.REFUSED: _OUTSIDE | {Change.OPEN, Change.TARGET},
    Halt.DENIED: frozenset({Change.OPEN, Change.TARGET, Change.GRANT, Change.PERSON}),
    Halt.FATAL_CLOSE: _OUTSIDE | {Change.OPEN, Change.TARGET},
    Halt.FATAL_STATUS: _OUTSIDE | {Change.TARGET},
    Halt.UNAUTHORISED: _OUTSIDE | {Change.TARGET},
    Halt.OVERSIZED: frozenset({Change.GRANT, Change.PERSON}),
}
WHY: dict[Halt, str] = {
    Halt.STOPPED: "the plugin said `websocket_stop`",
    Halt.REFUSED: 'the plugin said so because the server refused its secret (`until = "secret"`)',
    Halt.DENIED: "the grants do not allow it, or allow it no longer",
    Halt.FATAL_CLOSE: "the server closed with one of `fatal_close_codes`",
    Halt.FATAL_STATUS: "the server answered the upgrade with one of `fatal_statuses`",
    Halt.UNAUTHORISED: "the server answered the upgrade with 401 or 403, several times in a row",
    Halt.OVERSIZED: (
        "the server sent a message over the granted `max_message_bytes`, in several sessions in a "
        "row"
    ),
}
HOW: dict[Change, str] = {
    Change.GRANT: "the plugin's grants are changed",
    Change.SECRET: "a secret that the plugin may use is changed",
    Change.PERSON: "a person says `yoi service reconnect` or `yoi service restart`",
    Change.OPEN: "the plugin opens it (`websocket_open`)",
    Change.TARGET: "the plugin opens it with another URL, handle, header or secret",
}
"""What a person can do comes first."""
_REFUSED = frozenset({401, 403})


class HaltJudge:
    """Judges failed dials and ended sessions: which of them end the connection, and as what.

    It counts refused upgrades, and sessions that ended because a message was over the grant: the
    next may end so too.
    """

    def __init__(self, settings: "ConnectionSettings", limits: "Limits") -> None:
        self._settings = settings
        self._limits = limits
        self._refused = 0
        self._oversized = 0

    def forget(self) -> None:
        """Something has changed: begin to count anew."""
        self._refused = self._oversized = 0

    def session_opened(self) -> None:
        """A session has begun: earlier refusals say nothing now."""
        self._refused = 0

    def judge_dial(self, error: YoiError) -> tuple[Halt | None, YoiError]:
        """Return what a dial that failed with `error` ends as (None: it is tried again), and why.

        `error` has `status` where the server answered with one.
        """
        status = error.fields.get("status")
        if is_final(error):
            return Halt.DENIED, error
        if status in self._settings.fatal_statuses:
            said = f"the server answered {status}, which the manifest declares fatal"
            return Halt.FATAL_STATUS, _ended("connection.fatal_status", said, error)
        if status not in _REFUSED:
            return None, error
        self._refused += 1
        if self._refused < self._limits.unauthorised_dials:
            return None, error
        said = (
            f"the server answered {status} again, {self._refused} times in all: nothing is dialled "
            "until a secret, a grant or a person changes something"
        )
        return Halt.UNAUTHORISED, _ended("connection.unauthorised", said, error)

    def judge_session(
        self, close_code: int, error: YoiError | None, lived_ms: float
    ) -> tuple[Halt, YoiError] | None:
        """Return what the session's end ends the connection as, and why; None: it is dialled again.

        `error` is what the session ended with, `close_code` the peer's.
        """
        if close_code in self._settings.fatal_close_codes:
            return Halt.FATAL_CLOSE, ConnectionFailure(
                "connection.fatal_close",
                f"the server closed with {close_code}, which the manifest declares fatal",
                close_code=close_code,
            )
        if error is None or error.code != "connection.too_big":
            self._oversized = 0
            return None
        if lived_ms >= self._limits.oversized_forgiven_ms:
            self._oversized = 0
        self._oversized += 1
        if self._oversized < self._limits.oversized_sessions:
            return None
        return Halt.OVERSIZED, ConnectionFailure(
            "connection.oversized",
            f"{error.message}; so ended {self._oversized} sessions in a row: nothing is dialled "
            "until a grant or a person changes something",
            hint=error.hint,
            **error.fields,
        )


def refused_open(halt: Halt, name: str, shown: str) -> ConnectionFailure:
    """Return what to raise where a plugin opens the connection `name` and `halt` forbids it.

    `shown` is the URL for a person.
    """
    if halt is Halt.OVERSIZED:
        return ConnectionFailure(
            "connection.oversized",
            f"the messages of {shown} are over the grant: a changed grant or a person is needed",
            name=name,
        )
    return ConnectionFailure(
        "connection.unauthorised",
        f"the server refused {shown} for good: open another URL, or wait for a changed secret, a "
        "changed grant or a person",
        name=name,
    )


def _ended(code: str, said: str, error: YoiError) -> ConnectionFailure:
    return ConnectionFailure(code, said, hint=error.hint, status=error.fields["status"])
