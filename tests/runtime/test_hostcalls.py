"""Host calls against real servers: state, requests, the plugin's own sockets (W7, S7, P4)."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runtime.desks import PULL, REQUEST, Desk, Host, having, target
from websockets.utils import accept_key

from yoi.connections import SocketConnector
from yoi.connections.pull_socket import PullClosed, PullSocket
from yoi.errors import ConnectionFailure
from yoi.journal.state import StateStore
from yoi.limits import LIMITS
from yoi.permissions import PermissionSet
from yoi.runtime.hostcalls import OPERATIONS, ServiceHostCalls
from yoi.testing.gateway import FakeGateway
from yoi.testing.http_server import HttpAnswer, HttpServer


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with FakeGateway() as made:
        yield made


def pulling(gateway: FakeGateway, **more) -> PermissionSet:
    return having(PULL, websocket=[target(gateway.port, **more)])


@pytest.fixture
async def desk(gateway: FakeGateway) -> AsyncIterator[Desk]:
    made = Desk(pulling(gateway))
    yield made
    await made.end()


@contextlib.asynccontextmanager
async def raw_server(serve) -> AsyncIterator[int]:
    """Run `serve(reader, writer)` for each connection, to its end; yield the port."""
    ended: list[asyncio.Task[None]] = []

    async def handle(reader, writer):
        ended.append(asyncio.current_task())
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*ended)


async def until(true) -> None:
    """Let the loop go on until `true()`; what is waited for is on its way."""
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def opened(desk: Desk, gateway: FakeGateway):
    """Return the handle of a new socket, and the server's end of it."""
    answer = await desk.ok("websocket.open", {"url": gateway.url})
    return answer["handle"], await gateway.accept()


# -- sockets ---------------------------------------------------------------------------------------


async def test_open_send_receive_and_close(desk, gateway):
    """W7: text and binary both ways, and a close that is a close."""
    made = await desk.ok("websocket.open", {"url": gateway.url + "a?b=c"})
    assert made == {"handle": 1, "url": gateway.url + "a?…", "protocol": None}
    peer = await gateway.accept()
    assert peer.path == "/a?b=c"
    assert await desk.ok("websocket.send-text", 1, "žluť") == {"sent": True, "bytes": 6}
    data = base64.b64encode(b"\x00\xff").decode()
    assert await desk.ok("websocket.send-binary", 1, data) == {"sent": True, "bytes": 2}
    assert [await peer.receive(), await peer.receive()] == ["žluť", b"\x00\xff"]
    await peer.send("back")
    await peer.send(b"\x01\x02")
    assert await desk.ok("websocket.recv", 1, 0) == {"type": "text", "text": "back"}
    got = await desk.ok("websocket.recv", 1, 1000)
    assert got == {"type": "binary", "data": base64.b64encode(b"\x01\x02").decode()}
    assert await desk.ok("websocket.close", 1) == {"closed": True}
    assert await peer.closed() == (1000, "")
    assert await desk.ok("websocket.close", 1) == {"closed": False}
    assert await desk.code("websocket.send-text", 1, "x") == "service.handle"


async def test_the_selected_subprotocol_is_told():
    async with FakeGateway(subprotocols=["v1"]) as gateway:
        desk = Desk(pulling(gateway))
        call = {"url": gateway.url, "protocols": ["v2", "v1"]}
        assert (await desk.ok("websocket.open", call))["protocol"] == "v1"
        await desk.end()


async def test_the_argument_may_be_json_text_as_components_pass_it(desk, gateway):
    made = await desk.ok("websocket.open", json.dumps({"url": gateway.url, "headers": []}))
    assert made["handle"] == 1


async def test_a_received_close_is_an_answer_and_frees_the_slot(gateway):
    """W7: what came before the close is read first; then the handle is gone."""
    desk = Desk(pulling(gateway), pull_sockets=1)
    handle, peer = await opened(desk, gateway)
    await peer.send("last words")
    await peer.close(4001, "enough")
    first, second = [await desk.ok("websocket.recv", handle, 5000) for _ in range(2)]
    assert first["text"] == "last words"
    assert second == {"type": "closed", "code": 4001, "reason": "enough", "clean": True}
    assert await desk.code("websocket.recv", handle, 0) == "service.handle"
    await opened(desk, gateway)
    await desk.end()


async def test_a_lost_socket_says_why(desk, gateway):
    handle, peer = await opened(desk, gateway)
    peer.kill()
    closed = await desk.ok("websocket.recv", handle, 5000)
    assert (closed["type"], closed["code"], closed["clean"]) == ("closed", 1006, False)
    assert closed["error"]["code"] == "connection.lost"
    await until(lambda: [error.code for error in desk.refused] == ["connection.lost"])


async def test_an_open_that_times_out_is_told_to_the_operator_too():
    """N12: only a `recv` that waited as it was asked to is no failure."""
    gone = asyncio.Event()
    async with raw_server(lambda reader, writer: gone.wait()) as port:
        desk = Desk(having(PULL, websocket=[target(port)]), handshake_ms=20)
        url = f"ws://127.0.0.1:{port}/"
        assert await desk.code("websocket.open", {"url": url}) == "connection.timeout"
        gone.set()
        await until(lambda: [error.code for error in desk.refused] == ["connection.timeout"])
        await desk.end()


@pytest.mark.parametrize(("again_s", "times"), [(60.0, 1), (0.0, 3)])
async def test_a_failure_that_comes_back_is_told_again_after_a_while(
    desk, monkeypatch, again_s, times
):
    monkeypatch.setattr("yoi.runtime.hostcalls._TELL_AGAIN_S", again_s)
    for _ in range(3):
        assert await desk.code("websocket.recv", 99, 1) == "service.handle"
    await desk.code("state.get", "")  # told last, so all before it was
    await until(lambda: desk.refused[-1:] and desk.refused[-1].code == "service.call_malformed")
    assert [error.code for error in desk.refused].count("service.handle") == times


async def test_a_secret_that_the_server_echoes_is_masked(desk, gateway):
    """W9, K3: as for connections; bytes come whole or not at all."""
    desk.holds("a-token-of-some-length")
    handle, peer = await opened(desk, gateway)
    await peer.send("you are a-token-of-some-length")
    await peer.send(b"a-token-of-some-length\x00")
    assert "a-token" not in str(await desk.ok("websocket.recv", handle, 5000))
    assert await desk.code("websocket.recv", handle, 5000) == "connection.withheld"
    await peer.send(b"other\x00")
    data = (await desk.ok("websocket.recv", handle, 5000))["data"]
    assert base64.b64decode(data) == b"other\x00"
    await peer.close(4000, "bad: a-token-of-some-length")
    assert (await desk.ok("websocket.recv", handle, 5000))["reason"] == "bad: [masked]"


async def test_a_secret_in_the_refusal_of_a_dial_is_masked():
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 no a-token-of-some-length\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()

    async with raw_server(refuse) as port:
        desk = Desk(having(PULL, websocket=[target(port)]))
        desk.holds("a-token-of-some-length")
        url = f"ws://127.0.0.1:{port}/a-token-of-some-length"
        told = (await desk.ask("websocket.open", {"url": url}))["error"]
        await desk.end()
    assert told["code"].startswith("connection.")
    assert "a-token" not in str(told)


async def test_what_a_server_says_in_an_error_of_a_dial_or_an_end_is_masked(
    desk, gateway, monkeypatch
):
    """K3: a certificate's names and a library's quotations are the server's words, too."""
    value = "a-token-of-some-length"
    said = ConnectionFailure("connection.tls", f"it is for {value}", hint=f"ask {value}", at=value)
    desk.holds(value)
    await opened(desk, gateway)
    handle = 1

    async def ended(socket, timeout_ms):
        return PullClosed(1006, "", False, said)

    async def failed(connector, *_):
        raise said

    monkeypatch.setattr(PullSocket, "receive", ended)
    closed = await desk.ok("websocket.recv", handle, 5000)
    assert closed["error"]["message"] == "it is for [masked]"
    assert value not in str(closed)
    monkeypatch.setattr(SocketConnector, "dial", failed)
    refused = await desk.ask("websocket.open", {"url": gateway.url})
    assert refused["error"]["message"] == "it is for [masked]"
    assert value not in str(refused)


async def test_a_recv_without_a_message_times_out_and_the_socket_lives(desk, gateway):
    handle, peer = await opened(desk, gateway)
    assert await desk.code("websocket.recv", handle, 1) == "connection.timeout"
    await peer.send("late")
    assert (await desk.ok("websocket.recv", handle, 5000))["text"] == "late"
    over = LIMITS.pull_recv_max_ms + 1
    assert await desk.code("websocket.recv", handle, over) == "service.call_malformed"
    assert desk.refused[-1].code == "service.call_malformed"
    assert "connection.timeout" not in [error.code for error in desk.refused]


async def test_the_budget_interrupts_a_recv_and_cancels_it(desk, gateway):
    """DESIGN 3: no host call waits longer than the guest has time left."""
    handle, peer = await opened(desk, gateway)
    assert await desk.code("websocket.recv", handle, 30_000, budget=0.02) == "sandbox.deadline"
    await peer.send("for the next one")
    assert (await desk.ok("websocket.recv", handle, 5000))["text"] == "for the next one"
    assert await desk.code("websocket.recv", handle, 30_000, budget=0.0) == "sandbox.deadline"


async def test_the_budget_interrupts_a_dial_and_leaves_nothing_open():
    """The server never answers the handshake."""
    released = asyncio.Event()

    async def silent(reader, writer):
        assert await reader.readuntil(b"\r\n\r\n")
        assert await reader.read() == b"", "the dial was given up"
        released.set()

    async with raw_server(silent) as port:
        desk = Desk(having(PULL, websocket=[target(port)]), pull_sockets=1)
        url = {"url": f"ws://127.0.0.1:{port}/"}
        assert await desk.code("websocket.open", url, budget=0.5) == "sandbox.deadline"
        await released.wait()
        assert desk.calls.status() == []
        # The slot came back: the next one is dialled, too.
        assert await desk.code("websocket.open", url, budget=0.1) == "sandbox.deadline"


async def test_stopping_ends_a_blocked_recv_and_closes_the_sockets(desk, gateway):
    """W7: handles die on stop."""
    handle, peer = await opened(desk, gateway)
    blocked = asyncio.create_task(desk.ask("websocket.recv", handle, 30_000))
    await until(lambda: desk.calls._under_way)
    await desk.end()
    assert (await blocked)["error"]["code"] == "service.stopping"
    assert await peer.closed() == (1001, "going away")
    assert await desk.code("websocket.open", {"url": gateway.url}) == "service.stopping"
    assert await desk.code("request.request", {"url": "http://x/", "method": "GET"}) == (
        "service.stopping"
    )
    assert await desk.ok("state.get", "k") == {"value": None}, "stop() may still read and write"


async def test_the_next_instance_does_not_find_the_handles_of_the_last(desk, gateway):
    """W7: handles belong to the instance, and numbers are not used again."""
    handle, peer = await opened(desk, gateway)
    desk.calls.end()
    desk.calls.begin(desk.refused.append)
    assert await desk.code("websocket.recv", handle, 1) == "service.handle"
    again, _ = await opened(desk, gateway)
    assert again != handle
    await peer.closed()


async def test_what_a_tool_call_opens_ends_with_it_and_nothing_else_does(desk, gateway):
    """W7."""
    kept, kept_peer = await opened(desk, gateway)

    def tool() -> int:
        with desk.calls.tool_call():
            made = desk.ask_here("websocket.open", [{"url": gateway.url}])
            handle = made["ok"]["handle"]
            assert desk.ask_here("websocket.send-text", [handle, "in"])["ok"]["sent"]
            assert {one.owner for one in desk.calls.status()} == {"service", "tool"}
            return handle

    handle = await asyncio.to_thread(tool)
    peer = await gateway.accept()
    assert await peer.receive() == "in"
    assert await peer.closed() == (1000, "the tool call has returned")
    assert await desk.code("websocket.send-text", handle, "x") == "service.handle"
    await desk.ok("websocket.send-text", kept, "still here")
    assert await kept_peer.receive() == "still here"


async def test_a_handle_is_nothing_to_another_plugin(gateway):
    """P3: the same number is somebody else's, or nobody's."""
    host = Host()
    one = Desk(pulling(gateway), name="one", host=host)
    two = Desk(pulling(gateway), name="two", host=host)
    handle, peer = await opened(one, gateway)
    for op, *more in (
        ("websocket.send-text", "stolen"),
        ("websocket.send-binary", "AAAA"),
        ("websocket.recv", 10),
        ("websocket.status",),
    ):
        assert await two.code(op, handle, *more) == "service.handle"
    assert await two.ok("websocket.close", handle) == {"closed": False}
    await one.ok("websocket.send-text", handle, "mine")
    assert await peer.receive() == "mine"
    await one.end()


async def test_open_sockets_are_capped_per_plugin_and_per_host(gateway):
    host = Host(limits=LIMITS.__class__(pull_sockets=2, pull_sockets_total=3))
    one = Desk(pulling(gateway), name="one", host=host)
    two = Desk(pulling(gateway), name="two", host=host)
    handle, _ = await opened(one, gateway)
    await opened(one, gateway)
    assert await one.code("websocket.open", {"url": gateway.url}) == "service.pull_sockets"
    await opened(two, gateway)
    assert await two.code("websocket.open", {"url": gateway.url}) == "service.pull_sockets"
    await one.ok("websocket.close", handle)
    await opened(two, gateway)
    await one.end()
    await two.end()


async def test_ten_thousand_opens_are_bounded(gateway):
    """One plugin asks ten thousand times, closing each: the server sees a minute's worth."""
    desk = Desk(pulling(gateway), pull_opens_per_minute=5)
    codes: dict[str, int] = {}

    def hammer() -> None:
        for _ in range(10_000):
            answer = desk.ask_here("websocket.open", [{"url": gateway.url}])
            if "ok" in answer:
                desk.ask_here("websocket.close", [answer["ok"]["handle"]])
            code = answer["error"]["code"] if "error" in answer else "opened"
            codes[code] = codes.get(code, 0) + 1

    await asyncio.to_thread(hammer)
    assert codes == {"opened": 5, "service.rate": 9_995}
    assert desk.calls.status() == []
    assert len(desk.refused) == 1, "the operator is told once, not ten thousand times"
    desk.host.clock.advance(12.1)
    await desk.ok("websocket.open", {"url": gateway.url})
    await desk.end()


async def test_a_failed_dial_frees_its_slot(gateway):
    desk = Desk(pulling(gateway), pull_sockets=1)
    await gateway.stop()
    assert await desk.code("websocket.open", {"url": gateway.url}) == "connection.refused"
    await gateway.start()
    await opened(desk, gateway)
    await desk.end()


async def test_the_send_rate_is_bounded_and_recovers(gateway):
    desk = Desk(pulling(gateway), pull_sends_per_second=3)
    handle, _ = await opened(desk, gateway)
    for _ in range(3):
        await desk.ok("websocket.send-text", handle, "x")
    refused = (await desk.ask("websocket.send-text", handle, "x"))["error"]
    assert refused["code"] == "service.rate"
    assert refused["retry_after_ms"] > 0
    desk.host.clock.advance(1.0)
    await desk.ok("websocket.send-text", handle, "x")
    await desk.end()


async def test_what_nobody_reads_stops_the_peer_and_is_never_lost(gateway):
    """W7: bounded by count and bytes; reading pauses, and goes on when there is room."""
    desk = Desk(pulling(gateway), pull_queue_messages=8)
    handle, peer = await opened(desk, gateway)
    for number in range(100):
        await peer.send(str(number))
    await until(lambda: desk.calls.status()[0].reading_paused)
    status = desk.calls.status()[0]
    assert (status.waiting_messages, status.frames_in) == (8, 8)
    got = [await desk.ok("websocket.recv", handle, 5000) for _ in range(100)]
    assert [one["text"] for one in got] == [str(number) for number in range(100)]
    await desk.end()


async def test_a_queue_is_also_bounded_in_bytes(gateway):
    desk = Desk(pulling(gateway), pull_queue_bytes=1000)
    handle, peer = await opened(desk, gateway)
    for _ in range(5):
        await peer.send(b"x" * 600)
    await until(lambda: desk.calls.status()[0].reading_paused)
    assert desk.calls.status()[0].waiting_bytes == 1200
    for _ in range(5):
        assert (await desk.ok("websocket.recv", handle, 5000))["type"] == "binary"
    await desk.end()


async def test_a_message_over_the_granted_bound_ends_the_socket(gateway):
    desk = Desk(pulling(gateway, max_message_bytes=1024))
    handle, peer = await opened(desk, gateway)
    await peer.send("x" * 1025)
    closed = await desk.ok("websocket.recv", handle, 5000)
    assert closed["error"]["code"] == "connection.too_big"
    await desk.end()


async def test_a_socket_has_a_lifetime(gateway):
    desk = Desk(pulling(gateway), ping_ms=LIMITS.pull_lifetime_ms)
    handle, peer = await opened(desk, gateway)
    desk.host.timers.advance(LIMITS.pull_lifetime_ms / 1000 + 1)
    closed = await desk.ok("websocket.recv", handle, 5000)
    assert (closed["type"], closed["error"]["code"]) == ("closed", "connection.timeout")
    assert await peer.closed() == (1001, "lifetime")


async def test_a_peer_that_answers_no_ping_is_given_up():
    async def mute(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        key = next(row for row in head.split(b"\r\n") if row.lower().startswith(b"sec-websocket-k"))
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: "
            + accept_key(key.split(b": ")[1].decode()).encode()
            + b"\r\n\r\n"
        )
        await reader.read(-1)

    async with raw_server(mute) as port:
        desk = Desk(having(PULL, websocket=[target(port)]))
        made = await desk.ok("websocket.open", {"url": f"ws://127.0.0.1:{port}/"})
        for _ in range(3):
            desk.host.timers.advance(LIMITS.ping_ms / 1000)
        closed = await desk.ok("websocket.recv", made["handle"], 5000)
        assert closed["error"]["code"] == "connection.idle"
        await desk.end()


async def test_status_shows_each_socket_without_its_query(desk, gateway):
    handle, _ = await opened(desk, gateway)
    await desk.ok("websocket.open", {"url": gateway.url + "x?token=hidden"})
    await desk.ok("websocket.send-text", handle, "four")
    one = await desk.ok("websocket.status", handle)
    assert (one["state"], one["url"], one["frames_out"], one["bytes_out"]) == (
        "open", gateway.url, 1, 4,
    )  # fmt: skip
    shown = desk.calls.status()
    assert [status.handle for status in shown] == [1, 2]
    assert "hidden" not in str(shown)


# -- what is refused -------------------------------------------------------------------------------


async def test_open_needs_both_keys_and_its_own_permission(gateway):
    """P4: a standing-connection grant is not enough; nor is one side."""
    full = pulling(gateway)
    standing = having({"kind": "connection", "name": "gateway"}, websocket=[target(gateway.port)])
    for asked, granted, code in (
        (full, PermissionSet(), "denied.not_granted"),
        (PermissionSet(), full, "denied.not_requested"),
        (standing, standing, "denied.not_requested"),
        (full, standing, "denied.not_granted"),
        (having(PULL), full, "denied.not_requested"),
    ):
        desk = Desk(asked, granted)
        refused = (await desk.ask("websocket.open", {"url": gateway.url}))["error"]
        assert refused["code"] == code
        assert refused["hint"]
        assert [error.code for error in desk.refused] == [code], "the operator hears of it"


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "https://127.0.0.1/", "ftp://x/", "file:///"])
async def test_open_refuses_urls_that_are_no_websocket(desk, url):
    assert await desk.code("websocket.open", {"url": url}) == "url.scheme"


@pytest.mark.parametrize(
    ("op", "arguments", "code"),
    [
        ("websocket.open", [{"url": "ws://127.0.0.1:1/"}], "denied.not_requested"),
        ("websocket.open", [{"url": "ws://user:pass@127.0.0.1/"}], "url.userinfo"),
        ("websocket.open", [{"url": "ws://x", "headers": {"a": 1}}], "service.call_malformed"),
        ("websocket.open", [{"url": "ws://x", "insert": [{}]}], "insert.place"),
        ("websocket.open", [{"connection": "none"}], "denied.not_requested"),
        ("websocket.open", [{"url": "ws://x", "origin": "y"}], "service.call_malformed"),
        ("websocket.open", ["not json"], "service.call_malformed"),
        ("websocket.open", [7], "service.call_malformed"),
        ("websocket.open", [], "service.call_malformed"),
        ("websocket.send-text", [1, 2], "service.call_malformed"),
        ("websocket.send-text", [-1, "x"], "service.call_malformed"),
        ("websocket.send-text", [1.5, "x"], "service.call_malformed"),
        ("websocket.send-binary", [1, "not base64!"], "service.call_malformed"),
        ("websocket.recv", [1 << 32, 0], "service.call_malformed"),
        ("websocket.recv", [True, 0], "service.call_malformed"),
        ("websocket.recv", [99, 0], "service.handle"),
        ("websocket.status", [0], "service.handle"),
        ("websocket.steal", [1], "denied.unsupported"),
        ("state.get", [""], "service.call_malformed"),
        ("state.get", ["k" * 129], "service.call_malformed"),
        ("state.set", ["k", "not json"], "service.call_malformed"),
        ("request.request", [{"json": [[]] * LIMITS.json_values}], "service.call_malformed"),
        ("request.request", [json.dumps([[]] * LIMITS.json_values)], "service.call_malformed"),
        ("state.set", ["k", '"' + "x" * LIMITS.state_value_bytes + '"'], "service.call_malformed"),
        ("fs.read", ["/etc/passwd"], "denied.unsupported"),
    ],
)  # fmt: skip
async def test_bad_calls_are_refused_by_value(desk, op, arguments, code):
    """S7, W7: a typed diagnostic that the plugin and the operator both see."""
    assert await desk.code(op, *arguments) == code
    assert [error.code for error in desk.refused] == [code]


async def test_a_bad_subprotocol_is_refused_before_the_dial(desk, gateway):
    call = {"url": gateway.url, "protocols": ["a b"]}
    assert await desk.code("websocket.open", call) == "service.call_malformed"


@pytest.mark.parametrize("argument", ["", "{}", "[", "[[[[", '["\\ud800"]', "null", "[" * 5000])
async def test_arguments_that_are_not_json_arrays_are_refused(desk, argument):
    answer = await asyncio.to_thread(desk.calls, "state.get", argument)
    assert '"service.call_malformed"' in answer


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(op=st.sampled_from([*OPERATIONS, "x"]), arguments=st.lists(JSON, max_size=3) | JSON)
def test_whatever_is_passed_the_answer_is_a_value(op, arguments):
    """S7: without a loop to wait on, nothing gets further than the parsing and the state."""
    loop = asyncio.new_event_loop()
    loop.close()
    with contextlib.closing(StateStore(None)) as state:
        desk = ServiceHostCalls("x", loop, contextlib.nullcontext, state, None, None, None, LIMITS)
        answer = json.loads(desk(op, json.dumps(arguments)))
    assert set(answer) in ({"ok"}, {"error"})
    assert "ok" in answer or answer["error"]["code"] in {
        "service.call_malformed", "service.stopping", "denied.unsupported",
    }  # fmt: skip


# -- state -----------------------------------------------------------------------------------------


async def test_what_a_lost_call_has_set_is_undone_and_what_was_taken_stays(desk):
    async def now():
        return [(await desk.ok("state.get", key))["value"] for key in "ab"]

    desk.calls.keep_changes()
    await desk.ok("state.set", "a", "1")
    assert desk.calls.take_changes() == {"a": "1"}
    for key, value in (("a", "2"), ("b", "3"), ("a", "null"), ("a", "4")):
        await desk.ok("state.set", key, value)
    desk.calls.revert()
    assert await now() == ["1", None]
    assert desk.calls.take_changes() == {}
    desk.calls.forget_changes()
    await desk.ok("state.set", "b", "5")
    desk.calls.revert()
    assert await now() == ["1", "5"]


async def test_state_is_each_plugins_own_and_survives_instances(gateway):
    host = Host()
    one, two = (Desk(PermissionSet(), name=name, host=host) for name in ("one", "two"))
    await one.ok("state.set", "k", '{"a":1}')
    assert await two.ok("state.get", "k") == {"value": None}
    await one.end()
    assert await one.ok("state.get", "k") == {"value": '{"a":1}'}
    await one.ok("state.set", "k", "null")
    assert await one.ok("state.get", "k") == {"value": None}


async def test_state_is_bounded(gateway):
    desk = Desk(PermissionSet(), state_keys=1)
    await desk.ok("state.set", "a", "1")
    assert await desk.code("state.set", "b", "2") == "service.state_full"


async def test_a_disk_that_fails_does_not_end_the_guest(gateway):
    desk = Desk(PermissionSet())
    desk.host.state.close()
    assert await desk.code("state.set", "a", "1") == "journal.io"
    desk.calls._state = None
    assert await desk.code("state.get", "a") == "usage.internal"
    assert [error.code for error in desk.refused] == ["journal.io", "usage.internal"]


async def test_calls_that_are_given_up_at_once_leave_nothing_behind(desk, gateway):
    """Cancelled before they began or on their way: nothing stays open, and no slot is lost.

    What each answers is a race; a coroutine that nobody awaits would be a warning, so an error.
    """

    def hammer() -> None:
        for _ in range(300):
            desk.ask_here("websocket.open", [{"url": gateway.url}], 0.0)

    await asyncio.to_thread(hammer)
    await desk.end()
    await until(lambda: not desk.calls._under_way)
    assert desk.calls.status() == []
    desk.calls.begin(desk.refused.append)
    desk.host.clock.advance(60)
    for _ in range(LIMITS.pull_sockets):
        await desk.ok("websocket.open", {"url": gateway.url})


async def test_after_the_loop_has_gone_calls_are_refused(gateway):
    desk = Desk(pulling(gateway))
    loop = asyncio.new_event_loop()
    loop.close()
    desk.calls._loop = loop
    assert await desk.code("websocket.open", {"url": gateway.url}) == "service.stopping"


# -- requests --------------------------------------------------------------------------------------


def answer(request):
    if request.path == "/stream":
        return HttpAnswer(b"data: x\n\n", headers={"content-type": "text/event-stream"})
    if request.path == "/wait":
        return HttpAnswer(b"", 429, {"retry-after": "7"})
    if request.path == "/away":
        return HttpAnswer(b"", 302, {"location": "/secret"})
    if request.path == "/secret":
        return HttpAnswer.of_json({"url": "wss://ticket.example/", "rest": 1})
    return HttpAnswer.of_json({"path": request.path, "body": request.body.decode()})


def request_target(server, **more):
    return {
        "scheme": "http", "host": "127.0.0.1", "port": server.port,
        "methods": ["GET", "POST"], **more,
    }  # fmt: skip


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    async with HttpServer(answer) as made:
        yield made


@pytest.fixture
async def asking(server) -> Desk:
    return Desk(having(REQUEST, request=[request_target(server, name="api")]))


async def test_a_request_by_url_has_the_ancestors_shapes(server):
    desk = Desk(having(REQUEST, request=[request_target(server)]))
    url = f"http://127.0.0.1:{server.port}/a"
    headers = [{"name": "X-One", "value": "1"}]
    got = await desk.ok(
        "request.request", {"method": "POST", "url": url, "headers": headers, "body": "hi"}
    )
    assert (got["status"], got["truncated"], got["body_kind"]) == (200, False, "json")
    assert got["body"] == '{"path":"/a","body":"hi"}'
    assert {"name": "content-type", "value": "application/json; charset=utf-8"} in got["headers"]


async def test_a_request_by_target_has_the_commands_shapes(asking):
    got = await asking.ok(
        "request.request", {"target": "api", "method": "POST", "path": "/b", "json": {"x": 1}}
    )
    assert (got["status"], got["body"]["body"]) == (200, '{"x":1}')
    assert "ok" not in got


async def test_a_request_needs_both_keys(server):
    """P4."""
    full = having(REQUEST, request=[request_target(server, name="api")])
    by_url = {"method": "GET", "url": f"http://127.0.0.1:{server.port}/"}
    by_name = {"method": "GET", "target": "api", "path": "/"}
    pull = having(PULL, websocket=[target(server.port)])
    for asked, granted, code in (
        (full, PermissionSet(), "denied.not_granted"),
        (PermissionSet(), full, "denied.not_requested"),
        (pull, pull, "denied.not_requested"),
    ):
        for call in (by_url, by_name):
            desk = Desk(asked, granted)
            assert await desk.code("request.request", call) == code


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_a_request_refuses_websocket_urls(asking, scheme):
    """Issue 3, point 5: requests and WebSockets are held apart."""
    call = {"method": "GET", "url": f"{scheme}://127.0.0.1/"}
    refused = (await asking.ask("request.request", call))["error"]
    assert refused["code"] == "request.upgrade"
    assert "websocket_open" in refused["message"]


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("Upgrade", "websocket", "request.upgrade"),
        ("Connection", "upgrade", "request.upgrade"),
        ("Accept", "text/event-stream", "request.event_stream"),
        ("Authorization", "Bearer x", "request.header"),
        ("Host", "elsewhere", "request.header"),
        ("X-Forwarded-For", "127.0.0.1", "request.header"),
        ("X_Real_IP", "127.0.0.1", "request.header"),
        ("X-Method-Override", "DELETE", "request.header"),
        ("Private-Token", "x", "request.header"),
        ("X-Goog-Api-Key", "x", "request.header"),
    ],
)
async def test_a_request_refuses_upgrades_streams_and_credentials(
    asking, server, header, value, code
):
    url = f"http://127.0.0.1:{server.port}/"
    headers = [{"name": header, "value": value}]
    call = {"method": "GET", "url": url, "headers": headers}
    assert await asking.code("request.request", call) in (code, "request.header")
    call = {"method": "GET", "target": "api", "path": "/", "headers": {header: value}}
    assert await asking.code("request.request", call) in (code, "request.header")


async def test_an_answered_event_stream_is_refused(asking):
    call = {"method": "GET", "target": "api", "path": "/stream"}
    assert await asking.code("request.request", call) == "request.event_stream"


async def test_a_429_holds_the_route_and_says_for_how_long(asking):
    call = {"method": "GET", "target": "api", "path": "/wait"}
    assert (await asking.ok("request.request", call))["status"] == 429
    refused = (await asking.ask("request.request", call))["error"]
    assert refused["code"] == "request.rate_limited"
    assert 0 < refused["retry_after_ms"] <= 7000


async def test_the_budget_interrupts_a_request():
    async def silent(reader, writer):
        await reader.read()

    async with raw_server(silent) as port:
        target = {"scheme": "http", "host": "127.0.0.1", "port": port, "methods": ["GET"]}
        desk = Desk(having(REQUEST, request=[target]))
        call = {"method": "GET", "url": f"http://127.0.0.1:{port}/"}
        assert await desk.code("request.request", call, budget=0.2) == "sandbox.deadline"


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"method": "GET"},
        {"method": "BREW", "url": "http://127.0.0.1/"},
        {"method": "GET", "url": "http://127.0.0.1/", "timeout": 1},
        {"method": "GET", "url": "http://127.0.0.1/", "body": 1},
        {"method": "GET", "target": "api", "path": "no-slash"},
        {"method": "GET", "target": "api", "path": "/", "json": 1, "text": "x"},
    ],
)
async def test_malformed_requests_are_refused(asking, call):
    assert await asking.code("request.request", call) in (
        "service.call_malformed", "service.command_malformed", "request.malformed",
    )  # fmt: skip


async def test_what_is_captured_is_not_had_by_asking_by_url(server):
    """A target whose answers are relieved of a value cannot be walked around."""
    captures = [{"name": "url", "at": "/url"}]
    named = request_target(server, name="tickets", path_prefixes=["/secret"], captures=captures)
    both = having(REQUEST, request=[request_target(server), named])
    desk = Desk(both)
    base = f"http://127.0.0.1:{server.port}"
    got = await desk.ok("request.request", {"method": "GET", "url": base + "/secret"})
    assert "ticket.example" not in str(got)
    assert set(got["captured"]) == {"url"}
    call = {"method": "GET", "url": base + "/away"}
    assert await desk.code("request.request", call) == "request.redirect"
