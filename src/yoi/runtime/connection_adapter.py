"""The sink of one connection: turns what the driver reports into ingress events and diagnostics."""

import secrets
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from yoi.core.deferred import DeferredCalls
from yoi.core.ingress_account import Offered
from yoi.core.ingress_queue import IngressQueue
from yoi.core.senders import SenderFilter
from yoi.core.session_effects import OpenReason
from yoi.errors import YoiError
from yoi.permissions.connection_settings import ConnectionSettings, OnFull
from yoi.protocol.diagnostics import Severity
from yoi.protocol.ingress import BinaryFrame, EventKind, IngressEvent, QueuedEvent, TextFrame
from yoi.runtime.intake import Intake
from yoi.runtime.ledger import Ledger
from yoi.runtime.sequence_report import SequenceReport
from yoi.types import Clock, SessionId, rfc3339_ms

_SLOW = "the plugin is slow"
_ONE_LARGE = "one message takes the room of many until it is handled"


class ReadingControl(Protocol):
    """How an adapter slows or drops its connection."""

    def pause(self, why: str = ...) -> None:
        """Stop reading, because of `why`."""
        ...

    def complete_until_ms(self) -> int:
        """Return the last wall moment at which everything that had arrived was reported."""
        ...

    def overflow(self) -> None:
        """Close the session because the plugin does not keep up; reconnect later."""
        ...


class ConnectionAdapter:
    """Puts what one connection reports into the queue (a `yoi.connections.ConnectionSink`).

    Messages come to it masked, through a `MaskedSink`.
    The plugin hears what its manifest lists in `deliver`; the diagnostics have everything.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        queue: IngressQueue,
        intake: Intake,
        ledger: Ledger,
        clock: Clock,
        wake: Callable[[], None],
        deferred: DeferredCalls,
        senders: SenderFilter | None = None,
    ) -> None:
        self.drops = 0
        self.unlisted = 0
        """Frames of senders that the operator did not list: not delivered."""
        self._hear = senders.admit if senders else None
        self.binary_ignored = 0
        self.gaps = 0
        self._name = settings.name
        self._ingress = settings.ingress
        self._deliver = frozenset(EventKind(kind.event_kind) for kind in settings.deliver)
        self._on_full = settings.on_full
        self._queue = queue
        self._intake = intake
        self._offer = intake.offer
        self._ledger = ledger
        self._counters = ledger.counters
        self._clock = clock
        self._wake = wake
        self._deferred = deferred
        self._reading: ReadingControl | None = None
        # Per session: with overlap, two are open for a while.
        self._seqs: dict[SessionId, int] = {}
        self._text = EventKind.TEXT in self._deliver
        self.sequence: SequenceReport | None = None
        """What the messages' own numbers prove, where the manifest says where they stand."""
        if settings.sequence is not None:
            self.sequence = SequenceReport(
                settings.sequence,
                settings.name,
                clock,
                self._tell_missing,
                self._warn_sequence,
                self._complete_ms,
            )
        self._taken = True
        """Whether the last text frame found room, or is none that the plugin hears."""
        self._leaving = False
        self._earlier: tuple[SessionId | None, int] | None = None
        # For each waiting frame: when it arrived, and until when nothing before it was missing.
        # Frames of the same moment share one entry.
        self._marks: deque[tuple[int, int]] | None = None
        if self._on_full is OnFull.DROP_OLDEST:
            self._marks = deque(maxlen=queue.account(self._ingress).max_events)
        self.lost = 0
        """Frames that the queue has cost and that no gap tells of yet."""
        self._lost_since_ms = 0
        self._lost_session: SessionId | None = None

    def attach(self, reading: ReadingControl) -> None:
        """Give the adapter its connection; before this nothing can arrive."""
        self._reading = reading

    # -- what the driver calls ----------------------------------------------------------------

    def opened(
        self, session: SessionId, subprotocol: str | None, address: str, reason: OpenReason
    ) -> None:
        """A session has begun."""
        self._seqs[session] = 0
        self._intake.opened(self._name, session)
        if self.sequence is not None:
            self.sequence.opened(session)
        if self._earlier is not None:
            (earlier, since_ms), self._earlier = self._earlier, None
            self._gap(earlier, since_ms, self._clock.wall_ms(), "stopped", None)
        self._note("notice.connected", f"{self._name} is open", session=session, address=address)
        self._event(EventKind.OPEN, session, {"subprotocol": subprotocol, "reason": reason})

    def text(
        self, session: SessionId, text: str, size: int, in_reply_to: str | None = None
    ) -> None:
        """One text frame; called for every one, so kept short."""
        if in_reply_to is not None:
            self._deferred.answered(in_reply_to)
        if not self._text:
            return
        duplicate = self.sequence is not None and self.sequence.repeated(session, text)
        if self._hear is not None and not self._hear(text).delivered:
            # The gateway may be told that it came: what is not wanted is safe.
            self._taken = True
            self._not_listed(session)
            return
        self._seqs[session] = seq = self._seqs.get(session, 0) + 1
        now_ms = self._clock.wall_ms()
        frame = TextFrame(
            self._ingress, self._name, session, seq, text, now_ms, size, 1, in_reply_to
        )
        if duplicate:
            frame.duplicate = True
        offered = self._offer(frame, self._on_full)
        if offered is Offered.ACCEPTED:
            self._taken = True
            self._counters.enqueued += 1
            if self.lost:
                self.tell_losses()
        else:
            self._taken = offered is not Offered.REFUSED and offered is not Offered.DISCONNECT
            self._full(offered, session)
        if self._marks is not None:
            self._mark(now_ms)
        self._wake()

    def once_taken(self, then: Callable[[], None]) -> None:
        """Call `then` once the frame just taken is as safe as its ingress promises."""
        self._intake.once_taken(self._ingress, self._taken, then)

    def binary(self, session: SessionId, data: bytes) -> None:
        """One binary frame: delivered where declared, otherwise a diagnostic (W5)."""
        if EventKind.BINARY not in self._deliver:
            self.binary_ignored += 1
            if self.binary_ignored == 1:
                self._note(
                    "notice.binary_ignored",
                    f'{self._name} sent binary; add "binary" to deliver to receive it',
                    severity="warning",
                    session=session,
                )
            return
        self._seqs[session] = seq = self._seqs.get(session, 0) + 1
        now_ms = self._clock.wall_ms()
        frame = BinaryFrame(self._ingress, self._name, session, seq, data, now_ms, len(data))
        offered = self._offer(frame, self._on_full)
        if offered is Offered.ACCEPTED:
            self._counters.enqueued += 1
            if self.lost:
                self.tell_losses()
        else:
            self._full(offered, session)
        if self._marks is not None:
            self._mark(now_ms)
        self._wake()

    def withheld(self, session: SessionId) -> None:
        """A binary frame that repeats a secret was left out: edited, its lengths would not fit."""
        if EventKind.BINARY not in self._deliver:
            return
        self.binary_ignored += 1
        self._note(
            "notice.binary_withheld",
            f"{self._name} sent binary that repeats a secret; the plugin does not get it",
            severity="warning",
            session=session,
        )
        until_ms = self._clock.wall_ms()
        self._gap(session, self._complete_ms(), until_ms, "withheld", 1)

    def closed(self, session: SessionId, code: int, reason: str, clean: bool) -> None:
        """The session is over; no frame of it follows."""
        self._seqs.pop(session, None)
        if self.sequence is not None:
            self.sequence.closed(session)
        if self.lost:
            self._report_loss()
        self._note(
            "notice.closed",
            f"{self._name} closed with {code} {reason}".rstrip(),
            session=session,
            close_code=code,
        )
        self._event(EventKind.CLOSE, session, {"code": code, "reason": reason, "clean": clean})
        self._intake.closed(self._name, session)
        self._deferred.session_gone(session)

    def gap(self, session: SessionId | None, since_ms: int, until_ms: int, why: str) -> None:
        """Frames may be missing between the two moments."""
        self._gap(session, since_ms, until_ms, why, None)

    def failed(self, error: YoiError, retry_in_ms: float | None) -> None:
        """A dial or a session failed."""
        self._ledger.error(
            error,
            severity="warning" if retry_in_ms is not None else "error",
            scope=f"connection:{self._name}",
            retry_in_ms=None if retry_in_ms is None else round(retry_in_ms),
        )
        about: dict[str, Any] = {"code": error.code, "message": error.message}
        if error.fields.get("status") is not None:
            about["status"] = error.fields["status"]
        self._event(EventKind.ERROR, None, about)

    def reconnect_needed(
        self, session: SessionId | None, why: str, attempt: int, retry_in_ms: float, fresh: bool
    ) -> None:
        """The plugin must say where to dial, or give up what it tried to resume."""
        message = (
            f"{self._name} did not get ready {attempt} times: begin a fresh session"
            if fresh
            else f"{self._name} is dialled again when the plugin opens it"
        )
        code = "connection.reconnect_needed"
        fields = {
            "why": why,
            "attempt": attempt,
            "retry_in_ms": round(retry_in_ms),
            "fresh": fresh,
        }
        self._note(code, message, severity="warning", **fields)
        self._event(EventKind.ERROR, session, {"code": code, "message": message, **fields})

    def notice(self, code: str, message: str, fields: Mapping[str, Any]) -> None:
        """Something a person may want to know."""
        if self._leaving and code == "notice.paused":
            return
        self._note(code, message, **fields)

    # -- what the service calls ---------------------------------------------------------------

    def begin_after(self, session: SessionId | None, since_ms: int) -> None:
        """Tell a gap before the first session: `session` was closed by the service itself."""
        self._earlier = (session, since_ms)

    @property
    def earlier(self) -> tuple[SessionId | None, int] | None:
        """The gap that waits for the first session: after which one, and since when."""
        return self._earlier

    def tell_losses(self) -> None:
        """Queue a gap for what the queue has cost, where there is room; else it goes on growing."""
        if self._queue.reserved_room(EventKind.GAP):
            self._report_loss()

    def still_open(self, session: SessionId, about: dict[str, Any]) -> IngressEvent | None:
        """Return the open event for a new instance; None where it is not delivered, or waits."""
        if EventKind.OPEN not in self._deliver or self._queue.waits(EventKind.OPEN, session):
            return None
        if session not in self._seqs:
            return None  # its own open event comes, or it is over
        payload = {**about, "reason": OpenReason.STILL_OPEN}
        event_id = f"{session}.{secrets.token_hex(6)}"
        return self._made(EventKind.OPEN, session, payload, event_id)

    def use(self, senders: SenderFilter | None) -> None:
        """Go by these from now on: another version of the plugin has taken over."""
        self._hear = senders.admit if senders else None

    def mute(self) -> None:
        """Queue nothing more: the version that runs now does not have this connection."""
        self._deliver = frozenset()
        self._text = False

    def leave(self) -> None:
        """The service stops: that reading pauses says nothing about the plugin any more."""
        self._leaving = True

    def tell(self, kind: EventKind, session: SessionId | None, payload: dict[str, Any]) -> None:
        """Queue feedback about a command, where the manifest asks for its kind and it has room."""
        if kind not in self._deliver:
            return
        if self._queue.reserved_room(kind):
            self._event(kind, session, payload)
        else:
            # Looked at first: a plugin may earn thousands of refusals in one answer.
            self._counters.rejected += 1
            self._no_room(kind)

    # -- inside -------------------------------------------------------------------------------

    def _tell_missing(
        self,
        session: SessionId,
        since_ms: int,
        until_ms: int,
        why: str,
        count: int | None,
        missing: list[dict[str, Any]],
    ) -> None:
        more = {"missing": missing} if missing else {}
        self._gap(session, since_ms, until_ms, why, count, **more)

    def _warn_sequence(self, session: SessionId, message: str) -> None:
        self._note("notice.sequence", message, severity="warning", session=session)

    def _not_listed(self, session: SessionId) -> None:
        self.unlisted += 1
        if self.unlisted == 1:
            self._note(
                "notice.sender",
                f"{self._name} had a message of a sender that is not listed; it is not delivered",
                severity="info",
                session=session,
            )

    def _full(self, offered: Offered, session: SessionId) -> None:
        if offered is Offered.PAUSE:
            self._counters.enqueued += 1
            if self._reading is not None:
                alone = self._queue.account(self._ingress).depth <= 1
                self._reading.pause(_ONE_LARGE if alone else _SLOW)
            return
        lost = 1
        if offered is Offered.DROPPED_OLDEST:
            lost = len(self._queue.evicted)
            self._counters.enqueued += 1
        self.drops += lost
        self._counters.dropped += lost
        if not self.lost:
            self._lost_since_ms = self._since_ms(offered)
            self._ledger.note(
                "notice.dropped",
                f"the queue of {self._ingress} is full: {offered.value} ({self._on_full})",
                severity="warning",
                scope=f"connection:{self._name}",
                session=session,
            )
        self.lost += lost
        self._lost_session = session
        if offered is Offered.DISCONNECT and self._reading is not None:
            self._reading.overflow()

    def _mark(self, arrived_ms: int) -> None:
        marks = self._marks
        if marks is not None and (not marks or marks[-1][0] != arrived_ms):
            marks.append((arrived_ms, self._complete_ms()))

    def _since_ms(self, offered: Offered) -> int:
        """Return until when no frame was missing, as the first one is lost."""
        if offered is not Offered.DROPPED_OLDEST or self._marks is None:
            return self._complete_ms()
        arrived_ms = received_ms(self._queue.evicted[0])
        # A frame that an earlier adapter of the connection has queued has no mark here.
        return next((done for at, done in reversed(self._marks) if at <= arrived_ms), arrived_ms)

    def _complete_ms(self) -> int:
        return self._clock.wall_ms() if self._reading is None else self._reading.complete_until_ms()

    def _report_loss(self) -> None:
        lost, self.lost = self.lost, 0
        until_ms = self._clock.wall_ms()
        self._gap(self._lost_session, self._lost_since_ms, until_ms, "overflow", lost)

    def _gap(
        self,
        session: SessionId | None,
        since_ms: int,
        until_ms: int,
        why: str,
        count: int | None,
        **more: Any,
    ) -> None:
        self.gaps += 1
        since_ms = min(since_ms, until_ms)  # a clock that was set back
        payload = {
            "since": rfc3339_ms(since_ms),
            "until": rfc3339_ms(until_ms),
            "since_ms": since_ms,
            "until_ms": until_ms,
            "why": why,
            "count": count,
            **more,
        }
        self._note(
            "notice.gap",
            f"frames of {self._name} may be missing for {until_ms - since_ms} ms ({why})",
            severity="warning",
            **payload,
        )
        self._event(EventKind.GAP, session, payload)

    def _event(self, kind: EventKind, session: SessionId | None, payload: dict[str, Any]) -> None:
        if kind not in self._deliver:
            return
        event_id = f"{session or 'host'}.{secrets.token_hex(6)}"
        offered = self._offer(self._made(kind, session, payload, event_id), self._on_full)
        if offered is Offered.ACCEPTED:
            self._counters.enqueued += 1
        elif offered is not Offered.COALESCED:
            self._counters.rejected += 1
            self._no_room(kind)
        self._wake()

    def _made(
        self, kind: EventKind, session: SessionId | None, payload: dict[str, Any], event_id: str
    ) -> IngressEvent:
        return IngressEvent(
            kind=kind,
            source=f"websocket:{self._name}",
            ingress_name=self._ingress,
            payload={**payload, "connection": self._name, "session": session},
            created_at=rfc3339_ms(self._clock.wall_ms()),
            correlation_id=event_id,
        )

    def _no_room(self, kind: EventKind) -> None:
        self._note(
            "service.queue_full", f"no room for the {kind} event of {self._name}", severity="error"
        )

    def _note(self, code: str, message: str, severity: Severity = "info", **fields: Any) -> None:
        self._ledger.note(
            code, message, severity=severity, scope=f"connection:{self._name}", **fields
        )


def received_ms(event: QueuedEvent) -> int:
    """Return when a frame arrived, in wall milliseconds."""
    if not isinstance(event, IngressEvent):
        return event.received_ms
    return round(datetime.fromisoformat(event.created_at).timestamp() * 1000)
