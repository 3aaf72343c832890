"""One session alone: liveness, closing, what it proves (W1, W3, W8). No socket, no clock."""

import dataclasses

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.core.test_connection import BROKEN, CLEAN, LOST, SETTINGS

from yoi.core.session import SessionMachine, SessionState
from yoi.core.session_effects import (
    AbortCurrent,
    AbortOld,
    Arm,
    CloseCurrent,
    CloseOld,
    Disarm,
    DropCurrent,
    DropOld,
    PauseReading,
    ResumeReading,
    SendPing,
    Timer,
)
from yoi.errors import YoiError
from yoi.limits import LIMITS
from yoi.permissions.connection_settings import Ready
from yoi.types import SessionId


def session(now=0.0, **changes):
    return SessionMachine(SessionId("s1"), now, dataclasses.replace(SETTINGS, **changes), LIMITS)


def test_a_ping_wants_a_sign_of_life():
    made = session()
    assert made.keep_alive() == [Arm(Timer.PING, 20_000), ResumeReading()]
    fired = made.timer_fired(Timer.PING, 20.0, 0.0, paused=False)
    assert fired == [SendPing(), Arm(Timer.PING, 20_000), Arm(Timer.PONG, 10_000)]
    assert made.timer_fired(Timer.PONG, 30.0, 20.0, paused=False) == []
    made.timer_fired(Timer.PING, 40.0, 30.0, paused=False)
    assert made.timer_fired(Timer.PONG, 50.0, 30.0, paused=False)[-1] == AbortCurrent()
    _, left = made.end(50.0, BROKEN, 30.0)
    assert (left.why, left.closed.clean, left.since) == ("idle", False, 30.0)


def test_pings_may_be_off():
    made = session(ping_ms=0)
    assert made.keep_alive() == [ResumeReading()]
    assert made.pause()[-1] == PauseReading()
    assert made.resume() == [Disarm(Timer.GRACE), ResumeReading()]


def test_a_pause_is_bounded_and_no_pong_is_due_in_it():
    made = session()
    made.timer_fired(Timer.PING, 20.0, 0.0, paused=False)
    assert made.pause()[-2:] == [Arm(Timer.GRACE, 5_000), PauseReading()]
    assert made.timer_fired(Timer.PONG, 30.0, 0.0, paused=True) == []
    assert made.timer_fired(Timer.GRACE, 25.0, 0.0, paused=True)[-1].code == 1008


@pytest.mark.parametrize(
    ("paused", "current", "old"),
    [(False, CloseCurrent, CloseOld), (True, DropCurrent, DropOld)],
)
def test_the_peer_s_close_frame_is_waited_for_only_where_it_is_read(paused, current, old):
    assert type(session().close(1000, "bye", paused=paused)[-1]) is current
    draining = session(overlap_ms=5_000)
    draining.hand_over()
    assert type(draining.leave(1000, "bye", paused=paused)[-1]) is old
    assert draining.leave(1000, "bye", paused=paused) == []
    assert draining.timer_fired(Timer.DRAIN, 9.0, 0.0, paused=paused) == [AbortOld()]


def test_what_was_dropped_is_not_a_clean_end_even_as_the_old_session():
    made = session(overlap_ms=5_000)
    made.overflow()
    made.hand_over()
    _, left = made.end(9.0, CLEAN, 5.0)
    assert (left.why, left.closed.clean, left.since) == ("overflow", False, 5.0)


@pytest.mark.parametrize(
    ("ready", "vouched", "lived", "delivered", "proved"),
    [
        (Ready.TRAFFIC, False, 9.9, 5, False),
        (Ready.TRAFFIC, False, 10.0, 0, False),
        (Ready.TRAFFIC, False, 10.0, 1, True),
        (Ready.TRAFFIC, False, 60.0, 0, True),
        (Ready.COMMAND, False, 600.0, 9, False),
        (Ready.COMMAND, True, 9.9, 0, False),
        (Ready.COMMAND, True, 10.0, 0, True),
        (Ready.TRAFFIC, True, 10.0, 0, True),
    ],
)
def test_what_a_session_proves(ready, vouched, lived, delivered, proved):
    made = session(ready=ready)
    made.vouched = vouched
    assert made.proved(lived, delivered) is proved


class AnyOrder(RuleBasedStateMachine):
    """In any order of events a session goes only down its table, and never stands still."""

    RANK = tuple(SessionState)

    @initialize()
    def begin(self):
        self.made = session(overlap_ms=5_000)
        self.now = 0.0
        self.timers = set()
        self.paused = False
        self.aborted = False
        self.rank = 0
        self.carry_out(self.made.keep_alive())

    def carry_out(self, effects):
        for effect in effects:
            match effect:
                case Arm(timer, delay_ms):
                    assert delay_ms >= 0
                    self.timers.add(timer)
                case Disarm(timer):
                    self.timers.discard(timer)
                case AbortCurrent() | AbortOld():
                    self.aborted = True
                case CloseCurrent() | DropCurrent():
                    assert self.made.state is SessionState.CLOSING
                case CloseOld() | DropOld():
                    assert self.made.state is SessionState.LEAVING

    def in_state(*states):
        return precondition(lambda self: self.made.state in states)

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds):
        self.now += seconds

    @in_state(SessionState.OPEN)
    @rule()
    def pauses(self):
        self.carry_out(self.made.resume() if self.paused else self.made.pause())
        self.paused = not self.paused

    @in_state(SessionState.OPEN)
    @rule(how=st.sampled_from(["close", "drop", "overflow", "peer"]))
    def closes(self, how):
        match how:
            case "close":
                self.carry_out(self.made.close(1000, "", paused=self.paused))
            case "drop":
                self.carry_out(self.made.drop(4000, "", LOST))
            case "overflow":
                self.carry_out(self.made.overflow())
            case "peer":
                self.carry_out(self.made.peer_closes())

    @in_state(SessionState.OPEN, SessionState.CLOSING)
    @rule()
    def is_succeeded(self):
        self.carry_out(self.made.hand_over())

    @rule()
    def leaves(self):
        self.carry_out(self.made.leave(1000, "", paused=self.paused))

    @rule(timer=st.sampled_from(Timer), heard=st.booleans())
    def timer_fires(self, timer, heard):
        """Also timers that are not armed: a callback may be on its way when it is disarmed."""
        self.timers.discard(timer)
        last = self.now if heard else 0.0
        self.carry_out(self.made.timer_fired(timer, self.now, last, paused=self.paused))

    @precondition(lambda self: self.made.state is not SessionState.ENDED)
    @rule(end=st.sampled_from([CLEAN, BROKEN]), ago=st.floats(0, 50))
    def ends(self, end, ago):
        effects, left = self.made.end(self.now, end, self.now - ago)
        self.carry_out(effects)
        assert left.closed in effects
        assert left.since <= self.now
        assert left.closed.clean is (end.clean and left.error is None)

    @invariant()
    def it_goes_on(self):
        rank = self.RANK.index(self.made.state)
        assert rank >= self.rank
        self.rank = rank
        match self.made.state:
            case SessionState.OPEN:
                assert {Timer.GRACE if self.paused else Timer.PING} <= self.timers
            case SessionState.CLOSING:
                assert Timer.CLOSE in self.timers or self.aborted
            case SessionState.DRAINING | SessionState.LEAVING:
                assert Timer.DRAIN in self.timers or self.aborted
            case SessionState.ENDED:
                assert not self.timers & {Timer.PING, Timer.PONG, Timer.GRACE}

    @precondition(lambda self: self.made.state is SessionState.ENDED)
    @rule()
    def nothing_follows_the_end(self):
        for call in (self.made.hand_over, self.made.peer_closes, self.made.overflow):
            with pytest.raises(YoiError):
                call()


AnyOrder.TestCase.settings = settings(max_examples=80, stateful_step_count=30)
TestAnyOrder = AnyOrder.TestCase
