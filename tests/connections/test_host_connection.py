"""The driver against a real server (W1, W2, W3, W5, W6, W8)."""

import pytest

from yoi.errors import ConnectionFailure
from yoi.testing.gateway import FakeGateway


@pytest.fixture
async def gateway():
    async with FakeGateway() as running:
        yield running


async def test_text_arrives_in_order_and_answers_leave(connect, gateway):
    """W1, W2: the host dials, reads and writes; each text becomes one call, in order."""
    host, sink = connect(gateway.url)
    peer = await gateway.accept()
    _, session, subprotocol, address = await sink.next("opened")
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
    assert sink.seen[-1] == ("closed", session, 1001, "", True) or sink.seen[-1][2] == 1001
    assert host.status().state == "stopped"
    with pytest.raises(ConnectionFailure) as refused:
        host.send_text(None, "too late")
    assert refused.value.code == "connection.not_open"
