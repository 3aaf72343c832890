"""Asking a backend what can be watched."""

import asyncio
import json
import ssl
from contextlib import asynccontextmanager

import pytest
import trustme
from tests.client.scripted import deaf

from yoi.client import RuntimeListing, Server, runtimes
from yoi.errors import ObserveError
from yoi.limits import Limits
from yoi.types import Secret

LISTED = [{"runtime_id": "local", "state": "available", "workers": [{"id": "w"}], "new": 1}]


@asynccontextmanager
async def answering(*pieces, tls=None, heard=None):
    """Serve `pieces` as the whole answer to any request."""

    async def serve(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        if heard is not None:
            heard.append(request)
        for piece in pieces:
            writer.write(piece)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        scheme = "http" if tls is None else "https"
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def answer(status, body, *headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(raw)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + raw


def server(url):
    return Server(url, Secret("t", "tok"))


async def refused(url, **rest):
    with pytest.raises(ObserveError) as caught:
        await runtimes(server(url), **rest)
    return caught.value.code


async def test_what_can_be_watched():
    heard = []
    async with answering(answer(200, LISTED), heard=heard) as url:
        found = await runtimes(server(url + "/behind/"))
    assert found == [RuntimeListing(runtime_id="local", state="available", workers=[{"id": "w"}])]
    request = heard[0].decode().split("\r\n")
    assert request[0] == "GET /behind/api/runtimes HTTP/1.1"
    assert "Authorization: Bearer tok" in request


async def test_an_answer_in_pieces_with_a_word_before():
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n"
    async with answering(b"HTTP/1.1 103 Early\r\n\r\n", chunks) as url:
        assert await runtimes(server(url)) == []


@pytest.mark.parametrize(
    ("piece", "code"),
    [
        (answer(401, {"message": "no"}), "observe.unauthorized"),
        (answer(302, b"", "Location: http://example.invalid/"), "observe.refused"),
        (answer(503, b""), "observe.unreachable"),
        (answer(200, b"<html>"), "observe.refused"),
        (answer(200, [{"runtime_id": 1}]), "observe.refused"),
        (answer(200, b"[" * 50_000), "observe.refused"),
        (
            answer(200, [{**LISTED[0], "workers": [{"x": json.loads("[" * 90 + "]" * 90)}]}]),
            "observe.refused",
        ),
        (b"nonsense\r\n\r\n", "observe.unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[", "observe.unreachable"),
        (b"", "observe.unreachable"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "observe.unreachable"),
    ],
)
async def test_anything_else_is_an_error(piece, code):
    async with answering(piece) as url:
        assert await refused(url) == code


async def test_an_answer_is_bounded_in_bytes_and_time():
    async with answering(answer(200, b" " * 2000)) as url:
        assert await refused(url, limits=Limits(observe_answer_bytes=1000)) == "observe.refused"
    async with deaf() as port:
        url = f"http://127.0.0.1:{port}"
        assert await refused(url, limits=Limits(observe_open_ms=30)) == "observe.unreachable"
    assert await refused("http://127.0.0.1:1") == "observe.unreachable"


async def test_a_server_is_verified():
    ca = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(tls)
    trusts = ssl.create_default_context()
    ca.configure_trust(trusts)
    async with answering(answer(200, []), tls=tls) as url:
        assert await runtimes(server(url), tls=trusts) == []
        assert await refused(url) == "observe.tls"
