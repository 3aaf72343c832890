"""The driver against a real server (W1, W2, W3, W5, W6, W8)."""

import asyncio
import dataclasses

import pytest
from tests.connections.conftest import QUICK

from yoi.connections import DialTarget
from yoi.core.frame_watch import Autoreply
from yoi.core.heartbeat import HeartbeatSpec
from yoi.errors import ConnectionFailure
from yoi.permissions import JsonPointer, Url
from yoi.permissions.match import Match
from yoi.testing.gateway import FakeGateway


@pytest.fixture
async def gateway():
    async with FakeGateway() as running:
        yield running


async def test_text_arrives_in_order_and_answers_leave(connect, gateway):
    """W1, W2: the host dials, reads and writes; each text becomes one call, in order."""
    host, sink = connect(gateway.url)
    peer = await gateway.accept()
    _, session, subprotocol, address, _ = await sink.next("opened")
    assert subprotocol is None
    assert address == f"127.0.0.1:{gateway.port}"
    for number in range(200):
        await peer.send(f"event {number}")
    for number in range(200):
        assert await sink.next("text") == (
            "text",
            session,
            f"event {number}",
            len(f"event {number}"),
        )
    host.send_text(session, "réponse")
    host.send_binary(session, b"\x00\x01")
    host.send_text(None, "current")
    assert [await peer.receive() for _ in range(3)] == ["réponse", b"\x00\x01", "current"]
    status = host.status()
    assert (status.frames_in, status.frames_out) == (200, 3)
    assert status.bytes_out == len("réponse".encode()) + 2 + 7


async def test_a_closed_session_is_followed_by_a_gap_and_a_new_one(connect, gateway):
    """W3: frames, close, gap, open: in this order, each once."""
    host, sink = connect(gateway.url)
    peer = await gateway.accept()
    _, first, *_ = await sink.next("opened")
    await peer.send("last words")
    await peer.close(4321, "bye")
    assert await sink.next("closed") == ("closed", first, 4321, "bye", True)
    peer = await gateway.accept()
    _, earlier, since, until, why = await sink.next("gap")
    assert (earlier, why) == (first, "closed")
    assert since <= until
    _, second, *_ = await sink.next("opened")
    assert second != first
    await peer.send("hello again")
    await sink.next("text")
    assert sink.names() == ["opened", "text", "closed", "gap", "opened", "text"]
    with pytest.raises(ConnectionFailure) as refused:
        host.send_text(first, "too late")
    assert refused.value.code == "connection.session_ended"
    status = host.status()
    assert (status.reconnects, status.gaps, status.send_failures) == (1, 1, 1)
    assert (status.close_code, status.close_reason) == (4321, "bye")


async def test_close_says_goodbye_and_stays_closed(connect, gateway):
    """W8: shutdown writes what is queued, then closes cleanly."""
    host, sink = connect(gateway.url)
    peer = await gateway.accept()
    _, session, *_ = await sink.next("opened")
    host.send_text(session, "last message")
    await host.close(1001, "going away")
    assert await peer.receive() == "last message"
    assert await peer.closed() == (1001, "going away")
    assert sink.names() == ["opened", "closed"]
    assert sink.seen[-1][1:3] == (session, 1001)
    assert sink.seen[-1][4] is True
    assert host.status().state == "stopped"
    with pytest.raises(ConnectionFailure) as refused:
        host.send_text(None, "too late")
    assert refused.value.code == "connection.not_open"


async def test_a_server_that_is_killed_and_restarted_is_found_again(connect, gateway):
    """W1, W3: the same connection, a new session, the gap between."""
    host, sink = connect(gateway.url)
    peer = await gateway.accept()
    _, first, *_ = await sink.next("opened")
    peer.kill()
    await gateway.stop()
    assert (await sink.next("failed"))[1].code == "connection.lost"
    assert (await sink.next("failed"))[1].code == "connection.refused"
    await gateway.start()
    _, earlier, since, until, why = await sink.next("gap")
    assert (earlier, why) == (first, "lost")
    assert since <= until
    await sink.next("opened")
    assert host.status().state == "open"
    assert host.status().last_error_code in ("connection.refused", "connection.lost")


async def test_reconnect_closes_the_old_socket_before_the_new_one_is_used(connect, gateway):
    host, sink = connect(gateway.url)
    old = await gateway.accept()
    await sink.next("opened")
    host.reconnect(4000, "resume")
    assert await old.closed() == (4000, "resume")
    await sink.next("closed")
    new = await gateway.accept()
    _, session, *_ = await sink.next("opened")
    host.send_text(session, "here")
    assert await new.receive() == "here"


async def test_a_paused_connection_stops_the_server_and_loses_nothing(connect, gateway):
    """W8: reading stops at once; what was on its way comes after the pause, in order."""
    host, sink = connect(gateway.url)
    peer = await gateway.accept()
    await sink.next("opened")

    def pause_at_three(session, text):
        if text == "3":
            host.pause()

    sink.on_text = pause_at_three
    sending = asyncio.ensure_future(send_numbers(peer, 300))
    for number in range(4):
        assert (await sink.next("text"))[2] == str(number)
    await sending
    assert [c[2] for c in sink.seen if c[0] == "text"] == ["0", "1", "2", "3"]
    sink.on_text = None
    host.resume()
    for number in range(4, 300):
        assert (await sink.next("text"))[2] == str(number)


async def test_what_was_received_before_the_end_is_delivered_though_reading_is_paused(
    connect, gateway
):
    """All messages of a session come before its close."""
    host, sink = connect(gateway.url)
    peer = await gateway.accept()
    await sink.next("opened")
    sink.on_text = lambda session, text: host.pause()
    await peer.send("one")
    await peer.send("two")
    await sink.next("text")
    closing = asyncio.ensure_future(peer.close(4001, "done"))
    host.resume()
    await sink.next("text")
    host.resume()
    assert (await sink.next("closed"))[2:] == (4001, "done", True)
    await closing
    assert sink.names()[:4] == ["opened", "text", "text", "closed"]


async def send_numbers(peer, count):
    for number in range(count):
        await peer.send(str(number))


async def test_with_overlap_the_old_socket_is_closed_after_the_new_one_is_open(connect, gateway):
    """W10: a refresh announced by the server loses nothing, on real sockets."""
    limits = dataclasses.replace(QUICK, session_ready_ms=1)
    host, sink = connect(gateway.url, overlap_ms=200, limits=limits)
    old = await gateway.accept()
    _, first, *_ = await sink.next("opened")
    host.open(DialTarget(Url.parse(f"{gateway.url}?ticket=t1"), once=True))
    new = await gateway.accept()
    assert new.path == "/?ticket=t1"
    _, second, *_ = await sink.next("opened")
    await old.send("from the old one")
    assert (await sink.next("text"))[1:3] == (first, "from the old one")
    host.send_text(first, "to the old one")
    host.send_text(None, "to the new one")
    assert await old.receive() == "to the old one"
    assert await new.receive() == "to the new one"
    assert await old.closed() == (1000, "a newer session took over")
    assert (await sink.next("closed"))[1:] == (first, 1000, "a newer session took over", True)
    assert host.status().session == second
    assert "gap" not in sink.names()


async def test_heartbeats_and_replies_leave_on_a_real_socket(connect, gateway):
    host, sink = connect(gateway.url)
    peer = await gateway.accept()
    await sink.next("opened")
    host.autoreply(Autoreply(Match(JsonPointer(("t",)), ("ask",)), lambda *_: "answer"))
    host.heartbeat(HeartbeatSpec(every_ms=1000, first_ms=0, render=lambda last: "beat"))
    assert await peer.receive() == "beat"
    await peer.send('{"t": "ask"}')
    assert await peer.receive() == "answer"
    await sink.next("text")


async def test_inserted_headers_reach_the_server_once(connect, gateway):
    host, _ = connect(None, headers=(("X-App", "plan"),))
    host.open(
        DialTarget(
            Url.parse(gateway.url),
            headers=(("x-app", "plugin"),),
            inserted=(("Authorization", "Bearer t0ken"),),
        )
    )
    peer = await gateway.accept()
    sent = [(name.lower(), value) for name, value in peer.headers]
    assert [v for n, v in sent if n == "x-app"] == ["plugin"]
    assert [v for n, v in sent if n == "authorization"] == ["Bearer t0ken"]
