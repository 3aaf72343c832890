"""What the connection does between sockets, with a fake connector and timers a test moves."""

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.connections.conftest import ALLOWED, FixedResolver
from tests.connections.world import World

from yoi.connections import DialTarget
from yoi.core.halts import Change
from yoi.core.heartbeat import HeartbeatSpec
from yoi.errors import ConnectionFailure
from yoi.permissions import Decision, JsonPointer, Url
from yoi.permissions.match import Match
from yoi.types import SessionId

DENIED = Decision(allowed=False, code="denied.not_granted", message="no", hint="grant it")


async def test_policy_and_names_are_asked_again_on_every_dial():
    """P8: a fresh decision, lookup and check for each dial; the fake sees only judged addresses."""
    asked = []

    def authorise(url):
        asked.append(url.href)
        return ALLOWED

    world = World(authorise=authorise)
    world.host.start()
    socket = await world.open()
    world.resolver.addresses = [*FixedResolver("10.0.0.1", "93.184.215.99").addresses]
    socket.peer_vanishes()
    await world.sink.next("failed")
    world.timers.advance(1)
    dial = await world.connector.dialled()
    assert asked == ["wss://gateway.example.com/ws"] * 2
    assert world.resolver.asked == [("gateway.example.com", 443)] * 2
    assert [str(a) for a in dial.addresses] == ["10.0.0.1", "93.184.215.99"]  # both granted
    await world.host.close()


async def test_a_grant_withdrawn_between_two_dials_stops_the_connection():
    answers = [ALLOWED, DENIED]
    world = World(authorise=lambda _: answers.pop(0))
    world.host.start()
    (await world.open()).peer_closes()
    await world.sink.next("closed")
    world.timers.advance(1)
    _, error, retry = await world.sink.next("failed")
    assert (error.code, error.hint, retry) == ("denied.not_granted", "grant it", None)
    assert world.host.status().state == "failed"
    assert world.timers.pending == 0
    answers.append(ALLOWED)
    world.host.start()
    await world.open()
    assert world.sink.names() == ["opened", "closed", "failed", "gap", "opened"]
    closing = asyncio.ensure_future(world.host.close())
    await world.settle()
    world.timers.advance(5)
    await closing


async def test_pause_holds_messages_back_and_resume_lets_them_go():
    world = World()
    world.host.start()
    socket = await world.open()
    world.host.pause()
    socket.peer_sends("one")
    socket.peer_sends("two")
    await world.settle()
    assert "text" not in world.sink.names()
    assert world.host.status().reading_paused
    # Neither liveness clock runs while nothing can be seen.
    world.timers.advance(9)
    assert socket.pings == 0
    world.host.resume()
    await world.settle()
    assert [c[2] for c in world.sink.seen if c[0] == "text"] == ["one", "two"]
    world.timers.advance(19)
    assert socket.pings == 0
    world.timers.advance(2)
    assert socket.pings == 1
    notices = [c[1] for c in world.sink.seen if c[0] == "notice"]
    assert notices == ["notice.paused", "notice.resumed"]


async def test_pausing_inside_a_delivery_stops_the_next_one():
    """The queue says stop at once: not one message more, though they arrived together."""
    world = World()
    world.sink.on_text = lambda session, text: world.host.pause()
    world.host.start()
    socket = await world.open()
    for text in ("one", "two", "three"):
        socket.peer_sends(text)
    await world.settle()
    assert [c[2] for c in world.sink.seen if c[0] == "text"] == ["one"]


async def test_the_grace_ends_the_session_and_the_gap_says_why():
    world = World(pause_grace_ms=3_000)
    world.host.start()
    socket = await world.open()
    socket.peer_sends("seen")
    await world.settle()
    world.timers.advance(1)
    world.host.pause()
    socket.peer_sends("never seen")
    world.timers.advance(3)
    assert socket.close_sent[0] == 1008
    socket.peer_closes(1008)
    _, error, _ = await world.sink.next("failed")
    assert error.code == "connection.overflow"
    world.host.resume()
    world.timers.advance(1)
    await world.open()
    assert world.sink.names() == ["opened", "text", "closed", "failed", "gap", "opened"]
    gap = next(c for c in world.sink.seen if c[0] == "gap")
    assert gap[1] == "s1"
    assert gap[4] == "overflow"
    assert gap[2] < gap[3]


async def test_a_silent_peer_is_dropped_within_the_pong_bound():
    world = World(ping_ms=20_000, pong_ms=5_000)
    world.host.start()
    socket = await world.open()
    world.timers.advance(20)
    assert socket.pings == 1
    socket.peer_pongs()
    world.timers.advance(19)
    assert world.host.status().state == "open"
    world.timers.advance(1)
    assert socket.pings == 2
    world.timers.advance(5)
    _, error, retry = await world.sink.next("failed")
    assert (error.code, retry) == ("connection.idle", 375)


async def test_a_frame_never_follows_its_sessions_close():
    """The socket may hold more than was read; the sink hears the close last."""
    world = World()
    world.host.start()
    socket = await world.open()
    socket.peer_sends("before")
    socket.peer_closes(4000, "enough")
    socket.peer_sends("after")
    _, session, code, reason, clean = await world.sink.next("closed")
    await world.settle()
    assert (session, code, reason, clean) == ("s1", 4000, "enough", True)
    assert world.sink.names() == ["opened", "text", "closed"]


async def test_closing_while_a_dial_is_under_way_leaves_nothing():
    world = World()
    world.host.start()
    dial = await world.connector.dialled()
    await world.host.close()
    assert dial.answer.cancelled()
    assert world.sink.seen == []
    assert world.timers.pending == 0
    assert world.host.status().state == "stopped"


async def test_close_is_idempotent_and_bounded():
    world = World()
    world.host.start()
    socket = await world.open()
    closing = [asyncio.ensure_future(world.host.close(1001, "bye")) for _ in range(2)]
    await world.settle()
    assert socket.close_sent == (1001, "bye")
    assert not any(task.done() for task in closing)
    world.timers.advance(3)  # the peer never answers
    await asyncio.gather(*closing)
    assert world.sink.names() == ["opened", "closed"]
    assert world.timers.pending == 0


async def test_a_session_that_is_closing_takes_no_more_sends():
    world = World()
    world.host.start()
    await world.open()
    world.host.reconnect(4000, "resume")
    for session in (None, SessionId("s1")):
        with pytest.raises(ConnectionFailure) as refused:
            world.host.send_text(session, "late")
        assert refused.value.code == "connection.not_open"
    with pytest.raises(ConnectionFailure) as refused:
        world.host.send_binary(SessionId("s0"), b"")
    assert refused.value.code == "connection.session_ended"
    assert world.host.status().send_failures == 3


@pytest.mark.parametrize("code", [0, 999, 1005, 1006, 1015, 2999, 5000])
async def test_close_codes_that_may_not_be_written_are_refused(code):
    world = World()
    with pytest.raises(ValueError, match="close frame"):
        await world.host.close(code)
    with pytest.raises(ValueError, match="close frame"):
        world.host.reconnect(code)


STEPS = st.lists(
    st.sampled_from(
        ["text", "binary", "close", "vanish", "pause", "resume", "advance", "long", "overflow",
         "reconnect", "accept", "refuse", "send", "open", "ticket", "stop", "ready", "old", "beat",
         "refuse401", "redial", "revive"]
    ),
    max_size=40,
)  # fmt: skip
BEAT = HeartbeatSpec(
    every_ms=1000, render=lambda last: "beat", ack=Match(JsonPointer(("ok",)), (True,))
)


ASKED = {
    "pause": lambda host: host.pause(),
    "resume": lambda host: host.resume(),
    "overflow": lambda host: host.overflow(),
    "reconnect": lambda host: host.reconnect(),
    "send": lambda host: host.send_text(None, "x"),
    "open": lambda host: host.open(),
    "ticket": lambda host: host.open(DialTarget(Url.parse("wss://x.example.com/?t=1"), once=True)),
    "stop": lambda host: host.stop(),
    "ready": lambda host: host.ready(),
    "beat": lambda host: host.heartbeat(BEAT),
    "redial": lambda host: host.redial(),
    "revive": lambda host: host.revive(Change.SECRET),
}


@settings(max_examples=200)
@given(STEPS, st.sampled_from([0.0, 5000.0]))
def test_the_sinks_view_holds_in_any_order(steps, overlap_ms):
    """W3: one close per open, no message outside a session, a gap between two sessions."""
    asyncio.run(_any_order(steps, overlap_ms))


async def _any_order(steps, overlap_ms):
    world = World(overlap_ms=overlap_ms)
    world.host.start()
    socket = dial = old = None
    for step in steps:
        if dial is not None and dial.answer.cancelled():
            dial = None
        if dial is None and not world.connector._dials.empty():
            dial = await world.connector.dialled()
        if step == "accept" and dial is not None:
            old, socket, dial = socket, dial.accept(), None
        elif step == "refuse" and dial is not None:
            dial.refuse(ConnectionFailure("connection.refused", "no"))
            dial = None
        elif step == "refuse401" and dial is not None:
            dial.refuse(ConnectionFailure("connection.handshake", "no", status=401))
            dial = None
        elif step == "advance":
            world.timers.advance(1)
        elif step == "long":
            world.timers.advance(61)
        elif step == "old" and old is not None:
            old.peer_sends("old")
        elif step in ASKED:
            with contextlib.suppress(ConnectionFailure):
                ASKED[step](world.host)
        elif socket is not None:
            {
                "text": lambda w: w.peer_sends("x"),
                "binary": lambda w: w.peer_sends(b"x"),
                "close": lambda w: w.peer_closes(),
                "vanish": lambda w: w.peer_vanishes(),
            }.get(step, lambda w: None)(socket)
        await world.settle()
    closing = asyncio.ensure_future(world.host.close())
    await world.settle()
    world.timers.advance(100)
    await closing
    assert world.timers.pending == 0
    assert world.host.status().state == "stopped"
    if overlap_ms:
        check_sessions(world.sink.seen)
    else:
        check_order(world.sink.seen)


def check_sessions(calls):
    """With overlap: two sessions at most, each with its own messages between open and close."""
    running, past = [], set()
    for name, *rest in calls:
        if name == "opened":
            assert rest[0] not in past
            running.append(rest[0])
            assert len(running) <= 2
        elif name in ("text", "binary"):
            assert rest[0] in running
        elif name == "closed":
            running.remove(rest[0])
            past.add(rest[0])
        elif name == "gap":
            assert rest[0] in past
    assert not running


def check_order(calls):
    current, past, gap_owed = None, set(), False
    for name, *rest in calls:
        if name == "opened":
            assert current is None
            assert rest[0] not in past
            assert not gap_owed
            current = rest[0]
        elif name in ("text", "binary"):
            assert rest[0] == current
        elif name == "closed":
            assert rest[0] == current
            past.add(current)
            current, gap_owed = None, True
        elif name == "gap":
            assert current is None
            assert gap_owed
            assert rest[1] <= rest[2]
            gap_owed = False
    assert current is None
