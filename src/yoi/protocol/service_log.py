"""Records of a service's log (`service:NAME`): everything durable about one service.

Each is one JSON object with a `type`. Which are written, and when: DESIGN of the log in
docs/design/service-log.md. A record of a type or version that is not here refuses the whole log:
what it says is not known, so nothing may be concluded from it.
"""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from yoi.errors import JournalError
from yoi.protocol.ingress import IngressEvent, QueuedEvent, TextFrame, public
from yoi.protocol.published import PublicationMark
from yoi.types import SessionId

VERSION = 1
Outcome = Literal["done", "failed", "unknown"]


class _Record(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True, gc=False):
    """The base of all records. Times are Unix milliseconds of the wall clock.

    Records are trees and many: the garbage collector is spared them (`gc=False`).
    """


class Begun(_Record, frozen=True, tag="begun"):
    """An owner has taken the log over. The first record of every log; it fences earlier owners."""

    service: str
    at_ms: int
    epoch: int = 0
    version: int = VERSION
    by: PublicationMark | None = None
    """The publication that the owner goes by; None: it goes by none, or is of an older Yoi."""


class Frame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A text frame, masked, as it stands in a record."""

    connection: str
    session: str
    seq: int
    text: str
    received_ms: int
    in_reply_to: str | None = None


class Settles(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The command that an accepted answer settles."""

    event_id: str
    command_id: str


class Accepted(_Record, frozen=True, tag="accepted"):
    """The host has an event; from here on it is handled, or shown as a dead letter."""

    ingress: str
    frame: Frame | None = None
    event: IngressEvent | None = None
    """Exactly one of `frame` and `event`."""
    seen: str | None = None
    """The gateway's own id of it, where the ingress declares `dedupe`."""
    duplicate: bool = False
    settles: Settles | None = None
    fires: str | None = None
    """The timer whose firing it is."""
    at_ms: int = 0

    @property
    def event_id(self) -> str:
        """Return the id that answers name."""
        if self.frame is not None:
            return f"{self.frame.session}.{self.frame.seq}"
        return "" if self.event is None else self.event.event_id


class Command(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One allowed command, with its placeholders: no filled document is ever written."""

    id: str
    kind: str
    payload: dict[str, Any]
    ingress: str = ""
    repeatable: bool = False
    """Whether carrying it out again is harmless: by its identity, or by its idempotency key."""


class TimerAt(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A timer and when it is due; a due time of 0 clears it."""

    ingress: str
    name: str
    due_ms: int


class Handled(_Record, frozen=True, tag="handled"):
    """The guest has handled an event: its commands, state and timers are one record.

    Without an event it keeps what changed beside one: state, or what connections have spent.
    """

    event_id: str
    attempt: int = 1
    commands: tuple[Command, ...] = ()
    state: dict[str, str | None] = {}
    """JSON texts by key; None removes the key."""
    timers: tuple[TimerAt, ...] = ()
    at_ms: int = 0
    dials: dict[str, tuple[int, int]] = {}
    """How often each connection was dialled on a day: the day (since 1970) and the count."""


class Effected(_Record, frozen=True, tag="effect"):
    """How a command ended. Without one, after a crash, it is unknown."""

    event_id: str
    command_id: str
    outcome: Outcome
    code: str = ""


class Done(_Record, frozen=True, tag="done"):
    """Commands that were carried out well, one turn of the loop together: nearly all are."""

    commands: tuple[tuple[str, str], ...]
    """The event and the command of each."""


class Tried(_Record, frozen=True, tag="tried"):
    """An event is about to be handed over for this attempt."""

    event_id: str
    attempt: int


class Opened(_Record, frozen=True, tag="opened"):
    """A session has begun."""

    connection: str
    session: str
    at_ms: int


class Closed(_Record, frozen=True, tag="closed"):
    """A session is over."""

    connection: str
    session: str
    at_ms: int


class Dead(_Record, frozen=True, tag="dead"):
    """An event was given up; it waits as a dead letter."""

    event_id: str
    code: str
    message: str
    at_ms: int


class Discarded(_Record, frozen=True, tag="discarded"):
    """A person has thrown a dead letter away."""

    event_id: str


class Replayed(_Record, frozen=True, tag="replayed"):
    """A person has put a dead letter back into the queue, as its first attempt."""

    event_id: str


class Declared(_Record, frozen=True, tag="declared"):
    """What the manifest says of the ingresses, as far as records before and after depend on it."""

    order: dict[str, str] = {}
    """Where the keys stand that order events, by ingress; others are in strict order."""
    dedupe: dict[str, str] = {}
    """Where the gateways' ids stand, by ingress."""


class Alive(_Record, frozen=True, tag="alive"):
    """The host was there at this moment: where a gap begins after a crash."""

    at_ms: int
    missing: dict[str, int] = {}
    """Since when frames may be missing of connections that are down, by name."""


class Checkpoint(_Record, frozen=True, tag="checkpoint"):
    """The start of a picture of everything that stands; parts and old events follow it."""

    service: str
    epoch: int
    at_ms: int
    version: int = VERSION
    by: PublicationMark | None = None


class Part(_Record, frozen=True, tag="part"):
    """A piece of a checkpoint. Each fits a record; there may be several."""

    state: dict[str, str] = {}
    timers: tuple[TimerAt, ...] = ()
    last: dict[str, str] = {}
    """JSON texts of durable `last` values, by `connection/name`."""
    unsettled: tuple[tuple[str, Command], ...] = ()
    """Commands without an end, with the event they answer, in handled order."""
    sessions: tuple[tuple[str, str, int], ...] = ()
    """Open sessions: connection, session, since when."""
    seen: tuple[tuple[str, str, int], ...] = ()
    """Ids that a gateway gave: ingress, id, when."""
    attempts: dict[str, int] = {}
    """Attempts, by event id, of events that follow in `accepted` records."""
    dead: tuple[Dead, ...] = ()
    """Dead letters; their events follow in `accepted` records."""
    declared: Declared | None = None
    alive_ms: int = 0
    missing: dict[str, int] = {}
    dials: dict[str, tuple[int, int]] = {}
    """How often each connection was dialled on a day."""


class CheckpointEnd(_Record, frozen=True, tag="checkpoint_end"):
    """The picture is whole. What lies before its start may be trimmed."""

    start: int
    """The position of its `checkpoint` record."""


Entry = (
    Begun | Accepted | Handled | Effected | Done | Tried | Opened | Closed | Dead | Discarded
    | Replayed | Declared | Alive | Checkpoint | Part | CheckpointEnd
)  # fmt: skip

_DECODER = msgspec.json.Decoder(Entry)
_ENCODER = msgspec.json.Encoder()


def encode(entry: Entry) -> bytes:
    """Return `entry` as the bytes of a record."""
    return _ENCODER.encode(entry)


def encode_all(entries: Iterable[Entry]) -> list[bytes]:
    """Return the bytes of a record for each of `entries`."""
    return list(map(_ENCODER.encode, entries))


def decode(data: bytes, position: int) -> Entry:
    """Return the entry in a record. Raises JournalError (`journal.format`) naming the position."""
    try:
        entry = _DECODER.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        raise JournalError(
            "journal.format", f"record {position} of a service's log cannot be read: {exc}"
        ) from None
    if isinstance(entry, Begun | Checkpoint) and entry.version != VERSION:
        raise JournalError(
            "journal.format",
            f"record {position} was written by another version ({entry.version}); "
            f"this one reads {VERSION}",
            hint="run the version of Yoi that wrote it, or a newer one",
        )
    if isinstance(entry, Accepted) and (entry.frame is None) == (entry.event is None):
        raise JournalError("journal.format", f"record {position} accepts no event, or two")
    return entry


def accepted(
    event: QueuedEvent,
    *,
    seen: str | None = None,
    settles: Settles | None = None,
    fires: str | None = None,
    at_ms: int = 0,
) -> Accepted:
    """Return the record that `event` is accepted."""
    if isinstance(event, TextFrame):
        # By position: there is one for each message.
        frame = Frame(
            event.connection,
            event.session,
            event.seq,
            event.text,
            event.received_ms,
            event.in_reply_to,
        )
        return Accepted(event.ingress, frame, None, seen, event.duplicate, settles, fires, at_ms)
    return Accepted(
        event.ingress, event=public(event), seen=seen, settles=settles, fires=fires, at_ms=at_ms
    )


def event_of(entry: Accepted, attempt: int) -> QueuedEvent:
    """Return the event of an `accepted` record, as it is handed over for `attempt`."""
    if entry.frame is not None:
        frame = entry.frame
        return TextFrame(
            entry.ingress,
            frame.connection,
            SessionId(frame.session),
            frame.seq,
            frame.text,
            frame.received_ms,
            len(frame.text) if frame.text.isascii() else len(frame.text.encode()),
            attempt,
            frame.in_reply_to,
            entry.duplicate,
        )
    assert entry.event is not None
    return msgspec.structs.replace(entry.event, attempt=attempt)
