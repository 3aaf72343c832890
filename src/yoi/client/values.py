"""What a watcher receives: what happened to the subject, and to the connection that shows it.

Snapshot      all state; whatever was known before is void
Event         what follows it, each once, in order
Resumed       what was known still holds; exactly what was missed comes next
CaughtUp      all that was missed has come; from here on it is live
Bookmark      nothing new, but a later position to resume from
Resync        what was known is void, and why; a Snapshot is always next
Diagnostic    the server has something to say; nothing is asked of you
Disconnected  nothing comes until a new connection stands
Reconnected   it stands; Resumed, Resync or Snapshot is next
Ended         it is gone for good; nothing follows
"""

import msgspec

from yoi.protocol import events as ev
from yoi.protocol.board_events import BoardEvent, BoardSnapshot
from yoi.protocol.observation import ObservationDiagnostic
from yoi.protocol.service_events import ServiceEvent, ServiceSnapshot


class _Value(msgspec.Struct, frozen=True, gc=False):
    """The base of every value."""


class Snapshot(_Value, frozen=True):
    """The subject as of `cursor`. `raw` is the payload's JSON as it came."""

    event: ev.Snapshot | ServiceSnapshot | BoardSnapshot
    cursor: str
    event_id: str
    raw: bytes


class Event(_Value, frozen=True):
    """One event; `cursor` is the position after it. `raw` is the payload's JSON as it came."""

    event: ev.Event | ServiceEvent | BoardEvent | ev.UnknownEvent
    cursor: str
    event_id: str
    raw: bytes


class Resumed(_Value, frozen=True):
    """The server knows the position: what follows it comes next, without gap or repetition."""

    cursor: str


class CaughtUp(_Value, frozen=True):
    """The replay after `Resumed` is over."""

    cursor: str


class Bookmark(_Value, frozen=True):
    """Everything up to `cursor` has been sent; some of it may be hidden from this observer."""

    cursor: str
    up_to_date: bool


class Resync(_Value, frozen=True):
    """The position was lost. `code` is the diagnostic's, or `client.NAME` where the client gave up.

    `dropped` counts the events in between where the server knows.
    """

    code: str
    message: str
    dropped: int | None = None


class Diagnostic(_Value, frozen=True):
    """What the server says about the observation."""

    diagnostic: ObservationDiagnostic


class Disconnected(_Value, frozen=True):
    """The connection ended or could not be made; the next dial is in `retry_in_ms`.

    `reason` is one of `yoi.client.outcomes.Why`, or the name of the server's own diagnostic.
    `message` is for people and names neither the server's address nor the token.
    """

    reason: str
    message: str
    retry_in_ms: int


class Reconnected(_Value, frozen=True):
    """The first useful frame after `Disconnected` has come."""


class Ended(_Value, frozen=True):
    """The subject is gone for good. The diagnostic is None where only a close said so."""

    diagnostic: ObservationDiagnostic | None


Value = (
    Snapshot
    | Event
    | Resumed
    | CaughtUp
    | Bookmark
    | Resync
    | Diagnostic
    | Disconnected
    | Reconnected
    | Ended
)
