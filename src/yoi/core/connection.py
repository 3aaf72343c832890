"""The life of one host-owned connection: dial, session, close, wait, dial again. Sans-I/O.

    IDLE ─start▶ CONNECTING ─dialled▶ OPEN ─close frame, either way▶ CLOSING
                  ▲  ▲  │               │                               │
             retry│  │  │dial failed    │ended                          │ended
                  │  │  ▼               ▼                               ▼
      AWAITING ◀─ WAITING ◀─────────────┴───────────────────────────────┤
       │  ▲          │                                                  │
       └──┘        FAILED ◀─ refused by policy, or a fatal close code ──┤
     needs a URL                                                        │
                  STOPPED ◀─────────────── stop, from any state ────────┘

Methods take `now` (monotonic seconds) and return the effects to carry out, in order.

What the machine promises: each session is announced once and closed once. Without overlap it is
closed before the next one is announced, and a gap stands between the two. The driver delivers
frames only between `Announce` and `Closed`.

Where to dial. The driver holds the URL; the machine knows whether there is one. One that serves
for a single dial (a captured ticket) is spent by it: then nothing is dialled, the plugin is told
that a URL is needed once the backoff allows to use it (a ticket must not grow old in the wait), and
told again while none comes. A URL that comes too early waits for the backoff.

Backoff. A close code never decides retry by itself, except the fatal ones that the manifest
declares. The backoff is forgotten when a session *proved itself*: where `ready_by_command`, when
the plugin said so; else when it delivered a message and lived `session_ready_ms`, or lived as long
as the longest backoff (a quiet session is not a failed one). An upgrade alone proves nothing: a
server that accepts and then closes because of a bad token would otherwise be dialled every second
for ever.

Overlap. With `overlap_ms`, `open` while a session is OPEN dials its successor beside it; when that
is open, it is the session that messages go to, and the old one drains: its messages are still
delivered and it can still be answered, until the peer closes it or the time is over. There are
never more than two sockets.

Liveness. A ping goes out every `ping_ms`; the transport is dead when nothing at all arrived within
`pong_ms` of it. Both clocks rest while reading is paused, because then a pong cannot be seen; the
pause itself is bounded by its grace. Heartbeats (core/heartbeat.py) report here through `broken`.
"""

from dataclasses import dataclass
from enum import StrEnum

from yoi.core.backoff import FullJitter
from yoi.core.session_effects import (
    AbortCurrent,
    AbortOld,
    Announce,
    Arm,
    CancelDial,
    CloseCurrent,
    Closed,
    CloseOld,
    Dial,
    Disarm,
    DropCurrent,
    DropOld,
    Effect,
    End,
    Failed,
    Gap,
    HandOver,
    Needed,
    OpenReason,
    PauseReading,
    Reconnecting,
    ResumeReading,
    SendPing,
    Timer,
    UseOwnUrl,
)
from yoi.errors import ConnectionFailure, YoiError
from yoi.types import SessionId


class ConnectionState(StrEnum):
    """The states a person sees."""

    IDLE = "idle"
    CONNECTING = "connecting"
    OPEN = "open"
    CLOSING = "closing"
    WAITING = "waiting"
    AWAITING = "awaiting_open"
    """Nothing is dialled until the plugin says where."""
    STOPPED = "stopped"
    FAILED = "failed"


_S = ConnectionState
_NEXT: dict[ConnectionState, frozenset[ConnectionState]] = {
    _S.IDLE: frozenset({_S.CONNECTING, _S.WAITING, _S.AWAITING, _S.STOPPED}),
    _S.CONNECTING: frozenset({_S.OPEN, _S.WAITING, _S.FAILED, _S.STOPPED, _S.CLOSING}),
    # To itself, and from CLOSING: its successor has opened.
    _S.OPEN: frozenset({_S.OPEN, _S.CLOSING, _S.WAITING, _S.FAILED, _S.CONNECTING}),
    _S.CLOSING: frozenset({_S.OPEN, _S.WAITING, _S.FAILED, _S.STOPPED, _S.CONNECTING}),
    _S.WAITING: frozenset({_S.CONNECTING, _S.AWAITING, _S.STOPPED, _S.CLOSING}),
    _S.AWAITING: frozenset({_S.CONNECTING, _S.WAITING, _S.STOPPED, _S.CLOSING}),
    _S.FAILED: frozenset({_S.CONNECTING, _S.WAITING, _S.AWAITING, _S.STOPPED, _S.CLOSING}),
    _S.STOPPED: frozenset({_S.CONNECTING, _S.WAITING, _S.AWAITING}),
}
_AT_REST = frozenset({_S.IDLE, _S.STOPPED, _S.FAILED})
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
    has_own_url: bool = True
    """The manifest says where to dial; else only the plugin does."""
    dial_at_start: bool = True
    """False: `start` dials nothing the first time, the plugin opens."""
    ready_by_command: bool = False
    fresh_after: int | None = None
    """Failures in a row to get ready, until the plugin is told to begin afresh."""
    overlap_ms: float = 0.0


class ConnectionSession:
    """See the module docstring."""

    def __init__(self, rules: SessionRules, backoff: FullJitter) -> None:
        self.state = ConnectionState.IDLE
        self.session: SessionId | None = None
        """The session that is open or closing."""
        self.old: SessionId | None = None
        """The session before it that still drains."""
        self.paused = False
        self.ready = False
        """The plugin vouched for the session."""
        self.failures = 0
        """How many times in a row no session got ready."""
        self.reconnects = 0
        self.retry_at: float | None = None
        self._rules = rules
        self._backoff = backoff
        self._usable = rules.has_own_url
        self._once = False
        self._supplied = False
        self._asked = False  # the next session is one that the plugin asked for
        self._not_before = float("-inf")  # the earliest dial that the backoff allows a plugin
        self._succeed = False  # a successor is wanted while a session is open
        self._side = False  # and it is being dialled
        self._replaced = False  # the backoff was asked once about replacing the open session
        self._old_closing = False
        self._renew = False
        self._stopping = False
        self._last_delay_ms = 0.0
        self._cause: YoiError | None = None
        self._why = ""
        self._last: SessionId | None = None
        self._opened_at = 0.0
        self._ever_opened = False
        self._pinged_at: float | None = None
        self._gap: tuple[SessionId, float, str] | None = None

    # -- what the operator and the runtime ask ---------------------------------------------------

    def start(self, now: float) -> list[Effect]:
        """Begin to dial, or dial a stopped or failed connection again; else nothing.

        Where the plugin opens, nothing is dialled the first time; later it is asked for a URL if
        there is none.
        """
        if self.state not in _AT_REST:
            return []
        first = self.state is ConnectionState.IDLE
        self._stopping = False
        if self._usable and (self._rules.dial_at_start or not first):
            return self._dial()
        if first:
            self._transition(ConnectionState.AWAITING)
            return []
        return self._ask()

    def open(self, now: float, *, once: bool) -> list[Effect]:
        """Dial the URL that was just supplied, as soon as backoff and overlap allow.

        `once` spends it with the first dial. While a dial is under way it is kept for the next.
        """
        self._usable, self._once, self._supplied, self._asked = True, once, True, True
        return self._begin(now)

    def reopen(self, now: float) -> list[Effect]:
        """Dial the manifest's own URL again, as `open` does."""
        self._usable, self._once, self._supplied, self._asked = True, False, False, True
        return self._begin(now)

    def renew(self, now: float, code: int, reason: str) -> list[Effect]:
        """Close the session and dial at once, if it proved itself; else after the backoff."""
        if self.state is not ConnectionState.OPEN:
            return []
        self._renew = True
        return self._begin_close(CloseCurrent(code, reason))

    def close(self, now: float, code: int, reason: str) -> list[Effect]:
        """Close the session that is open; what follows is the policy's."""
        if self.state is not ConnectionState.OPEN:
            return []
        return self._begin_close(CloseCurrent(code, reason))

    def stop(self, now: float, code: int, reason: str) -> list[Effect]:
        """Close whatever there is and stay closed."""
        self._stopping = True
        effects: list[Effect] = []
        if self._succeed or self._side:
            effects += self._forget_successor()
        if self.old is not None and not self._old_closing:
            effects += self._close_old(code, reason)
        match self.state:
            case ConnectionState.OPEN:
                return [*effects, *self._begin_close(CloseCurrent(code, reason))]
            case ConnectionState.CLOSING | ConnectionState.STOPPED:
                return effects
            case ConnectionState.CONNECTING:
                return [*effects, *self._rest(), CancelDial()]
            case _:
                self.retry_at = None
                return [*effects, *self._rest(), Disarm(Timer.RETRY)]

    def vouched(self, now: float) -> None:
        """The session is good: earlier failures are forgotten."""
        if self.session is not None:
            self.ready = True
            self.failures = 0
            self._backoff.reset()

    def pause(self, now: float) -> list[Effect]:
        """Stop reading for at most the grace."""
        if self.paused:
            return []
        self.paused = True
        if self.state is ConnectionState.OPEN:
            return self._paused_effects()
        return [PauseReading()] if self.old is not None else []

    def resume(self, now: float) -> list[Effect]:
        """Read on."""
        if not self.paused:
            return []
        self.paused = False
        if self.state is not ConnectionState.OPEN:
            reading = self.state is ConnectionState.CLOSING or self.old is not None
            return [ResumeReading()] if reading else []
        return [Disarm(Timer.GRACE), Arm(Timer.PING, self._rules.ping_ms), ResumeReading()]

    def overflow(self, now: float) -> list[Effect]:
        """Close the session because its messages find no room; dial again later."""
        return self.broken(
            now,
            ConnectionFailure(
                "connection.overflow", "the plugin did not keep up with its messages"
            ),
            1008,
            "the receiver does not keep up",
        )

    def broken(self, now: float, error: YoiError, code: int, reason: str) -> list[Effect]:
        """Drop the open session because of `error`, which is not the socket's; dial again later."""
        if self.state is not ConnectionState.OPEN:
            return []
        self._cause = error
        return self._begin_close(DropCurrent(code, reason))

    # -- what the driver reports -----------------------------------------------------------------

    def dialled(
        self, now: float, session: SessionId, subprotocol: str | None, address: str
    ) -> list[Effect]:
        """The handshake is done: a session begins, beside the open one where it is a successor."""
        effects: list[Effect] = []
        if self._side:
            effects += self._hand_over()
        self._transition(ConnectionState.OPEN)
        self.session = self._last = session
        self._opened_at = now
        self._cause = None
        self._pinged_at = None
        self.ready = self._replaced = False
        reason = OpenReason.RECONNECT if self._ever_opened else OpenReason.FIRST
        if self._asked:
            reason = OpenReason.COMMAND
        self._asked = self._renew = False
        if self._ever_opened:
            self.reconnects += 1
        self._ever_opened = True
        if self._gap is not None:
            earlier, since, why = self._gap
            self._gap = None
            effects.append(Gap(earlier, since, now, why))
        effects.append(Announce(session, subprotocol, address, reason))
        if self.paused:
            return [*effects, *self._paused_effects()]
        return [*effects, Arm(Timer.PING, self._rules.ping_ms), ResumeReading()]

    def dial_failed(self, now: float, error: YoiError, at_least_ms: float = 0.0) -> list[Effect]:
        """The dial failed; a denial by the grants is final until somebody starts it again.

        The next dial is `at_least_ms` away, or the backoff.
        """
        self._why = error.code.partition(".")[2]
        delay_ms = max(self._delay(now, proved=False), at_least_ms)
        self._last_delay_ms = delay_ms
        self._not_before = now + delay_ms / 1000
        final = error.code in _FINAL_DENIALS
        if self._side:
            self._side = False
            self._succeed = not final
            effects: list[Effect] = [Failed(error, None if final else delay_ms)]
            if not final:
                self.retry_at = self._not_before
                effects.insert(0, Arm(Timer.RETRY, delay_ms))
            return [*effects, *self._escalate()]
        if final:
            self._transition(ConnectionState.FAILED)
            return [Failed(error, None)]
        self._wait(now, delay_ms)
        return [Arm(Timer.RETRY, delay_ms), Failed(error, delay_ms), *self._escalate()]

    def closing(self, now: float) -> list[Effect]:
        """The closing handshake began on the socket: the peer's close frame, or a fault of its."""
        if self.state is not ConnectionState.OPEN:
            return []
        self._transition(ConnectionState.CLOSING)
        return [*self._quiet(), Arm(Timer.CLOSE, self._rules.close_ms)]

    def ended(self, now: float, end: End, delivered: int, last_heard: float) -> list[Effect]:
        """The socket is gone; `delivered` messages of the session reached the plugin's queue."""
        session = self.session
        if session is None:
            return []
        proved = self._proved(now, delivered)
        renew = self._renew and proved and self._settled(now)
        self.session, self.ready, self._renew = None, False, False
        error = self._cause or end.error
        clean = end.clean and error is None
        self._why = "closed" if error is None else error.code.partition(".")[2]
        self._gap = (session, now if clean else min(last_heard, now), self._why)
        effects: list[Effect] = [*self._quiet(), Disarm(Timer.CLOSE)]
        effects.append(Closed(session, end.code, end.reason, clean))
        delay_ms = self._delay(now, proved=proved)
        if self._stopping:
            return [*effects, *self._rest()]
        if end.code in self._rules.fatal_close_codes:
            if self._side or self._succeed:
                effects += self._forget_successor()
            self._transition(ConnectionState.FAILED)
            fatal = ConnectionFailure(
                "connection.fatal_close",
                f"the server closed with {end.code}, which the manifest declares fatal",
                close_code=end.code,
            )
            return [*effects, Failed(fatal, None)]
        if self._side:
            # Its successor is on the way already: that is the next dial.
            self._side = self._succeed = False
            self._transition(ConnectionState.CONNECTING)
            delay_ms = 0.0
        else:
            self._succeed = False
            if renew:
                delay_ms = 0.0
                self._not_before = now
            self._wait(now, delay_ms)
            effects.append(Arm(Timer.RETRY, delay_ms))
        effects.append(Failed(error, delay_ms) if error is not None else Reconnecting(delay_ms))
        return [*effects, *self._escalate()]

    def old_ended(self, now: float, end: End, last_heard: float) -> list[Effect]:
        """The old session's socket is gone."""
        session, self.old = self.old, None
        if session is None:
            return []
        self._old_closing = False
        clean = end.clean and end.error is None
        effects: list[Effect] = [Disarm(Timer.DRAIN), Closed(session, end.code, end.reason, clean)]
        if not clean:
            why = "closed" if end.error is None else end.error.code.partition(".")[2]
            effects.append(Gap(session, min(last_heard, now), now, why))
        if self.session is not None or self.state is not ConnectionState.CLOSING:
            return [*effects, *self._try_successor(now)]
        # It was the last thing that a stop waited for; or somebody opened again meanwhile.
        if self._stopping:
            return [*effects, *self._rest()]
        wait_ms = max(0.0, (self._not_before - now) * 1000)
        self._wait(now, wait_ms)
        return [*effects, Arm(Timer.RETRY, wait_ms)]

    def timer_fired(self, timer: Timer, now: float, last_heard: float) -> list[Effect]:
        """A timer ran out; `last_heard` is when the last bytes arrived."""
        match timer:
            case Timer.RETRY if self.state is ConnectionState.WAITING:
                return self._dial() if self._usable else self._ask()
            case Timer.RETRY if self.state is ConnectionState.AWAITING:
                return self._ask()
            case Timer.RETRY if self.state is ConnectionState.OPEN:
                return self._try_successor(now)
            case Timer.PING if self.state is ConnectionState.OPEN:
                return self._ping(now)
            case Timer.PONG if self.state is ConnectionState.OPEN:
                return self._pong_due(last_heard)
            case Timer.GRACE if self.state is ConnectionState.OPEN:
                return self.overflow(now)
            case Timer.CLOSE if self.state is ConnectionState.CLOSING and self.session is not None:
                return [AbortCurrent()]
            case Timer.DRAIN if self.old is not None:
                if self._old_closing:
                    return [AbortOld()]
                return self._close_old(1000, "a newer session took over")
            case _:
                return []

    # -- dialling --------------------------------------------------------------------------------

    def _begin(self, now: float) -> list[Effect]:
        match self.state:
            case ConnectionState.CONNECTING:
                return []
            case ConnectionState.OPEN if self._rules.overlap_ms > 0:
                return self._want_successor(now)
            case ConnectionState.OPEN:
                return self.renew(now, 1000, "opened again")
            case ConnectionState.CLOSING:
                self._stopping = False
                self._renew = True
                return []
            case _:
                self._stopping = False
                wait_ms = max(0.0, (self._not_before - now) * 1000)
                if wait_ms == 0.0:
                    return [Disarm(Timer.RETRY), *self._dial()]
                if self.state is not ConnectionState.WAITING:
                    self._wait(now, wait_ms)
                    return [Arm(Timer.RETRY, wait_ms)]
                return []

    def _want_successor(self, now: float) -> list[Effect]:
        if self._side or self._succeed:
            return []
        self._succeed = True
        if not self._replaced:
            # What is replaced before it proved itself has failed, and the next dial waits for it.
            self._replaced = True
            proved = self.ready or (not self._rules.ready_by_command and self._settled(now))
            self._delay(now, proved=proved)
            if proved and self._settled(now):
                self._not_before = now
        return self._try_successor(now)

    def _try_successor(self, now: float) -> list[Effect]:
        """Dial the successor that is wanted, once backoff and the two sockets allow it."""
        if not self._succeed or self._side or self.state is not ConnectionState.OPEN:
            return []
        if self.old is not None:
            return [] if self._old_closing else self._close_old(1000, "a newer session took over")
        wait_ms = (self._not_before - now) * 1000
        if wait_ms > 0:
            self.retry_at = self._not_before
            return [Arm(Timer.RETRY, wait_ms)]
        self.retry_at = None
        if not self._usable:
            self._succeed = False
            return [self._needed(0.0)]
        self._side = True
        self._spend()
        return [Dial()]

    def _hand_over(self) -> list[Effect]:
        self._side = self._succeed = False
        self.old, self._old_closing = self.session, self.state is ConnectionState.CLOSING
        drain_ms = self._rules.close_ms if self._old_closing else self._rules.overlap_ms
        return [*self._quiet(), Disarm(Timer.CLOSE), Arm(Timer.DRAIN, drain_ms), HandOver()]

    def _close_old(self, code: int, reason: str) -> list[Effect]:
        self._old_closing = True
        # The peer's close frame lies behind messages that nobody reads.
        how = DropOld(code, reason) if self.paused else CloseOld(code, reason)
        return [Arm(Timer.DRAIN, self._rules.close_ms), how]

    def _forget_successor(self) -> list[Effect]:
        dialling, self._side, self._succeed = self._side, False, False
        self.retry_at = None
        return [CancelDial()] if dialling else [Disarm(Timer.RETRY)]

    def _dial(self) -> list[Effect]:
        self.retry_at = None
        self._transition(ConnectionState.CONNECTING)
        self._spend()
        return [Dial()]

    def _spend(self) -> None:
        if self._once:
            self._usable = False

    def _ask(self) -> list[Effect]:
        """Wait for a URL, and ask for it again while none comes: a plugin may have missed it."""
        self.retry_at = None
        if self.state is not ConnectionState.AWAITING:
            self._transition(ConnectionState.AWAITING)
        return [Arm(Timer.RETRY, self._rules.backoff_max_ms), self._needed(0.0)]

    def _needed(self, retry_in_ms: float) -> Needed:
        return Needed(self._last, self._why, self.failures, retry_in_ms, self._stale)

    @property
    def _stale(self) -> bool:
        after = self._rules.fresh_after
        return after is not None and self.failures >= after

    def _escalate(self) -> list[Effect]:
        """Give a URL up that does not get ready; the plugin is told, once."""
        if not self._stale:
            return []
        if not self._supplied:
            if self.failures == self._rules.fresh_after and self._usable:
                return [self._needed(self._last_delay_ms)]
            return []
        if not self._rules.has_own_url:
            self._usable = False  # the plugin is told when the wait is over
            return []
        self._supplied = self._once = False
        self._usable = True
        return [UseOwnUrl(), self._needed(self._last_delay_ms)]

    def _delay(self, now: float, *, proved: bool) -> float:
        """Count what happened and return how long the next dial waits, in milliseconds."""
        if proved:
            self._backoff.reset()
            self.failures = 0
        else:
            self.failures += 1
        delay_ms = self._last_delay_ms = self._backoff.next_ms()
        self._not_before = now + delay_ms / 1000
        return delay_ms

    def _wait(self, now: float, delay_ms: float) -> None:
        self._transition(ConnectionState.WAITING)
        self.retry_at = now + delay_ms / 1000

    def _lived_ms(self, now: float) -> float:
        return (now - self._opened_at) * 1000

    def _settled(self, now: float) -> bool:
        return self._lived_ms(now) >= self._rules.session_ready_ms

    def _proved(self, now: float, delivered: int) -> bool:
        if self.ready:
            return True
        if self._rules.ready_by_command:
            return False
        lived_ms = self._lived_ms(now)
        return lived_ms >= self._rules.backoff_max_ms or (delivered > 0 and self._settled(now))

    # -- closing and keeping alive ---------------------------------------------------------------

    def _rest(self) -> list[Effect]:
        """Stop, or wait in CLOSING for the old session to end first."""
        if self.old is not None:
            if self.state is not ConnectionState.CLOSING:
                self._transition(ConnectionState.CLOSING)
            return []
        if self.state is ConnectionState.OPEN:
            self._transition(ConnectionState.CLOSING)
        self._transition(ConnectionState.STOPPED)
        return []

    def _begin_close(self, how: CloseCurrent | DropCurrent) -> list[Effect]:
        if self.paused:
            # The peer's close frame lies behind messages that nobody reads.
            how = DropCurrent(how.code, how.reason)
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
        return [*self._quiet(), AbortCurrent()]

    def _transition(self, to: ConnectionState) -> None:
        if to not in _NEXT[self.state]:
            raise YoiError("usage.internal", f"a connection cannot go from {self.state} to {to}")
        self.state = to
