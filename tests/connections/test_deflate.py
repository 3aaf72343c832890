"""permessage-deflate: what servers compress arrives, and no bomb is more than the grant."""

import random
import zlib

import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode

from yoi.connections.deflate import BoundedDeflate
from yoi.permissions import Decision

ONCE = {"backoff_first_ms": 60_000, "backoff_max_ms": 60_000}
SIZE = 70_000
ALLOWED = Decision(allowed=True, private_addresses=True, max_message_bytes=SIZE)


def compressed(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return (made.compress(data) + made.flush(zlib.Z_SYNC_FLUSH))[:-4]


def deflate() -> BoundedDeflate:
    return BoundedDeflate(False, True, 15, 15)


def test_a_bomb_is_refused_within_its_bound():
    with pytest.raises(PayloadTooBig):
        deflate().decode(Frame(Opcode.TEXT, compressed(bytes(50 << 20)), rsv1=True), max_size=SIZE)


def test_a_bomb_behind_a_full_message_is_refused():
    """The bound that is left is 0, which zlib takes for none."""
    made = zlib.compressobj(wbits=-15)
    first = made.compress(bytes(SIZE)) + made.flush(zlib.Z_SYNC_FLUSH)
    second = made.compress(bytes(50 << 20)) + made.flush(zlib.Z_SYNC_FLUSH)
    under_test = deflate()
    frame = under_test.decode(Frame(Opcode.BINARY, first, fin=False, rsv1=True), max_size=SIZE)
    assert len(frame.data) == SIZE
    with pytest.raises(PayloadTooBig):
        under_test.decode(Frame(Opcode.CONT, second, fin=False), max_size=0)


def test_a_last_fragment_without_bytes_ends_a_full_message():
    made = zlib.compressobj(wbits=-15)
    first = made.compress(bytes(SIZE)) + made.flush(zlib.Z_SYNC_FLUSH)
    under_test = deflate()
    under_test.decode(Frame(Opcode.BINARY, first, fin=False, rsv1=True), max_size=SIZE)
    assert under_test.decode(Frame(Opcode.CONT, b"\x00"), max_size=0).data == b""


async def test_a_server_that_compresses_is_understood_and_its_bomb_refused(connect):
    offered = []

    async def talk(ws):
        offered.append(ws.request.headers["Sec-WebSocket-Extensions"])
        for _ in range(2):
            await ws.send("x" * SIZE)  # the second from the window of the first
        await ws.send(await ws.recv())
        await ws.send(bytes(50 << 20))
        await ws.wait_closed()

    async with serve(talk, "127.0.0.1", 0, compression="deflate", max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"ws://127.0.0.1:{port}/"
        connection, sink = connect(url, authorise=lambda _: ALLOWED, **ONCE)
        for _ in range(2):
            assert (await sink.next("text"))[2] == "x" * SIZE
        connection.send_text(None, "plain")
        assert (await sink.next("text"))[2] == "plain"
        assert (await sink.next("failed"))[1].code == "connection.too_big"
    assert offered == ["permessage-deflate; client_no_context_takeover; client_max_window_bits"]


@pytest.mark.parametrize("pieces", [1, 7])
async def test_a_message_of_exactly_the_grant_arrives_however_it_is_compressed_and_no_byte_more(
    connect, pieces
):
    """What does not compress is longer on the wire; an empty last fragment is a byte there."""
    noise = random.Random(1).randbytes(SIZE)

    def cut(data):
        return [
            data[at : at + len(data) // pieces] for at in range(0, len(data), len(data) // pieces)
        ]

    async def talk(ws):
        await ws.send(cut(noise))
        await ws.send(noise)
        await ws.send(cut(noise + b"x"))
        await ws.wait_closed()

    async with serve(talk, "127.0.0.1", 0, compression="deflate") as server:
        port = server.sockets[0].getsockname()[1]
        _, sink = connect(f"ws://127.0.0.1:{port}/", authorise=lambda _: ALLOWED, **ONCE)
        await sink.next("opened")
        assert [(await sink.next("binary"))[2] for _ in range(2)] == [noise, noise]
        error = (await sink.next("failed"))[1]
        assert (error.code, error.fields["allowed"]) == ("connection.too_big", SIZE)


async def test_a_bomb_spread_over_fragments_is_refused_within_its_bound(connect):
    async def talk(ws):
        await ws.send(bytes(SIZE // 10) for _ in range(5000))

    async with serve(talk, "127.0.0.1", 0, compression="deflate") as server:
        port = server.sockets[0].getsockname()[1]
        _, sink = connect(f"ws://127.0.0.1:{port}/", authorise=lambda _: ALLOWED, **ONCE)
        await sink.next("opened")
        assert (await sink.next("failed"))[1].code == "connection.too_big"
