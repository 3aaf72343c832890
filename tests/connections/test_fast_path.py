"""The fast path of the reader may only ever agree with the library it stands in front of."""

import asyncio
import dataclasses
import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.connections.conftest import settings_for
from websockets.frames import Frame, Opcode

from yoi.connections import DialTarget
from yoi.connections.handshake import new_protocol
from yoi.connections.websocket import AsyncioWebSocket
from yoi.limits import LIMITS
from yoi.testing import ManualClock

MAX_BYTES = 6000
BOUNDS = dataclasses.replace(LIMITS, fragments_per_message=4, empty_fragments=2)


class Pipe:
    """A transport that keeps what is written."""

    def __init__(self):
        self.written = b""

    def write(self, data):
        self.written += data

    def get_write_buffer_size(self):
        return 0

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def abort(self):
        pass


class Log:
    """Owner of one socket; pauses after every `pause_every` messages."""

    def __init__(self, socket, pause_every):
        self.socket = socket
        self.calls = []
        self._pause_every = pause_every

    def on_text(self, text, size):
        self._put(("text", text, size))

    def on_binary(self, data):
        self._put(("binary", data))

    def on_closing(self):
        self.calls.append(("closing",))

    def on_ended(self, end):
        error = None if end.error is None else end.error.code
        self.calls.append(("ended", end.code, end.reason, end.clean, error))

    def _put(self, call):
        self.calls.append(call)
        if self._pause_every and len(self.calls) % self._pause_every == 0:
            self.socket.pause_reading()


class LibraryOnly(AsyncioWebSocket):
    def _take_whole_texts(self, data, at):
        return at, False


async def outcome(kind, chunks, pause_every):
    """Return what an owner hears of `chunks`, and the close code that is written."""
    settings = settings_for("ws://127.0.0.1/")
    protocol = new_protocol(settings.handshake, DialTarget(settings.url), MAX_BYTES, "test")
    socket = kind(protocol, "test", limits=BOUNDS, clock=ManualClock())
    pipe = Pipe()
    socket.connection_made(pipe)
    response = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {_accept(protocol.key)}\r\n\r\n"
    )
    socket.data_received(response.encode())
    await socket.upgraded
    log = Log(socket, pause_every)
    socket.attach(log)
    socket.resume_reading()
    for chunk in chunks:
        socket.data_received(chunk)
        await asyncio.sleep(0)
        socket.resume_reading()
        await asyncio.sleep(0)
    socket.connection_lost(None)
    for _ in range(200):
        if socket._reported:
            break
        socket.resume_reading()
        await asyncio.sleep(0)
    sent = protocol.close_sent
    return log.calls, None if sent is None else int(sent.code)


def _accept(key):
    from websockets.utils import accept_key

    return accept_key(key)


def raw(opcode, payload, *, fin=True):
    return Frame(opcode, payload, fin).serialize(mask=False)


payloads = st.one_of(
    st.binary(max_size=130),
    st.text(max_size=60).map(str.encode),
    st.integers(120, 130).map(lambda n: b"a" * n),
    st.sampled_from([b"b" * 4096, b"c" * 4097, b"d" * MAX_BYTES, b"e" * (MAX_BYTES + 1)]),
)
frames = st.one_of(
    st.text(max_size=200).map(lambda text: raw(Opcode.TEXT, text.encode())),
    st.builds(raw, st.sampled_from([Opcode.TEXT, Opcode.BINARY]), payloads),
    st.builds(
        raw,
        st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CONT]),
        payloads,
        fin=st.booleans(),
    ),
    st.builds(raw, st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125)),
    st.just(raw(Opcode.CLOSE, b"\x03\xe8bye")),
    st.binary(max_size=12),
)


@example(stream=b"\x82\x04\x81\x00\x81\x00", cuts=[2], pause_every=0)
@settings(max_examples=300)
@given(
    stream=st.lists(frames, max_size=12).map(b"".join),
    cuts=st.lists(st.integers(0, 9000), max_size=8),
    pause_every=st.integers(0, 3),
)
def test_the_fast_path_agrees_with_the_library(stream, cuts, pause_every):
    """Same messages, same order, same verdict, however the bytes are cut and reading pauses."""
    points = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    chunks = [stream[a:b] for a, b in itertools.pairwise(points)]
    fast = asyncio.run(outcome(AsyncioWebSocket, chunks, pause_every))
    without = asyncio.run(outcome(LibraryOnly, chunks, pause_every))
    assert fast == without


async def test_a_fault_behind_a_pause_is_reported_after_it():
    """The library saw the broken frame while reading was paused: the pause only delays the news."""
    stream = raw(Opcode.TEXT, b"") + b"\x00\x00"
    calls, code = await outcome(LibraryOnly, [stream], 1)
    assert calls == [
        ("text", "", 0),
        ("closing",),
        ("ended", 1002, "", False, "connection.protocol"),
    ]
    assert code == 1002


@pytest.mark.parametrize("step", [1, 2, 3, 7])
async def test_one_text_in_tiny_pieces(step):
    data = raw(Opcode.TEXT, b"x" * 300) + raw(Opcode.TEXT, "é".encode())
    chunks = [data[at : at + step] for at in range(0, len(data), step)]
    calls, _ = await outcome(AsyncioWebSocket, chunks, 0)
    assert calls[:2] == [("text", "x" * 300, 300), ("text", "é", 2)]
