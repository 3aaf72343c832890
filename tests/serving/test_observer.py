"""An observer's socket on each event loop that Yoi runs on."""

import asyncio
import contextlib
import json
import os
import socket
import ssl

import pytest
import trustme
import uvloop
from tests.serving.streams import served
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from yoi.limits import Limits
from yoi.protocol import events as ev


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    """Return what runs a coroutine on the loop in question."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


class Direct:
    """Stands for `os`: what is written to a socket past its transport."""

    name = os.name

    def __init__(self):
        self.data = []
        self.error = None

    def write(self, fd, data):
        if self.error is not None:
            raise self.error
        self.data.append(data)
        return os.write(fd, data)


@pytest.fixture
def direct(monkeypatch):
    recorder = Direct()
    monkeypatch.setattr("yoi.serving.observer.os", recorder)
    monkeypatch.setattr("yoi.serving.channel.os", recorder)
    return recorder


def test_events_arrive_on_every_loop(run):
    async def scenario():
        async with served() as world, connect(world.url, proxy=None) as client:
            await client.recv()
            for words in "abc":
                world.say(words)
            seen = [json.loads(await client.recv())["envelope"] for _ in range(3)]
            assert [one["payload"]["data"]["text"] for one in seen] == ["a", "b", "c"]

    run(scenario())


def alert(words):
    return ev.Alert(ev.AlertData(level="warn", source="test", message=words, timestamp_ms=0))


async def until_the_end(client):
    """Return what is left to read, and the close code."""
    seen = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            seen.append(json.loads(await client.recv()))
    return seen, client.close_code


def test_what_a_socket_took_in_part_goes_on_exactly_where_it_stopped(run):
    limits = Limits(observed_ring_bytes=64 << 20, follower_buffer_bytes=8192)

    async def scenario():
        async with served(limits) as world:
            narrow = socket.socket()
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            narrow.setblocking(False)
            await asyncio.get_running_loop().sock_connect(narrow, world.server.address)
            async with connect(world.url, sock=narrow, proxy=None, max_queue=1) as client:
                await client.recv()
                (watcher,) = world.hub.channel(world.stream.subject).watchers
                sizes = []
                while not watcher.stalled:
                    sizes.append(10_000 + len(sizes))  # no two alike, so that nothing lines up
                    event = alert("x" * sizes[-1])
                    world.stream.publish(event, ev.encode_event(event))
                    await asyncio.sleep(0)
                world.hub.remove(world.stream.subject)
                seen, code = await until_the_end(client)
        shown = [frame["envelope"]["payload"]["data"] for frame in seen if "envelope" in frame]
        assert [len(data["message"]) for data in shown] == sizes
        assert seen[-1]["diagnostic"]["code"] == "backend.stream_closed"
        assert code == 4502

    run(scenario())


def test_over_tls_nothing_goes_around_the_encryption(run, direct):
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)

    async def scenario():
        async with served(tls=server) as world:
            port = world.server.address[1]
            url = world.url.replace("ws://127.0.0.1", "wss://localhost")
            async with connect(
                url, ssl=client_side, proxy=None, host="127.0.0.1", port=port
            ) as client:
                await client.recv()
                world.say("a")
                event = json.loads(await client.recv())["envelope"]["payload"]
                assert event["data"]["text"] == "a"
                assert direct.data == []

    run(scenario())


@pytest.mark.parametrize("before", [0, 2])
def test_a_socket_that_breaks_is_left_to_its_transport(run, direct, before):
    async def scenario():
        async with served() as world, connect(world.url, proxy=None) as client:
            await client.recv()
            for _ in range(before):
                world.say("b")
                await client.recv()
            direct.error = BrokenPipeError
            world.say("a")
            event = json.loads(await client.recv())["envelope"]["payload"]
            assert event["data"]["text"] == "a"

    run(scenario())


def test_nothing_passes_what_a_transport_still_holds(run, direct):
    async def scenario():
        async with served() as world, connect(world.url, proxy=None) as client:
            await client.recv()
            (watcher,) = world.hub.channel(world.stream.subject).watchers
            for words in "ab":
                world.say(words)
                await client.recv()
            assert watcher.socket >= 0
            await (await client.ping())
            assert watcher.socket < 0
            world.say("c")
            await client.recv()
            assert watcher.socket >= 0

    run(scenario())


def test_frames_go_straight_to_the_socket(run, direct):
    async def scenario():
        async with served() as world, connect(world.url, proxy=None) as client:
            await client.recv()
            direct.data.clear()
            messages = []
            for words in "abc":
                world.say(words)
                messages.append(await client.recv(decode=False))
            assert [data[4:] for data in direct.data] == messages

    run(scenario())


def test_nothing_is_written_to_a_socket_that_is_gone(run, direct, monkeypatch):
    async def scenario():
        gone = asyncio.Event()
        async with served() as world:
            async with connect(world.url, proxy=None) as client:
                await client.recv()
                (watcher,) = world.hub.channel(world.stream.subject).watchers
                lost = world.server.sockets.lost
                monkeypatch.setattr(
                    world.server.sockets, "lost", lambda one: (lost(one), gone.set())
                )
            await gone.wait()
            direct.data.clear()
            watcher.transport.write(b"late")
            assert direct.data == []

    run(scenario())
