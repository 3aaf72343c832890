"""The sink of one connection: turns what the driver reports into ingress events and diagnostics."""

import base64
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from yoi.core.ingress_queue import IngressQueue, Offered
from yoi.core.redaction import Masker
from yoi.core.session_effects import OpenReason
from yoi.errors import YoiError
from yoi.permissions.connection_settings import ConnectionSettings
from yoi.protocol.diagnostics import Severity
from yoi.protocol.ingress import EventKind, IngressEvent, TextFrame
from yoi.runtime.ledger import Ledger
from yoi.types import Clock, SessionId, rfc3339_ms


class ReadingControl(Protocol):
    """How an adapter slows or drops its connection."""

    def pause(self) -> None:
        """Stop reading."""
        ...

    def overflow(self) -> None:
        """Close the session because the plugin does not keep up; reconnect later."""
        ...


class ConnectionAdapter:
    """Puts what one connection reports into the queue (a `yoi.connections.ConnectionSink`).

    The plugin hears what its manifest lists in `deliver`; the diagnostics have everything.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        queue: IngressQueue,
        ledger: Ledger,
        clock: Clock,
        wake: Callable[[], None],
        masker: Callable[[], Masker],
    ) -> None:
        self.drops = 0
        self.binary_ignored = 0
        self.gaps = 0
        self._name = settings.name
        self._ingress = settings.ingress
        self._deliver = frozenset(EventKind(kind.event_kind) for kind in settings.deliver)
        self._on_full = settings.on_full
        self._queue = queue
        self._ledger = ledger
        self._clock = clock
        self._wake = wake
        self._make_masker = masker
        self._masker = masker()
        self._reading: ReadingControl | None = None
        # Per session: with overlap, two are open for a while.
        self._seqs: dict[SessionId, int] = {}
        self._text = EventKind.TEXT in self._deliver
        self._leaving = False
        self._lost = 0
        self._lost_since_ms = 0

    def attach(self, reading: ReadingControl) -> None:
        """Give the adapter its connection; before this nothing can arrive."""
        self._reading = reading

    # -- what the driver calls ----------------------------------------------------------------

    def opened(
        self, session: SessionId, subprotocol: str | None, address: str, reason: OpenReason
    ) -> None:
        """A session has begun."""
        # Once per session: a rotation in between is masked from the next one on.
        self._masker = self._make_masker()
        self._seqs[session] = 0
        self._note("notice.connected", f"{self._name} is open", session=session, address=address)
        self._event(EventKind.OPEN, session, {"subprotocol": subprotocol, "reason": reason})

    def text(self, session: SessionId, text: str, size: int) -> None:
        """One text frame; called for every one, so kept short."""
        if not self._text:
            return
        if self._masker:
            text = self._masker.text(text)
        self._seqs[session] = seq = self._seqs.get(session, 0) + 1
        frame = TextFrame(
            self._ingress, self._name, session, seq, text, self._clock.wall_ms(), size
        )
        offered = self._queue.offer(frame, self._on_full)
        if offered is Offered.ACCEPTED:
            self._ledger.counters.enqueued += 1
            if self._lost:
                self._report_loss(session)
        else:
            self._full(offered, session)
        self._wake()

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
        data = self._masker.data(data)
        self._seqs[session] = seq = self._seqs.get(session, 0) + 1
        self._event(
            EventKind.BINARY,
            session,
            {"seq": seq, "data": base64.b64encode(data).decode("ascii")},
            event_id=f"{session}.{seq}",
        )

    def closed(self, session: SessionId, code: int, reason: str, clean: bool) -> None:
        """The session is over; no frame of it follows."""
        self._seqs.pop(session, None)
        if self._lost:
            self._report_loss(session)
        self._note(
            "notice.closed",
            f"{self._name} closed with {code} {reason}".rstrip(),
            session=session,
            close_code=code,
        )
        self._event(EventKind.CLOSE, session, {"code": code, "reason": reason, "clean": clean})

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
        self._event(EventKind.ERROR, None, {"code": error.code, "message": error.message})

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
            self._ledger.counters.rejected += 1
            self._no_room(kind)

    # -- inside -------------------------------------------------------------------------------

    def _full(self, offered: Offered, session: SessionId) -> None:
        if offered is Offered.PAUSE:
            self._ledger.counters.enqueued += 1
            if self._reading is not None:
                self._reading.pause()
            return
        lost = self._queue.evicted if offered is Offered.DROPPED_OLDEST else 1
        self.drops += lost
        self._ledger.counters.dropped += lost
        if offered is Offered.DROPPED_OLDEST:
            self._ledger.counters.enqueued += 1
        if not self._lost:
            self._lost_since_ms = self._clock.wall_ms()
            self._ledger.note(
                "notice.dropped",
                f"the queue of {self._ingress} is full: {offered.value} ({self._on_full})",
                severity="warning",
                scope=f"connection:{self._name}",
                session=session,
            )
        self._lost += lost
        if offered is Offered.DISCONNECT and self._reading is not None:
            self._reading.overflow()

    def _report_loss(self, session: SessionId) -> None:
        lost, self._lost = self._lost, 0
        self._gap(session, self._lost_since_ms, self._clock.wall_ms(), "overflow", lost)

    def _gap(
        self, session: SessionId | None, since_ms: int, until_ms: int, why: str, count: int | None
    ) -> None:
        self.gaps += 1
        payload = {
            "since": rfc3339_ms(since_ms),
            "until": rfc3339_ms(until_ms),
            "since_ms": since_ms,
            "until_ms": until_ms,
            "why": why,
            "count": count,
        }
        self._note(
            "notice.gap",
            f"frames of {self._name} may be missing for {until_ms - since_ms} ms ({why})",
            severity="warning",
            **payload,
        )
        self._event(EventKind.GAP, session, payload)

    def _event(
        self,
        kind: EventKind,
        session: SessionId | None,
        payload: dict[str, Any],
        event_id: str | None = None,
    ) -> None:
        if kind not in self._deliver:
            return
        payload["connection"] = self._name
        payload["session"] = session
        event = IngressEvent(
            kind=kind,
            source=f"websocket:{self._name}",
            ingress_name=self._ingress,
            payload=payload,
            created_at=rfc3339_ms(self._clock.wall_ms()),
            correlation_id=event_id or f"{session or 'host'}.{secrets.token_hex(6)}",
        )
        offered = self._queue.offer(event, self._on_full)
        if offered is Offered.ACCEPTED:
            self._ledger.counters.enqueued += 1
        elif kind is EventKind.BINARY and session is not None:
            self._full(offered, session)
        else:
            self._ledger.counters.rejected += 1
            self._no_room(kind)
        self._wake()

    def _no_room(self, kind: EventKind) -> None:
        self._note(
            "service.queue_full", f"no room for the {kind} event of {self._name}", severity="error"
        )

    def _note(self, code: str, message: str, severity: Severity = "info", **fields: Any) -> None:
        self._ledger.note(
            code, message, severity=severity, scope=f"connection:{self._name}", **fields
        )
