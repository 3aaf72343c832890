"""`SessionMachine`: one socket's session, from its handshake to its end. Sans-I/O.

    state     meaning                                         left for
    OPEN      messages go both ways                           CLOSING, DRAINING, ENDED
    CLOSING   a close frame went one way                      LEAVING, ENDED
    DRAINING  a successor took over; messages still go        LEAVING, ENDED
    LEAVING   the same after a close frame                    ENDED
    ENDED     the socket is gone

Liveness, while OPEN. A ping goes out every `ping_ms` (zero: never); the transport is dead when
nothing at all arrived within `pong_ms` of it. Both clocks rest while reading is paused, because
then a pong cannot be seen; the pause itself is bounded by its grace. Heartbeats (core/heartbeat.py)
are not its business.

Proof. The backoff forgives earlier failures when a session proved itself: it was vouched for by the
plugin, or (unless `ready` wants that) delivered a message, and lived `session_ready_ms`; or it
lived as long as the longest backoff (a quiet session is not a failed one). Neither an upgrade nor a
plugin's word proves anything alone: a server that accepts and then closes, because of a bad token
or right after the sign-in, would otherwise be dialled every second for ever.
"""

from dataclasses import dataclass
from enum import Enum

from yoi.core.dialling import word_of
from yoi.core.session_effects import (
    AbortCurrent,
    AbortOld,
    Arm,
    CloseCurrent,
    Closed,
    CloseOld,
    Disarm,
    DropCurrent,
    DropOld,
    Effect,
    End,
    Gap,
    HandOver,
    PauseReading,
    ResumeReading,
    SendPing,
    Timer,
)
from yoi.errors import ConnectionFailure, YoiError
from yoi.limits import Limits
from yoi.permissions.connection_settings import ConnectionSettings, Ready
from yoi.types import SessionId


class SessionState(Enum):
    """See the module docstring."""

    OPEN = "open"
    CLOSING = "closing"
    DRAINING = "draining"
    LEAVING = "leaving"
    ENDED = "ended"


TAKEN_OVER = (1000, "a newer session took over")
"""How the old session is closed when its time is over."""
_S = SessionState
_NEXT = {
    _S.OPEN: (_S.CLOSING, _S.DRAINING, _S.ENDED),
    _S.CLOSING: (_S.LEAVING, _S.ENDED),
    _S.DRAINING: (_S.LEAVING, _S.ENDED),
    _S.LEAVING: (_S.ENDED,),
    _S.ENDED: (),
}


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """What is left of a session: what to tell of it, and what the next one must know."""

    closed: Closed
    error: YoiError | None
    since: float
    """From when on messages may be missing."""
    complete: bool
    """Every message before its close frame was taken."""

    @property
    def why(self) -> str:
        """Return why it ended, in a word."""
        return word_of(self.error)

    def gap(self, until: float) -> Gap:
        """Return the gap after it, which ends at `until`."""
        return Gap(self.closed.session, self.since, until, self.why)


class SessionMachine:
    """See the module docstring. `now` is monotonic seconds."""

    def __init__(
        self, name: SessionId, now: float, settings: ConnectionSettings, limits: Limits
    ) -> None:
        self.id = name
        self.state = SessionState.OPEN
        self.vouched = False
        """The plugin said that it is good."""
        self._opened_at = now
        self._settings = settings
        self._limits = limits
        self._pinged_at: float | None = None
        self._cause: YoiError | None = None
        self._deaf = False  # the host takes no more messages of it

    # -- how it goes on --------------------------------------------------------------------------

    def keep_alive(self) -> list[Effect]:
        """Read, and begin to ping unless pings are off."""
        if not self._settings.ping_ms:
            return [ResumeReading()]
        return [Arm(Timer.PING, self._settings.ping_ms), ResumeReading()]

    def pause(self) -> list[Effect]:
        """Stop reading, for at most the grace."""
        self._pinged_at = None
        return [
            Disarm(Timer.PING),
            Disarm(Timer.PONG),
            Arm(Timer.GRACE, self._settings.pause_grace_ms),
            PauseReading(),
        ]

    def resume(self) -> list[Effect]:
        """Read on."""
        return [Disarm(Timer.GRACE), *self.keep_alive()]

    def timer_fired(
        self, timer: Timer, now: float, last_heard: float, *, paused: bool
    ) -> list[Effect]:
        """One of its clocks ran out; one that means nothing any more does nothing."""
        match timer, self.state:
            case Timer.PING, SessionState.OPEN:
                return self._ping(now)
            case Timer.PONG, SessionState.OPEN:
                return self._pong_due(last_heard)
            case Timer.GRACE, SessionState.OPEN:
                return self.overflow()
            case Timer.CLOSE, SessionState.CLOSING:
                return [AbortCurrent()]
            case Timer.DRAIN, SessionState.DRAINING:
                return self.leave(*TAKEN_OVER, paused=paused)
            case Timer.DRAIN, SessionState.LEAVING:
                return [AbortOld()]
            case _:
                return []

    def _ping(self, now: float) -> list[Effect]:
        effects: list[Effect] = [SendPing(), Arm(Timer.PING, self._settings.ping_ms)]
        if self._pinged_at is None:
            self._pinged_at = now
            effects.append(Arm(Timer.PONG, self._settings.pong_ms))
        return effects

    def _pong_due(self, last_heard: float) -> list[Effect]:
        pinged_at, self._pinged_at = self._pinged_at, None
        if pinged_at is None or last_heard >= pinged_at:
            return []
        self._cause = ConnectionFailure(
            "connection.idle",
            f"the peer stopped answering pings for {self._settings.pong_ms:g} ms",
        )
        self._transition(SessionState.CLOSING)
        return [*self._quiet(), AbortCurrent()]

    def hand_over(self) -> list[Effect]:
        """Let a successor take over; messages are taken for `overlap_ms` more."""
        closing = self.state is SessionState.CLOSING
        self._transition(SessionState.LEAVING if closing else SessionState.DRAINING)
        drain_ms = self._limits.close_ms if closing else self._settings.overlap_ms
        return [*self._quiet(), Disarm(Timer.CLOSE), Arm(Timer.DRAIN, drain_ms), HandOver()]

    # -- how it ends -----------------------------------------------------------------------------

    def close(self, code: int, reason: str, *, paused: bool) -> list[Effect]:
        """Write a close frame; messages are taken until the peer's.

        While reading is `paused` none are: the peer's frame lies behind messages that are not read.
        """
        self._deaf = paused
        return [*self._close(), (DropCurrent if paused else CloseCurrent)(code, reason)]

    def leave(self, code: int, reason: str, *, paused: bool) -> list[Effect]:
        """Write a close frame as `close` does, once, on a session that drains."""
        if self.state is not SessionState.DRAINING:
            return []
        self._transition(SessionState.LEAVING)
        self._deaf = paused
        how = (DropOld if paused else CloseOld)(code, reason)
        return [Arm(Timer.DRAIN, self._limits.close_ms), how]

    def drop(self, code: int, reason: str, cause: YoiError) -> list[Effect]:
        """Write a close frame and take no more messages; `cause` is what to tell of it."""
        self._cause = cause
        self._deaf = True
        return [*self._close(), DropCurrent(code, reason)]

    def overflow(self) -> list[Effect]:
        """Drop it because its messages find no room."""
        error = ConnectionFailure(
            "connection.overflow", "the plugin did not keep up with its messages"
        )
        return self.drop(1008, "the receiver does not keep up", error)

    def peer_closes(self) -> list[Effect]:
        """Give the closing handshake its time."""
        return self._close()

    def end(self, now: float, end: End, complete_until: float) -> tuple[list[Effect], SessionEnd]:
        """Return what to do now that the socket is gone, and what is left of the session."""
        old = self.state in (SessionState.DRAINING, SessionState.LEAVING)
        self._transition(SessionState.ENDED)
        error = self._cause or end.error
        clean = end.clean and error is None
        complete = clean and not self._deaf
        since = now if complete else min(complete_until, now)
        left = SessionEnd(Closed(self.id, end.code, end.reason, clean), error, since, complete)
        effects = [Disarm(Timer.DRAIN)] if old else [*self._quiet(), Disarm(Timer.CLOSE)]
        return [*effects, left.closed], left

    # -- what it proved --------------------------------------------------------------------------

    def settled(self, now: float) -> bool:
        """Return whether it lived long enough to be replaced at once."""
        return self.lived_ms(now) >= self._limits.session_ready_ms

    def may_be_replaced(self, now: float) -> bool:
        """Return whether it may be replaced by a successor without counting as failed."""
        good = self.vouched or self._settings.ready is Ready.TRAFFIC
        return good and self.settled(now)

    def proved(self, now: float, delivered: int) -> bool:
        """Return whether it proved itself; `delivered` messages reached the plugin's queue."""
        if self._settings.ready is Ready.COMMAND and not self.vouched:
            return False
        lasted = self.lived_ms(now) >= self._settings.backoff_max_ms
        return lasted or ((self.vouched or delivered > 0) and self.settled(now))

    def lived_ms(self, now: float) -> float:
        """Return how long it has lived by `now`."""
        return (now - self._opened_at) * 1000

    def _close(self) -> list[Effect]:
        self._transition(SessionState.CLOSING)
        return [*self._quiet(), Arm(Timer.CLOSE, self._limits.close_ms)]

    def _quiet(self) -> list[Effect]:
        self._pinged_at = None
        return [Disarm(Timer.PING), Disarm(Timer.PONG), Disarm(Timer.GRACE)]

    def _transition(self, to: SessionState) -> None:
        if to not in _NEXT[self.state]:
            raise YoiError("usage.internal", f"a session cannot go from {self.state} to {to}")
        self.state = to
