"""The listener for what a browser brings: one GET of one path under one name, and nothing else."""

import asyncio
from dataclasses import replace

import pytest

from yoi.connections.callback import Callback
from yoi.errors import ServingError
from yoi.limits import LIMITS


async def says(callback, data):
    """Send `data` and return all that comes back."""
    port = int(callback.redirect_uri.split(":")[2].split("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data.replace(b"HERE", f"127.0.0.1:{port}".encode()))
    answer = await reader.read()
    writer.close()
    return answer


def request(line, host=b"HERE"):
    return line + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"


async def test_the_first_answer_counts():
    async with Callback() as callback:
        for code in (b"first", b"second"):
            answer = await says(callback, request(b"GET /callback?code=" + code))
            assert answer.startswith(b"HTTP/1.1 200")
            assert code not in answer
        assert await callback.query() == "code=first"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(b"GET /favicon.ico"), b"404"),
        (request(b"POST /callback?code=c"), b"404"),
        (request(b"GET /callback?code=c", host=b"rebound.example.com"), b"403"),
        (request(b"GET /callback?code=c", host=b"localhost"), b"403"),
        (b"not http\r\n\r\n", b"400"),
        (b"GET /callback?" + b"x" * (LIMITS.authorize_callback_bytes + 1), b"400"),
    ],
)
async def test_anything_else_is_refused_and_it_waits_on(data, status):
    async with Callback() as callback:
        assert (await says(callback, data)).startswith(b"HTTP/1.1 " + status)
        await says(callback, request(b"GET /callback?code=mine"))
        assert await callback.query() == "code=mine"


async def test_a_silent_client_is_dropped():
    async with Callback(limits=replace(LIMITS, authorize_callback_ms=1)) as callback:
        assert (await says(callback, b"GET /call")).startswith(b"HTTP/1.1 400")


async def test_a_taken_port_is_an_error():
    async with Callback() as callback:
        port = int(callback.redirect_uri.split(":")[2].split("/")[0])
        with pytest.raises(ServingError) as caught:
            async with Callback(port):
                pass
        assert caught.value.code == "serving.listen"
