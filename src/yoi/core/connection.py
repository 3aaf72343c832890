"""The life of one host-owned connection: dial, session, close, wait, dial again. Sans-I/O.

    IDLE ─start▶ CONNECTING ─dialled▶ OPEN ─close frame, either way▶ CLOSING
                  ▲  ▲  │               │                               │
             retry│  │  │dial failed    │ended                          │ended
                  │  │  ▼               ▼                               ▼
                  └─ WAITING ◀──────────┴───────────────────────────────┤
                     │                                                  │
                   FAILED ◀─ refused by policy, or a fatal close code ──┤
                                                                        │
                  STOPPED ◀─────────────── stop, from any state ────────┘

Methods take `now` (monotonic seconds) and return the effects to carry out, in order.

What the machine promises: each session is announced once, closed once, and closed before the next
one is announced; where a session follows another, a gap stands between them. The driver delivers
frames only between `Announce` and `Closed`.

Backoff. A close code never decides retry by itself, except the fatal ones that the manifest
declares. The backoff is forgotten when a session *proved itself*: it delivered a message and lived
`session_ready_ms`, or lived as long as the longest backoff (a quiet session is not a failed one).
An upgrade alone proves nothing: a server that accepts and then closes because of a bad token would
otherwise be dialled every second for ever.

Liveness. A ping goes out every `ping_ms`; the transport is dead when nothing at all arrived within
`pong_ms` of it. Both clocks rest while reading is paused, because then a pong cannot be seen; the
pause itself is bounded by its grace.
"""

from dataclasses import dataclass
from enum import StrEnum

from yoi.core.backoff import FullJitter
from yoi.errors import ConnectionFailure, YoiError
from yoi.types import SessionId


class ConnectionState(StrEnum):
    """The states a person sees."""

    IDLE = "idle"
    CONNECTING = "connecting"
    OPEN = "open"
    CLOSING = "closing"
    WAITING = "waiting"
    STOPPED = "stopped"
    FAILED = "failed"


_NEXT: dict[ConnectionState, frozenset[ConnectionState]] = {
    ConnectionState.IDLE: frozenset({ConnectionState.CONNECTING, ConnectionState.STOPPED}),
    ConnectionState.CONNECTING: frozenset(
        {
            ConnectionState.OPEN,
            ConnectionState.WAITING,
            ConnectionState.FAILED,
            ConnectionState.STOPPED,
        }
    ),
    ConnectionState.OPEN: frozenset(
        {ConnectionState.CLOSING, ConnectionState.WAITING, ConnectionState.FAILED}
    ),
    ConnectionState.CLOSING: frozenset(
        {ConnectionState.WAITING, ConnectionState.FAILED, ConnectionState.STOPPED}
    ),
    ConnectionState.WAITING: frozenset({ConnectionState.CONNECTING, ConnectionState.STOPPED}),
    ConnectionState.FAILED: frozenset({ConnectionState.CONNECTING, ConnectionState.STOPPED}),
    ConnectionState.STOPPED: frozenset({ConnectionState.CONNECTING}),
}


class Timer(StrEnum):
    """The clocks of one connection; at most one of each runs."""

    RETRY = "retry"
    PING = "ping"
    PONG = "pong"
    GRACE = "grace"
    CLOSE = "close"


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
class CloseWire:
    """Write a close frame; messages are still delivered until the peer's."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class DropWire:
    """Write a close frame; nothing more is delivered."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class AbortWire:
    """End the socket at once."""


@dataclass(frozen=True, slots=True)
class Announce:
    """A session has begun; its messages are read after the next `ResumeReading`."""

    session: SessionId
    subprotocol: str | None
    address: str


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


Effect = (
    Dial
    | CancelDial
    | Arm
    | Disarm
    | SendPing
    | PauseReading
    | ResumeReading
    | CloseWire
    | DropWire
    | AbortWire
    | Announce
    | Closed
    | Gap
    | Failed
    | Reconnecting
)

# Trying again would ask the same question of the same grants.
_FINAL_DENIALS = frozenset({"denied.not_requested", "denied.not_granted", "denied.unsupported"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRules:
    """The times and codes that govern one connection."""

    ping_ms: float
    pong_ms: float
    pause_grace_ms: float
    close_ms: float
    session_ready_ms: float
    backoff_max_ms: float
    fatal_close_codes: frozenset[int] = frozenset()


class ConnectionSession:
    """See the module docstring."""

    def __init__(self, rules: SessionRules, backoff: FullJitter) -> None:
        self.state = ConnectionState.IDLE
        self.session: SessionId | None = None
        """The session that is open or closing."""
        self.paused = False
        self.reconnects = 0
        self.retry_at: float | None = None
        self._rules = rules
        self._backoff = backoff
        self._stopping = False
        self._cause: YoiError | None = None
        self._opened_at = 0.0
        self._ever_opened = False
        self._pinged_at: float | None = None
        self._gap: tuple[SessionId, float, str] | None = None

    # -- what the operator and the runtime ask ---------------------------------------------------

    def start(self, now: float) -> list[Effect]:
        """Begin to dial, or dial a stopped or failed connection again; else nothing."""
        if self.state in (ConnectionState.IDLE, ConnectionState.STOPPED, ConnectionState.FAILED):
            self._stopping = False
            return self._dial()
        return []

    def reconnect(self, now: float, code: int, reason: str) -> list[Effect]:
        """End the session and dial again; one that waits or failed is dialled at once."""
        if self.state is ConnectionState.OPEN:
            return self._begin_close(CloseWire(code, reason))
        if self.state in (ConnectionState.WAITING, ConnectionState.FAILED):
            return [Disarm(Timer.RETRY), *self._dial()]
        return []

    def stop(self, now: float, code: int, reason: str) -> list[Effect]:
        """Close whatever there is and stay closed."""
        self._stopping = True
        match self.state:
            case ConnectionState.OPEN:
                return self._begin_close(CloseWire(code, reason))
            case ConnectionState.CLOSING | ConnectionState.STOPPED:
                return []
            case ConnectionState.CONNECTING:
                self._transition(ConnectionState.STOPPED)
                return [CancelDial()]
            case _:
                self.retry_at = None
                self._transition(ConnectionState.STOPPED)
                return [Disarm(Timer.RETRY)]

    def pause(self, now: float) -> list[Effect]:
        """Stop reading for at most the grace."""
        if self.paused:
            return []
        self.paused = True
        return self._paused_effects() if self.state is ConnectionState.OPEN else []

    def resume(self, now: float) -> list[Effect]:
        """Read on."""
        if not self.paused:
            return []
        self.paused = False
        if self.state is not ConnectionState.OPEN:
            return [ResumeReading()] if self.state is ConnectionState.CLOSING else []
        return [Disarm(Timer.GRACE), Arm(Timer.PING, self._rules.ping_ms), ResumeReading()]

    def overflow(self, now: float) -> list[Effect]:
        """Close the session because its messages find no room; dial again later."""
        if self.state is not ConnectionState.OPEN:
            return []
        self._cause = ConnectionFailure(
            "connection.overflow", "the plugin did not keep up with its messages"
        )
        return self._begin_close(DropWire(1008, "the receiver does not keep up"))

    # -- what the driver reports -----------------------------------------------------------------

    def dialled(
        self, now: float, session: SessionId, subprotocol: str | None, address: str
    ) -> list[Effect]:
        """The handshake is done: a session begins."""
        self._transition(ConnectionState.OPEN)
        self.session = session
        self._opened_at = now
        self._cause = None
        self._pinged_at = None
        if self._ever_opened:
            self.reconnects += 1
        self._ever_opened = True
        effects: list[Effect] = []
        if self._gap is not None:
            earlier, since, why = self._gap
            self._gap = None
            effects.append(Gap(earlier, since, now, why))
        effects.append(Announce(session, subprotocol, address))
        if self.paused:
            return [*effects, *self._paused_effects()]
        return [*effects, Arm(Timer.PING, self._rules.ping_ms), ResumeReading()]

    def dial_failed(self, now: float, error: YoiError) -> list[Effect]:
        """The dial failed; a denial by the grants is final until somebody starts it again."""
        if error.code in _FINAL_DENIALS:
            self._transition(ConnectionState.FAILED)
            return [Failed(error, None)]
        delay_ms = self._wait(now)
        return [Arm(Timer.RETRY, delay_ms), Failed(error, delay_ms)]

    def closing(self, now: float) -> list[Effect]:
        """The closing handshake began on the wire: the peer's close frame, or a fault of its."""
        if self.state is not ConnectionState.OPEN:
            return []
        self._transition(ConnectionState.CLOSING)
        return [*self._quiet(), Arm(Timer.CLOSE, self._rules.close_ms)]

    def ended(self, now: float, end: End, delivered: int, last_heard: float) -> list[Effect]:
        """The socket is gone; `delivered` messages of the session reached the plugin's queue."""
        session = self.session
        if session is None:
            return []
        self.session = None
        error = self._cause or end.error
        clean = end.clean and error is None
        why = "closed" if error is None else error.code.removeprefix("connection.")
        self._gap = (session, now if clean else min(last_heard, now), why)
        effects: list[Effect] = [*self._quiet(), Disarm(Timer.CLOSE)]
        effects.append(Closed(session, end.code, end.reason, clean))
        if self._stopping:
            if self.state is ConnectionState.OPEN:
                self._transition(ConnectionState.CLOSING)
            self._transition(ConnectionState.STOPPED)
            return effects
        if end.code in self._rules.fatal_close_codes:
            self._transition(ConnectionState.FAILED)
            fatal = ConnectionFailure(
                "connection.fatal_close",
                f"the server closed with {end.code}, which the manifest declares fatal",
                close_code=end.code,
            )
            return [*effects, Failed(fatal, None)]
        if self._proved(now, delivered):
            self._backoff.reset()
        delay_ms = self._wait(now)
        effects.append(Arm(Timer.RETRY, delay_ms))
        effects.append(Failed(error, delay_ms) if error is not None else Reconnecting(delay_ms))
        return effects

    def timer_fired(self, timer: Timer, now: float, last_heard: float) -> list[Effect]:
        """A timer ran out; `last_heard` is when the last bytes arrived."""
        match timer:
            case Timer.RETRY if self.state is ConnectionState.WAITING:
                return self._dial()
            case Timer.PING if self.state is ConnectionState.OPEN:
                return self._ping(now)
            case Timer.PONG if self.state is ConnectionState.OPEN:
                return self._pong_due(last_heard)
            case Timer.GRACE if self.state is ConnectionState.OPEN:
                return self.overflow(now)
            case Timer.CLOSE if self.state is ConnectionState.CLOSING:
                return [AbortWire()]
            case _:
                return []

    # -- inside ----------------------------------------------------------------------------------

    def _dial(self) -> list[Effect]:
        self.retry_at = None
        self._transition(ConnectionState.CONNECTING)
        return [Dial()]

    def _wait(self, now: float) -> float:
        self._transition(ConnectionState.WAITING)
        delay_ms = self._backoff.next_ms()
        self.retry_at = now + delay_ms / 1000
        return delay_ms

    def _proved(self, now: float, delivered: int) -> bool:
        lived_ms = (now - self._opened_at) * 1000
        return lived_ms >= self._rules.backoff_max_ms or (
            delivered > 0 and lived_ms >= self._rules.session_ready_ms
        )

    def _begin_close(self, how: CloseWire | DropWire) -> list[Effect]:
        if self.paused:
            # The peer's close frame lies behind messages that nobody reads.
            how = DropWire(how.code, how.reason)
        self._transition(ConnectionState.CLOSING)
        return [*self._quiet(), Arm(Timer.CLOSE, self._rules.close_ms), how]

    def _quiet(self) -> list[Effect]:
        self._pinged_at = None
        return [Disarm(Timer.PING), Disarm(Timer.PONG), Disarm(Timer.GRACE)]

    def _paused_effects(self) -> list[Effect]:
        self._pinged_at = None
        return [
            Disarm(Timer.PING),
            Disarm(Timer.PONG),
            Arm(Timer.GRACE, self._rules.pause_grace_ms),
            PauseReading(),
        ]

    def _ping(self, now: float) -> list[Effect]:
        effects: list[Effect] = [SendPing(), Arm(Timer.PING, self._rules.ping_ms)]
        if self._pinged_at is None:
            self._pinged_at = now
            effects.append(Arm(Timer.PONG, self._rules.pong_ms))
        return effects

    def _pong_due(self, last_heard: float) -> list[Effect]:
        pinged_at, self._pinged_at = self._pinged_at, None
        if pinged_at is None or last_heard >= pinged_at:
            return []
        self._cause = ConnectionFailure(
            "connection.idle", f"the peer stopped answering pings for {self._rules.pong_ms:g} ms"
        )
        self._transition(ConnectionState.CLOSING)
        return [*self._quiet(), AbortWire()]

    def _transition(self, to: ConnectionState) -> None:
        if to not in _NEXT[self.state]:
            raise YoiError("usage.internal", f"a connection cannot go from {self.state} to {to}")
        self.state = to
