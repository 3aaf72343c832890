"""`ConnectionReport`: what a connection tells its sink, and the status that a person sees."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from yoi.connections.session import Session
from yoi.connections.sink import ConnectionSink
from yoi.connections.target import DialTarget
from yoi.core.connection import ConnectionMachine
from yoi.core.connection_state import ConnectionState
from yoi.core.halts import REVIVED_BY, Halt
from yoi.core.redaction import Masker
from yoi.core.session_effects import (
    Announce,
    Closed,
    Effect,
    Failed,
    Gap,
    Needed,
    Reconnecting,
)
from yoi.permissions import Decision
from yoi.permissions.connection_settings import ConnectionSettings
from yoi.protocol.status import ConnectionStatus
from yoi.types import Clock, rfc3339_ms

_CLOSED_ON_PURPOSE = frozenset({ConnectionState.IDLE, ConnectionState.STOPPED})
"""Where the plugin, or the host as it stops, wants no connection."""


class ConnectionReport:
    """Keeps the status in step with what the sink is told. Sessions count in `status` directly.

    What a server has said is masked here, before anything else has it.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        sink: ConnectionSink,
        clock: Clock,
        masker: Callable[[], Masker],
    ) -> None:
        self._name = settings.name
        self._sink = sink
        self._clock = clock
        self._masker = masker
        self._last_message: float | None = None
        self._last_news: float | None = None
        self._last_ack: float | None = None
        self.status = ConnectionStatus(
            name=settings.name,
            ingress=settings.ingress,
            url=settings.where if settings.url is None else settings.url.display,
            state=ConnectionState.IDLE,
        )

    def govern(self, masker: Callable[[], Masker]) -> None:
        """Hide what `masker` hides from now on."""
        self._masker = masker

    def dialling(self, target: DialTarget) -> None:
        """A dial to `target` begins."""
        self.status.url = self._masker().text(target.shown)

    def tell(self, effect: Effect) -> None:
        """Tell the sink what the machine decided."""
        status = self.status
        match effect:
            case Announce(session, chosen, address, reason):
                status.down_since = None
                subprotocol = None if chosen is None else self._masker().text(chosen)
                status.subprotocol = subprotocol
                status.address = address
                status.connected_since = rfc3339_ms(self._clock.wall_ms())
                self._sink.opened(session, subprotocol, address, reason)
            case Closed(session, code, said, clean):
                status.close_code = code
                status.close_reason = self._masker().text(said)
                self._down()
                self._sink.closed(session, code, status.close_reason, clean)
            case Gap(session, since, until, why):
                status.gaps += 1
                self._sink.gap(session, self.wall_ms(since), self.wall_ms(until), why)
            case Failed(met, retry_in_ms):
                error = self._masker().error(met)
                self._note_error(error.message, error.code, error.fields.get("status"))
                self._sink.failed(error, retry_in_ms)
            case Needed(session, why, attempt, retry_in_ms, fresh):
                self._sink.reconnect_needed(session, why, attempt, retry_in_ms, fresh)
            case Reconnecting(retry_in_ms):
                self.notice(
                    "notice.reconnecting",
                    f"{self._name} is dialled again in {retry_in_ms:.0f} ms",
                    retry_in_ms=round(retry_in_ms),
                )

    def notice(self, code: str, message: str, **fields: Any) -> None:
        """Tell something that a person may want to know."""
        self._sink.notice(code, message, fields)

    def refused(self, decision: Decision, target: DialTarget) -> None:
        """Policy closed the connection: show that as the reason, instead of an earlier failure."""
        self._note_error(target.hide(decision.message), decision.code or "denied.not_granted")

    def said_refused(self, reason: str) -> None:
        """The plugin gave the connection up because the server refused its secret."""
        words = f": {self._masker().text(reason)}" if reason else ""
        self._note_error(f"the server refused the secret{words}", "connection.unauthorised")

    def allowed_again(self) -> None:
        """Policy allows what it refused: show the refusal no more."""
        status = self.status
        status.last_error = status.last_error_code = status.last_error_at = None
        status.last_error_status = None

    def none_open(self) -> None:
        """No session is open: nothing of the last one's socket is shown any more."""
        self.status.subprotocol = self.status.address = self.status.connected_since = None

    def note_times(self, session: Session) -> None:
        """Remember what outlives the session."""
        self._last_message = _later(self._last_message, session.last_message)
        self._last_news = _later(self._last_news, session.last_news)
        self._last_ack = _later(self._last_ack, session.last_ack)

    def now(self, machine: ConnectionMachine, sessions: Iterable[Session]) -> ConnectionStatus:
        """Return a copy of the status as it is now."""
        status = self.status
        status.state = machine.state
        if machine.state is ConnectionState.OPEN or (
            machine.state in _CLOSED_ON_PURPOSE
            and machine.halt is not Halt.REFUSED
            and not (status.last_error_code or "").startswith("denied.")
        ):
            status.down_since = None
        status.session = machine.session
        status.ready = machine.ready
        status.failures = machine.failures
        status.draining = machine.old
        status.reading_paused = machine.paused
        status.halt = machine.halt
        status.revived_by = [] if machine.halt is None else sorted(REVIVED_BY[machine.halt])
        status.reconnects = machine.reconnects
        status.open_questions = 0
        for session in sessions:
            self.note_times(session)
            status.open_questions += len(session.open_questions)
        status.last_frame_at = self._at(self._last_message)
        status.last_news_at = self._at(self._last_news)
        status.last_ack_at = self._at(self._last_ack)
        status.next_dial_at = self._at(machine.retry_at)
        return msgspec.structs.replace(status)

    def _note_error(self, message: str, code: str, answered: int | None = None) -> None:
        status = self.status
        status.last_error, status.last_error_code = message, code
        status.last_error_status = answered
        status.last_error_at = rfc3339_ms(self._clock.wall_ms())
        self._down()

    def _down(self) -> None:
        if self.status.down_since is None:
            self.status.down_since = rfc3339_ms(self._clock.wall_ms())

    def wall_ms(self, monotonic: float) -> int:
        """Return the wall time of a monotonic moment, as seen from now."""
        return self._clock.wall_ms() - round((self._clock.monotonic() - monotonic) * 1000)

    def _at(self, monotonic: float | None) -> str | None:
        return None if monotonic is None else rfc3339_ms(self.wall_ms(monotonic))


def _later(known: float | None, moment: float | None) -> float | None:
    if known is None or moment is None:
        return known if moment is None else moment
    return max(known, moment)
