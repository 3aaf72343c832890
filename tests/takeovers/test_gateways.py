"""A gateway takes an answer for that of the process whose connection it is."""

import asyncio
import json
import socket

from websockets.asyncio.client import connect

from takeovers.gateways import Gateway
from takeovers.network import Source


async def test_a_local_port_that_leads_to_two_gateways_is_two_sources():
    sources = {}
    async with Gateway(sources, 0.0) as gateway, Gateway(sources, 0.0) as other:
        sock = socket.create_connection(("127.0.0.1", gateway.port))
        port = sock.getsockname()[1]
        sources[port, gateway.port] = Source(11)
        sources[port, other.port] = Source(22, ended_at=5.0)
        async with asyncio.timeout(60), connect("ws://127.0.0.1/", sock=sock) as one:
            first = json.loads(await one.recv())
            await one.send(json.dumps({**first, "count": 1}))
            while json.loads(await one.recv())["number"] <= 8:
                pass  # eight may wait for an answer: the ninth says that it came
    [answer] = gateway.answers
    assert (answer.pid, answer.number) == (11, 1)
    assert answer.at > 5.0
