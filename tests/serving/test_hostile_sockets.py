"""Frames as only an attacker writes them, on an observer's socket."""

import asyncio
import json
import socket
from types import SimpleNamespace

import pytest
from tests.serving.raw import UPGRADE, connected, eventually, frame
from tests.serving.streams import served

from yoi.core.observation import Framing
from yoi.core.observation.framing import websocket_frame
from yoi.limits import Limits
from yoi.serving.admission import Admitted
from yoi.serving.observer import ObserverContext, ObserverProtocol
from yoi.serving.sockets import OpenSockets
from yoi.serving.watcher import Watching
from yoi.testing import ManualClock

REQUEST = (
    b"GET /api/runtimes/local/workers/triage/events/ws HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n"
)
TEXT, CONTINUED, BINARY, CLOSE, PING, PONG = 1, 0, 2, 8, 9, 10
LIMITS = Limits(close_ms=100)


async def begun(client):
    """Read up to the end of the snapshot."""
    await client.until(b'"event":"snapshot"')
    await client.until(b"}}}")


def close_code(data: bytes) -> int:
    """Return the code of the close frame that `data` ends with."""
    found = data.rindex(b"\x88")
    return int.from_bytes(data[found + 2 : found + 4])


BAD = {
    "text": (frame(TEXT, b"hello"), 4503),
    "an empty text": (frame(TEXT), 4503),
    "a first fragment": (frame(TEXT, b"a", first=0), 4503),
    "binary": (frame(BINARY, b"\0"), 4503),
    "not UTF-8": (frame(TEXT, b"\xff"), 4503),
    "a continuation of nothing": (frame(CONTINUED, b"a"), 1002),
    "a reserved bit": (frame(TEXT, b"a", first=0xC0), 1002),
    "a reserved opcode": (frame(3), 1002),
    "not masked": (frame(TEXT, b"a", mask=False), 1002),
    "a fragmented ping": (frame(PING, b"a", first=0), 1002),
    "a long ping": (frame(PING, b"a" * 126), 1002),
    "a message over its bound": (frame(TEXT, b"a" * 5000), 1009),
    "a close with half a code": (frame(CLOSE, b"\x03"), 1002),
    "a close with a code of nobody": (frame(CLOSE, (1005).to_bytes(2)), 1002),
}


@pytest.mark.parametrize(("data", "code"), BAD.values(), ids=BAD)
async def test_every_frame_that_may_not_be_sent_is_a_close(data, code) -> None:
    async with served(LIMITS) as world, connected(world.server.address, REQUEST) as client:
        await begun(client)
        client.writer.write(data)
        rest = await client.rest()
        assert close_code(rest) == code
        assert (b"observation_only" in rest) == (code == 4503)
    assert world.server.open_sockets == 0


async def test_what_comes_with_the_handshake_is_judged_after_it() -> None:
    async with served(LIMITS) as world, connected(world.server.address, REQUEST) as client:
        client.writer.write(frame(TEXT, b"hello"))
        rest = await client.rest()
        assert rest.index(b'"event":"snapshot"') < rest.index(b"observation_only")


async def test_compression_that_is_offered_is_not_taken() -> None:
    offer = REQUEST[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    async with served() as world, connected(world.server.address, offer) as client:
        assert b"extensions" not in (await client.until(b"\r\n\r\n")).lower()


async def test_a_ping_is_answered() -> None:
    async with served() as world, connected(world.server.address, REQUEST) as client:
        await begun(client)
        client.writer.write(frame(PING, b"there?"))
        await client.until(b"\x8a\x06there?")


@pytest.mark.parametrize("opcode", [PING, PONG])
async def test_a_flood_of_control_frames_is_ended(opcode) -> None:
    async with served(LIMITS) as world, connected(world.server.address, REQUEST) as client:
        await begun(client)
        client.writer.write(frame(opcode) * 200_000)
        rest = await client.rest()
        assert b"observation_only" in rest
        assert rest.count(b"\x8a\x00") <= LIMITS.control_frames_per_second + 1


async def test_a_client_that_pings_and_reads_nothing_holds_no_memory() -> None:
    """Its pongs wait in the socket, then its pings do."""
    limits = Limits(control_frames_per_second=10**9, follower_buffer_bytes=4096)
    async with served(limits) as world:
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(narrow, world.server.address)
        await loop.sock_sendall(narrow, REQUEST)
        await eventually(lambda: world.hub.watched == 1)
        (watcher,) = world.hub.channel(world.stream.subject).watchers
        held = watcher.transport._transport
        sending = asyncio.ensure_future(
            loop.sock_sendall(narrow, frame(PING, b"a" * 100) * 300_000)
        )
        await eventually(lambda: not held.is_reading())
        # What was read at once may be answered at once; nothing more is read until it is taken.
        assert held.get_write_buffer_size() < 2 * 256 * 1024
        assert not sending.done()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        narrow.close()


async def test_a_client_that_reads_again_is_heard_again() -> None:
    limits = Limits(control_frames_per_second=10**9, follower_buffer_bytes=4096)
    async with served(limits) as world, connected(world.server.address, REQUEST) as client:
        await begun(client)
        (watcher,) = world.hub.channel(world.stream.subject).watchers
        client.reader._transport.pause_reading()
        client.writer.write(frame(PING, b"a" * 100) * 100_000)
        await eventually(lambda: not watcher.transport._transport.is_reading())
        world.say("last")
        client.reader._transport.resume_reading()
        client.writer.write(frame(PING, b"done"))
        data = await client.until(b"\x8a\x04done")
        assert data.count(b"\x8a\x64") == 100_000
        assert b'"text":"last"' in data


async def test_a_client_that_half_closes_is_let_go() -> None:
    async with served() as world, connected(world.server.address, REQUEST) as client:
        await begun(client)
        client.writer.write_eof()
        await client.rest()
        await eventually(lambda: not world.server.open_sockets)
        assert world.hub.watched == 0


class Trickle(asyncio.Transport):
    """A transport that takes nothing more, and gets rid of `unsent` at the peer's pace."""

    unsent = 1000

    def get_write_buffer_size(self):
        return self.unsent

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def is_reading(self):
        return False

    def is_closing(self):
        return False

    def get_extra_info(self, name, default=None):
        return "TLS" if name == "sslcontext" else default


async def test_a_client_that_takes_little_by_little_is_slow_and_not_dead() -> None:
    moved, wire = asyncio.Queue(), Trickle()
    limits, clock = Limits(follower_stall_ms=8), ManualClock()
    sockets = OpenSockets(limits)
    observer = ObserverProtocol(ObserverContext(None, None, sockets, clock, limits))
    observer.connection_made(wire)
    observer._watcher = SimpleNamespace(pause=lambda now: None, moved=moved.put_nowait)
    observer._admitted = SimpleNamespace(
        channel=SimpleNamespace(leave=lambda watcher: None), left=lambda: None
    )
    observer.pause_writing()
    for _ in range(3):
        wire.unsent -= 1
        assert await moved.get() == clock.monotonic()
    looking = observer._looking
    observer.connection_lost(None)
    assert looking.cancelled()
    assert moved.empty()


async def test_nobody_else_waits_while_somebody_floods() -> None:
    async with served(LIMITS) as world:
        async with (
            connected(world.server.address, REQUEST) as calm,
            connected(world.server.address, REQUEST) as loud,
        ):
            await begun(calm)
            await begun(loud)
            loud.writer.write(frame(TEXT, b"a") * 100_000)
            world.say("heard")
            await calm.until(b'"text":"heard"')
            told = await loud.rest()
        # A socket that is closed with input unread may lose what was written last.
        assert b"\x88" not in told or close_code(told) == 4503
        assert 0 < world.hub.counters.refused_input < 1000


def test_a_frame_is_what_the_protocol_says() -> None:
    """The frames above are built by hand, too."""
    assert websocket_frame(json.dumps({}).encode()) == b"\x81\x02{}"


async def test_a_first_frame_that_fails_leaves_no_socket_open() -> None:
    async def admit(request):
        channel = world.hub.channel(world.stream.subject)
        feed = channel.feed("fails", Framing.WEBSOCKET, lambda event: 1 / 0)
        return Admitted(channel=channel, feed=feed, watching=Watching("eve"))

    async with served(admit=admit) as world, connected(world.server.address, REQUEST) as client:
        assert b"event" not in await client.rest()
        await eventually(lambda: not world.server.open_sockets)
        assert world.hub.watched == 0
