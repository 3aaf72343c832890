"""`ConnectionMachine`: a connection that has at most two sessions, and what follows each. Sans-I/O.

Methods take `now` (monotonic seconds) and return the effects to carry out, in order. Where to dial
and when is `DialPolicy` (core/dialling.py); what one socket does is `SessionMachine`
(core/session.py); whether a second one is wanted is `SuccessorMachine` (core/successor.py). The
states and their order are in core/connection_state.py.

What the machine promises: each session is announced once and closed once. Without overlap it is
closed before the next one is announced, and a gap stands between the two. The driver delivers
frames only between `Announce` and `Closed`.

A URL that serves for a single dial is spent by it: then nothing is dialled, the plugin is told that
a URL is needed once the backoff allows to use it (a ticket must not grow old in the wait), and told
again while none comes. A URL that comes too early waits for the backoff.

Overlap. With `overlap_ms`, `open` while a session is OPEN dials its successor beside it; when that
is open, it is the session that messages go to, and the old one drains: its messages are still
delivered and it can still be answered, until the peer closes it or the time is over. There are
never more than two sockets.
"""

from yoi.core.backoff import FullJitter
from yoi.core.connection_state import AT_REST, NEXT, ConnectionState, Follow
from yoi.core.dialling import DialPolicy
from yoi.core.halts import Halt, HaltJudge
from yoi.core.session import SessionEnd, SessionMachine, SessionState
from yoi.core.session_effects import (
    Announce,
    Arm,
    CancelDial,
    Dial,
    Disarm,
    Effect,
    End,
    Failed,
    OpenReason,
    PauseReading,
    Reconnecting,
    ResumeReading,
    Timer,
)
from yoi.core.successor import SuccessorMachine
from yoi.errors import YoiError
from yoi.limits import LIMITS, Limits
from yoi.permissions.connection_settings import ConnectionSettings, Open
from yoi.types import SessionId


class ConnectionMachine:
    """See the module docstring."""

    def __init__(
        self, settings: ConnectionSettings, backoff: FullJitter, limits: Limits = LIMITS
    ) -> None:
        self.state = ConnectionState.IDLE
        self.paused = False
        self.reconnects = 0
        self.halt: Halt | None = None
        """Why nothing is dialled any more, where that is so."""
        self._settings = settings
        self._limits = limits
        self._dials = DialPolicy(settings, backoff)
        self._current: SessionMachine | None = None
        self._old: SessionMachine | None = None
        self._successor = SuccessorMachine(self._dials)
        self._halts = HaltJudge(settings, limits)
        self._follow = Follow.RETRY
        self._stopping = Halt.STOPPED
        self._reason = OpenReason.FIRST
        """Why the next session begins."""
        self._ended: SessionEnd | None = None
        """The session that a gap separates from the next one."""

    @property
    def session(self) -> SessionId | None:
        """The session that is open or closing."""
        return None if self._current is None else self._current.id

    @property
    def old(self) -> SessionId | None:
        """The session before it that still drains."""
        return None if self._old is None else self._old.id

    @property
    def missing(self) -> tuple[SessionId, float] | None:
        """The session after which messages may be missing, and since when; None while one lives."""
        return None if self._ended is None else (self._ended.closed.session, self._ended.since)

    @property
    def ready(self) -> bool:
        """Whether the plugin vouched for the session."""
        return self._current is not None and self._current.vouched

    @property
    def failures(self) -> int:
        """How many times in a row no session got ready."""
        return self._dials.failures

    @property
    def retry_at(self) -> float | None:
        """When the dial is made that the connection waits for, if it waits for one."""
        return self._dials.due_at

    # -- what the operator and the runtime ask ---------------------------------------------------

    def start(self, now: float) -> list[Effect]:
        """Begin to dial, or dial a stopped or failed connection again; else nothing.

        Where the plugin opens, nothing is dialled the first time; later it is asked for a URL if
        there is none.
        """
        if self.state not in AT_REST:
            return []
        first = self.state is ConnectionState.IDLE
        self._follow = Follow.RETRY
        self._forgive()
        if self._dials.usable and (self._settings.open is Open.START or not first):
            return self._dial()
        if first:
            self._transition(ConnectionState.AWAITING)
            return []
        return self._ask()

    def demanded(self, now: float) -> list[Effect]:
        """A person wants a dial now: end what is open, wait no longer, begin what is at rest."""
        self._forgive()
        self._dials.release(now)
        match self.state:
            case ConnectionState.OPEN:
                self._follow = Follow.DEMAND
                return [*self._successor.forget(), *self.close(now, 1000, "asked for by a person")]
            case ConnectionState.CLOSING:
                self._follow = Follow.DEMAND
                return []
            case ConnectionState.WAITING if self._dials.usable:
                return [Disarm(Timer.RETRY), *self._dial()]
            case ConnectionState.WAITING | ConnectionState.AWAITING:
                return self._ask()
            case _:
                return self.start(now)

    def open(self, now: float, *, once: bool) -> list[Effect]:
        """Dial the URL that was just supplied, as soon as backoff and overlap allow.

        `once` spends it with the first dial. While a dial is under way it is kept for the next.
        """
        self._dials.supply(once=once)
        return self._begin(now)

    def moved(self, now: float) -> None:
        """The URL that comes next is another than the one before."""
        self._dials.moved(now)

    def reopen(self, now: float) -> list[Effect]:
        """Dial the manifest's own URL again, as `open` does."""
        self._dials.use_own()
        return self._begin(now)

    def renew(self, now: float, code: int, reason: str) -> list[Effect]:
        """Close the session and dial at once, if it proved itself; else after the backoff."""
        if self.state is ConnectionState.OPEN:
            self._follow = Follow.RENEW
        return self.close(now, code, reason)

    def close(self, now: float, code: int, reason: str) -> list[Effect]:
        """Close the session that is open; what follows is the policy's."""
        session = self._closes()
        return [] if session is None else session.close(code, reason, paused=self.paused)

    def stop(self, now: float, code: int, reason: str, halt: Halt = Halt.STOPPED) -> list[Effect]:
        """Close whatever there is and stay closed, for the reason `halt`."""
        self._follow, self._stopping = Follow.STOP, halt
        effects = self._successor.forget()
        if self._old is not None:
            effects += self._old.leave(code, reason, paused=self.paused)
        match self.state:
            case ConnectionState.OPEN:
                return [*effects, *self.close(now, code, reason)]
            case ConnectionState.CLOSING | ConnectionState.STOPPED:
                return effects
            case ConnectionState.CONNECTING:
                self._rest()
                return [*effects, CancelDial()]
            case _:
                self._dials.due_at = None
                self._rest()
                return [*effects, Disarm(Timer.RETRY)]

    def vouched(self, now: float) -> None:
        """The plugin says that the session is good: its URL's failures are forgotten.

        The backoff is not: for that the session has to last.
        """
        if self._current is not None:
            self._current.vouched = True
            self._dials.failures = 0

    def pause(self, now: float) -> list[Effect]:
        """Stop reading for at most the grace."""
        if self.paused:
            return []
        self.paused = True
        if self.state is ConnectionState.OPEN and self._current is not None:
            return self._current.pause()
        return [PauseReading()] if self._old is not None else []

    def resume(self, now: float) -> list[Effect]:
        """Read on."""
        if not self.paused:
            return []
        self.paused = False
        if self.state is ConnectionState.OPEN and self._current is not None:
            return self._current.resume()
        reading = self.state is ConnectionState.CLOSING or self._old is not None
        return [ResumeReading()] if reading else []

    def overflow(self, now: float) -> list[Effect]:
        """Close the session because its messages find no room; dial again later."""
        session = self._closes()
        return [] if session is None else session.overflow()

    def broken(self, now: float, error: YoiError, code: int, reason: str) -> list[Effect]:
        """Drop the open session because of `error`, which is not the socket's; dial again later."""
        session = self._closes()
        return [] if session is None else session.drop(code, reason, error)

    # -- what the driver reports -----------------------------------------------------------------

    def dialled(
        self, now: float, session: SessionId, subprotocol: str | None, address: str
    ) -> list[Effect]:
        """The handshake is done: a session begins, beside the open one where it is a successor."""
        effects: list[Effect] = []
        if self._successor.dialling and self._current is not None:
            self._old = self._current
            effects += self._old.hand_over()
        self._transition(ConnectionState.OPEN)
        self._successor.over()
        self._halts.session_opened()
        self._current = SessionMachine(session, now, self._settings, self._limits)
        self._follow = Follow.RETRY
        if self._dials.last is not None:
            self.reconnects += 1
        self._dials.last = session
        if self._ended is not None:
            effects.append(self._ended.gap(now))
            self._ended = None
        effects.append(Announce(session, subprotocol, address, self._reason))
        self._reason = OpenReason.RECONNECT
        return [*effects, *(self._current.pause() if self.paused else self._current.keep_alive())]

    def dial_failed(self, now: float, error: YoiError) -> list[Effect]:
        """The dial failed: it is made again later, or ends the connection (core/halts.py)."""
        delay_ms = self._dials.fail(now, error)
        halt, error = self._halts.judge_dial(error)
        if halt is None:
            return [*self._again(now, error, delay_ms), *self._dials.escalate()]
        if self._successor.dialling:
            self._successor.drop()
            return [Failed(error, None), *self._dials.escalate()]
        return self._end(halt, error)

    def postponed(self, now: float, error: YoiError, wait_ms: float) -> list[Effect]:
        """The dial was not made: there is room for it in `wait_ms`. Nothing has failed."""
        self._dials.hold(now, wait_ms)
        return self._again(now, error, wait_ms)

    def _again(self, now: float, error: YoiError, delay_ms: float) -> list[Effect]:
        if self._successor.dialling:
            self._successor.dial_again()
        else:
            self._wait(now, delay_ms)
        return [Arm(Timer.RETRY, delay_ms), Failed(error, delay_ms)]

    def closing(self, now: float) -> list[Effect]:
        """The closing handshake began on the socket: the peer's close frame, or a fault of its."""
        session = self._closes()
        return [] if session is None else session.peer_closes()

    def ended(self, now: float, end: End, delivered: int, complete_until: float) -> list[Effect]:
        """The socket is gone; `delivered` messages of the session reached the plugin's queue.

        Everything that had arrived by `complete_until` was reported.
        """
        session, self._current = self._current, None
        if session is None:
            return []
        proved = session.proved(now, delivered)
        at_once = self._follow is Follow.DEMAND or (
            self._follow is Follow.RENEW and proved and session.settled(now)
        )
        effects, self._ended = session.end(now, end, complete_until)
        self._dials.why = self._ended.why
        delay_ms = self._dials.judge(now, proved=proved)
        if self._follow is Follow.STOP:
            self._rest()
            return effects
        self._follow = Follow.RETRY
        halt = self._halts.judge_session(end.code, self._ended.error, session.lived_ms(now))
        if halt is not None:
            return [*effects, *self._successor.forget(), *self._end(*halt)]
        if self._successor.dialling:
            # Its successor is on the way already: that is the next dial.
            self._transition(ConnectionState.CONNECTING)
            delay_ms = 0.0
        else:
            if at_once:
                delay_ms = 0.0
                self._dials.release(now)
            effects += self._wait(now, delay_ms)
        self._successor.over()
        error = self._ended.error
        effects.append(Failed(error, delay_ms) if error is not None else Reconnecting(delay_ms))
        return [*effects, *self._dials.escalate()]

    def old_ended(self, now: float, end: End, complete_until: float) -> list[Effect]:
        """The old session's socket is gone."""
        session, self._old = self._old, None
        if session is None:
            return []
        effects, left = session.end(now, end, complete_until)
        if not left.complete:
            effects.append(left.gap(now))
        if self._current is not None or self.state is not ConnectionState.CLOSING:
            return [*effects, *self._try_successor(now)]
        # It was the last thing that a stop waited for; or the plugin opened again meanwhile.
        if self._follow is Follow.STOP:
            self._rest()
            return effects
        return [*effects, *self._wait(now, self._dials.wait_ms(now))]

    def timer_fired(self, timer: Timer, now: float, last_heard: float) -> list[Effect]:
        """A timer ran out; `last_heard` is when the last bytes arrived."""
        if timer is Timer.RETRY:
            return self._retry(now)
        session = self._old if timer is Timer.DRAIN else self._current
        if session is None:
            return []
        effects = session.timer_fired(timer, now, last_heard, paused=self.paused)
        if session is self._current and session.state is SessionState.CLOSING:
            self._closes()
        return effects

    def _forgive(self) -> None:
        """Something has changed: forget what failed before."""
        self._dials.forgive()
        self._halts.forget()

    # -- dialling --------------------------------------------------------------------------------

    def _begin(self, now: float) -> list[Effect]:
        self._reason = OpenReason.COMMAND
        match self.state:
            case ConnectionState.CONNECTING:
                return []
            case ConnectionState.OPEN if (
                self._settings.overlap_ms > 0 and self._current is not None
            ):
                return self._successor.want(now, self._current, self._old, paused=self.paused)
            case ConnectionState.OPEN:
                return self.renew(now, 1000, "opened again")
            case ConnectionState.CLOSING:
                self._follow = Follow.RENEW
                return []
        self._follow = Follow.RETRY
        wait_ms = self._dials.wait_ms(now)
        if wait_ms == 0.0:
            return [Disarm(Timer.RETRY), *self._dial()]
        if self.state is ConnectionState.WAITING:
            return []
        return self._wait(now, wait_ms)

    def _retry(self, now: float) -> list[Effect]:
        match self.state:
            case ConnectionState.WAITING if self._dials.usable:
                return self._dial()
            case ConnectionState.WAITING | ConnectionState.AWAITING:
                return self._ask()
            case _:
                return self._try_successor(now)

    def _dial(self) -> list[Effect]:
        self._dials.due_at = None
        self._transition(ConnectionState.CONNECTING)
        self._dials.spend()
        return [Dial()]

    def _ask(self) -> list[Effect]:
        """Wait for a URL, and ask for it again while none comes: a plugin may have missed it."""
        self._dials.due_at = None
        if self.state is not ConnectionState.AWAITING:
            self._transition(ConnectionState.AWAITING)
        return [Arm(Timer.RETRY, self._settings.backoff_max_ms), self._dials.needed()]

    def _wait(self, now: float, delay_ms: float) -> list[Effect]:
        self._transition(ConnectionState.WAITING)
        self._dials.due_at = now + delay_ms / 1000
        return [Arm(Timer.RETRY, delay_ms)]

    def _try_successor(self, now: float) -> list[Effect]:
        if self.state is not ConnectionState.OPEN:
            return []
        return self._successor.dial(now, self._old, paused=self.paused)

    # -- states ----------------------------------------------------------------------------------

    def _closes(self) -> SessionMachine | None:
        """Go from OPEN to CLOSING and return the session; None in any other state."""
        if self.state is not ConnectionState.OPEN:
            return None
        self._transition(ConnectionState.CLOSING)
        return self._current

    def _end(self, halt: Halt, error: YoiError) -> list[Effect]:
        """Dial no more until something changes."""
        self._transition(ConnectionState.FAILED)
        self.halt = halt
        return [Failed(error, None)]

    def _rest(self) -> None:
        """Stop, or wait in CLOSING for the old session to end first."""
        if self._old is None:
            if self.state is ConnectionState.OPEN:
                self._transition(ConnectionState.CLOSING)
            self._transition(ConnectionState.STOPPED)
            self.halt = self._stopping
        elif self.state is not ConnectionState.CLOSING:
            self._transition(ConnectionState.CLOSING)

    def _transition(self, to: ConnectionState) -> None:
        if to not in NEXT[self.state]:
            raise YoiError("usage.internal", f"a connection cannot go from {self.state} to {to}")
        self.state = to
        self.halt = None
