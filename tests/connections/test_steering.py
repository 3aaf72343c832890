"""What session commands do to the driver: open, stop, ready, heartbeats, replies (W10)."""

import asyncio
import contextlib
import json
import pickle

import pytest
from tests.connections.conftest import ALLOWED
from tests.connections.world import World

from yoi.connections import DialTarget
from yoi.core.budget import DailyBudget
from yoi.core.frame_watch import Autoreply
from yoi.core.heartbeat import HeartbeatSpec
from yoi.core.session_effects import OpenReason
from yoi.errors import ConnectionFailure, PermissionDenied, SecretError
from yoi.permissions import Decision, JsonPointer, Url
from yoi.permissions.connection_settings import LastValue, Ready
from yoi.permissions.match import Match

TICKET = "3f9c1e7a55aa-super-secret-ticket"
DENIED = Decision(allowed=False, code="denied.not_granted", message="no", hint="grant it")


def ticket(path="/link", **changes):
    url = Url.parse(f"wss://wss.example.com{path}?ticket={TICKET}&app=1")
    return DialTarget(url, **{"once": True, **changes})


def by_command(**changes):
    return World(None, **changes)


def at(text):
    return JsonPointer.parse(text)


def beats(every=30_000, ack=None, text="beat", **changes):
    match = None if ack is None else Match(at("/op"), (ack,))
    return HeartbeatSpec(every_ms=every, render=lambda last: text, ack=match, **changes)


async def test_a_connection_without_a_url_waits_for_one():
    world = by_command()
    world.host.start()
    await world.settle()
    status = world.host.status()
    assert (status.state, status.url) == ("awaiting_open", "*.example.com/link")
    for refused in (lambda: world.host.open(), lambda: world.host.send_text(None, "x")):
        with pytest.raises(ConnectionFailure):
            refused()
    world.host.open(ticket())
    dial = await world.connector.dialled()
    assert dial.target.url.query == f"ticket={TICKET}&app=1"
    dial.accept()
    assert (await world.sink.next("opened"))[4] is OpenReason.COMMAND
    await world.shut()


async def test_policy_is_asked_when_opened_and_again_on_the_dial():
    """P8: what is dialled is what policy sees, in full; a refusal changes nothing."""
    asked, answers = [], [DENIED, ALLOWED, ALLOWED]

    def authorise(url):
        asked.append(url.href)
        return answers.pop(0)

    world = by_command(authorise=authorise)
    world.host.start()
    with pytest.raises(PermissionDenied):
        world.host.open(ticket())
    assert world.host.status().state == "awaiting_open"
    world.host.open(ticket())
    await world.open()
    assert asked == [ticket().url.href] * 3
    assert world.resolver.asked == [("wss.example.com", 443)]
    await world.shut()


async def test_a_spent_ticket_is_not_dialled_again_and_the_plugin_is_asked_for_one():
    world = by_command()
    world.host.start()
    world.host.open(ticket())
    (await world.open()).peer_vanishes()
    _, error, retry = await world.sink.next("failed")
    assert error.code == "connection.lost"
    assert "needed" not in world.sink.names()
    world.timers.advance(retry / 1000)
    assert await world.sink.next("needed") == ("needed", "s1", "lost", 1, 0.0, False)
    assert world.connector._dials.empty()
    world.host.open(ticket("/link2"))
    dial = await world.connector.dialled()
    assert dial.target.url.path == "/link2"
    await world.shut()


async def test_the_url_supplied_last_is_dialled_again_unless_it_is_a_ticket():
    world = World()
    world.host.start()
    socket = await world.open()
    world.host.open(DialTarget(Url.parse("wss://resume.example.com/ws")))
    socket.peer_closes()
    for _ in range(2):
        await world.sink.next("closed")
        world.timers.advance(60)
        dial = await world.connector.dialled()
        assert dial.target.url.host == "resume.example.com"
        dial.accept().peer_closes()
    world.host.open()
    await world.sink.next("closed")
    world.timers.advance(60)
    assert (await world.connector.dialled()).target.url.host == "gateway.example.com"
    await world.shut()


async def test_stop_means_no_dial_until_open():
    """W10: an authentication failure closes with 1000; the plugin says stop."""
    world = World()
    world.host.start()
    socket = await world.open()
    world.host.stop(1000, "invalid_auth")
    assert socket.close_sent == (1000, "invalid_auth")
    socket.peer_closes()
    await world.sink.next("closed")
    world.timers.advance(86_400)
    await world.settle()
    assert world.connector._dials.empty()
    assert world.host.status().state == "stopped"
    for refused in (world.host.reconnect, world.host.ready, world.host.close_session):
        with pytest.raises(ConnectionFailure):
            refused()
    world.host.open()
    await world.open()
    await world.shut()
    with pytest.raises(ConnectionFailure):  # after a shutdown nothing is opened
        world.host.open()


@pytest.mark.parametrize("by_plugin", ["nothing", "reconnect", "open", "stop and open"])
async def test_a_gateway_that_closes_1000_for_ever_is_dialled_as_the_backoff_says(by_plugin):
    """W10: whatever the plugin does about it, there are never more dials."""
    world = World(ready=Ready.COMMAND)
    world.host.start()
    dials = 0
    for _ in range(3600):
        while not world.connector._dials.empty():
            socket = (await world.connector.dialled()).accept()
            dials += 1
            await world.settle()
            socket.peer_sends("hello")
            await world.settle()
            if by_plugin == "reconnect":
                world.host.reconnect()
            elif by_plugin == "open":
                world.host.open()
            elif by_plugin == "stop and open":
                world.host.stop()
                world.host.open()
            socket.peer_closes(1000, "invalid_auth")
            await world.settle()
            if by_plugin == "stop and open":
                world.host.stop()
                world.host.open()
        world.timers.advance(1)
        await world.settle()
    # Seven while it doubles from 375 ms to 45 s, then one each 45 s.
    assert 7 <= dials <= 7 + 3600 / 45 + 1
    assert world.host.status().failures == dials
    await world.shut()


async def test_a_fatal_close_is_not_dialled_again():
    world = World(fatal_close_codes=frozenset({4004}))
    world.host.start()
    (await world.open()).peer_closes(4004, "bad token")
    assert (await world.sink.next("failed"))[1].code == "connection.fatal_close"
    world.timers.advance(86_400)
    await world.settle()
    assert world.connector._dials.empty()
    await world.shut()


async def test_ready_vouches_for_the_session_that_is_open_only():
    world = World(ready=Ready.COMMAND)
    world.host.start()
    (await world.open()).peer_closes()
    await world.sink.next("closed")
    world.timers.advance(1)
    await world.open()
    with pytest.raises(ConnectionFailure) as ended:
        world.host.ready("s1")
    assert ended.value.code == "connection.session_ended"
    assert (world.host.status().ready, world.host.status().failures) == (False, 1)
    world.host.ready("s2")
    assert (world.host.status().ready, world.host.status().failures) == (True, 0)
    await world.shut()


async def test_the_budget_of_a_day_ends_the_dials_of_that_day():
    budget = DailyBudget(2)
    world = World(budget=budget)
    world.host.start()
    for _ in range(2):
        (await world.connector.dialled()).refuse(ConnectionFailure("connection.refused", "no"))
        _, _, retry = await world.sink.next("failed")
        world.timers.advance(retry / 1000)
    _, error, retry = await world.sink.next("failed")
    assert error.code == "connection.budget"
    assert world.connector._dials.empty()
    world.timers.advance(retry / 1000 - 1)
    await world.settle()
    assert world.connector._dials.empty()
    world.timers.advance(2)
    await world.open()
    await world.shut()


async def test_with_overlap_both_sessions_are_heard_and_answered():
    """W10: the old socket drains; an answer belongs on the socket that asked."""
    world = by_command(overlap_ms=5000, ping_ms=10_000_000)
    world.host.start()
    world.host.open(ticket())
    old = await world.open()
    world.timers.advance(3600)
    world.host.open(ticket())
    new = await world.open()
    assert (world.host.status().session, world.host.status().draining) == ("s2", "s1")
    old.peer_sends("late")
    await world.settle()
    new.peer_sends("early")
    await world.settle()
    assert [c[1:3] for c in world.sink.seen if c[0] == "text"] == [("s1", "late"), ("s2", "early")]
    world.host.send_text("s1", "answer")
    world.host.send_text(None, "current")
    assert (old.sent, new.sent) == (["answer"], ["current"])
    world.timers.advance(5)
    assert old.close_sent[0] == 1000
    with pytest.raises(ConnectionFailure):
        world.host.send_text("s1", "too late")
    old.peer_sends("still read")
    old.peer_closes()
    assert (await world.sink.next("closed"))[1:] == ("s1", 1000, "", True)
    assert world.sink.seen[-2][2] == "still read"
    with pytest.raises(ConnectionFailure) as ended:
        world.host.send_text("s1", "too late")
    assert ended.value.code == "connection.session_ended"
    assert "gap" not in world.sink.names()
    assert world.host.status().draining is None
    await world.shut()


async def test_a_pause_holds_both_sessions():
    world = World(overlap_ms=5000)
    world.host.start()
    old = await world.open()
    world.timers.advance(15)
    world.host.open()
    new = await world.open()
    world.host.pause()
    old.peer_sends("1")
    new.peer_sends("2")
    await world.settle()
    assert "text" not in world.sink.names()
    world.host.resume()
    await world.settle()
    assert [c[2] for c in world.sink.seen if c[0] == "text"] == ["1", "2"]
    await world.shut()


async def test_heartbeats_leave_by_themselves_and_end_with_their_session():
    world = World(last=(LastValue("seq", at("/s")),), ping_ms=600_000)
    world.host.start()
    socket = await world.open()
    render = lambda values: json.dumps({"op": 1, "d": values.last.get("seq")})  # noqa: E731
    world.host.heartbeat(HeartbeatSpec(every_ms=10_000, first_ms=2_000, render=render))
    world.timers.advance(2)
    socket.peer_sends('{"s": 41}')
    socket.peer_sends('{"s": null}')
    await world.settle()
    assert world.host.values().last.get("seq") == 41
    assert world.host.values().last.get("other") is None
    world.timers.advance(10)
    assert socket.sent == ['{"op": 1, "d": null}', '{"op": 1, "d": 41}']
    assert (world.host.status().heartbeats, world.host.status().frames_out) == (2, 2)
    socket.peer_closes()
    await world.sink.next("closed")
    world.timers.advance(1)
    fresh = await world.open()
    world.timers.advance(15)
    assert fresh.sent == []
    assert world.host.values().last.get("seq") is None
    world.host.heartbeat(beats())
    world.host.heartbeat(None)
    world.timers.advance(40)
    assert fresh.sent == []
    await world.shut()


async def test_a_zombie_is_dropped_when_its_next_heartbeat_is_due():
    world = World(ping_ms=600_000)
    world.host.start()
    socket = await world.open()
    world.host.heartbeat(beats(10_000, ack=11))
    world.timers.advance(10)
    socket.peer_sends('{"op": 11}')
    await world.settle()
    assert world.host.status().last_ack_at == world.host.status().last_frame_at
    world.timers.advance(10)
    socket.peer_sends('{"op": 0}')  # busy with events, but deaf to us
    await world.settle()
    assert socket.sent == ["beat", "beat"]
    world.timers.advance(10)
    assert socket.close_sent == (4000, "a heartbeat went unanswered")
    socket.peer_closes(4000)
    _, error, retry = await world.sink.next("failed")
    assert error.code == "connection.heartbeat"
    assert retry is not None
    world.timers.advance(1)
    await world.open()
    await world.shut()


async def test_a_heartbeat_is_excused_while_reading_is_paused():
    world = World(ping_ms=600_000, pause_grace_ms=60_000)
    world.host.start()
    socket = await world.open()
    world.host.heartbeat(beats(10_000, ack=11))
    world.timers.advance(10)
    world.host.pause()
    socket.peer_sends('{"op": 11}')
    world.timers.advance(25)
    assert socket.sent == ["beat"] * 3
    world.host.resume()
    await world.settle()
    assert world.host.status().state == "open"
    await world.shut()


async def test_a_heartbeat_that_cannot_be_rendered_is_said_once():
    world = World()
    world.host.start()
    socket = await world.open()

    def render(last):
        raise SecretError("secret.missing", "the secret bot is not there")

    world.host.heartbeat(HeartbeatSpec(every_ms=1000, render=render))
    world.timers.advance(5)
    assert socket.sent == []
    notices = [c for c in world.sink.seen if c[:2] == ("notice", "notice.heartbeat")]
    assert len(notices) == 1
    assert notices[0][3] == {"session": "s1", "error": "secret.missing"}
    await world.shut()


async def test_frames_are_answered_before_the_plugin_hears_of_them():
    """W10: an acknowledgement leaves at once, with the values copied; the frame is delivered."""
    world = World()
    world.host.start()
    socket = await world.open()
    reply = Autoreply(
        Match(at("/type"), ("req",)),
        lambda copied, last: json.dumps({"ack": copied[0]}),
        (at("/id"),),
    )
    world.host.autoreply(reply)
    sent_when_heard = []
    # The plugin hears of a frame in a later turn of the loop than its sink.
    later = asyncio.get_running_loop().call_soon
    world.sink.on_text = lambda session, text: later(
        lambda: sent_when_heard.append(len(socket.sent))
    )
    for frame in ('{"type": "req", "id": 7}', '{"type": "req"}', '{"type": "x", "id": 8}'):
        socket.peer_sends(frame)
    await world.settle()
    assert socket.sent == ['{"ack": 7}']
    assert sent_when_heard == [1, 1, 1]
    assert world.host.status().autoreplies == 1
    assert [c[1] for c in world.sink.seen if c[0] == "notice"] == ["notice.autoreply"]
    world.host.autoreply(None)
    socket.peer_sends('{"type": "req", "id": 9}')
    await world.settle()
    assert len(socket.sent) == 1
    await world.shut()


async def test_autoreplies_are_bounded_and_the_same_match_replaces():
    world = World()
    world.host.start()
    socket = await world.open()
    for number in range(8):
        world.host.autoreply(Autoreply(Match(at("/n"), (number,)), lambda *_: "old"))
    world.host.autoreply(Autoreply(Match(at("/n"), (3,)), lambda *_: "new"))
    with pytest.raises(ConnectionFailure) as refused:
        world.host.autoreply(Autoreply(Match(at("/n"), (8,)), lambda *_: "x"))
    assert refused.value.code == "connection.autoreplies"
    socket.peer_sends('{"n": 3}')
    await world.settle()
    assert socket.sent == ["new"]
    await world.shut()


async def test_sends_over_the_rate_are_refused_and_heartbeats_are_not():
    world = World(send_per_second=2)
    world.host.start()
    socket = await world.open()
    world.host.heartbeat(beats(1000))
    for second in range(3):
        sent = 0
        for _ in range(10):
            with contextlib.suppress(ConnectionFailure):
                world.host.send_text(None, "x")
                sent += 1
        assert 1 <= sent <= 2
        world.timers.advance(1)
        assert socket.sent.count("beat") == second + 1
    await world.shut()


def test_nothing_shows_what_a_target_hides():
    """S9, W9: no repr, str, status, error or pickle has the ticket or an inserted header."""
    target = ticket(inserted=(("Authorization", f"Bearer {TICKET}"),))
    assert TICKET not in repr(target)
    assert "wss.example.com/…" in repr(target), "the path of a captured URL may be the credential"
    assert TICKET not in f"{target!s} {[target]!r}"
    with pytest.raises(TypeError):
        pickle.dumps(target)
    error = ConnectionFailure(
        "connection.handshake",
        f"the server says 'ticket={TICKET}&app=1' and {TICKET}",
        hint=f"use {TICKET}",
        host="x",
    )
    cleared = target.cleared(error)
    assert TICKET not in f"{cleared} {cleared!r} {cleared.hint}"
    assert (cleared.code, cleared.fields) == (error.code, error.fields)
    with pytest.raises(ValueError, match="ASCII") as refused:
        ticket(inserted=(("Authorization", f"{TICKET}\r\nHost: evil"),))
    assert TICKET not in str(refused.value)


@pytest.mark.parametrize("name", ["Host", "Upgrade", "Sec-WebSocket-Key", "Connection", "Origin"])
def test_not_even_an_inserted_header_is_the_handshake_s_own(name):
    with pytest.raises(ValueError, match="set by the host"):
        ticket(inserted=((name, "x"),))
    with pytest.raises(ValueError, match="credential"):
        ticket(headers=(("Authorization", "x"),))


async def test_what_goes_wrong_on_the_way_never_shows_the_ticket():
    """S9: refusals, defects, close reasons, statuses: scheme and host only."""
    world = by_command()
    world.host.start()
    secret = (f"no {ticket().url.href}", TICKET)
    for problem in (ConnectionFailure("connection.handshake", secret[0]), RuntimeError(*secret)):
        world.host.open(ticket())
        (await world.connector.dialled()).answer.set_exception(problem)
        await world.sink.next("failed")
        world.timers.advance(61)
        await world.sink.next("needed")
    world.host.open(ticket())
    socket = await world.open()
    socket.peer_closes(4000, f"bad {TICKET}")
    await world.sink.next("closed")
    shown = repr((world.sink.seen, [str(c[1]) for c in world.sink.seen], world.host.status()))
    assert TICKET not in shown
    assert "wss.example.com/…" in shown
    assert world.host.status().last_error_code == "usage.internal"
    await world.shut()


async def test_a_dial_that_was_given_up_leaves_nothing_behind():
    world = World()
    world.host.start()
    first = await world.connector.dialled()
    world.host.stop()
    world.host.open()
    await asyncio.sleep(0)
    assert first.answer.cancelled()
    second = await world.connector.dialled()
    second.accept()
    await world.sink.next("opened")
    await world.shut()


async def test_each_session_counts_from_one_and_heartbeats_share_its_numbers():
    world = World(ping_ms=600_000)
    world.host.start()
    socket = await world.open()
    beat = HeartbeatSpec(every_ms=10_000, first_ms=2_000, render=lambda v: f"beat {v.next_count()}")
    world.host.heartbeat(beat)
    assert world.host.values().next_count() == 1
    world.timers.advance(2)
    assert world.host.values().next_count() == 3
    world.timers.advance(10)
    assert socket.sent == ["beat 2", "beat 4"]
    socket.peer_closes()
    await world.sink.next("closed")
    world.timers.advance(1)
    await world.open()
    assert world.host.values().next_count() == 1
    await world.shut()
