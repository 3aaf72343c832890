"""Server-sent events: the same frames and the same ends, and a client that does not read."""

import asyncio
import dataclasses

import msgspec
import pytest
from tests.backend.served import Caller, Runtime, backend, token
from tests.backend.world import Client, World, text, turn

from yoi.backend.sse import EventStream
from yoi.core.observation import Framing
from yoi.limits import LIMITS
from yoi.protocol.observation import Subject, SubjectKind
from yoi.serving.admission import Admitted, Declined
from yoi.serving.watcher import Watching

SSE = "/api/runtimes/r/workers/w/events/sse"


def events_of(data: bytes) -> list[dict[str, str]]:
    """Server-sent events, as a browser reads them."""
    found = []
    for block in data.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "data" in fields:
            found.append(fields)
    return found


async def test_a_browser_comes_back_where_it_was(tmp_path) -> None:
    runtime, key = Runtime("w"), token(tmp_path)
    async with backend(tmp_path, runtime.local("r")) as served:
        caller = Caller(served, key)
        async with caller.open("GET", SSE) as answering:
            status, headers = await answering.head()
            assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
            assert headers["cache-control"] == "no-store"
            await answering.until(b"event: event")
            runtime.say(text("a"))
            data = await answering.until(b'"text":"a"')
            place = events_of(data)[-1]
        assert place["event"] == "event"
        frame = msgspec.json.decode(place["data"])
        assert frame["envelope"]["cursor"] == place["id"]
        runtime.say(text("b"))
        for path, more in (
            (SSE, {"Last-Event-ID": place["id"]}),
            (f"{SSE}?cursor={place['id']}", {}),
            # The page's address is of the first time; the browser knows better where it is.
            (f"{SSE}?cursor=older", {"Last-Event-ID": place["id"]}),
        ):
            async with caller.open("GET", path, more) as answering:
                data = await answering.until(b"event: bookmark")
                kinds = [one["event"] for one in events_of(data)]
                assert kinds == ["resumed", "event", "bookmark"]
                assert b'"text":"b"' in data


@pytest.mark.parametrize(
    ("path", "name", "code"),
    [
        (SSE.replace("/w/", "/nobody/"), "worker_not_found", 4501),
        (f"{SSE}?cursor=garbage", "cursor_malformed", 4504),
    ],
)
async def test_what_closes_a_socket_is_the_last_event(tmp_path, path, name, code) -> None:
    key = token(tmp_path)
    async with backend(tmp_path, Runtime("w").local("r")) as served:
        status, _, body = await Caller(served, key).ask("GET", path)
        assert status == 200
        (last,) = events_of(body)
        entry = msgspec.json.decode(last["data"])["diagnostic"]
        assert (entry["code"], entry["close_code"]) == (f"backend.{name}", code)


async def test_a_head_is_answered_and_ends(tmp_path) -> None:
    key = token(tmp_path)
    async with backend(tmp_path, Runtime("w").local("r")) as served:
        status, _, body = await Caller(served, key).ask("HEAD", SSE)
        assert (status, body) == (200, b"")


async def test_a_client_that_leaves_is_let_go(tmp_path) -> None:
    runtime, key = Runtime("w"), token(tmp_path)
    limits = dataclasses.replace(LIMITS, upstream_linger_ms=1)
    async with backend(tmp_path, runtime.local("r"), limits=limits) as served:
        async with Caller(served, key).open("GET", SSE) as answering:
            await answering.until(b"snapshot")
        stream = runtime.hub.channel(Subject(SubjectKind.WORKER, "w")).stream
        gone = asyncio.Event()
        drop = stream.drop

        def dropped(listener) -> None:
            drop(listener)
            gone.set()

        stream.drop = dropped
        async with asyncio.timeout(5):
            if stream.listeners > 1:
                await gone.wait()


class Reader:
    """The client's end of ASGI: it takes what comes only while it is `reading`."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.reading = asyncio.Event()
        self.aborted = False
        self.leaves = asyncio.Event()

    @property
    def data(self) -> bytes:
        return b"".join(self.taken)

    def abort(self) -> None:
        self.aborted = True
        self.reading.set()

    async def receive(self):
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message) -> None:
        await self.reading.wait()
        self.taken.append(message.get("body", b""))


class Streaming:
    """One event stream before a scripted runtime, without sockets."""

    def __init__(self, limits=LIMITS) -> None:
        self.world = World(limits)
        self.limits = limits
        self.wire = Reader()
        self.left = 0

    async def start(self) -> "asyncio.Task[None]":
        healthy = await self.world.watched()
        self.healthy: Client = healthy
        channel = healthy.lease.channel

        def left() -> None:
            self.left += 1

        admitted = Admitted(
            channel=channel,
            feed=channel.feed("full", Framing.SSE, lambda event: event),
            watching=Watching("somebody"),
            notes=("upstream_disconnect",),
            left=left,
        )
        answer = EventStream(admitted, self.world.clock, self.limits)
        scope = {"type": "http", "method": "GET", "state": {"yoi.abort": self.wire.abort}}
        return asyncio.ensure_future(answer(scope, self.wire.receive, self.wire.send))

    def say(self, first: int, last: int, words: str) -> None:
        for seq in range(first, last + 1):
            self.world.link.event(seq, text(f"{words}{seq}"))


async def test_what_is_so_at_this_moment_is_said_after_the_snapshot() -> None:
    streaming = Streaming()
    streaming.wire.reading.set()
    task = await streaming.start()
    await turn()
    first, second = events_of(streaming.wire.data)
    assert "snapshot" in first["data"]
    assert "backend.upstream_disconnect" in second["data"]
    streaming.wire.leaves.set()
    await task
    assert streaming.left == 1
    assert streaming.world.hub.watched == 1


async def test_a_client_that_does_not_read_holds_no_memory_and_is_cut_off() -> None:
    limits = dataclasses.replace(LIMITS, follower_buffer_bytes=4096, follower_write_bytes=1024)
    streaming = Streaming(limits)
    task = await streaming.start()
    await turn()
    big = "x" * 500
    for seq in range(1, 2001):
        streaming.world.link.event(seq, text(f"{big}{seq}"))
        if seq % 50 == 0:
            await turn()
    watcher = next(w for w in streaming.healthy.lease.channel.watchers if w.stalled)
    assert len(streaming.healthy.ids) == 2001
    assert watcher.follower.waiting > 1900
    streaming.world.clock.advance(29)
    streaming.world.hub.tick()
    assert not streaming.wire.aborted
    streaming.world.clock.advance(2)
    streaming.world.hub.tick()
    assert streaming.wire.aborted
    await task
    assert streaming.left == 1
    assert streaming.healthy.code is None


async def test_a_client_that_reads_again_gets_all_of_it_in_order() -> None:
    limits = dataclasses.replace(LIMITS, follower_buffer_bytes=4096, follower_write_bytes=1024)
    streaming = Streaming(limits)
    task = await streaming.start()
    await turn()
    streaming.say(1, 500, "word")
    await turn()
    streaming.wire.reading.set()
    while b"word500" not in streaming.wire.data:
        await turn()
    seen = [
        msgspec.json.decode(one["data"])["envelope"]["event_id"].rpartition("-")[2]
        for one in events_of(streaming.wire.data)
        if one["event"] == "event"
    ]
    assert seen == [seen[0], *(str(n) for n in range(1, 501))]
    streaming.wire.leaves.set()
    await task


async def test_a_client_that_is_not_let_in_holds_nothing() -> None:
    streaming = Streaming()
    streaming.wire.reading.set()
    answer = EventStream(Declined("runtime_unavailable", retry_after_ms=7), streaming.world.clock)
    await answer({"type": "http", "method": "GET"}, streaming.wire.receive, streaming.wire.send)
    (last,) = events_of(streaming.wire.data)
    entry = msgspec.json.decode(last["data"])["diagnostic"]
    assert (entry["close_code"], entry["retry_after_ms"]) == (4004, 7)


async def test_what_is_large_is_sent_in_pieces_and_each_is_a_sign_of_life() -> None:
    limits = dataclasses.replace(LIMITS, follower_buffer_bytes=4096, follower_write_bytes=1024)
    streaming = Streaming(limits)
    task = await streaming.start()
    await turn()
    streaming.say(1, 1, "x" * 20_000)
    await turn()
    streaming.wire.reading.set()
    while b"xxx" not in streaming.wire.data:
        await turn()
    streaming.wire.reading.clear()
    # Nobody who takes a piece of it now and then is cut off, whatever the whole takes.
    for _ in range(10):
        streaming.world.clock.advance(20)
        streaming.world.hub.tick()
        assert not streaming.wire.aborted
        streaming.wire.reading.set()
        await asyncio.sleep(0)
        streaming.wire.reading.clear()
    assert max(map(len, streaming.wire.taken)) <= 1024
    streaming.wire.reading.set()
    while b"x1" not in streaming.wire.data:
        await turn()
    streaming.wire.leaves.set()
    await task
    whole = [one["data"] for one in events_of(streaming.wire.data) if "text_delta" in one["data"]]
    (event,) = map(msgspec.json.decode, whole)
    assert event["envelope"]["payload"]["data"]["text"] == "x" * 20_000 + "1"
