"""The server on real sockets, with a client made by others."""

import asyncio
import json

import pytest
from tests.serving.streams import served
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from yoi.errors import ServingError
from yoi.limits import Limits
from yoi.protocol import events as ev
from yoi.serving.server import bind


async def frames(client, count):
    return [json.loads(await client.recv()) for _ in range(count)]


async def closed(client):
    await client.wait_closed()
    return client.close_code


async def test_a_fresh_client_gets_a_snapshot_then_what_follows():
    async with served() as world:
        world.say("he")
        async with connect(world.url, subprotocols=["yoi.observe.v1"], proxy=None) as client:
            assert client.subprotocol == "yoi.observe.v1"
            (first,) = await frames(client, 1)
            blocks = first["envelope"]["payload"]["data"]["in_flight"]["blocks"]
            assert [block["text"] for block in blocks] == ["he"]
            world.say("llo")
            (second,) = await frames(client, 1)
            assert second["envelope"]["payload"] == {"event": "text_delta", "data": {"text": "llo"}}
            assert second["envelope"]["runtime_id"] == "local"
            assert second["envelope"]["worker_id"] == "triage"


async def test_a_client_that_comes_back_misses_nothing_and_hears_nothing_twice():
    async with served() as world:
        async with connect(world.url, proxy=None) as client:
            await frames(client, 1)
            world.say("a")
            (event,) = await frames(client, 1)
        for words in "bcd":
            world.say(words)
        cursor = event["envelope"]["cursor"]
        async with connect(f"{world.url}?cursor={cursor}", proxy=None) as client:
            seen = await frames(client, 5)
            assert [frame["kind"] for frame in seen] == ["resumed", *["event"] * 3, "bookmark"]
            words = [f["envelope"]["payload"]["data"]["text"] for f in seen[1:4]]
            assert words == ["b", "c", "d"]


async def test_a_snapshot_as_of_the_cursor_comes_before_the_replay():
    async with served() as world:
        async with connect(world.url, proxy=None) as client:
            await frames(client, 1)
            world.say("a")
            (event,) = await frames(client, 1)
        world.say("b")
        url = f"{world.url}?cursor={event['envelope']['cursor']}&snapshot=always"
        async with connect(url, proxy=None) as client:
            snapshot, resumed, replayed, _ = await frames(client, 4)
            blocks = snapshot["envelope"]["payload"]["data"]["in_flight"]["blocks"]
            assert [block["text"] for block in blocks] == ["a"]
            assert resumed["kind"] == "resumed"
            assert replayed["envelope"]["payload"]["data"]["text"] == "b"


@pytest.mark.parametrize("message", ["hello", b"\0\1", ""])
async def test_a_client_that_sends_is_told_and_closed(message):
    async with served() as world, connect(world.url, proxy=None) as client:
        await frames(client, 1)
        await client.send(message)
        (said,) = await frames(client, 1)
        assert said["diagnostic"]["code"] == "backend.observation_only"
        assert await closed(client) == 4503


async def test_a_message_over_the_bound_is_closed_by_the_protocol():
    async with served() as world, connect(world.url, proxy=None) as client:
        await frames(client, 1)
        await client.send("x" * 100_000)
        assert await closed(client) in (1009, 4503)


async def test_a_malformed_cursor_is_told_and_closed():
    async with served() as world, connect(world.url + "?cursor=nonsense", proxy=None) as client:
        (said,) = await frames(client, 1)
        assert said["diagnostic"]["code"] == "backend.cursor_malformed"
        assert await closed(client) == 4504


async def test_what_is_not_there_is_told_and_closed():
    async with (
        served() as world,
        connect(world.url.replace("triage", "other"), proxy=None) as client,
    ):
        (said,) = await frames(client, 1)
        assert said["diagnostic"]["code"] == "backend.worker_not_found"
        assert said["diagnostic"]["action"] == "stop"
        assert await closed(client) == 4501


async def test_a_refusal_is_an_http_answer_with_a_code():
    async with served() as world:
        with pytest.raises(InvalidStatus) as caught:
            await connect(world.url + "?refuse=1", proxy=None)
        assert caught.value.response.status_code == 401
        assert json.loads(caught.value.response.body)["code"] == "unauthorized"


async def test_a_stop_tells_everybody_when_to_come_back():
    async with served() as world, connect(world.url, proxy=None) as client:
        await frames(client, 1)
        closing = asyncio.ensure_future(world.server.close())
        (said,) = await frames(client, 1)
        assert said["diagnostic"]["code"] == "backend.shutdown"
        assert said["diagnostic"]["retry_after_ms"] >= 0
        assert await closed(client) == 4001
        await closing


async def test_the_end_of_a_stream_is_said():
    async with served() as world, connect(world.url, proxy=None) as client:
        await frames(client, 1)
        world.say("last words")
        world.hub.remove(world.stream.subject)
        last, said = await frames(client, 2)
        assert last["envelope"]["payload"]["data"]["text"] == "last words"
        assert said["diagnostic"]["code"] == "backend.stream_closed"
        assert await closed(client) == 4502


async def test_as_many_as_may_watch_and_no_more():
    async with served(Limits(followers=1)) as world, connect(world.url, proxy=None) as client:
        await frames(client, 1)
        with pytest.raises(InvalidStatus) as caught:
            await connect(world.url, proxy=None)
        assert caught.value.response.status_code == 503


async def test_a_slow_request_head_is_cut_off():
    async with served(Limits(http_head_ms=50)) as world:
        reader, writer = await asyncio.open_connection(*world.server.address)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        assert world.server.refused == {"slow": 1}


async def test_sockets_beyond_the_bound_are_hung_up_on():
    async with served(Limits(http_connections=1)) as world:
        async with connect(world.url, proxy=None) as client:
            await frames(client, 1)
            reader, writer = await asyncio.open_connection(*world.server.address)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()
        assert world.server.refused == {"connections": 1}


async def test_a_client_that_takes_nothing_lags_gets_a_fresh_picture_and_costs_nobody():
    small = Limits(observed_ring_events=8, follower_buffer_bytes=4096, follower_write_bytes=4096)
    async with (
        served(small) as world,
        connect(world.url, proxy=None, max_queue=1) as slow,
        connect(world.url, proxy=None) as quick,
    ):
        await frames(slow, 1)
        await frames(quick, 1)
        stalled = world.hub.channel(world.stream.subject).watchers[0]
        number = 0
        while not stalled.stalled:
            number += 1
            world.say("x" * 60_000)
            world.say("")  # the call that follows keeps work in flight below its bound
            event = ev.LlmCallStart(ev.LlmCallData(llm_call=number))
            world.stream.publish(event, ev.encode_event(event))
            await frames(quick, 3)
        for _ in range(20):
            world.say("y")
            await frames(quick, 1)
        kinds = []
        while "diagnostic" not in kinds:
            frame = json.loads(await slow.recv())
            kinds.append(frame["kind"])
        assert frame["diagnostic"]["code"] == "backend.lagged"
        assert frame["diagnostic"]["dropped"] > 0
        (fresh,) = await frames(slow, 1)
        text = fresh["envelope"]["payload"]["data"]["in_flight"]["blocks"][0]["text"]
        assert text.endswith("y" * 20)


@pytest.mark.parametrize("table", ["observation", "runtime"])
def test_a_port_that_is_taken_names_its_setting(table):
    with bind("127.0.0.1", 0) as held:
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(ServingError) as caught:
            bind("127.0.0.1", port, table)
    assert caught.value.code == "serving.listen"
    assert "another Yoi or another program" in caught.value.message
    assert f'[{table}] listen = "127.0.0.1:{port + 1}"' in caught.value.hint
    assert ("--port 0" in caught.value.hint) is (table == "observation")
