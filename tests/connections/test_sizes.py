"""N4: what the grant allows arrives and leaves, in any pieces; more is refused with its key."""

import itertools

import pytest

from yoi.errors import ConnectionFailure
from yoi.limits import KIB, MIB
from yoi.permissions import Decision
from yoi.testing.gateway import FakeGateway

ONCE = {"backoff_first_ms": 60_000, "backoff_max_ms": 60_000}
KINDS = {
    "text": lambda size: "x" * size,
    "json": lambda size: ("[" + '{"a":1},' * (size // 8))[: size - 2] + "0]",
    "emoji": lambda size: "\U0001f600" * (size // 4),
    "binary": lambda size: bytes(size),
}
PIECES = [None, 1 * KIB, 4 * KIB, 64 * KIB]


def granted(size):
    return Decision(allowed=True, private_addresses=True, max_message_bytes=size)


def in_pieces(message, piece):
    if piece is None:
        return message
    step = piece if isinstance(message, bytes) else max(1, piece // len(message[:1].encode()))
    return [message[at : at + step] for at in range(0, len(message), step)]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_granted_size_arrives_and_leaves_in_any_pieces(connect, kind):
    async with FakeGateway() as gateway:
        decision = granted(16 * MIB)
        connection, sink = connect(gateway.url, authorise=lambda _: decision, **ONCE)
        peer = await gateway.accept()
        await sink.next("opened")
        for size, piece in itertools.product((64 * KIB, 16 * MIB), PIECES):
            message = KINDS[kind](size)
            await peer.send(in_pieces(message, piece))
            got = await sink.next("binary" if kind == "binary" else "text")
            assert got[2] == message
        send = connection.send_binary if kind == "binary" else connection.send_text
        send(None, message)
        assert await peer.receive() == message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("piece", PIECES)
async def test_what_is_not_granted_is_refused_with_the_key(connect, kind, piece):
    async with FakeGateway() as gateway:
        message = KINDS[kind](1 * MIB + 4)
        decision = granted(1 * MIB)
        connection, sink = connect(gateway.url, authorise=lambda _: decision, **ONCE)
        peer = await gateway.accept()
        await sink.next("opened")
        send = connection.send_binary if kind == "binary" else connection.send_text
        with pytest.raises(ConnectionFailure) as refused:
            send(None, message)
        await peer.send(in_pieces(message, piece))
        for error in (refused.value, (await sink.next("failed"))[1]):
            assert error.code == "connection.too_big"
            assert "max_message_bytes = " in error.hint
