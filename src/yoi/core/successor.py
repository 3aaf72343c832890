"""`SuccessorMachine`: whether the open session gets a successor beside it. Sans-I/O.

state     meaning                                             left for
UNWANTED  not asked for since the session opened              WANTED
WANTED    dialled as soon as backoff and two sockets allow    DIALLING, DROPPED, UNWANTED
DIALLING  on its way                                          WANTED (that dial failed), DROPPED
                                                              (for good), UNWANTED (it is open)
DROPPED   it was asked for, and nothing came of it            WANTED, UNWANTED
"""

from enum import Enum

from yoi.core.dialling import DialPolicy
from yoi.core.session import TAKEN_OVER, SessionMachine
from yoi.core.session_effects import Arm, CancelDial, Dial, Disarm, Effect, Timer
from yoi.errors import YoiError


class Successor(Enum):
    """See the module docstring."""

    UNWANTED = "unwanted"
    WANTED = "wanted"
    DIALLING = "dialling"
    DROPPED = "dropped"


_W = Successor
_NEXT: dict[Successor, tuple[Successor, ...]] = {
    _W.UNWANTED: (_W.WANTED, _W.UNWANTED),
    _W.WANTED: (_W.DIALLING, _W.DROPPED, _W.UNWANTED),
    _W.DIALLING: (_W.WANTED, _W.DROPPED, _W.UNWANTED),
    _W.DROPPED: (_W.WANTED, _W.UNWANTED),
}


class SuccessorMachine:
    """See the module docstring. `dials` is the connection's: a successor waits for it too."""

    def __init__(self, dials: DialPolicy) -> None:
        self.state = Successor.UNWANTED
        self._dials = dials

    @property
    def dialling(self) -> bool:
        """Whether it is on its way."""
        return self.state is Successor.DIALLING

    def want(
        self, now: float, session: SessionMachine, old: SessionMachine | None, *, paused: bool
    ) -> list[Effect]:
        """Ask for a successor of the open `session`; one that was asked for already is left alone.

        A session that is replaced before it proved itself counts as failed.
        """
        if self.state in (Successor.WANTED, Successor.DIALLING):
            return []
        if self.state is Successor.UNWANTED:
            proved = session.may_be_replaced(now)
            self._dials.judge(now, proved=proved)
            if proved:
                self._dials.release(now)
        self._transition(Successor.WANTED)
        return self.dial(now, old, paused=paused)

    def dial(self, now: float, old: SessionMachine | None, *, paused: bool) -> list[Effect]:
        """Dial it, if it is wanted, once the backoff allows it and no `old` session is left."""
        if self.state is not Successor.WANTED:
            return []
        if old is not None:
            return old.leave(*TAKEN_OVER, paused=paused)
        wait_ms = self._dials.wait_ms(now)
        if wait_ms > 0:
            self._dials.due_at = self._dials.not_before
            return [Arm(Timer.RETRY, wait_ms)]
        self._dials.due_at = None
        if not self._dials.usable:
            self._transition(Successor.DROPPED)
            return [self._dials.needed()]
        self._transition(Successor.DIALLING)
        self._dials.spend()
        return [Dial()]

    def dial_again(self) -> None:
        """Its dial failed and is made again when the backoff allows it."""
        self._transition(Successor.WANTED)
        self._dials.due_at = self._dials.not_before

    def drop(self) -> None:
        """Its dial failed for good."""
        self._transition(Successor.DROPPED)

    def over(self) -> None:
        """It has opened, or the session it was to follow is gone."""
        self._transition(Successor.UNWANTED)

    def forget(self) -> list[Effect]:
        """Dial it no more."""
        was = self.state
        self._transition(Successor.UNWANTED)
        if was not in (Successor.WANTED, Successor.DIALLING):
            return []
        self._dials.due_at = None
        return [CancelDial()] if was is Successor.DIALLING else [Disarm(Timer.RETRY)]

    def _transition(self, to: Successor) -> None:
        if to not in _NEXT[self.state]:
            raise YoiError("usage.internal", f"a successor cannot go from {self.state} to {to}")
        self.state = to
