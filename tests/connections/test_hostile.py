"""Servers that mean harm: each ends in a typed failure within its bound (W1, W5, W8, P8)."""

import asyncio
import dataclasses
import socket
import struct
from datetime import UTC, datetime

import pytest
from tests.connections.conftest import QUICK, Sink
from tests.connections.raw import RawServer, answer, frame, read_close, read_request, upgrade

from yoi.connections.handshake import AnswerHead
from yoi.errors import ConnectionFailure
from yoi.limits import LIMITS

SHORT = dataclasses.replace(QUICK, handshake_ms=100, connect_ms=2000, close_ms=100)
WALL = datetime(2026, 1, 1, tzinfo=UTC)
PATIENT = dataclasses.replace(SHORT, handshake_ms=10_000)
"""For what fails for another reason than its time, however busy the machine is."""


HANDSHAKES = {
    "refused": (lambda a: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 99999\r\n\r\n", "handshake"),
    "odd_status": (lambda a: b"HTTP/1.1 520 Cloud\r\n\r\n", "handshake"),
    "redirect": (
        lambda a: b"HTTP/1.1 302 Found\r\nLocation: ws://169.254.169.254/\r\n\r\n",
        "redirect",
    ),
    "redirect_307": (
        lambda a: b"HTTP/1.1 307 Temporary\r\nLocation: wss://elsewhere.example/\r\n\r\n",
        "redirect",
    ),
    "wrong_accept": (lambda a: upgrade(b"c2hpYmJvbGV0aCBzaGliYm9sZXRo"), "handshake"),
    "no_accept": (
        lambda a: b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "handshake",
    ),
    "two_accepts": (lambda a: upgrade(a, b"Sec-WebSocket-Accept: " + a), "handshake"),
    "no_upgrade": (
        lambda a: (
            b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + a + b"\r\n\r\n"
        ),
        "handshake",
    ),
    "wrong_upgrade": (
        lambda a: upgrade(a).replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        "handshake",
    ),
    "no_connection": (
        lambda a: upgrade(a).replace(b"Connection: Upgrade", b"Connection: close"),
        "handshake",
    ),
    "extension": (
        lambda a: upgrade(a, b"Sec-WebSocket-Extensions: x-webkit-deflate-frame"),
        "handshake",
    ),
    "extension_twice": (
        lambda a: upgrade(a, b"Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate"),
        "handshake",
    ),
    "extension_parameter": (
        lambda a: upgrade(
            a, b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=16"
        ),
        "handshake",
    ),
    "subprotocol": (lambda a: upgrade(a, b"Sec-WebSocket-Protocol: evil"), "handshake"),
    "http_1_0": (lambda a: upgrade(a).replace(b"HTTP/1.1", b"HTTP/1.0"), "handshake"),
    "not_http": (lambda a: b"SSH-2.0-OpenSSH_9.6\r\n", "handshake"),
    "garbage": (lambda a: bytes(range(256)) * 4, "handshake"),
    "folded": (lambda a: upgrade(a, b"X-A: 1", b" folded"), "handshake"),
    "bare_lf": (lambda a: upgrade(a).replace(b"\r\n", b"\n"), "handshake"),
    "nul": (lambda a: upgrade(a, b"X-A: a\x00b"), "handshake"),
    "huge_header": (lambda a: upgrade(a, b"X-A: " + b"a" * 20_000), "handshake"),
    "many_headers": (lambda a: upgrade(a, *[b"X-A: 1"] * 5000), "handshake"),
    "megabyte_of_headers": (lambda a: upgrade(a, *[b"X-A: " + b"a" * 1000] * 1000), "handshake"),
    "interim_without_end": (lambda a: b"HTTP/1.1 100 X\r\n\r\n" * 9 + upgrade(a), "handshake"),
    "interim_without_blank_line": (
        lambda a: b"HTTP/1.1 103 X\r\n" + b"Link: a\r\n" * 5000,
        "handshake",
    ),
    "interim_too_large": (
        lambda a: (b"HTTP/1.1 103 X\r\nA: " + b"a" * 6_000 + b"\r\n\r\n") * 3 + upgrade(a),
        "handshake",
    ),
    "interim_then_refused": (
        lambda a: b"HTTP/1.1 102 X\r\n\r\nHTTP/1.1 403 X\r\n\r\n",
        "handshake",
    ),
    "interim_of_http_1_0": (lambda a: b"HTTP/1.0 100 X\r\n\r\n" + upgrade(a), "handshake"),
    "status_099": (lambda a: b"HTTP/1.1 099 X\r\n\r\n", "handshake"),
    "status_200": (lambda a: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "handshake"),
    "status_404": (lambda a: b"HTTP/1.1 404 X\r\n\r\n", "handshake"),
    "status_500": (lambda a: b"HTTP/1.1 500 X\r\n\r\n", "handshake"),
    "endless_line": (lambda a: b"HTTP/1.1 101 " + b"a" * 100_000, "handshake"),
}


@pytest.mark.parametrize("name", HANDSHAKES)
async def test_a_bad_handshake_is_refused(connect, name):
    response, code = HANDSHAKES[name]
    async with RawServer(answer(response)) as server:
        _, sink = connect(
            server.url, limits=PATIENT, backoff_first_ms=60_000, backoff_max_ms=60_000
        )
        _, error, retry = await sink.next("failed")
        assert isinstance(error, ConnectionFailure)
        assert error.code == f"connection.{code}", error
        assert retry is not None
        assert error.hint
        assert len(error.message) <= 1024
        assert "opened" not in sink.names()
        # A redirect is not followed: one connection, and it was to us.
        assert server.connections == 1


async def test_a_connection_header_with_several_tokens_is_accepted(connect):
    """Proxies write `keep-alive, Upgrade`; RFC 6455 4.1 asks only for the token."""

    def response(accept):
        head = upgrade(accept).replace(b"Connection: Up", b"Connection: keep-alive, Up")
        return head + frame(0x81, b"first")

    async with RawServer(answer(response)) as server:
        _, sink = connect(server.url)
        # A frame in the same segment as the response comes after the session's announcement.
        assert (await sink.next("text"))[2] == "first"
        assert sink.names()[:2] == ["opened", "text"]


INTERIM = (
    b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nUpgrade: nothing\r\n\r\n"
    b"HTTP/1.1 102 Processing\r\n\r\n"
)


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_interim_answers_before_the_upgrade_are_passed_over(connect, size):
    """RFC 9110 15.2: a client must be able to read them, expected or not."""

    async def script(reader, writer):
        accept, _ = await read_request(reader)
        data = INTERIM + upgrade(accept) + frame(0x81, b"first")
        for at in range(0, len(data), size):
            writer.write(data[at : at + size])
            await writer.drain()
            await asyncio.sleep(0)

    async with RawServer(script) as server:
        _, sink = connect(server.url, limits=PATIENT)
        assert (await sink.next("text"))[2] == "first"
        assert sink.names()[:2] == ["opened", "text"]


def test_an_answer_is_the_same_however_it_is_cut():
    data = INTERIM + b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\nframes"
    for one in range(len(data)):
        for two in range(one, len(data), 9):
            head = AnswerHead(LIMITS)
            parts = data[:one], data[one:two], data[two:]
            assert b"".join(head.take(part, WALL)[0] for part in parts) == data[len(INTERIM) :]


async def test_a_server_that_hangs_up_after_an_interim_answer_has_been_heard(connect):
    async def script(reader, writer):
        await read_request(reader)
        writer.write(INTERIM)
        writer.close()

    async with RawServer(script) as server:
        _, sink = connect(server.url, limits=PATIENT)
        _, error, _ = await sink.next("failed")
    assert (error.code, error.fields["hung_up"]) == ("connection.handshake", False)


async def test_a_slow_handshake_runs_out_of_time(connect):
    """Slowloris: one byte now and then never counts as progress."""
    released = asyncio.Event()

    async def script(reader, writer):
        await read_request(reader)
        for byte in b"HTTP/1.1 103 X\r\n\r\nHTTP/1.1 101 Switching":
            writer.write(bytes([byte]))
            await writer.drain()
        await released.wait()

    async with RawServer(script) as server:
        _, sink = connect(server.url, limits=SHORT, backoff_first_ms=60_000, backoff_max_ms=60_000)
        _, error, _ = await sink.next("failed")
        assert error.code == "connection.timeout"
        released.set()


async def test_the_request_is_what_policy_saw(connect):
    """P8: request line and Host are the URL's own; nothing is sent that was not declared."""
    seen = asyncio.get_running_loop().create_future()

    async def script(reader, writer):
        _, head = await read_request(reader)
        seen.set_result(head)
        writer.close()

    async with RawServer(script) as server:
        connect(
            f"ws://127.0.0.1:{server.port}/a%20b;c/?q=%7B1%7D&x=/../",
            subprotocols=("v1", "v2"),
            headers=(("X-Client", "demo 1"),),
            backoff_first_ms=60_000,
            backoff_max_ms=60_000,
        )
        head = (await seen).decode()
    lines = head.split("\r\n")
    assert lines[0] == "GET /a%20b;c/?q=%7B1%7D&x=/../ HTTP/1.1"
    names = [line.partition(":")[0].lower() for line in lines[1:] if line]
    assert sorted(names) == sorted(
        ["host", "upgrade", "connection", "sec-websocket-key", "sec-websocket-version",
         "sec-websocket-extensions", "sec-websocket-protocol", "user-agent", "x-client"]
    )  # fmt: skip
    assert f"Host: 127.0.0.1:{server.port}" in lines
    assert "Sec-WebSocket-Protocol: v1, v2" in lines


BAD = b"\xc0\xaf"
FAULTS = {
    "masked": (frame(0x81, b"hi", mask=b"abcd"), "protocol", 1002),
    "rsv1": (frame(0xC1, b"hi"), "protocol", 1002),
    "rsv3_control": (frame(0x99, b""), "protocol", 1002),
    "opcode_3": (frame(0x83, b""), "protocol", 1002),
    "opcode_b": (frame(0x8B, b""), "protocol", 1002),
    "long_ping": (frame(0x89, b"a" * 126), "protocol", 1002),
    "fragmented_ping": (frame(0x09, b""), "protocol", 1002),
    "lone_continuation": (frame(0x80, b"x"), "protocol", 1002),
    "interleaved": (frame(0x01, b"a") + frame(0x81, b"b"), "protocol", 1002),
    "utf8": (frame(0x81, BAD), "protocol", 1007),
    "utf8_surrogate": (frame(0x81, b"\xed\xa0\x80"), "protocol", 1007),
    "utf8_cut_between_fragments": (frame(0x01, b"\xe2") + frame(0x80, b"("), "protocol", 1007),
    "utf8_unfinished": (frame(0x01, b"\xe2\x82") + frame(0x80, b""), "protocol", 1007),
    "utf8_early": (frame(0x01, BAD), "protocol", 1007),
    "too_big": (frame(0x82, b"")[:1] + b"\x7f" + struct.pack("!Q", (1 << 20) + 1), "too_big", 1009),
    "absurd": (b"\x82\x7f" + b"\xff" * 8, "too_big", 1009),
    "too_big_in_parts": (
        b"".join([frame(0x02, b"a" * 400_000), frame(0x00, b"a" * 400_000)])
        + frame(0x00, b"a" * 400_000)[:10],
        "too_big",
        1009,
    ),
    "endless_fragments": (frame(0x01, b"a") + frame(0x00, b"a") * 1100, "flood", 1008),
    "small_fragments": (
        frame(0x01, b"a" * 200) + frame(0x00, b"a" * 200) * 8000,
        "flood",
        1008,
    ),
    "empty_fragments": (frame(0x01, b"a") + frame(0x00, b"") * 40, "flood", 1008),
    "ping_flood": (frame(0x89, b"") * 400, "flood", 1008),
    "pong_flood": (frame(0x8A, b"x") * 400, "flood", 1008),
    "close_half_code": (frame(0x88, b"\x03"), "protocol", 1002),
    "close_code_0": (frame(0x88, b"\x00\x00"), "protocol", 1002),
    "close_code_1005": (frame(0x88, struct.pack("!H", 1005)), "protocol", 1002),
    "close_code_1006": (frame(0x88, struct.pack("!H", 1006)), "protocol", 1002),
    "close_code_2999": (frame(0x88, struct.pack("!H", 2999)), "protocol", 1002),
    "close_code_5000": (frame(0x88, struct.pack("!H", 5000)), "protocol", 1002),
    "close_reason_utf8": (frame(0x88, struct.pack("!H", 1000) + BAD), "protocol", 1007),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_broken_frame_ends_the_session_with_the_right_code(connect, name):
    """What came before the fault is delivered; the server is told why; nothing after is read."""
    data, code, close_code = FAULTS[name]
    told = asyncio.get_running_loop().create_future()

    async def script(reader, writer):
        accept, _ = await read_request(reader)
        writer.write(upgrade(accept) + frame(0x81, b"before") + data)
        told.set_result(await read_close(reader))
        writer.write(frame(0x81, b"after"))
        writer.close()

    async with RawServer(script) as server:
        _, sink = connect(server.url, backoff_first_ms=60_000, backoff_max_ms=60_000)
        _, _, sent_code, _, clean = await sink.next("closed")
        _, error, _ = await sink.next("failed")
        assert error.code == f"connection.{code}", error
        assert (sent_code, clean) == (close_code, False)
        assert await told == close_code
        texts = [call[2] for call in sink.seen if call[0] == "text"]
        assert texts == ["before"]


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 4004, 4999])
async def test_close_codes_and_reasons_arrive(connect, code):
    """W6: code and reason as the server gave them."""
    reason = "später \N{SNOWMAN}"

    async def script(reader, writer):
        accept, _ = await read_request(reader)
        writer.write(upgrade(accept) + frame(0x88, struct.pack("!H", code) + reason.encode()))
        assert await read_close(reader) == code
        writer.close()

    async with RawServer(script) as server:
        host, sink = connect(server.url, backoff_first_ms=60_000, backoff_max_ms=60_000)
        assert (await sink.next("closed"))[2:] == (code, reason, True)
        status = host.status()
        assert (status.close_code, status.close_reason) == (code, reason)
        assert status.state == "waiting"
        assert status.next_dial_at is not None


async def test_an_empty_close_frame_is_1005(connect):
    async def script(reader, writer):
        accept, _ = await read_request(reader)
        writer.write(upgrade(accept) + frame(0x88, b""))
        assert await read_close(reader) == 1005
        writer.close()

    async with RawServer(script) as server:
        _, sink = connect(server.url, backoff_first_ms=60_000, backoff_max_ms=60_000)
        assert (await sink.next("closed"))[2:] == (1005, "", True)


@pytest.mark.parametrize("partial", [b"", b"\x81", b"\x81\x7e\x01", frame(0x81, b"a" * 300)[:200]])
async def test_a_reset_in_the_middle_of_a_frame_is_a_lost_session(connect, partial):
    async def script(reader, writer):
        accept, _ = await read_request(reader)
        writer.write(upgrade(accept) + frame(0x81, b"whole") + partial)
        await writer.drain()
        await reader.readexactly(8)  # the client has read and answered: now break the line
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with RawServer(script) as server:
        sink = Sink()
        host, _ = connect(server.url, sink=sink, backoff_first_ms=60_000, backoff_max_ms=60_000)
        sink.on_text = lambda session, text: host.send_text(session, "ok")
        _, _, code, _, clean = await sink.next("closed")
        assert (code, clean) == (1006, False)
        assert (await sink.next("failed"))[1].code == "connection.lost"
        assert [c[2] for c in sink.seen if c[0] == "text"] == ["whole"]


async def test_a_server_that_never_answers_the_close_is_cut_off(connect):
    async def script(reader, writer):
        accept, _ = await read_request(reader)
        writer.write(upgrade(accept))
        while await reader.read(1024):
            pass
        # No close frame and no end from this side until the client has gone.

    async with RawServer(script) as server:
        host, sink = connect(server.url, limits=SHORT)
        await sink.next("opened")
        await host.close()
        assert host.status().state == "stopped"
        assert (await sink.next("closed"))[4] is False


async def send_for_ever(host, session):
    while True:
        host.send_text(session, "x" * 65536)
        await asyncio.sleep(0)


async def test_a_server_that_does_not_read_cannot_fill_our_memory(connect):
    """W8: the write buffer is bounded, and the send says so at once."""
    stuck = asyncio.Event()

    async def script(reader, writer):
        accept, _ = await read_request(reader)
        writer.transport.pause_reading()
        writer.write(upgrade(accept))
        await stuck.wait()

    limits = dataclasses.replace(SHORT, send_buffer_bytes=1 << 20)
    async with RawServer(script) as server:
        host, sink = connect(server.url, limits=limits)
        _, session, *_ = await sink.next("opened")
        with pytest.raises(ConnectionFailure) as refused:
            await send_for_ever(host, session)
        assert refused.value.code == "connection.send_failed"
        assert host.status().send_failures == 1
        await host.close()
        stuck.set()


async def test_text_that_is_not_text_is_not_sent(connect):
    async def script(reader, writer):
        accept, _ = await read_request(reader)
        writer.write(upgrade(accept))
        await reader.read()

    async with RawServer(script) as server:
        host, sink = connect(server.url, limits=SHORT)
        _, session, *_ = await sink.next("opened")
        with pytest.raises(ConnectionFailure) as refused:
            host.send_text(session, "\ud800")
        assert refused.value.code == "connection.send_failed"


async def test_a_sink_that_raises_ends_the_session_and_not_the_host(connect):
    """A defect is visible and costs one session; the connection goes on."""
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    async def script(reader, writer):
        accept, _ = await read_request(reader)
        writer.write(upgrade(accept) + frame(0x81, b"a"))
        assert await read_close(reader) == 1011
        writer.close()

    async with RawServer(script) as server:
        sink = Sink()

        def boom(session, text):
            raise RuntimeError("boom")

        sink.on_text = boom
        connect(server.url, sink=sink)
        assert (await sink.next("failed"))[1].code == "usage.internal"
        sink.on_text = None
        await sink.next("opened")
        await sink.next("text")
    assert str(reported[0]["exception"]) == "boom"


DAY_MS = LIMITS.retry_after_max_ms
WAITS = {
    "seconds": (b"429 Too Many\r\nRetry-After: 6\r\n\r\nno", 6_000),
    "fraction": (b"503 Later\r\nretry-after:0.25\r\n\r\n", 375),
    "among others": (b"429 X\r\nA: b\r\nRetry-After:  7 \r\nC: d\r\n\r\n", 7_000),
    "zero": (b"429 X\r\nRetry-After: 0\r\n\r\n", 375),
    "negative": (b"429 X\r\nRetry-After: -5\r\n\r\n", 375),
    "no number": (b"429 X\r\nRetry-After: nan\r\n\r\n", 375),
    "without end": (b"429 X\r\nRetry-After: inf\r\n\r\n", 375),
    "scientific": (b"429 X\r\nRetry-After: 1e9\r\n\r\n", 375),
    "huge": (b"429 X\r\nRetry-After: " + b"9" * 900 + b"\r\n\r\n", DAY_MS),
    "another zone": (b"429 X\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 -1200\r\n\r\n", DAY_MS),
    "empty": (b"429 X\r\nRetry-After:\r\n\r\n", 375),
    "long ago": (b"429 X\r\nRetry-After: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n", 375),
    "no day": (b"429 X\r\nRetry-After: Foo, 99 Bar 9999 99:99:99 GMT\r\n\r\n", 375),
    "twice": (b"429 X\r\nRetry-After: 6\r\nRetry-After: 900\r\n\r\n", 6_000),
    "unreadable": (b"429 X\r\nRetry-After: soon\r\n\r\n", 375),
    "none": (b"503 X\r\n\r\n", 375),
    "cut": (b"429 X\r\nRetry-Af", 375),
    "another status": (b"500 X\r\nRetry-After: 6\r\n\r\n", 375),
    "in the body": (b"429 X\r\n\r\nRetry-After: 6\r\n\r\n", 375),
}


@pytest.mark.parametrize("name", WAITS)
async def test_a_wait_that_a_refusal_names_is_kept(connect, name):
    text, wait_ms = WAITS[name]

    async def script(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 " + text)
        writer.close()

    async with RawServer(script) as server:
        url = f"ws://127.0.0.1:{server.port}/"
        host, sink = connect(url, backoff_first_ms=500, backoff_max_ms=500)
        _, error, retry = await sink.next("failed")
        assert (error.code, retry) == ("connection.handshake", wait_ms)
        assert error.fields["status"] == int(text[:3])
        assert error.hint
        assert host.status().next_dial_at is not None
