"""An observer's socket on each event loop that Yoi runs on."""

import asyncio
import json

import pytest
import uvloop
from tests.serving.streams import served
from websockets.asyncio.client import connect


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    """Return what runs a coroutine on the loop in question."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


def test_events_arrive_on_every_loop(run):
    async def scenario():
        async with served() as world, connect(world.url, proxy=None) as client:
            await client.recv()
            for words in "abc":
                world.say(words)
            seen = [json.loads(await client.recv())["envelope"] for _ in range(3)]
            assert [one["payload"]["data"]["text"] for one in seen] == ["a", "b", "c"]

    run(scenario())
