"""Frames in, values out: what a watcher may believe. No sockets, no clock.

What it promises to a caller that hands it all frames of one connection after another:

- Events come in order, each once: a repetition within an epoch is dropped.
- Between two events lie only events that policy hides. At the runtime hop, where nothing is
  hidden, a missing number is noticed: the position is asked for again, then given up with a
  `Resync`. Behind a backend a hidden event and one that the backend lost look the same; there the
  promise is the backend's.
- A position is given up only with a `Resync`, and a `Snapshot` is the next value after it.
- A frame that breaks the contract hands out nothing; the connection is left and the position
  asked for again, and after `observe_faults` of those in a row at one position a fresh snapshot.

Event ids are `EPOCH-SEQUENCE` (hex, decimal), a snapshot's ends in `.s`. Cursors are opaque.
"""

import re
from enum import Enum
from typing import NamedTuple

import msgspec

from yoi.client.outcomes import Leave, Why, of_close, of_diagnostic
from yoi.client.values import (
    Bookmark,
    CaughtUp,
    Diagnostic,
    Disconnected,
    Ended,
    Event,
    Reconnected,
    Resumed,
    Resync,
    Snapshot,
    Value,
)
from yoi.client.view import View
from yoi.display import printable
from yoi.errors import ProtocolMalformed
from yoi.limits import LIMITS, Limits
from yoi.protocol.board_events import BoardEvent, BoardSnapshot, decode_board_event
from yoi.protocol.cursors import CURSOR_CHARS
from yoi.protocol.depth import deeper_than, json_beyond
from yoi.protocol.events import Event as WorkerEvent
from yoi.protocol.events import Snapshot as WorkerSnapshot
from yoi.protocol.events import UnknownEvent, decode_event
from yoi.protocol.observation import (
    BookmarkFrame,
    CloseCode,
    DiagnosticFrame,
    Envelope,
    EventFrame,
    ObservationDiagnostic,
    ResumedFrame,
    Subject,
    SubjectKind,
    UnknownFrame,
    decode_frame,
)
from yoi.protocol.service_events import (
    ServiceDiagnosed,
    ServiceEvent,
    ServiceSnapshot,
    ServiceStatusChanged,
    decode_service_event,
)

Payload = WorkerEvent | ServiceEvent | BoardEvent | UnknownEvent

_AROUND = 4
"""Levels of JSON around an entry of a snapshot."""
_EVENT_ID = re.compile(r"([0-9a-f]{1,64})-(0|[1-9][0-9]{0,18})(\.s)?")


class Phase(Enum):
    """Where a watcher stands."""

    AWAY = "away"
    OPENING = "opening"
    BASED = "based"
    REPLAYING = "replaying"
    LIVE = "live"
    LEAVING = "leaving"
    OVER = "over"


_CONNECTED = {Phase.OPENING, Phase.BASED, Phase.REPLAYING, Phase.LIVE}
_END = {Phase.LEAVING, Phase.OVER}
_TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.AWAY: frozenset({Phase.OPENING, *_END}),
    Phase.OPENING: frozenset({Phase.BASED, Phase.REPLAYING, Phase.LIVE, *_END}),
    Phase.BASED: frozenset({Phase.REPLAYING, Phase.LIVE, *_END}),
    Phase.REPLAYING: frozenset({Phase.LIVE, *_END}),
    Phase.LIVE: frozenset({Phase.LIVE, *_END}),
    Phase.LEAVING: frozenset({Phase.AWAY, Phase.OVER}),
    Phase.OVER: frozenset(),
}


class Opening(NamedTuple):
    """What the next connection presents."""

    cursor: str | None
    snapshot_always: bool


class _Fault(Exception):
    """A frame that cannot be believed."""

    def __init__(self, why: Why, message: str) -> None:
        self.why = why
        super().__init__(message)


class Tracker:
    """`opening` and `connected`, then `receive` for every frame until `leave` is set or it is over;
    then `disconnected`, and again. `closed` and `broken` say how a connection ended by itself.
    """

    def __init__(
        self, subject: Subject, opening: Opening, view: View, limits: Limits = LIMITS
    ) -> None:
        self.subject = subject
        self.view = view
        self.phase = Phase.AWAY
        self.cursor = opening.cursor
        """The cursor after the last value; what to resume from, even with another watcher."""
        self.leave: Leave | None = None
        """Set in LEAVING: how the connection ended, or must."""
        self.proven = False
        """Whether this connection brought something useful and did nothing wrong."""
        self.duplicates = 0
        """How many repeated events were dropped."""
        self._limits = limits
        self._opening = opening
        self._own = False
        self._position: tuple[str, int] | None = None
        self._resync: Resync | None = None
        self._given_up: Resync | None = None
        self._faults = 0
        self._was_away = False
        # Only policy leaves numbers out, and a runtime has none.
        self._contiguous = not subject.runtime_id

    def opening(self) -> Opening:
        """Return what the next connection presents."""
        if self._given_up is not None:
            return Opening(None, snapshot_always=False)
        return Opening(self.cursor, not self._own and self._opening.snapshot_always)

    def connected(self) -> None:
        """Note that a connection stands and presented `opening()`."""
        self._resync = None
        self._opening = self.opening()
        self._transition(Phase.OPENING)

    def receive(self, data: bytes | str) -> list[Value]:
        """Return what one frame brings. Sets `leave` or ends where nothing more may come."""
        if self.phase not in _CONNECTED:
            return []
        try:
            return self._taken(decode_frame(data))
        except ProtocolMalformed as exc:
            self.broken(Why.MALFORMED_FRAME, exc.message)
        except _Fault as exc:
            self.broken(exc.why, str(exc))
        return []

    def closed(self, code: int, reason: str) -> list[Value]:
        """Take note of the server's close frame."""
        if self.phase not in _CONNECTED:
            return []
        if code == CloseCode.STREAM_CLOSED:
            return [self._ended(None)]
        self.left(of_close(code, printable(reason, 128)))
        return []

    def broken(self, why: Why, message: str) -> None:
        """Leave because of what the server sent; after the second time in a row begin afresh."""
        if self.phase not in _CONNECTED:
            return
        self._faults += 1
        self.proven = False
        words = printable(message, self._limits.message_chars)
        if self._faults >= self._limits.observe_faults:
            self._give_up(why, f"it could not be resumed exactly: {words}")
        self.left(Leave(why, words))

    def left(self, leave: Leave) -> None:
        """Leave the connection, or note that none was made."""
        if leave.error is not None and leave.error.code == "observe.cursor" and self._own:
            # The server's own cursor: that is the server's fault, and no reason to give up.
            self._give_up(leave.reason, leave.message)
            leave = Leave(leave.reason, leave.message)
        if self.phase not in _END:
            self.leave = leave
            self._transition(Phase.LEAVING)

    def start_over(self, message: str) -> None:
        """Leave, and ask for a fresh snapshot instead of what follows the last value."""
        self._give_up(Why.STARTED_OVER, message)
        if self.phase in _CONNECTED:
            self.left(Leave(Why.STARTED_OVER, message))

    def disconnected(self, retry_in_ms: int) -> Disconnected:
        """Return the value that says that no connection stands, after `leave` was set."""
        leave, self.leave = self.leave, None
        assert leave is not None
        self._was_away = True
        self.proven = False
        self._transition(Phase.AWAY)
        return Disconnected(leave.reason, leave.message, retry_in_ms)

    def over(self) -> None:
        """Note that the watcher has had enough, or that `leave.error` was final."""
        if self.phase is not Phase.OVER:
            if self.phase is not Phase.LEAVING:
                self._transition(Phase.LEAVING)
            self._transition(Phase.OVER)

    def _taken(self, frame: object) -> list[Value]:
        match frame:
            case EventFrame(envelope):
                return self._event(envelope)
            case BookmarkFrame(cursor, up_to_date):
                return self._bookmark(_checked(cursor), up_to_date)
            case DiagnosticFrame(entry):
                return self._diagnostic(_harmless(entry))
            case ResumedFrame(cursor):
                return self._resumed(_checked(cursor))
            case UnknownFrame():
                return []
            case _:
                raise _Fault(Why.MALFORMED_FRAME, "not a frame")

    def _event(self, envelope: Envelope) -> list[Value]:
        self._check_names(envelope)
        cursor = _checked(envelope.cursor)
        found = _EVENT_ID.fullmatch(envelope.event_id)
        if found is None:
            raise _Fault(Why.MALFORMED_FRAME, "an event id of an unknown form")
        epoch, seq = found[1], int(found[2])
        if found[3]:
            return self._snapshot(envelope, cursor, (epoch, seq))
        if self.phase is Phase.OPENING:
            raise _Fault(Why.MALFORMED_FRAME, "an event before the stream said where it begins")
        if self._resync is not None:
            raise _Fault(Why.MALFORMED_FRAME, "an event where a snapshot was announced")
        if self._position is not None and self._repeated(epoch, seq):
            self.duplicates += 1
            return []
        raw = bytes(envelope.payload)
        event = Event(self._decoded(raw), cursor, envelope.event_id, raw)
        self.view.apply(event)
        if self.phase is Phase.BASED:
            self._transition(Phase.LIVE)
        self._advance(cursor, (epoch, seq))
        return [event]

    def _repeated(self, epoch: str, seq: int) -> bool:
        assert self._position is not None
        known, last = self._position
        if epoch != known:
            raise _Fault(Why.MALFORMED_FRAME, "another epoch without a snapshot")
        if seq <= last:
            return True
        if self._contiguous and seq != last + 1:
            raise _Fault(Why.GAP, f"{seq - last - 1} events are missing")
        return False

    def _snapshot(self, envelope: Envelope, cursor: str, position: tuple[str, int]) -> list[Value]:
        raw = bytes(envelope.payload)
        event = self._decoded(raw)
        if not isinstance(event, WorkerSnapshot | ServiceSnapshot | BoardSnapshot):
            raise _Fault(Why.MALFORMED_FRAME, "not a snapshot of this kind of subject")
        asked = self._opening
        base = self.phase is Phase.OPENING and self._resync is None and asked.snapshot_always
        base = base and asked.cursor is not None
        told = self._resync or self._given_up
        if told is None and not base and (self.phase is not Phase.OPENING or asked.cursor):
            told = Resync("client.unannounced", "the server began anew without saying why")
        snapshot = Snapshot(event, cursor, envelope.event_id, raw)
        self.view.begin(snapshot)
        self._resync = self._given_up = None
        values: list[Value] = [*self._back(), *([] if told is None else [told]), snapshot]
        self._advance(cursor, position)
        self._transition(Phase.BASED if base else Phase.LIVE)
        return values

    def _resumed(self, cursor: str) -> list[Value]:
        if (
            self.phase not in (Phase.OPENING, Phase.BASED)
            or self._opening.cursor is None
            or self._resync is not None
        ):
            raise _Fault(Why.MALFORMED_FRAME, "resumed where nothing was to be resumed")
        self._transition(Phase.REPLAYING)
        self.cursor = cursor
        self._own = self.proven = True
        return [*self._back(), Resumed(cursor)]

    def _bookmark(self, cursor: str, up_to_date: bool) -> list[Value]:
        if self.phase is Phase.OPENING or self._resync is not None:
            raise _Fault(Why.MALFORMED_FRAME, "a bookmark before the stream said where it begins")
        self.cursor = cursor
        if self.phase is Phase.REPLAYING and up_to_date:
            self._transition(Phase.LIVE)
            return [CaughtUp(cursor)]
        return [Bookmark(cursor, up_to_date)]

    def _diagnostic(self, entry: ObservationDiagnostic) -> list[Value]:
        if entry.action == "resync":
            if self._resync is not None:  # the first reason is the one
                return [Diagnostic(entry)]
            self._resync = Resync(entry.code, entry.message, entry.dropped)
            return []
        if entry.name == "stream_closed":
            return [self._ended(entry)]
        if entry.action == "stop":
            self.left(of_diagnostic(entry))
            return []
        if entry.action == "reconnect":
            self.left(of_diagnostic(entry))
        return [Diagnostic(entry)]

    def _ended(self, entry: ObservationDiagnostic | None) -> Ended:
        self.over()
        return Ended(entry)

    def _back(self) -> list[Value]:
        was_away, self._was_away = self._was_away, False
        return [Reconnected()] if was_away else []

    def _advance(self, cursor: str, position: tuple[str, int]) -> None:
        self.cursor, self._position = cursor, position
        self._own = self.proven = True
        self._faults = 0

    def _give_up(self, reason: str, message: str) -> None:
        if self.cursor is not None:  # otherwise there is nothing to give up
            self._given_up = Resync(f"client.{reason}", message)

    def _check_names(self, envelope: Envelope) -> None:
        subject = self.subject
        if (
            envelope.subject_names != {subject.kind: subject.name}
            or envelope.runtime_id != subject.runtime_id
        ):
            raise _Fault(Why.MALFORMED_FRAME, "an event of another subject")

    def _decoded(self, raw: bytes) -> Payload:
        limits = self._limits
        # First of all: what is free of form in it is looked at below.
        if json_beyond(raw, limits.observed_depth + _AROUND, limits.observed_containers):
            raise _Fault(Why.MALFORMED_FRAME, "an event that is nested too deeply")
        if self.subject.kind is SubjectKind.WORKER:
            event = decode_event(raw)
            free = event.data.entries if isinstance(event, WorkerSnapshot) else None
            return self._shallow(event, free)
        if self.subject.kind is SubjectKind.BOARD:
            return decode_board_event(raw)  # nothing in it is free of form
        told = decode_service_event(raw)
        match told:
            case ServiceSnapshot(data):
                return self._shallow(told, [data.status, data.diagnostics])
            case ServiceStatusChanged(data):
                return self._shallow(told, data.status)
            case ServiceDiagnosed(entry):
                return self._shallow(told, entry)
            case _:
                return told

    def _shallow(self, event: Payload, free: object) -> Payload:
        """Return `event` unless what is free of form in it is nested beyond what may be walked."""
        if free is not None and deeper_than(free, self._limits.observed_depth):
            raise _Fault(Why.MALFORMED_FRAME, "an event that is nested too deeply")
        return event

    def _transition(self, phase: Phase) -> None:
        if phase not in _TRANSITIONS[self.phase]:
            raise RuntimeError(f"a watcher does not go from {self.phase} to {phase}")
        self.phase = phase


def _checked(cursor: str) -> str:
    if not 0 < len(cursor) <= CURSOR_CHARS or not cursor.isascii():
        raise _Fault(Why.MALFORMED_FRAME, "a cursor of an unknown form")
    return cursor


def _harmless(entry: ObservationDiagnostic) -> ObservationDiagnostic:
    """Return what a server says, fit for a screen: scripts print it as it is."""
    return msgspec.structs.replace(
        entry,
        code=printable(entry.code, LIMITS.name_bytes),
        message=printable(entry.message, LIMITS.message_chars),
    )
