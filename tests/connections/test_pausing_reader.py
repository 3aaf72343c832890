"""`PausingReader` takes one buffer at a time from its transport, and loses nothing (K2)."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.connections.pausing_reader import PausingReader


class Transport:
    """Writes what it has whenever it may, as transports do; counts what it hands over unasked."""

    def __init__(self, reader: PausingReader) -> None:
        self.reader = reader
        self.left = b""
        self.reading = True
        self.writes = 0
        self.ends = False
        reader.connection_made(self)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        self.flow()

    def flow(self) -> None:
        while self.reading and self.left:
            room = self.reader.get_buffer(-1)
            piece, self.left = self.left[: len(room)], self.left[len(room) :]
            room[: len(piece)] = piece
            self.writes += 1
            self.reader.buffer_updated(len(piece))
        if self.ends and self.reading:
            self.reader.eof_received()


async def _whole(reader: PausingReader) -> bytes:
    read = bytearray()
    while piece := await reader.read():
        read += piece
    return bytes(read)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=12), st.integers(1, 16))
def test_everything_arrives_in_order_whatever_the_pieces_are(pieces, size):
    async def run():
        reader = PausingReader(size)
        transport = Transport(reader)
        reading = asyncio.create_task(_whole(reader))
        for piece in pieces:
            transport.left += piece
            transport.flow()
            await asyncio.sleep(0)
        transport.ends = True
        transport.flow()
        assert await reading == b"".join(pieces)

    asyncio.run(run())


async def test_nothing_more_is_taken_than_one_buffer_until_it_is_asked_for():
    reader = PausingReader(8)
    transport = Transport(reader)
    transport.left = b"x" * 64
    transport.flow()
    assert transport.writes == 1
    assert await reader.read() == b"x" * 8
    assert transport.writes == 1, "nothing more was asked for"
    await reader.read()
    assert transport.writes == 2


async def test_what_arrived_before_a_loss_is_read_first():
    reader = PausingReader(8)
    transport = Transport(reader)
    transport.left = b"whole"
    transport.flow()
    reader.connection_lost(ConnectionResetError("reset"))
    assert await reader.read() == b"whole"
    with pytest.raises(ConnectionResetError):
        await reader.read()


async def test_a_loss_ends_a_read_that_waits():
    reader = PausingReader(8)
    Transport(reader)
    reading = asyncio.create_task(_whole(reader))
    await asyncio.sleep(0)
    reader.connection_lost(None)
    assert await reading == b""
