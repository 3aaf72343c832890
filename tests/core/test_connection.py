"""The session machine alone: no socket, no clock (W1, W3, W8)."""

import dataclasses

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from yoi.core.backoff import FullJitter
from yoi.core.connection import ConnectionMachine
from yoi.core.connection_state import ConnectionState
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
from yoi.errors import ConnectionFailure, PermissionDenied, YoiError
from yoi.permissions import Url, own_target
from yoi.permissions.connection_settings import ConnectionSettings, Open, Ready
from yoi.types import SessionId

URL = Url.parse("wss://gateway.example.com/ws")
SETTINGS = ConnectionSettings(
    name="gateway",
    ingress="events",
    url=URL,
    target=own_target(URL),
    ping_ms=20_000,
    pong_ms=10_000,
    pause_grace_ms=5_000,
    backoff_max_ms=60_000,
    fatal_close_codes=frozenset({4004}),
)
BY_PLUGIN = {"url": None, "open": Open.COMMAND}
LOST = ConnectionFailure("connection.lost", "gone")
REFUSED = ConnectionFailure("connection.handshake", "401", status=401)
GONE = ConnectionFailure("connection.handshake", "404", status=404)
CLEAN = End(1000, "", True)
BROKEN = End(1006, "", False, LOST)


def machine(**changes):
    backoff = FullJitter(first_ms=500, max_ms=60_000, rng=lambda: 0.5)
    return ConnectionMachine(dataclasses.replace(SETTINGS, **changes), backoff)


def opened(now=0.0, **changes):
    made = machine(**changes)
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
    assert made.missing is None
    first = made.ended(30.0, BROKEN, 3, 25.0)
    assert only(first, Closed) == [Closed(SessionId("s1"), 1006, "", False)]
    assert made.missing == (SessionId("s1"), 25.0)
    made.timer_fired(Timer.RETRY, 31.0, 0.0)
    second = made.dialled(32.0, SessionId("s2"), None, "a")
    assert made.missing is None
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
    assert effects[-1] == AbortCurrent()
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
    assert AbortCurrent() in made.timer_fired(Timer.PONG, 80.0, 0.0)


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
    assert only(effects, DropCurrent)[0].code == 1008
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
    assert effects[-2:] == [Arm(Timer.CLOSE, 2_000), CloseCurrent(1000, "")]
    assert made.timer_fired(Timer.CLOSE, 3.0, 0.0) == [AbortCurrent()]
    effects = made.ended(3.0, BROKEN, 0, 1.0)
    assert made.state is ConnectionState.STOPPED
    assert not only(effects, (Failed, Arm, Reconnecting))


def test_a_paused_connection_closes_without_waiting_for_what_nobody_reads():
    made = opened()
    made.pause(1.0)
    assert made.stop(2.0, 1001, "bye")[-1] == DropCurrent(1001, "bye")


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
    assert effects[-1] == CloseCurrent(4000, "resume")
    assert not only(effects, Dial)
    effects = made.ended(21.0, CLEAN, 1, 20.0)
    assert delay(effects) == 250


@pytest.mark.parametrize(
    ("lived", "delivered", "wait"), [(10.0, 1, 0), (9.9, 1, 250), (10.0, 0, 250)]
)
def test_a_renewal_is_at_once_only_after_a_session_that_proved_itself(lived, delivered, wait):
    """A plugin that asks for a fresh dial at every open cannot make a dial storm."""
    made = opened()
    assert made.renew(lived, 4000, "resume")[-1] == CloseCurrent(4000, "resume")
    assert delay(made.ended(lived, CLEAN, delivered, lived)) == wait
    assert made.renew(lived, 1000, "") == []


def test_a_change_that_is_not_in_the_table_is_refused():
    with pytest.raises(YoiError) as refused:
        machine().dialled(0.0, SessionId("s"), None, "a")
    assert refused.value.code == "usage.internal"


def test_a_connection_that_the_plugin_opens_dials_nothing_by_itself():
    made = machine(**BY_PLUGIN)
    assert made.start(0.0) == []
    assert made.state is ConnectionState.AWAITING
    assert made.open(1.0, once=True) == [Disarm(Timer.RETRY), Dial()]
    (announced,) = only(made.dialled(1.0, SessionId("s1"), None, "a"), Announce)
    assert announced.reason is OpenReason.COMMAND


def test_a_ticket_is_dialled_once_and_asked_for_when_it_can_be_used():
    """A captured URL grows old: the plugin fetches the next one after the wait, not before it."""
    made = machine(**BY_PLUGIN)
    made.start(0.0)
    made.open(0.0, once=True)
    made.dialled(0.0, SessionId("s1"), None, "a")
    effects = made.ended(5.0, BROKEN, 1, 4.0)
    assert delay(effects) == 250
    assert not only(effects, Needed)
    # No dial: the ticket is spent.
    assert made.timer_fired(Timer.RETRY, 5.25, 0.0) == [
        Arm(Timer.RETRY, 60_000),
        Needed(SessionId("s1"), "lost", 1, 0.0, False),
    ]
    # A plugin that missed it is told again.
    assert only(made.timer_fired(Timer.RETRY, 65.25, 0.0), Needed)
    assert made.open(66.0, once=True) == [Disarm(Timer.RETRY), Dial()]
    assert delay(made.dial_failed(66.0, LOST)) == 500


def test_a_url_that_is_not_a_ticket_is_dialled_again():
    made = machine(**BY_PLUGIN)
    made.start(0.0)
    made.open(0.0, once=False)
    made.dialled(0.0, SessionId("s1"), None, "a")
    made.ended(5.0, BROKEN, 1, 4.0)
    assert made.timer_fired(Timer.RETRY, 5.25, 0.0) == [Dial()]


def test_an_open_that_comes_too_early_waits_for_the_backoff():
    made = machine(**BY_PLUGIN)
    made.start(0.0)
    made.open(0.0, once=True)
    made.dialled(0.0, SessionId("s1"), None, "a")
    assert delay(made.ended(1.0, CLEAN, 0, 1.0)) == 250
    assert made.open(1.1, once=True) == []
    # Neither a stop nor a fatal close buys an earlier dial.
    made.stop(1.1, 1000, "")
    assert delay(made.open(1.125, once=True)) == 125
    assert made.state is ConnectionState.WAITING
    assert made.timer_fired(Timer.RETRY, 1.25, 0.0) == [Dial()]
    made.dialled(1.25, SessionId("s2"), None, "a")
    made.ended(1.25, End(4004, "", True), 0, 1.25)
    assert made.state is ConnectionState.FAILED
    assert delay(made.open(1.25, once=True)) == 500


def test_a_server_that_closes_1000_for_a_bad_token_is_dialled_by_the_backoff_alone():
    """Whatever a plugin does at each close: open, renew, stop and open, vouch for nothing."""
    made = machine(**BY_PLUGIN, ready=Ready.COMMAND)
    made.start(0.0)
    now, dials = 0.0, 0
    effects = made.open(now, once=False)
    while now < 3600:
        if only(effects, Dial):
            dials += 1
            made.dialled(now, SessionId(f"s{dials}"), None, "a")
            made.renew(now, 1000, "")
            made.ended(now, CLEAN, 5, now)
            made.stop(now, 1000, "")
            effects = made.open(now, once=False)
        else:
            assert made.retry_at is not None
            now = made.retry_at
            effects = made.timer_fired(Timer.RETRY, now, 0.0)
    # 250 ms doubling to half of a minute, at a fair coin: 7 dials, then one each 30 s.
    assert dials <= 7 + 3600 / 30 + 1


def test_only_the_command_proves_a_session_where_the_manifest_says_so():
    made = opened(ready=Ready.COMMAND)
    assert delay(made.ended(3600.0, CLEAN, 100, 3600.0)) == 250
    made.timer_fired(Timer.RETRY, 3601.0, 0.0)
    made.dialled(3601.0, SessionId("s2"), None, "a")
    assert delay(made.ended(7200.0, CLEAN, 100, 7200.0)) == 500
    made.timer_fired(Timer.RETRY, 7201.0, 0.0)
    made.dialled(7201.0, SessionId("s3"), None, "a")
    assert made.failures == 2
    made.vouched(7201.5)
    assert (made.ready, made.failures) == (True, 0)
    assert delay(made.ended(7212.0, CLEAN, 1, 7202.0)) == 250
    assert made.ready is False


def test_a_plugin_s_word_forgives_nothing_to_sessions_that_do_not_last():
    """A server that ends each session just after its sign-in is not dialled in a hot loop."""
    made = opened(ready=Ready.COMMAND)
    pauses, now = [], 0.0
    for number in range(2, 9):
        made.vouched(now + 0.1)
        assert made.failures == 0, "the URL itself is good"
        pauses.append(delay(made.ended(now + 0.2, BROKEN, 3, now)))
        now = made.retry_at
        made.timer_fired(Timer.RETRY, now, 0.0)
        made.dialled(now, SessionId(f"s{number}"), None, "a")
    assert pauses == [250, 500, 1000, 2000, 4000, 8000, 16_000]
    made.vouched(now)
    assert delay(made.ended(now + 10, BROKEN, 3, now)) == 250


def test_a_url_that_does_not_get_ready_is_given_up_for_a_fresh_session():
    made = machine(fresh_after=2)
    made.start(0.0)
    made.dialled(0.0, SessionId("s1"), None, "a")
    made.open(20.0, once=False)
    made.ended(20.0, CLEAN, 1, 20.0)
    made.timer_fired(Timer.RETRY, 21.0, 0.0)
    assert not only(made.dial_failed(21.0, LOST), (Needed, UseOwnUrl))
    made.timer_fired(Timer.RETRY, 22.0, 0.0)
    effects = made.dial_failed(22.0, LOST)
    assert effects[-2:] == [UseOwnUrl(), Needed(SessionId("s1"), "lost", 2, 1000, True)]
    # The manifest's URL is dialled on, and the plugin is not told with every failure.
    assert made.timer_fired(Timer.RETRY, 23.0, 0.0) == [Dial()]
    assert not only(made.dial_failed(23.0, LOST), (Needed, UseOwnUrl))


def test_without_a_url_of_its_own_a_connection_that_cannot_resume_asks_for_a_fresh_one():
    made = machine(**BY_PLUGIN, fresh_after=1)
    made.start(0.0)
    made.open(0.0, once=False)
    made.dial_failed(0.0, LOST)
    (needed,) = only(made.timer_fired(Timer.RETRY, 1.0, 0.0), Needed)
    assert (needed.session, needed.fresh) == (None, True)


def test_the_day_s_budget_moves_the_next_dial():
    made = machine()
    made.start(0.0)
    spent = ConnectionFailure("connection.budget", "few are left")
    assert delay(made.postponed(0.0, spent, 3_600_000)) == 3_600_000
    assert made.failures == 0
    assert made.open(10.0, once=False) == []
    assert made.retry_at == 3600


def overlapping(now=20.0):
    """Return a machine whose successor has just opened beside the first session."""
    made = opened(overlap_ms=5000)
    assert made.open(now, once=True) == [Dial()]
    assert made.state is ConnectionState.OPEN
    return made, made.dialled(now + 1, SessionId("s2"), None, "b")


def test_with_overlap_the_successor_is_open_before_the_old_session_goes():
    made, effects = overlapping()
    assert only(effects, (HandOver, Announce, Gap, Closed, CloseCurrent)) == [
        HandOver(),
        Announce(SessionId("s2"), None, "b", OpenReason.COMMAND),
    ]
    assert Arm(Timer.DRAIN, 5000) in effects
    assert (made.session, made.old) == ("s2", "s1")
    assert made.timer_fired(Timer.DRAIN, 26.0, 0.0) == [
        Arm(Timer.DRAIN, 2000),
        CloseOld(1000, "a newer session took over"),
    ]
    # The successor was there all the while: nothing is missing.
    assert made.old_ended(26.5, CLEAN, 26.0) == [
        Disarm(Timer.DRAIN),
        Closed(SessionId("s1"), 1000, "", True),
    ]


def test_an_old_session_that_is_lost_leaves_a_gap_and_one_that_hangs_is_cut_off():
    made, _ = overlapping()
    made.timer_fired(Timer.DRAIN, 26.0, 0.0)
    assert made.timer_fired(Timer.DRAIN, 28.0, 0.0) == [AbortOld()]
    assert only(made.old_ended(28.0, BROKEN, 25.0), Gap) == [Gap("s1", 25.0, 28.0, "lost")]
    assert made.state is ConnectionState.OPEN


def test_a_session_that_ends_while_its_successor_is_dialled_leaves_the_dial_alone():
    made = opened(overlap_ms=5000)
    made.open(20.0, once=True)
    effects = made.ended(20.5, CLEAN, 1, 20.0)
    assert made.state is ConnectionState.CONNECTING
    assert not only(effects, (Arm, Dial))
    effects = made.dialled(21.0, SessionId("s2"), None, "b")
    assert only(effects, Gap)
    assert made.old is None


def test_a_successor_that_cannot_be_dialled_leaves_the_session_alone():
    made = opened(overlap_ms=5000)
    made.open(20.0, once=True)
    assert delay(made.dial_failed(21.0, LOST)) > 0
    assert made.state is ConnectionState.OPEN
    (needed,) = only(made.timer_fired(Timer.RETRY, 30.0, 0.0), Needed)
    assert needed.session == "s1"
    assert made.open(30.0, once=True) == [Dial()]


def test_there_are_never_three_sockets():
    made, _ = overlapping()
    effects = made.open(40.0, once=True)
    assert not only(effects, Dial)
    assert only(effects, CloseOld)
    assert only(made.old_ended(41.0, CLEAN, 40.0), Dial)


def test_a_plugin_that_opens_at_every_open_waits_for_the_backoff():
    made = opened(overlap_ms=5000)
    assert delay(made.open(0.125, once=False)) == 250
    assert only(made.timer_fired(Timer.RETRY, 0.4, 0.0), Dial)
    made.dialled(0.5, SessionId("s2"), None, "b")
    made.old_ended(0.6, CLEAN, 0.5)
    assert delay(made.open(0.75, once=False)) == 500


def test_a_stop_ends_the_old_session_too():
    made, _ = overlapping()
    effects = made.stop(22.0, 1001, "bye")
    assert only(effects, (CloseOld, CloseCurrent)) == [
        CloseOld(1001, "bye"),
        CloseCurrent(1001, "bye"),
    ]
    made.ended(22.5, CLEAN, 1, 22.0)
    assert made.state is ConnectionState.CLOSING
    made.old_ended(23.0, CLEAN, 22.0)
    assert made.state is ConnectionState.STOPPED


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order, the plugin's view of the sessions holds together."""

    CHANGES = {}

    def __init__(self):
        super().__init__()
        self.machine = machine(**self.CHANGES)
        self.now = 0.0
        self.count = 0
        self.timers = {}
        self.dialling = False
        self.current = None
        self.old = None
        self.past = set()
        self.aborted = set()
        self.owed_gap = None
        self.ending = self.ending_old = None

    def carry_out(self, effects):
        for effect in effects:
            match effect:
                case Dial():
                    assert not self.dialling
                    assert self.old is None, "three sockets"
                    assert self.current is None or self.CHANGES.get("overlap_ms"), "no overlap"
                    self.dialling = True
                case CancelDial():
                    assert self.dialling
                    self.dialling = False
                case Arm(timer, delay_ms):
                    assert delay_ms >= 0
                    self.timers[timer] = self.now + delay_ms / 1000
                case Disarm(timer):
                    self.timers.pop(timer, None)
                case PauseReading() | ResumeReading():
                    assert self.current or self.old
                case SendPing() | CloseCurrent() | DropCurrent():
                    assert self.current
                case CloseOld() | DropOld():
                    assert self.old
                case AbortCurrent():
                    assert self.current
                    self.aborted.add(self.current)
                case AbortOld():
                    assert self.old
                    self.aborted.add(self.old)
                case HandOver():
                    assert self.current
                    assert self.old is None
                    self.old, self.current = self.current, None
                case Announce(session):
                    assert self.current is None
                    assert session not in self.past
                    assert self.owed_gap is None, "a session followed another without a gap"
                    self.current = session
                case Closed(session):
                    assert session not in self.past
                    self.past.add(session)
                    if session == self.ending_old:
                        self.ending_old = None
                    else:
                        assert session == self.ending
                        self.owed_gap, self.ending = session, None
                case Gap(session, since, until):
                    assert since <= until
                    assert session in self.past
                    if session == self.owed_gap:
                        assert self.current is None
                        self.owed_gap = None
                case Needed(_, _, attempt, retry_in_ms):
                    assert attempt >= 0
                    assert retry_in_ms >= 0
                case UseOwnUrl():
                    assert self.CHANGES.get("url", URL)
                case Failed() | Reconnecting():
                    pass

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def start(self):
        self.carry_out(self.machine.start(self.now))

    @rule(once=st.booleans())
    def open(self, once):
        self.carry_out(self.machine.open(self.now, once=once))

    @rule()
    def reopen(self):
        if self.CHANGES.get("url", URL):
            self.carry_out(self.machine.reopen(self.now))

    @rule()
    def vouch(self):
        self.machine.vouched(self.now)

    @rule()
    def stop(self):
        self.carry_out(self.machine.stop(self.now, 1000, ""))

    @rule()
    def close(self):
        self.carry_out(self.machine.close(self.now, 1000, ""))

    @rule()
    def renew(self):
        self.carry_out(self.machine.renew(self.now, 1000, ""))

    @rule()
    def demand(self):
        self.carry_out(self.machine.demanded(self.now))

    @rule()
    def move(self):
        self.machine.moved(self.now)

    @rule()
    def pause(self):
        self.carry_out(self.machine.pause(self.now))

    @rule()
    def resume(self):
        self.carry_out(self.machine.resume(self.now))

    @rule()
    def overflow(self):
        self.carry_out(self.machine.overflow(self.now))

    @rule(
        error=st.sampled_from([LOST, REFUSED, GONE, PermissionDenied("denied.not_granted", "no")])
    )
    def dial_fails(self, error):
        if self.dialling:
            self.dialling = False
            self.carry_out(self.machine.dial_failed(self.now, error))

    @rule(wait_ms=st.floats(1, 1e6))
    def dial_is_postponed(self, wait_ms):
        if self.dialling:
            self.dialling = False
            self.carry_out(self.machine.postponed(self.now, LOST, wait_ms))

    @rule()
    def dial_succeeds(self):
        if self.dialling:
            self.dialling = False
            self.count += 1
            self.carry_out(self.machine.dialled(self.now, SessionId(f"s{self.count}"), None, "a"))

    @rule()
    def close_frame(self):
        if self.current:
            self.carry_out(self.machine.closing(self.now))

    @rule(
        code=st.sampled_from([1000, 1006, 4004]),
        clean=st.booleans(),
        delivered=st.integers(0, 2),
        ago=st.floats(0, 50),
    )
    def socket_ends(self, code, clean, delivered, ago):
        if self.current:
            self.ending, self.current = self.current, None
            self.ending_old = None
            end = End(code, "", clean, None if clean else LOST)
            self.carry_out(self.machine.ended(self.now, end, delivered, self.now - ago))
            assert self.ending is None

    @rule(clean=st.booleans(), ago=st.floats(0, 50))
    def old_socket_ends(self, clean, ago):
        if self.old:
            self.ending_old, self.old = self.old, None
            self.ending = None
            end = End(1000, "", clean, None if clean else LOST)
            self.carry_out(self.machine.old_ended(self.now, end, self.now - ago))
            assert self.ending_old is None

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
        assert self.machine.old == self.old
        if state is ConnectionState.OPEN:
            assert self.current
        elif self.current:
            assert state is ConnectionState.CLOSING
        if state is ConnectionState.STOPPED:
            assert not self.old
            assert not self.dialling
        if state is ConnectionState.CONNECTING:
            assert self.dialling
        elif self.dialling:
            assert self.current

    @invariant()
    def what_is_dialled_no_more_says_why(self):
        at_rest = self.machine.state in (ConnectionState.STOPPED, ConnectionState.FAILED)
        assert (self.machine.halt is not None) == at_rest

    @invariant()
    def it_never_stands_still(self):
        """Every state that is not at rest has something that will move it on."""
        state = self.machine.state
        if state is ConnectionState.WAITING:
            assert Timer.RETRY in self.timers
        if state is ConnectionState.AWAITING and self.machine.failures:
            assert Timer.RETRY in self.timers
        if state is ConnectionState.OPEN:
            wanted = Timer.GRACE if self.machine.paused else Timer.PING
            assert wanted in self.timers
        if self.old:
            assert Timer.DRAIN in self.timers or self.old in self.aborted
        if state is ConnectionState.CLOSING:
            assert Timer.CLOSE in self.timers or self.current in self.aborted or self.old


class AnyOrderOverlapping(AnyOrder):
    CHANGES = {"overlap_ms": 5000.0, **BY_PLUGIN, "ready": Ready.COMMAND}


class AnyOrderResumed(AnyOrder):
    CHANGES = {"overlap_ms": 5000.0, "fresh_after": 2}


QUICK = settings(max_examples=150, stateful_step_count=40)
AnyOrder.TestCase.settings = QUICK
AnyOrderOverlapping.TestCase.settings = QUICK
AnyOrderResumed.TestCase.settings = QUICK
TestAnyOrder = AnyOrder.TestCase
TestAnyOrderOverlapping = AnyOrderOverlapping.TestCase
TestAnyOrderResumed = AnyOrderResumed.TestCase
