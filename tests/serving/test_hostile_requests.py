"""Requests as only an attacker writes them: a typed answer, no line in the log, nobody harmed."""

import contextlib
import json
import logging
import resource

import pytest
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route
from tests.serving.raw import UPGRADE, connected, eventually
from tests.serving.streams import served

from yoi.limits import Limits
from yoi.serving.answers import answer, application

PATH = b"/api/runtimes/local/workers/triage/events/ws"


@pytest.fixture
def logged(caplog):
    """Return what was logged, by libraries and by Yoi."""
    caplog.set_level(logging.WARNING)
    with structlog.testing.capture_logs() as own:
        yield lambda: [*own, *caplog.records]


async def reads(request: Request):
    """Read the body, then answer."""
    with contextlib.suppress(ClientDisconnect):
        async for _ in request.stream():
            pass
    return answer({})


async def streams(scope, receive, send):
    """Begin an answer that never ends."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass


class Streams:
    """An endpoint that is an ASGI app by itself."""

    __call__ = staticmethod(streams)


APP = application([Route("/here", reads, methods=["GET", "POST"]), Route("/events", Streams())])


def parts(data: bytes):
    """Return status, headers in lower case, and the decoded body."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in rest)}
    return int(first.split()[1]), headers, json.loads(body)


HANDSHAKES = [
    ("an authority that is none", b"GET //[ HTTP/1.1", UPGRADE, 101),
    ("another method", b"POST " + PATH + b" HTTP/1.1", UPGRADE, 405),
    ("another version", b"GET " + PATH + b" HTTP/1.1", UPGRADE.replace(b": 13", b": 99<b>"), 400),
    ("no key", b"GET " + PATH + b" HTTP/1.1", UPGRADE.replace(b"-Key", b"-Kez"), 400),
    ("a body", b"GET " + PATH + b" HTTP/1.1", UPGRADE + b"Content-Length: 5\r\n", 400),
    ("chunks", b"GET " + PATH + b" HTTP/1.1", UPGRADE + b"Transfer-Encoding: chunked\r\n", 400),
    ("a long line", b"GET /" + b"a" * 9000 + b" HTTP/1.1", UPGRADE, 431),
    ("many headers", b"GET / HTTP/1.1", UPGRADE + b"X: a\r\n" * 200, 431),
    ("many fields", b"GET /?" + b"&".join([b"a=1"] * 50) + b" HTTP/1.1", UPGRADE, 400),
]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "headers", "status"),
    [row[1:] for row in HANDSHAKES],
    ids=[row[0] for row in HANDSHAKES],
)
async def test_a_handshake_that_is_none_is_a_typed_answer(first, headers, status, logged) -> None:
    async with served(app=APP) as world:
        request = first + b"\r\nHost: x\r\n" + headers + b"\r\n"
        async with connected(world.server.address, request) as client:
            if status == 101:  # it gets as far as the door, which knows no such path
                assert b"worker_not_found" in await client.until(b"worker_not_found")
            else:
                found, fields, body = parts(await client.rest())
                assert (found, fields["connection"]) == (status, "close")
                assert set(body) == {"code", "message"}
                assert b"<b>" not in client.data
    assert not logged()


GARBAGE = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "two hosts": b"GET /here HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
    "a negative length": b"POST /here HTTP/1.1\r\nHost: a\r\nContent-Length: -4\r\n\r\n",
    "an encoding nobody knows": b"POST /here HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n",
}


HOST = b"Host: a\r\n"
LARGE_HEADS = {
    "one line, whole": b"GET /here HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 120_000 + b"\r\n\r\n",
    "one line, unfinished": b"GET /here HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 120_000,
    "just over the bound": b"GET /here HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 16_384 + b"\r\n\r\n",
    "many lines": b"GET /here HTTP/1.1\r\n" + HOST + b"X-Y: ab\r\n" * 101 + b"\r\n",
    "a long URL": b"GET /here?" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "an upgrade": b"GET " + PATH + b" HTTP/1.1\r\n" + UPGRADE + HOST + b"X: " + b"a" * 120_000
    + b"\r\n\r\n",
    "trailers": b"POST /here HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    + b"X: ab\r\n" * 101 + b"\r\n",
    "a second request": b"GET /here HTTP/1.1\r\n" + HOST + b"\r\nGET /here HTTP/1.1\r\n" + HOST
    + b"X: " + b"a" * 120_000 + b"\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("data", LARGE_HEADS.values(), ids=LARGE_HEADS)
async def test_a_head_over_its_bound_is_refused_whole_or_not(data, logged) -> None:
    async with served(app=APP) as world, connected(world.server.address, data) as client:
        answered = await client.rest()
        assert world.server.refused == {"malformed": 1}
        if not data.startswith((b"POST", b"GET /here HTTP/1.1\r\nHost: a\r\n\r\n")):
            status, headers, body = parts(answered)
            assert (status, body["code"], headers["connection"]) == (431, "bad_request", "close")
        await eventually(lambda: not world.server.open_sockets)
    assert not logged()


async def test_a_head_within_its_bound_is_served() -> None:
    line = b"X-Y: " + b"a" * 120 + b"\r\n"
    data = b"GET /here?" + b"a" * 4000 + b" HTTP/1.1\r\n" + HOST + line * 90
    async with (
        served(app=APP) as world,
        connected(world.server.address, data + b"Connection: close\r\n\r\n") as client,
    ):
        assert parts(await client.rest())[0] == 200


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
async def test_what_is_not_http_is_a_typed_answer_and_counted(data, logged) -> None:
    async with served(app=APP) as world, connected(world.server.address, data) as client:
        status, headers, body = parts(await client.rest())
        assert (status, body["code"]) == (400, "bad_request")
        assert headers["x-content-type-options"] == "nosniff"
        assert world.server.refused == {"malformed": 1}
    assert not logged()


async def test_a_length_and_chunks_at_once_smuggle_nothing(logged) -> None:
    inner = b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
    request = (
        b"POST /here HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (len(inner) + 5)
    )
    async with served(app=APP) as world:
        async with connected(world.server.address, request + inner) as client:
            first = await client.until(b"{}")
            # Chunks win (RFC 9112 6.3), and what follows them is a request of the same client.
            second = await client.until(b"}")
        assert first.startswith(b"HTTP/1.1 200")
        assert b"HTTP/1.1 404" in second


async def test_garbage_while_an_answer_is_under_way_ends_the_connection_quietly(logged) -> None:
    request = b"GET /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with served(app=APP) as world, connected(world.server.address, request) as client:
        await client.until(b"begun")
        client.writer.write(b"zzz\r\n")
        assert b"HTTP/1.1" not in await client.rest()
        assert world.server.refused == {"malformed": 1}
    assert not logged()


@pytest.mark.parametrize("path", [b"/nowhere", b"/here/", b"http://evil.example/here"])
async def test_what_is_nowhere_is_404_and_sends_nobody_on(path) -> None:
    request = b"GET " + path + b" HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    async with served(app=APP) as world, connected(world.server.address, request) as client:
        status, headers, body = parts(await client.rest())
        assert (status, body["code"]) == (404, "not_found")
        assert "location" not in headers


async def test_an_upgrade_to_something_else_is_not_made(logged) -> None:
    request = (
        b"GET /here HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n"
    )
    async with served(app=APP) as world, connected(world.server.address, request) as client:
        assert (await client.until(b"{}")).startswith(b"HTTP/1.1 200")
    assert not logged()


async def test_a_socket_asked_for_behind_another_request_is_one() -> None:
    plain = b"GET /here HTTP/1.1\r\nHost: x\r\n\r\n"
    upgrade = b"GET " + PATH + b" HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n"
    async with (
        served(app=APP) as world,
        connected(world.server.address, plain + upgrade) as client,
    ):
        await client.until(b'"event":"snapshot"')
        world.say("on")
        await client.until(b'"text":"on"')


@pytest.mark.parametrize(("files", "sockets"), [(8, 4), (100_000, 5), (resource.RLIM_INFINITY, 5)])
async def test_who_only_connects_takes_half_of_all_files_at_most(monkeypatch, files, sockets):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (files, files))
    async with served(Limits(http_connections=5)) as world, contextlib.AsyncExitStack() as held:
        for _ in range(sockets):
            one = await held.enter_async_context(connected(world.server.address, b"GET "))
        await eventually(lambda: world.server.open_sockets == sockets)
        more = await held.enter_async_context(connected(world.server.address))
        assert await more.rest() == b""
        assert world.server.refused == {"connections": 1}
        one.writer.write(b"/ HTTP/1.0\r\n\r\n")
        assert (await one.rest()).startswith(b"HTTP/1.1 404")


async def test_a_body_nobody_reads_does_not_hold_a_connection() -> None:
    head = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    async with (
        served(Limits(http_head_ms=50), app=APP) as world,
        connected(world.server.address, head) as client,
    ):
        await client.until(b"}")
        client.writer.write(b"a")  # and then nothing for as long as it likes
        assert await client.rest() == b""
        assert world.server.refused == {"slow": 1}
