"""What `ConnectionMachine` tells its driver to do, and what the driver reports to it."""

from dataclasses import dataclass
from enum import StrEnum

from yoi.errors import YoiError
from yoi.types import SessionId


class Timer(StrEnum):
    """The clocks of one connection; at most one of each runs."""

    RETRY = "retry"
    PING = "ping"
    PONG = "pong"
    GRACE = "grace"
    CLOSE = "close"
    DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class End:
    """How a session ended, as the socket saw it.

    `code` is the peer's close code (1005: its close frame had none), else the one sent to it, else
    1006.
    `clean` is a close frame both ways. `error` is None when the peer closed by the rules.
    """

    code: int
    reason: str
    clean: bool
    error: YoiError | None = None


@dataclass(frozen=True, slots=True)
class Dial:
    """Dial now."""


@dataclass(frozen=True, slots=True)
class CancelDial:
    """Give the dial in progress up."""


@dataclass(frozen=True, slots=True)
class Arm:
    """Call `timer_fired(timer)` in `delay_ms`; replaces an earlier one."""

    timer: Timer
    delay_ms: float


@dataclass(frozen=True, slots=True)
class Disarm:
    """Forget the timer."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class SendPing:
    """Write a ping."""


@dataclass(frozen=True, slots=True)
class PauseReading:
    """Stop reading; what was read already is kept."""


@dataclass(frozen=True, slots=True)
class ResumeReading:
    """Read on."""


@dataclass(frozen=True, slots=True)
class CloseCurrent:
    """Write a close frame; messages are still delivered until the peer's."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class DropCurrent:
    """Write a close frame; nothing more is delivered."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class AbortCurrent:
    """End the socket at once."""


class OpenReason(StrEnum):
    """Why a session began, as its open event says."""

    FIRST = "first"
    RECONNECT = "reconnect"
    COMMAND = "command"
    STILL_OPEN = "still_open"
    """It goes on: a new instance hears of a session that was opened before."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """The session that is open becomes the old one; the next `Announce` is its successor."""


@dataclass(frozen=True, slots=True)
class CloseOld:
    """Write a close frame on the old session; its messages are delivered until the peer's."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class DropOld:
    """Write a close frame on the old session; nothing more of it is delivered."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class AbortOld:
    """End the old session's socket at once."""


@dataclass(frozen=True, slots=True)
class UseOwnUrl:
    """Forget the URL that the plugin supplied; the manifest's is dialled from here on."""


@dataclass(frozen=True, slots=True)
class Announce:
    """A session has begun; its messages are read after the next `ResumeReading`."""

    session: SessionId
    subprotocol: str | None
    address: str
    reason: OpenReason


@dataclass(frozen=True, slots=True)
class Closed:
    """The session is over."""

    session: SessionId
    code: int
    reason: str
    clean: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages may be missing between `since` and `until`, after `session`."""

    session: SessionId
    since: float
    until: float
    why: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A dial or session failed; dialled again in `retry_in_ms`, or not at all."""

    error: YoiError
    retry_in_ms: float | None


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """The session ended without an error; dialled again in `retry_in_ms`."""

    retry_in_ms: float


@dataclass(frozen=True, slots=True)
class Needed:
    """Nothing is dialled until the plugin supplies a URL, or it should begin afresh.

    `session` is the one before, `attempt` how many failed in a row, `fresh` whether what can be
    resumed should be given up. A URL supplied before `retry_in_ms` is dialled only then.
    """

    session: SessionId | None
    why: str
    attempt: int
    retry_in_ms: float
    fresh: bool


Effect = (
    Dial
    | CancelDial
    | Arm
    | Disarm
    | SendPing
    | PauseReading
    | ResumeReading
    | CloseCurrent
    | DropCurrent
    | AbortCurrent
    | Announce
    | Closed
    | Gap
    | Failed
    | Reconnecting
    | HandOver
    | CloseOld
    | DropOld
    | AbortOld
    | UseOwnUrl
    | Needed
)
