"""A follower's states and clocks; test_model.py has what it hands over."""

import itertools

import pytest
from tests.core.observation.model import AllView
from tests.core.observation.rooms import Room
from tests.core.observation.wires import read_frames

from yoi.core.observation import Follower, FollowerState, Framing
from yoi.core.observation.follower import _TRANSITIONS
from yoi.limits import Limits
from yoi.protocol.observation import OBSERVATION_CODES, CloseCode, ResumedFrame

LIMITS = Limits(bookmark_ms=1000, follower_stall_ms=3000)
STATES = list(FollowerState)


def follower(room: Room, state: FollowerState = FollowerState.LIVE) -> Follower:
    made = Follower(room.feed, 0.0, LIMITS)
    match state:
        case FollowerState.REPLAYING:
            made.open(room.feed.cursor(room.stream.head), 0.0)
        case FollowerState.LIVE:
            made.open(None, 0.0)
        case FollowerState.CLOSED:
            made.gone()
    assert made.state is state
    return made


@pytest.mark.parametrize(("begin", "to"), list(itertools.product(STATES, STATES)))
def test_what_is_not_in_the_table_is_refused(begin, to):
    made = follower(Room(), begin)
    if to in _TRANSITIONS[begin]:
        made._transition(to)
        assert made.state is to
    else:
        with pytest.raises(RuntimeError, match="does not go"):
            made._transition(to)
        assert made.state is begin


@pytest.mark.parametrize("state", [FollowerState.REPLAYING, FollowerState.CLOSED])
def test_a_follower_is_opened_once(state):
    room = Room()
    with pytest.raises(RuntimeError, match="does not go"):
        follower(room, state).open(room.feed.cursor(0), 0.0)


def test_nothing_comes_before_it_is_opened():
    room = Room()
    made = follower(room, FollowerState.NEW)
    room.publish("a")
    assert made.pull(0.0, 1000) == b""
    assert made.idle(100.0) == b""


def test_a_resumed_follower_has_something_to_say_even_where_nothing_happened():
    room = Room()
    made = follower(room, FollowerState.REPLAYING)
    assert made.behind
    assert made.pull(0.0, 1000) == room.feed.bookmark(0, up_to_date=True)
    assert not made.behind
    assert made.pull(0.0, 1000) == b""


def test_a_restart_before_it_is_opened_costs_no_second_snapshot():
    room = Room()
    made = Follower(room.feed, 0.0, LIMITS)
    room.restart()
    room.publish("a", "b")
    data = made.open(room.feed.cursor(1), 0.0)
    assert [type(frame) for frame, _ in read_frames(Framing.WEBSOCKET, data)] == [ResumedFrame]
    assert room.places(made.pull(0.0, 10_000)) == [2, 2]  # the event and the bookmark
    made = Follower(room.feed, 0.0, LIMITS)
    room.restart(b"epoch..3")
    assert room.places(made.open(None, 0.0)) == [0]
    assert made.pull(0.0, 1000) == b""


def test_two_restarts_are_one_resync():
    room = Room()
    made = follower(room)
    room.restart()
    room.stream.restart(AllView([]), b"epoch..3", "cursor_epoch_changed")
    frames = read_frames(Framing.WEBSOCKET, made.pull(0.0, 1000))
    assert frames[0][0].diagnostic.name == "cursor_epoch_changed"
    assert len(frames) == 2
    assert made.pull(0.0, 1000) == b""


def test_what_waits_is_counted_within_this_incarnation():
    room = Room()
    made = follower(room)
    room.publish("a", "b")
    assert made.waiting == 2
    room.restart()
    room.publish("c")
    assert made.waiting == 1


def test_a_bookmark_comes_when_nothing_else_has_for_a_while():
    room = Room()
    made = follower(room)
    assert made.idle(0.999) == b""
    assert made.idle(1.0) == room.feed.bookmark(0, up_to_date=True)
    assert made.idle(1.5) == b""
    room.publish("a")
    assert made.idle(9.0) == b""  # it is behind: a bookmark would be ahead of delivery
    made.pull(9.0, 1000)
    assert made.idle(9.9) == b""
    assert made.idle(10.0) == room.feed.bookmark(1, up_to_date=True)


def test_hidden_events_do_not_put_a_bookmark_off():
    room = Room(lambda event: None if hasattr(event, "n") else event)
    made = follower(room)
    for now in range(1, 4):
        room.publish("a")
        assert made.pull(now - 0.5, 1000) == b""
        assert room.places(made.idle(float(now))) == [now]


@pytest.mark.parametrize(
    "state", [FollowerState.NEW, FollowerState.REPLAYING, FollowerState.CLOSED]
)
def test_only_who_is_live_gets_bookmarks(state):
    assert follower(Room(), state).idle(100.0) == b""


def test_a_transport_that_takes_nothing_is_overdue_after_its_time():
    made = follower(Room())
    assert not made.overdue(100.0)
    made.paused(1.0)
    made.paused(3.0)  # still the same pause
    assert not made.overdue(3.999)
    assert made.overdue(4.0)
    assert made.idle(9.0) == b""
    made.drained()
    assert not made.overdue(100.0)
    assert made.idle(9.0) != b""


def test_shared_bytes_are_for_who_is_live_and_exactly_where_they_begin():
    room = Room()
    live, replaying = follower(room), follower(room, FollowerState.REPLAYING)
    room.publish("a")
    assert not replaying.take(0, 0, 1, 0.5)
    assert not live.take(0, 1, 1, 0.5)
    assert not live.take(1, 0, 1, 0.5)
    assert live.take(0, 0, 1, 0.5)
    assert not live.take(0, 0, 1, 0.5)
    assert not live.behind
    assert (live.idle(1.0), live.pull(1.0, 1000)) == (b"", b"")
    room.publish("b")
    assert room.places(live.pull(1.0, 1000)) == [2]
    live.gone()
    assert not live.take(0, 2, 3, 1.0)


@pytest.mark.parametrize("name", OBSERVATION_CODES)
def test_the_last_frame_says_why_and_the_socket_how(name):
    made = follower(Room())
    data = made.close(name)
    ((frame, _),) = read_frames(Framing.WEBSOCKET, data)
    assert frame.diagnostic.code == f"backend.{name}"
    assert made.closed_with == (OBSERVATION_CODES[name].close or CloseCode.SHUTDOWN)
    assert made.close(name) == b""
    made.gone()
    assert made.state is FollowerState.CLOSED
    assert not made.behind


def test_who_is_exactly_there_takes_what_all_take():
    room = Room()
    made = follower(room)
    room.publish("a")
    generation = room.stream.generation
    assert made.take(generation, room.stream.head - 1, room.stream.head, 0.5)
    assert not made.behind
    assert not made.idle(1.4), "it has just heard something"
    assert made.idle(1.5)
    assert not made.take(generation, room.stream.head - 1, room.stream.head, 2.0)


@pytest.mark.parametrize("state", [s for s in STATES if s is not FollowerState.LIVE])
def test_who_is_not_live_takes_nothing_with_others(state):
    room = Room()
    made = follower(room, state)
    room.publish("a")
    assert not made.take(room.stream.generation, 0, 1, 0.0)


def test_who_is_of_another_incarnation_takes_nothing_with_others():
    room = Room()
    made = follower(room)
    before = room.stream.generation
    room.restart()
    room.publish("a")
    assert not made.take(room.stream.generation, 0, 1, 0.0)
    assert made.take(before, 0, 1, 0.0)
