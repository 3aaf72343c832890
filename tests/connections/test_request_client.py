"""One-shot HTTP against real servers: P8 for requests, and held apart from WebSocket."""

import asyncio
import dataclasses
import http.server
import json
import os
import ssl
import threading

import h11
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.connections.conftest import ALLOWED, QUICK, FixedResolver
from tests.connections.raw import RawServer

from yoi.connections import MachineNetwork, answers
from yoi.connections.answers import BodyKind, HttpAnswer, HttpFailure
from yoi.connections.request_client import RequestClient
from yoi.connections.requests import PreparedRequest, Redirects
from yoi.errors import RequestFailure
from yoi.permissions import (
    Authority,
    Capture,
    Decision,
    JsonPointer,
    PermissionSet,
    Url,
)
from yoi.permissions.url import REQUEST_SCHEMES
from yoi.testing import ManualClock

LIMITS = dataclasses.replace(QUICK, request_ms=10_000)
PUBLIC = dataclasses.replace(ALLOWED, private_addresses=False)
LOCAL = FixedResolver("127.0.0.1")


def allow(method, url):
    return ALLOWED


def client(*, resolver=LOCAL, limits=LIMITS, tls=None, clock=None):
    more = {} if tls is None else {"tls": tls}
    return RequestClient(resolver, clock or ManualClock(), limits, **more)


def prepared(url, **changes):
    values = {"plugin": "p", "command_id": "e1:0", "target": "api", "method": "GET", **changes}
    return PreparedRequest(url=Url.parse(url, REQUEST_SCHEMES), **values)


async def read_http(reader):
    """Return the head lines and the body of one request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = [line.split(": ", 1) for line in lines]
    length = next((int(v) for n, v in headers if n == "Content-Length"), 0)
    return first, headers, await reader.readexactly(length)


def reply(body=b"", *, status="200 OK", headers=(), length=True):
    lines = [f"HTTP/1.1 {status}", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Server(RawServer):
    """Answers each request with the next of `answers` (the last again), and keeps what came."""

    def __init__(self, *answers):
        super().__init__(self._next)
        self.answers = list(answers)
        self.requests = []

    async def _next(self, reader, writer):
        self.requests.append(await read_http(reader))
        made = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        writer.write(made)
        await writer.drain()
        writer.close()

    def at(self, path, host="127.0.0.1"):
        return f"http://{host}:{self.port}{path}"


async def ask(server, path="/x", *, authorise=allow, use=None, **changes):
    return await (use or client()).send(prepared(server.at(path), **changes), authorise)


# -- what is sent, and what comes back --------------------------------------------------------


async def test_a_request_is_written_as_authorised_and_its_json_answer_is_decoded():
    body = reply(b'{"ok":true,"n":1}', headers=["Content-Type: application/json; charset=utf-8"])
    async with Server(body) as server:
        answer = await ask(
            server,
            "/api/chat?x=1",
            method="POST",
            headers=(("Content-Type", "application/json"),),
            body=b'{"a":1}',
        )
        assert answer.ok
        assert (answer.status, answer.body, answer.body_kind) == (
            200,
            {"ok": True, "n": 1},
            BodyKind.JSON,
        )
        first, headers, sent = server.requests[0]
        assert (first, sent) == ("POST /api/chat?x=1 HTTP/1.1", b'{"a":1}')
        names = dict(headers)
        assert names["Host"] == f"127.0.0.1:{server.port}"
        assert names["Accept-Encoding"] == "identity"
        assert names["Connection"] == "close"
        assert names["Idempotency-Key"] == "e1:0"
        assert names["User-Agent"].startswith("yoi/")
        assert len(names) == len(headers)


async def test_the_plugins_own_idempotency_key_is_kept():
    async with Server(reply()) as server:
        await ask(server, headers=(("idempotency-key", "mine"),))
        keys = [v for n, v in server.requests[0][1] if n.lower() == "idempotency-key"]
        assert keys == ["mine"]


async def test_a_command_id_that_is_no_header_value_is_encoded():
    async with Server(reply()) as server:
        assert (await ask(server, command_id='é "\\ 1')).ok
        assert dict(server.requests[0][1])["Idempotency-Key"] == "%C3%A9%20%22%5C%201"


async def test_nothing_comes_from_the_environment(monkeypatch):
    """P8: proxies, .netrc and the like are not read."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setitem(os.environ, name, "http://192.0.2.1:9")
    async with Server(reply(b"hi")) as server:
        assert (await ask(server)).status == 200
        assert not {"Authorization", "Cookie"} & {n for n, _ in server.requests[0][1]}


async def test_cookies_are_neither_shown_nor_sent_back():
    async with Server(reply(headers=["Set-Cookie: session=1"]), reply()) as server:
        use = client()
        answer = await ask(server, use=use)
        assert "set-cookie" not in dict(answer.headers)
        await ask(server, use=use)
        assert "cookie" not in {n.lower() for n, _ in server.requests[1][1]}


async def test_sensitive_headers_of_an_answer_are_dropped():
    sensitive = ["WWW-Authenticate: x", "Authorization: y", "Proxy-Authenticate: z", "X-Api-Key: k"]
    async with Server(reply(headers=[*sensitive, "ETag: e", "Link: a", "Link: b"])) as server:
        headers = dict(
            (
                await ask(
                    server,
                )
            ).headers
        )
        assert headers == {"etag": "e", "link": "a, b"}


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("application/json", b"{}", ({}, "json")),
        ("application/problem+json", b"[1]", ([1], "json")),
        ("application/json", b"{not json", ("{not json", "text")),
        ("application/json", b"[" * 5000 + b"]" * 5000, ("[" * 5000 + "]" * 5000, "text")),
        ("text/plain", b"a\xffb", ("a\ufffdb", "text")),
        ("application/octet-stream", b"abc", ("YWJj", "base64")),
        ("", b"plain", ("plain", "text")),
        ("", b"\xff\xfe", ("//4=", "base64")),
        ("text/plain", b"", (None, "empty")),
    ],
)
async def test_bodies_are_json_text_or_base64(kind, data, expected):
    headers = [f"Content-Type: {kind}"] if kind else []
    async with Server(reply(data, headers=headers)) as server:
        answer = await ask(server)
        assert (answer.body, answer.body_kind.value) == expected
        assert answer.to_payload()["body_kind"] == expected[1]
        json.dumps(answer.to_payload())


async def test_json_of_too_many_values_is_text_and_never_built(monkeypatch):
    body = b"[" + b"[]," * LIMITS.json_values + b"0]"
    monkeypatch.setattr(answers.msgspec.json, "decode", lambda _: pytest.fail("it was decoded"))
    async with Server(reply(body, headers=["Content-Type: application/json"])) as server:
        answer = await ask(server)
    assert (answer.body, answer.body_kind) == (body.decode(), BodyKind.TEXT)


async def test_a_coding_nobody_asked_for_is_not_inflated_here():
    data = reply(b"\x1f\x8b..", headers=["Content-Type: text/plain", "Content-Encoding: gzip"])
    async with Server(data) as server:
        answer = await ask(server)
        assert answer.body_kind is BodyKind.BASE64
        assert dict(answer.headers)["content-encoding"] == "gzip"


async def test_head_and_no_content_have_no_body():
    async with Server(
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", reply(status="204 No")
    ) as s:
        assert (await ask(s, method="HEAD")).body_kind is BodyKind.EMPTY
        assert (await ask(s, method="DELETE")).status == 204


async def test_error_statuses_are_answers():
    async with Server(reply(b"gone", status="404 Not Found")) as server:
        answer = await ask(server)
        assert (answer.ok, answer.status) == (True, 404)


# -- policy -----------------------------------------------------------------------------------


def authority(**target):
    row = {"scheme": "http", "host": "127.0.0.1", "methods": ["GET"], **target}
    both = PermissionSet.parse([{"kind": "host_api", "api": "request"}], request=[row])
    return Authority(both, both)


async def test_targets_name_methods_and_paths():
    """P5: a request target allows the methods and paths it names, and nothing dials before that."""
    async with Server(reply()) as server:
        judge = authority(port=server.port, path_prefixes=["/api"], methods=["GET"]).request
        assert (await ask(server, "/api/x", authorise=judge)).ok
        for path, method in (("/api/x", "POST"), ("/apix", "GET"), ("/", "GET")):
            failure = await ask(server, path, method=method, authorise=judge)
            assert failure.error.code == "denied.not_requested"
            assert failure.error.hint
            assert not failure.may_have_arrived
        assert server.connections == 1


async def test_the_query_is_not_shown_to_policy_nor_in_errors():
    """W9: what was inserted into the query stays out of decisions, messages and reprs."""
    asked = []

    def judge(method, url):
        asked.append(url.href)
        return Decision(allowed=False, code="denied.not_granted", message=f"{url.display} no")

    request = prepared("https://api.example.com/a?token=canary-value")
    failure = await client().send(request, judge)
    assert asked == ["https://api.example.com/a"]
    assert "canary" not in repr(request) + repr(failure) + str(failure.to_payload())


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.8", "169.254.169.254", "::ffff:10.0.0.1"])
async def test_a_name_that_leads_to_a_private_address_is_not_dialled(address):
    async with Server(reply()) as server:
        failure = await client(resolver=FixedResolver(address)).send(
            prepared(f"http://api.example.com:{server.port}/"), lambda *_: PUBLIC
        )
        assert failure.error.code == "denied.address"
        assert server.connections == 0


async def test_the_name_is_looked_up_once_and_only_judged_addresses_are_dialled(monkeypatch):
    """P8: no second lookup, so DNS rebinding has nothing to rebind."""
    async with Server(reply(b"ok")) as server:
        resolver = FixedResolver("127.0.0.1")

        def forbidden(*args, **kwargs):
            raise AssertionError("a second lookup")

        monkeypatch.setattr("socket.getaddrinfo", forbidden)
        answer = await client(resolver=resolver).send(
            prepared(f"http://api.example.com:{server.port}/"), allow
        )
        assert answer.status == 200
        assert resolver.asked == [("api.example.com", server.port)]
        assert dict(server.requests[0][1])["Host"] == f"api.example.com:{server.port}"


@pytest.mark.parametrize("host", ["nowhere.example", "empty.example"])
async def test_dns_failures_are_values(host):
    class Failing:
        def of(self, plugin):
            return self

        network = MachineNetwork()

        async def resolve(self, host, port):
            if host == "empty.example":
                return []
            raise OSError("no such host")

    failure = await client(resolver=Failing()).send(prepared(f"https://{host}/"), allow)
    assert (failure.ok, failure.error.code) == (False, "request.dns")


async def test_a_closed_port_is_refused_and_did_not_arrive():
    async with Server(reply()) as server:
        url = server.at("/")
    failure = await client().send(prepared(url), allow)
    assert (failure.error.code, failure.may_have_arrived) == ("request.refused", False)


# -- held apart from WebSocket ----------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_websocket_urls_are_refused(scheme):
    with pytest.raises(RequestFailure) as caught:
        PreparedRequest(
            plugin="p",
            command_id="1",
            target="api",
            method="GET",
            url=Url.parse(f"{scheme}://gateway.example.com/ws"),
        )
    assert caught.value.code == "request.upgrade"


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("Upgrade", "websocket", "request.upgrade"),
        ("Connection", "keep-alive, Upgrade", "request.upgrade"),
        ("HTTP2-Settings", "x", "request.upgrade"),
        ("Accept", "application/json, Text/Event-Stream", "request.event_stream"),
        ("Connection", "close", "request.header"),
        ("Host", "evil.example", "request.header"),
        ("content-length", "0", "request.header"),
        ("Transfer-Encoding", "chunked", "request.header"),
        ("Cookie", "a=b", "request.header"),
        ("Authorization", "Bearer x", "request.header"),
        ("X-API-Key", "x", "request.header"),
        ("Proxy-Authorization", "x", "request.header"),
        ("Sec-WebSocket-Key", "x", "request.header"),
        ("X-HTTP-Method-Override", "DELETE", "request.header"),
        ("X-Original-URL", "/admin", "request.header"),
        ("X-Forwarded-For", "127.0.0.1", "request.header"),
        ("Accept-Encoding", "gzip", "request.header"),
        ("Expect", "100-continue", "request.header"),
        ("Bad Name", "x", "request.header"),
        ("", "x", "request.header"),
        ("X-Ok", "a\r\nHost: b", "request.header"),
        ("X-Ok", "a\x00b", "request.header"),
        ("X-Ok", "é", "request.header"),
        ("X-Ok", "x" * 8193, "request.too_large"),
    ],
)
def test_headers_that_a_request_may_not_carry(name, value, code):
    with pytest.raises(RequestFailure) as caught:
        prepared("https://api.example.com/", headers=((name, value),))
    assert caught.value.code == code
    assert "Bearer x" not in caught.value.message


def test_headers_are_bounded_and_written_once():
    many = tuple((f"x-{n}", "1") for n in range(33))
    with pytest.raises(RequestFailure, match="32"):
        prepared("https://api.example.com/", headers=many)
    with pytest.raises(RequestFailure, match="twice"):
        prepared("https://api.example.com/", headers=(("X-A", "1"), ("x-a", "2")))


async def test_a_credential_header_goes_out_only_where_the_host_put_it():
    """W9: the plugin may not write it; the host may insert it."""
    async with Server(reply()) as server:
        answer = await ask(
            server,
            headers=(("authorization", "Bearer canary"),),
            inserted_headers=frozenset({"authorization"}),
        )
        assert answer.ok
        assert ["authorization", "Bearer canary"] in server.requests[0][1]


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_passes_the_header_check_is_one_plain_line(name, value):
    try:
        request = prepared("https://api.example.com/", headers=((name, value),))
    except RequestFailure:
        return
    assert all(33 <= ord(c) < 127 and c not in ":;," for c in name)
    assert all(c == "\t" or 32 <= ord(c) < 127 for c in value)
    # The library finds nothing more to refuse, or `send` would raise.
    h11.Request(method="GET", target=request.url.request_target, headers=request.head(request.url))


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", "request.upgrade"),
        (
            b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n",
            "request.upgrade",
        ),
        (
            reply(b"", headers=["Content-Type: text/event-stream; charset=x"]),
            "request.event_stream",
        ),
        (reply(b"", headers=["Content-Type: Text/Event-Stream"]), "request.event_stream"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "request.protocol"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "request.protocol",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "request.protocol"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "request.protocol"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + reply(), "request.protocol"),
        (b"", "request.lost"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "request.lost"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000, "request.too_large"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", "request.too_large"),
        (reply(headers=[f"X-{n}: 1" for n in range(200)]), "request.too_large"),
        (reply(headers=["X: " + "a" * 1000] * 1000), "request.too_large"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "request.lost"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "request.protocol"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\n",
            "request.protocol",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
            "request.protocol",
        ),
        (b"HTTP/2.0 200 OK\r\n\r\n", "request.protocol"),
        (b"HTTP/1.1 099 X\r\n\r\n", "request.protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "request.protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1e9\r\n\r\n", "request.protocol"),
    ],
)
async def test_answers_that_are_none(answer, code):
    async with Server(answer) as server:
        failure = await ask(server)
        assert isinstance(failure, HttpFailure)
        assert failure.error.code == code
        assert failure.error.hint
        assert failure.may_have_arrived
        assert failure.to_payload()["error"]["code"] == code


async def test_interim_answers_are_passed_over():
    async with Server(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + reply(b"x")) as server:
        answer = await ask(server)
        assert (answer.status, answer.body) == (200, "x")


# -- bounds -----------------------------------------------------------------------------------


async def test_a_body_over_its_targets_bound_is_no_answer():
    """B8: never a piece of it that looks like an answer; the key is named."""
    headers = ["Content-Type: application/json"]
    allowed = dataclasses.replace(ALLOWED, max_message_bytes=5)
    bodies = (reply(body, headers=headers) for body in (b"[1,23]", b"[1,2]"))
    async with Server(*bodies) as server:
        failure = await ask(server, authorise=lambda _method, _url: allowed)
        assert failure.error.code == "request.answer_too_large"
        assert "max_answer_bytes = 20 " in failure.error.hint
        payload = failure.to_payload()
        assert (payload["ok"], payload["status"], payload["truncated"]) == (False, 200, True)
        assert failure.may_have_arrived
        assert (await ask(server, authorise=lambda _method, _url: allowed)).body == [1, 2]


async def test_a_large_granted_answer_is_whole():
    allowed = dataclasses.replace(ALLOWED, max_message_bytes=16 << 20)
    async with Server(reply(b"x" * (5 << 20), headers=["Content-Type: text/plain"])) as server:
        answer = await ask(server, authorise=lambda _method, _url: allowed)
        assert len(answer.body) == 5 << 20


async def test_a_body_in_crumbs_is_refused_before_it_costs_much():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with Server(head + b"1\r\nx\r\n" * 17_000 + b"0\r\n\r\n") as server:
        assert (await ask(server)).error.code == "request.too_large"


async def test_a_long_answer_leaves_the_loop_to_others():
    """A guest's request never delays a heartbeat by more than one small read."""
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    async with Server(reply(b"x" * 400_000)) as server:
        assert (await ask(server)).ok
    task.cancel()
    assert turns >= 400_000 // (64 * 1024)


async def test_what_a_broken_answer_quotes_is_not_repeated():
    async with Server(b"HTTP/1.1 200 OK\r\nSet-Cookie : canary\r\n\r\n") as server:
        failure = await ask(server)
        assert failure.error.code == "request.protocol"
        assert "canary" not in str(failure.to_payload())


async def test_an_endless_body_ends():
    """A server that never stops writing costs one bound's worth of memory."""
    ended = asyncio.Event()

    async def script(reader, writer):
        await read_http(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        except ConnectionError:
            ended.set()
            raise

    async with RawServer(script) as server:
        url = f"http://127.0.0.1:{server.port}/"
        failure = await client().send(prepared(url), allow)
        assert failure.error.code == "request.answer_too_large"
        async with asyncio.timeout(10):
            await ended.wait()


def test_a_request_body_is_bounded():
    with pytest.raises(RequestFailure) as caught:
        prepared("https://a.example/", method="POST", body=b"x" * (LIMITS.request_body_bytes + 1))
    assert caught.value.code == "request.too_large"


@pytest.mark.parametrize("bad", ["TRACE", "CONNECT", "get", "GET /x", ""])
def test_methods_are_the_ones_that_targets_can_name(bad):
    with pytest.raises(RequestFailure) as caught:
        prepared("https://a.example/", method=bad)
    assert caught.value.code == "request.malformed"


class Silent(RawServer):
    """Takes requests and answers when `gate` opens."""

    def __init__(self):
        super().__init__(self._hold)
        self.gate = asyncio.Event()
        self.waiting = asyncio.Queue()

    async def _hold(self, reader, writer):
        await read_http(reader)
        self.waiting.put_nowait(1)
        await self.gate.wait()
        writer.write(reply(b"late"))
        writer.close()

    def at(self, path):
        return f"http://127.0.0.1:{self.port}{path}"


async def test_a_silent_server_is_given_up():
    async with Silent() as server:
        limits = dataclasses.replace(LIMITS, request_ms=300)
        failure = await ask(server, use=client(limits=limits))
        assert (failure.error.code, failure.may_have_arrived) == ("request.timeout", True)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"])
async def test_a_byte_now_and_then_buys_a_server_no_time(head):
    async def script(reader, writer):
        await read_http(reader)
        for byte in head or b"HTTP/1.1 200 OK\r\nX: aaaa":
            writer.write(bytes([byte]))
            await writer.drain()
        await reader.read()

    async with RawServer(script) as server:
        use = client(limits=dataclasses.replace(LIMITS, request_ms=300))
        failure = await use.send(prepared(f"http://127.0.0.1:{server.port}/"), allow)
        assert (failure.error.code, failure.may_have_arrived) == ("request.timeout", True)


async def test_a_cancelled_request_leaves_no_socket_open():
    gone = asyncio.Event()

    async def script(reader, writer):
        await read_http(reader)
        arrived.set()
        await reader.read()
        gone.set()

    arrived = asyncio.Event()
    async with RawServer(script) as server:
        url = f"http://127.0.0.1:{server.port}/"
        task = asyncio.create_task(client().send(prepared(url), allow))
        async with asyncio.timeout(10):
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await gone.wait()


async def test_a_plugin_has_a_bounded_number_of_requests_under_way_and_waiting():
    limits = dataclasses.replace(LIMITS, requests_per_plugin=2, requests_waiting=1)
    async with Silent() as server:
        use = client(limits=limits)
        tasks = [asyncio.create_task(ask(server, use=use)) for _ in range(3)]
        async with asyncio.timeout(10):
            await server.waiting.get()
            await server.waiting.get()
        assert (await ask(server, use=use)).error.code == "request.busy"
        assert server.connections == 2  # the third waits
        # Another plugin has its own share.
        other = asyncio.create_task(ask(server, use=use, plugin="q"))
        async with asyncio.timeout(10):
            await server.waiting.get()
        server.gate.set()
        assert all(answer.ok for answer in await asyncio.gather(*tasks, other))


async def test_an_answered_request_makes_room_for_the_next():
    limits = dataclasses.replace(LIMITS, requests_per_plugin=1, requests_waiting=0)
    async with Server(reply(b"ok")) as server:
        use = client(limits=limits)
        assert [(await ask(server, use=use)).ok for _ in range(3)] == [True] * 3


async def test_all_plugins_of_a_host_share_a_bound():
    limits = dataclasses.replace(LIMITS, requests=1)
    async with Silent() as server:
        use = client(limits=limits)
        tasks = [asyncio.create_task(ask(server, use=use, plugin=name)) for name in "ab"]
        async with asyncio.timeout(10):
            await server.waiting.get()
        async with Server(reply()) as other:
            # By then "b" would have come through, too.
            assert [(await ask(other)).ok for _ in range(3)] == [True] * 3
        assert server.connections == 1
        server.gate.set()
        assert all(answer.ok for answer in await asyncio.gather(*tasks))


async def test_a_grant_withdrawn_while_a_request_waits_stops_it():
    """P4: what counts is the grant when the request goes out, not when it was asked for."""
    limits = dataclasses.replace(LIMITS, requests_per_plugin=1)
    allowed = [True]

    def judge(method, url):
        return ALLOWED if allowed[0] else Decision(allowed=False, code="denied.not_granted")

    async with Silent() as server:
        use = client(limits=limits)
        first = asyncio.create_task(ask(server, use=use, authorise=judge))
        async with asyncio.timeout(10):
            await server.waiting.get()
        second = asyncio.create_task(ask(server, use=use, authorise=judge))
        await asyncio.sleep(0)
        allowed[0] = False
        server.gate.set()
        assert (await first).ok
        assert (await second).error.code == "denied.not_granted"
        assert server.connections == 1


# -- 429 and 503 ------------------------------------------------------------------------------


async def test_a_route_is_left_alone_until_its_retry_after():
    """429 honoured per route: method, target and path."""
    clock = ManualClock()
    slow = reply(b"slow", status="429 Too Many Requests", headers=["Retry-After: 30"])
    async with Server(slow, reply(b"ok")) as server:
        use = client(clock=clock)
        answer = await ask(server, "/a?page=1", use=use)
        assert (answer.status, answer.retry_after_ms) == (429, 30_000)
        clock.advance(10)
        blocked = await ask(server, "/a?page=2", use=use)
        assert (blocked.error.code, blocked.retry_after_ms) == ("request.rate_limited", 20_000)
        assert blocked.to_payload()["retry_after_ms"] == 20_000
        assert not blocked.may_have_arrived
        assert server.connections == 1
        for other in ({"method": "POST"}, {"path": "/b"}, {"target": "t2"}, {"plugin": "q"}):
            assert (await ask(server, **{"path": "/a", "use": use, **other})).ok
        clock.advance(20)
        assert (await ask(server, "/a", use=use)).status == 200


async def test_503_counts_and_a_429_without_a_time_does_not():
    async with Server(
        reply(status="429 x"), reply(status="503 x", headers=["Retry-After: 1"]), reply()
    ) as server:
        use = client()
        assert (await ask(server, use=use)).retry_after_ms is None
        assert (await ask(server, use=use)).retry_after_ms == 1000
        assert (await ask(server, use=use)).error.code == "request.rate_limited"


# -- redirects --------------------------------------------------------------------------------


def to(place, status="302 Found"):
    return reply(status=status, headers=[f"Location: {place}"])


async def test_a_redirect_is_authorised_resolved_and_judged_like_a_request():
    """P8: HTTP redirects are re-authorised, with the method they become."""
    asked = []

    def judge(method, url):
        asked.append((method, url.href))
        return ALLOWED

    async with Server(to("/b?x=1#part", "303 See Other"), reply(b"there")) as server:
        answer = await ask(
            server,
            "/a",
            method="POST",
            body=b"{}",
            headers=(("Content-Type", "application/json"), ("X-Mine", "1")),
            authorise=judge,
        )
        assert answer.body == "there"
        assert ("GET", server.at("/b")) in asked
        first, headers, body = server.requests[1]
        assert (first, body) == ("GET /b?x=1 HTTP/1.1", b"")
        assert {"Content-Type", "Content-Length"}.isdisjoint(n for n, _ in headers)
        assert ["X-Mine", "1"] in headers


@pytest.mark.parametrize(
    ("status", "method", "becomes"),
    [
        (307, "POST", "POST"),
        (308, "PUT", "PUT"),
        (301, "POST", "GET"),
        (302, "DELETE", "DELETE"),
        (303, "HEAD", "HEAD"),
    ],
)
async def test_methods_across_redirects(status, method, becomes):
    async with Server(to("/b", f"{status} x"), reply()) as server:
        assert (await ask(server, "/a", method=method, body=b"kept")).ok
        assert server.requests[1][0] == f"{becomes} /b HTTP/1.1"
        assert server.requests[1][2] == (b"kept" if becomes == method != "HEAD" else b"")


async def test_a_redirect_outside_the_target_is_refused():
    async with Server(to("/admin"), reply()) as server:
        judge = authority(port=server.port, path_prefixes=["/api"]).request
        failure = await ask(server, "/api/x", authorise=judge)
        assert failure.error.code == "request.redirect"
        assert failure.error.fields["denied"] == "denied.not_requested"
        assert failure.error.hint
        assert server.connections == 1


async def test_a_redirect_to_a_private_address_is_refused():
    """SSRF by redirect: each hop's addresses are judged."""

    class Two:
        def of(self, plugin):
            return self

        network = MachineNetwork()

        async def resolve(self, host, port):
            inside = {"inside.example": "10.1.2.3"}
            return FixedResolver(inside.get(host, "127.0.0.1")).addresses

    def judge(method, url):
        return PUBLIC if url.host == "inside.example" else ALLOWED

    async with Server(to("http://inside.example/latest/meta-data")) as server:
        failure = await ask(server, use=client(resolver=Two()), authorise=judge)
        assert failure.error.code == "denied.address"


@pytest.mark.parametrize(
    "place",
    [
        "http://other.example:{port}/",
        "//other.example:{port}/x",
        "http://127.0.0.1:1/",
        "https://127.0.0.1:{port}/",
    ],
)
@pytest.mark.parametrize(
    "carries",
    [
        {
            "headers": (("authorization", "Bearer canary"),),
            "inserted_headers": frozenset({"authorization"}),
        },
        {"inserted_elsewhere": True},
    ],
)
async def test_a_secret_never_follows_a_redirect_to_another_origin(place, carries):
    """W9: secrets bind to one target, whatever a server says."""
    async with Server(to("placeholder"), reply()) as server:
        server.answers[0] = to(place.format(port=server.port))
        failure = await ask(server, **carries)
        assert failure.error.code == "request.redirect"
        assert "canary" not in str(failure.to_payload())
        assert server.connections == 1


async def test_a_secret_follows_within_its_origin_and_target():
    async with Server(to("next"), reply(b"ok")) as server:
        answer = await ask(
            server,
            "/dir/a",
            headers=(("authorization", "Bearer canary"),),
            inserted_headers=frozenset({"authorization"}),
        )
        assert answer.ok
        assert server.requests[1][0] == "GET /dir/next HTTP/1.1"
        assert ["authorization", "Bearer canary"] in server.requests[1][1]


async def test_an_inserted_query_is_not_carried_on():
    async with Server(to("/b"), reply()) as server:
        await ask(server, "/a?token=canary", inserted_elsewhere=True)
        assert server.requests[1][0] == "GET /b HTTP/1.1"


@pytest.mark.parametrize(
    "place",
    [
        "ws://127.0.0.1/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://user:pw@127.0.0.1/",
        "http:\\\\127.0.0.1\\x",
        "../up",
        "/a/%2e%2e/b",
        "/a b",
        "\xff\xfe",
        "",
    ],
)
async def test_redirects_that_lead_nowhere_plain(place):
    async with Server(to(place), reply()) as server:
        assert (await ask(server)).error.code == "request.redirect"
        assert server.connections == 1


async def test_redirects_without_one_location_are_refused():
    two = reply(status="302 x", headers=["Location: /a", "Location: /b"])
    for answer in (reply(status="301 x"), two):
        async with Server(answer) as server:
            assert (await ask(server)).error.code == "request.redirect"
            assert server.connections == 1


async def test_a_redirect_does_not_lead_around_a_wait_that_its_server_asked_for():
    slow = reply(status="429 Too Many Requests", headers=["Retry-After: 30"])
    async with Server(slow, to("/slow")) as server:
        use = client()
        assert (await ask(server, "/slow", use=use)).status == 429
        refused = await ask(server, "/elsewhere", use=use)
        assert refused.error.code == "request.rate_limited"
        assert server.connections == 2


async def test_redirects_are_bounded():
    async with Server(to("/again")) as server:
        assert (await ask(server)).error.code == "request.redirect"
        assert server.connections == LIMITS.request_redirects + 1


async def test_a_redirect_is_an_answer_where_that_is_asked_for():
    async with Server(to("https://elsewhere.example/x")) as server:
        answer = await ask(server, redirects=Redirects.RETURN)
        assert answer.status == 302
        assert dict(answer.headers)["location"] == "https://elsewhere.example/x"
        assert server.connections == 1


# -- captures ---------------------------------------------------------------------------------


def capture(name, at):
    return Capture(name, JsonPointer.parse(at))


async def test_what_is_declared_is_taken_out_before_the_guest_sees_it():
    data = reply(b'{"ok":true,"url":"wss://canary"}', headers=["Content-Type: application/json"])
    async with Server(data) as server:
        answer = await ask(server)
        seen, taken = answer.relieved_of([capture("url", "/url")])
        assert seen.body == {"ok": True, "url": None}
        assert taken.values["url"].reveal() == "wss://canary"
        assert "canary" not in repr(answer) + repr(seen) + repr(taken.values)


async def test_a_body_that_is_not_json_is_withheld_while_something_is_declared():
    """A token in a mislabelled or cut answer must not reach the guest as plain text."""
    data = reply(b'{"url":"wss://canary"}', headers=["Content-Type: text/plain"])
    async with Server(data, reply(status="500 x")) as server:
        seen, taken = (await ask(server)).relieved_of([capture("url", "/url")])
        assert (seen.body, seen.body_kind) == (None, BodyKind.WITHHELD)
        assert taken.failed["url"].code == "capture.absent"
        seen, _ = (await ask(server)).relieved_of([capture("url", "/url")])
        assert seen.body_kind is BodyKind.EMPTY


async def test_odd_json_is_relieved_too_and_stays_what_the_guests_json_reads():
    """NaN and half of a surrogate pair: Python's json takes them, and others do not."""
    odd = b'{"url":"wss://canary","load":NaN,"said":"\\ud800","url":"wss://canary2"}'
    label = ["Content-Type: application/json"]
    async with Server(
        reply(odd, headers=label), reply(b'{"url":"wss://c', headers=label)
    ) as server:
        seen, taken = (await ask(server)).relieved_of([capture("url", "/url")])
        assert taken.values["url"].reveal() == "wss://canary2"
        assert seen.body_kind is BodyKind.TEXT
        assert "canary" not in seen.body
        read = json.loads(seen.body)
        assert (read["url"], read["said"]) == (None, "\ud800")
        assert read["load"] != read["load"]
        cut, _ = (await ask(server)).relieved_of([capture("url", "/url")])
        assert (cut.body, cut.body_kind) == (None, BodyKind.WITHHELD)


# -- TLS, and a server made by somebody else --------------------------------------------------


@pytest.fixture(scope="module")
def ca():
    return trustme.CA()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        made = json.dumps({"host": self.headers["Host"], "size": len(body)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in (made[:7], made[7:]):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        self.send_response(302)
        self.send_header("Location", "http://api.example.com/plain")
        self.end_headers()

    def log_message(self, *args):
        pass


class _StandardServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that refuses the certificate


@pytest.fixture(scope="module")
def https(ca):
    """The standard library's server behind TLS, with a certificate for api.example.com."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("api.example.com").configure_cert(context)
    server = _StandardServer(("127.0.0.1", 0), _Handler)
    # Handshakes happen in the worker threads, so one that fails stops nobody.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def trusting(ca):
    def make():
        context = ssl.create_default_context()
        ca.configure_trust(context)
        return context

    return make


async def test_tls_holds_the_server_to_the_authorised_name(https, ca):
    """P8: SNI and certificate are the authorised host; the address is only where it is."""
    use = client(tls=trusting(ca))
    answer = await use.send(
        prepared(f"https://api.example.com:{https}/x", method="POST", body=b"x" * 300_000), allow
    )
    assert answer.body == {"host": f"api.example.com:{https}", "size": 300_000}
    failure = await use.send(prepared(f"https://other.example.com:{https}/"), allow)
    assert (failure.error.code, failure.may_have_arrived) == ("request.tls", False)
    stranger = await client().send(prepared(f"https://api.example.com:{https}/"), allow)
    assert stranger.error.code == "request.tls"


async def test_a_redirect_never_leaves_tls(https, ca):
    failure = await client(tls=trusting(ca)).send(
        prepared(f"https://api.example.com:{https}/"), allow
    )
    assert failure.error.code == "request.redirect"
    assert "TLS" in failure.error.message


# -- whatever a server writes -----------------------------------------------------------------


@settings(max_examples=60)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=200).map(lambda b: b"HTTP/1.1 200 OK\r\n" + b),
        st.binary(max_size=200).map(
            lambda b: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b
        ),
    )
)
def test_whatever_a_server_writes_is_an_answer_or_a_failure(data):
    async def run():
        async with Server(data) as server:
            return await ask(server)

    result = asyncio.run(run())
    assert isinstance(result, HttpAnswer | HttpFailure)
    json.dumps(result.to_payload())
