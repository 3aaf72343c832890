"""The session machine alone: no socket, no clock (W1, W3, W8)."""

import dataclasses

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from yoi.core.backoff import FullJitter
from yoi.core.connection import ConnectionSession, ConnectionState, SessionRules
from yoi.core.session_effects import (
    AbortWire,
    Announce,
    Arm,
    CancelDial,
    Closed,
    CloseWire,
    Dial,
    Disarm,
    DropWire,
    End,
    Failed,
    Gap,
    OpenReason,
    PauseReading,
    Reconnecting,
    ResumeReading,
    SendPing,
    Timer,
)
from yoi.errors import ConnectionFailure, PermissionDenied, YoiError
from yoi.types import SessionId

RULES = SessionRules(
    ping_ms=20_000,
    pong_ms=10_000,
    pause_grace_ms=5_000,
    close_ms=2_000,
    session_ready_ms=10_000,
    backoff_max_ms=60_000,
    fatal_close_codes=frozenset({4004}),
)
LOST = ConnectionFailure("connection.lost", "gone")
CLEAN = End(1000, "", True)
BROKEN = End(1006, "", False, LOST)


def machine(**rules):
    backoff = FullJitter(first_ms=500, max_ms=60_000, rng=lambda: 0.5)
    return ConnectionSession(dataclasses.replace(RULES, **rules), backoff)


def opened(now=0.0, **rules):
    made = machine(**rules)
    made.start(now)
    made.dialled(now, SessionId("s1"), None, "192.0.2.1:443")
    return made


def only(effects, kind):
    return [effect for effect in effects if isinstance(effect, kind)]


def delay(effects):
    (arm,) = [e for e in only(effects, Arm) if e.timer is Timer.RETRY]
    return arm.delay_ms


def test_dial_then_session():
    made = machine()
    assert made.start(0.0) == [Dial()]
    assert made.start(0.0) == []
    effects = made.dialled(1.0, SessionId("s1"), "v1", "192.0.2.1:443")
    assert effects == [
        Announce(SessionId("s1"), "v1", "192.0.2.1:443", OpenReason.FIRST),
        Arm(Timer.PING, 20_000),
        ResumeReading(),
    ]
    assert made.state is ConnectionState.OPEN


def test_a_second_session_is_announced_after_its_gap():
    """W3: close, gap, open."""
    made = opened()
    first = made.ended(30.0, BROKEN, 3, 25.0)
    assert only(first, Closed) == [Closed(SessionId("s1"), 1006, "", False)]
    made.timer_fired(Timer.RETRY, 31.0, 0.0)
    second = made.dialled(32.0, SessionId("s2"), None, "a")
    # An unclean end: messages may be missing since the last sign of life.
    assert second[:2] == [
        Gap(SessionId("s1"), 25.0, 32.0, "lost"),
        Announce("s2", None, "a", OpenReason.RECONNECT),
    ]
    assert made.reconnects == 1


def test_a_clean_close_opens_the_gap_at_the_close():
    made = opened()
    made.ended(30.0, CLEAN, 3, 25.0)
    made.timer_fired(Timer.RETRY, 31.0, 0.0)
    (gap,) = only(made.dialled(32.0, SessionId("s2"), None, "a"), Gap)
    assert (gap.since, gap.why) == (30.0, "closed")


def test_the_first_session_has_no_gap_however_many_dials_failed():
    made = machine()
    made.start(0.0)
    for now in range(1, 5):
        made.dial_failed(now, LOST)
        made.timer_fired(Timer.RETRY, now, 0.0)
    assert not only(made.dialled(9.0, SessionId("s1"), None, "a"), Gap)


def test_sessions_that_end_at_once_back_off_like_failed_dials():
    """A server that accepts and closes with 1000 for a bad token is not dialled every second."""
    made = machine()
    made.start(0.0)
    delays = []
    for number in range(9):
        made.dialled(0.0, SessionId(f"s{number}"), None, "a")
        delays.append(delay(made.ended(1.0, CLEAN, 1, 1.0)))
        made.timer_fired(Timer.RETRY, 1.0, 0.0)
    assert delays == [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]


@pytest.mark.parametrize(
    ("lived", "delivered", "forgiven"),
    [(9.9, 5, False), (10.0, 1, True), (10.0, 0, False), (59.9, 0, False), (60.0, 0, True)],
)
def test_only_a_session_that_proved_itself_resets_the_backoff(lived, delivered, forgiven):
    made = machine()
    made.start(0.0)
    for _ in range(4):
        made.dial_failed(0.0, LOST)
        made.timer_fired(Timer.RETRY, 0.0, 0.0)
    made.dialled(0.0, SessionId("s"), None, "a")
    assert delay(made.ended(lived, BROKEN, delivered, lived)) == (250 if forgiven else 4000)


def test_only_declared_close_codes_are_fatal():
    made = opened()
    assert only(made.ended(1.0, End(4003, "", True), 0, 1.0), Arm)
    made = opened()
    effects = made.ended(1.0, End(4004, "bad token", True), 0, 1.0)
    assert made.state is ConnectionState.FAILED
    (failed,) = only(effects, Failed)
    assert failed.error.code == "connection.fatal_close"
    assert failed.retry_in_ms is None
    assert made.start(2.0) == [Dial()]


def test_a_denied_dial_is_final_and_an_address_that_is_not_public_is_tried_again():
    made = machine()
    made.start(0.0)
    denied = PermissionDenied("denied.not_granted", "no")
    assert made.dial_failed(0.0, denied) == [Failed(denied, None)]
    assert made.state is ConnectionState.FAILED
    made = machine()
    made.start(0.0)
    private = PermissionDenied("denied.address", "10.0.0.1")
    assert only(made.dial_failed(0.0, private), Arm)


def test_keepalive_pings_and_ends_a_transport_that_stays_silent():
    made = opened()
    effects = made.timer_fired(Timer.PING, 20.0, 0.0)
    assert effects == [SendPing(), Arm(Timer.PING, 20_000), Arm(Timer.PONG, 10_000)]
    effects = made.timer_fired(Timer.PONG, 30.0, 19.9)
    assert effects[-1] == AbortWire()
    (failed,) = only(made.ended(30.0, BROKEN, 0, 19.9), Failed)
    assert failed.error.code == "connection.idle"


def test_any_sign_of_life_after_the_ping_is_enough():
    """Quiet is not dead, and neither is a peer that sends events but no pong."""
    made = opened()
    made.timer_fired(Timer.PING, 20.0, 0.0)
    assert made.timer_fired(Timer.PONG, 30.0, 20.5) == []
    assert made.state is ConnectionState.OPEN
    assert Arm(Timer.PONG, 10_000) in made.timer_fired(Timer.PING, 40.0, 20.5)


def test_a_slow_pong_deadline_does_not_lengthen_the_interval():
    made = opened(pong_ms=60_000)
    assert Arm(Timer.PONG, 60_000) in made.timer_fired(Timer.PING, 20.0, 0.0)
    # The first ping's deadline stands; the second does not move it.
    assert made.timer_fired(Timer.PING, 40.0, 0.0) == [SendPing(), Arm(Timer.PING, 20_000)]
    assert AbortWire() in made.timer_fired(Timer.PONG, 80.0, 0.0)


def test_both_liveness_clocks_rest_while_reading_is_paused():
    made = opened()
    made.timer_fired(Timer.PING, 20.0, 0.0)
    effects = made.pause(21.0)
    assert effects == [
        Disarm(Timer.PING),
        Disarm(Timer.PONG),
        Arm(Timer.GRACE, 5_000),
        PauseReading(),
    ]
    assert made.pause(22.0) == []
    # A timer that was already on its way finds nothing to do.
    assert made.timer_fired(Timer.PONG, 30.0, 0.0) == []
    assert made.resume(24.0) == [Disarm(Timer.GRACE), Arm(Timer.PING, 20_000), ResumeReading()]
    assert made.resume(24.0) == []


def test_the_pause_is_bounded():
    made = opened()
    made.pause(1.0)
    effects = made.timer_fired(Timer.GRACE, 6.0, 0.0)
    assert only(effects, DropWire)[0].code == 1008
    assert Arm(Timer.CLOSE, 2_000) in effects
    closed = made.ended(6.5, BROKEN, 9, 5.0)
    assert only(closed, Failed)[0].error.code == "connection.overflow"
    made.timer_fired(Timer.RETRY, 7.0, 0.0)
    effects = made.dialled(8.0, SessionId("s2"), None, "a")
    assert only(effects, Gap) == [Gap(SessionId("s1"), 5.0, 8.0, "overflow")]
    # The plugin is still slow: the next session begins paused, with a grace of its own.
    assert effects[-2:] == [Arm(Timer.GRACE, 5_000), PauseReading()]


def test_a_peer_that_does_not_answer_the_close_is_cut_off():
    made = opened()
    effects = made.stop(1.0, 1000, "")
    assert effects[-2:] == [Arm(Timer.CLOSE, 2_000), CloseWire(1000, "")]
    assert made.timer_fired(Timer.CLOSE, 3.0, 0.0) == [AbortWire()]
    effects = made.ended(3.0, BROKEN, 0, 1.0)
    assert made.state is ConnectionState.STOPPED
    assert not only(effects, (Failed, Arm, Reconnecting))


def test_a_paused_connection_closes_without_waiting_for_what_nobody_reads():
    made = opened()
    made.pause(1.0)
    assert made.stop(2.0, 1001, "bye")[-1] == DropWire(1001, "bye")


def test_stop_in_each_state():
    made = machine()
    made.stop(0.0, 1000, "")
    assert made.state is ConnectionState.STOPPED
    made.start(0.0)
    assert made.stop(0.0, 1000, "") == [CancelDial()]
    made.start(0.0)
    made.dial_failed(0.0, LOST)
    assert made.stop(0.0, 1000, "") == [Disarm(Timer.RETRY)]
    assert made.retry_at is None
    assert made.stop(0.0, 1000, "") == []


def test_a_stop_while_the_peer_closes_is_not_forgotten():
    made = opened()
    made.closing(1.0)
    assert made.stop(1.0, 1000, "") == []
    made.ended(1.5, CLEAN, 0, 1.0)
    assert made.state is ConnectionState.STOPPED


def test_a_closed_session_waits_its_turn():
    """The old socket is gone before its successor is dialled."""
    made = opened()
    effects = made.close(20.0, 4000, "resume")
    assert effects[-1] == CloseWire(4000, "resume")
    assert not only(effects, Dial)
    effects = made.ended(21.0, CLEAN, 1, 20.0)
    assert delay(effects) == 250


@pytest.mark.parametrize(
    ("lived", "delivered", "wait"), [(10.0, 1, 0), (9.9, 1, 250), (10.0, 0, 250)]
)
def test_a_renewal_is_at_once_only_after_a_session_that_proved_itself(lived, delivered, wait):
    """A plugin that asks for a fresh dial at every open cannot make a dial storm."""
    made = opened()
    assert made.renew(lived, 4000, "resume")[-1] == CloseWire(4000, "resume")
    assert delay(made.ended(lived, CLEAN, delivered, lived)) == wait
    assert made.renew(lived, 1000, "") == []


def test_a_change_that_is_not_in_the_table_is_refused():
    with pytest.raises(YoiError) as refused:
        machine().dialled(0.0, SessionId("s"), None, "a")
    assert refused.value.code == "usage.internal"


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order, the plugin's view of the sessions holds together."""

    def __init__(self):
        super().__init__()
        self.machine = machine()
        self.now = 0.0
        self.count = 0
        self.timers = {}
        self.wire = False
        self.dialling = False
        self.current = None
        self.past = []
        self.owed_gap = None

    def carry_out(self, effects):
        for effect in effects:
            match effect:
                case Dial():
                    assert not self.dialling
                    assert not self.wire
                    self.dialling = True
                case CancelDial():
                    assert self.dialling
                    self.dialling = False
                case Arm(timer, delay_ms):
                    assert delay_ms >= 0
                    self.timers[timer] = self.now + delay_ms / 1000
                case Disarm(timer):
                    self.timers.pop(timer, None)
                case SendPing() | PauseReading() | ResumeReading():
                    assert self.wire
                case CloseWire() | DropWire() | AbortWire():
                    assert self.wire
                case Announce(session):
                    assert self.current is None
                    assert session not in self.past
                    assert self.owed_gap is None, "a session followed another without a gap"
                    self.current = session
                case Closed(session):
                    assert session == self.current
                    self.past.append(session)
                    self.owed_gap = session
                    self.current = None
                case Gap(session, since, until):
                    assert self.current is None
                    assert session == self.owed_gap
                    assert since <= until
                    self.owed_gap = None
                case Failed() | Reconnecting():
                    assert self.current is None

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def start(self):
        self.carry_out(self.machine.start(self.now))

    @rule()
    def stop(self):
        self.carry_out(self.machine.stop(self.now, 1000, ""))

    @rule()
    def reconnect(self):
        self.carry_out(self.machine.renew(self.now, 1000, ""))

    @rule()
    def pause(self):
        self.carry_out(self.machine.pause(self.now))

    @rule()
    def resume(self):
        self.carry_out(self.machine.resume(self.now))

    @rule()
    def overflow(self):
        self.carry_out(self.machine.overflow(self.now))

    @rule(error=st.sampled_from([LOST, PermissionDenied("denied.not_granted", "no")]))
    def dial_fails(self, error):
        if self.dialling:
            self.dialling = False
            self.carry_out(self.machine.dial_failed(self.now, error))

    @rule()
    def dial_succeeds(self):
        if self.dialling:
            self.dialling = False
            self.wire = True
            self.count += 1
            self.carry_out(self.machine.dialled(self.now, SessionId(f"s{self.count}"), None, "a"))

    @rule()
    def close_frame(self):
        if self.wire:
            self.carry_out(self.machine.closing(self.now))

    @rule(
        code=st.sampled_from([1000, 1006, 4004]),
        clean=st.booleans(),
        delivered=st.integers(0, 2),
        ago=st.floats(0, 50),
    )
    def socket_ends(self, code, clean, delivered, ago):
        if self.wire:
            self.wire = False
            end = End(code, "", clean, None if clean else LOST)
            self.carry_out(self.machine.ended(self.now, end, delivered, self.now - ago))

    @rule(timer=st.sampled_from(Timer), heard=st.booleans())
    def timer_fires(self, timer, heard):
        """Also timers that are not armed: a callback may be on its way when it is disarmed."""
        due = self.timers.pop(timer, None)
        if due is not None:
            self.now = max(self.now, due)
        last = self.now if heard else 0.0
        self.carry_out(self.machine.timer_fired(timer, self.now, last))

    @invariant()
    def view_agrees(self):
        state = self.machine.state
        assert self.machine.session == self.current
        assert (self.current is not None) == (
            state in (ConnectionState.OPEN, ConnectionState.CLOSING)
        )
        assert self.wire == (self.current is not None)
        assert self.dialling == (state is ConnectionState.CONNECTING)

    @invariant()
    def it_never_stands_still(self):
        """Every state that is not at rest has something that will move it on."""
        state = self.machine.state
        if state is ConnectionState.WAITING:
            assert Timer.RETRY in self.timers
        if state is ConnectionState.OPEN:
            wanted = Timer.GRACE if self.machine.paused else Timer.PING
            assert wanted in self.timers


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnyOrder = AnyOrder.TestCase
