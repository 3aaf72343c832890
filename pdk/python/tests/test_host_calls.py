"""What a handler may ask the host, against the harness's fakes (W7, S7)."""

import json

import pytest

from yoi_pdk import Context, HostError, Plugin, Request, SocketClosed, ToolCall, insert_secret
from yoi_pdk.host import no_host
from yoi_pdk.pull import PullSockets
from yoi_pdk.testing import FakeSocket, PluginHarness, fake_answer

URL = "wss://quotes.example.com/ws"


class Quotes(Plugin):
    """Asks a server in the middle of a tool call."""

    def start(self, ctx: Context, config):
        self.kept = None

    def on_tool(self, call: ToolCall, ctx: Context):
        if call.name == "http":
            answer = ctx.request(Request("api", "GET", "/price", query={"of": "x"}))
            return f"{answer.ok} {answer.status} {answer.json()}"
        with ctx.websocket.open(URL, ["v1"]) as socket:
            socket.send("price?")
            socket.send(b"\x00")
            return {"text": socket.recv(), "data": list(socket.recv(1)), "is": socket.protocol}

    def on_text(self, event, ctx: Context):
        if self.kept is None:
            self.kept = ctx.websocket.open(URL)
        try:
            got = self.kept.recv(0.5)
        except SocketClosed as exc:
            return event.reply(f"closed {exc.close_code} {exc.reason} {exc.code}")
        except HostError as exc:
            return event.reply(exc.code)
        ctx.state.set("last", got)
        return event.reply(got)


@pytest.fixture
def plugin():
    return PluginHarness(Quotes)


def test_an_exchange_inside_a_tool_call(plugin):
    served = FakeSocket(["12.5", b"\x01\x02"], protocol="v1")
    plugin.host.connect = {URL: served}.__getitem__
    assert plugin.tool("ws").content == '{"text": "12.5", "data": [1, 2], "is": "v1"}'
    assert served.sent == ["price?", b"\x00"]
    assert served.closed


def test_a_socket_that_a_tool_left_open_is_closed_when_it_returns(plugin):
    served = FakeSocket()
    plugin.host.connect = lambda url: served
    with pytest.raises(HostError) as refused:
        plugin.tool("ws")
    assert refused.value.code == "connection.timeout"
    assert served.closed
    assert plugin.host.sockets == {}


def test_a_socket_of_another_handler_stays_open_between_calls(plugin):
    served = FakeSocket(["a", "b"])
    plugin.host.connect = lambda url: served
    assert plugin.replies("x") == ["a"]
    assert plugin.replies("x") == ["b"]
    assert plugin.replies("x") == ["connection.timeout"]
    assert plugin.state == {"last": "b"}
    served.end(4001, "enough")
    assert plugin.replies("x") == ["closed 4001 enough connection.not_open"]
    assert plugin.replies("x") == ["service.handle"]


def test_a_request_and_its_answer(plugin):
    plugin.host.answer = lambda request: fake_answer(json={"price": 3}, status=201)
    assert plugin.tool("http").summary == "True 201 {'price': 3}"
    assert plugin.host.requests == [
        {"target": "api", "method": "GET", "path": "/price", "query": {"of": "x"}}
    ]


@pytest.mark.parametrize("tool", ["http", "ws"])
def test_without_a_grant_the_call_is_refused_with_a_code(plugin, tool):
    with pytest.raises(HostError) as refused:
        plugin.tool(tool)
    assert refused.value.code == "denied.not_granted"


def test_state_can_be_read_written_and_removed(plugin):
    state = plugin.ctx.state
    assert state.get("n", 7) == state("n", 7) == 7
    state.set("n", {"deep": [1, "é"]})
    assert state.get("n") == {"deep": [1, "é"]}
    state.set("n", None)
    assert state.get("n") is None
    with pytest.raises(ValueError, match="JSON"):
        state.set("n", float("nan"))


def test_bad_arguments_are_refused_before_the_host_is_asked(plugin):
    plugin.host.connect = lambda url: FakeSocket()
    socket = plugin.ctx.websocket.open(URL)
    with pytest.raises(TypeError, match="str or bytes"):
        socket.send(7)
    with pytest.raises(ValueError, match="positive"):
        socket.recv(0)
    with pytest.raises(TypeError, match="list"):
        plugin.ctx.websocket.open(URL, "v1")
    assert socket.status()["state"] == "open"
    assert socket.close()
    assert not socket.close()


def test_a_context_without_a_host_refuses_everything():
    ctx = Context("x", print, no_host)
    with pytest.raises(HostError) as refused:
        ctx.state.get("k")
    assert refused.value.code == "denied.unsupported"


def test_a_socket_is_opened_as_a_connection_with_headers_and_a_secret():
    asked = []

    def call(op, argument):
        asked.append(json.loads(argument)[0])
        made = {"handle": 1, "url": "wss://quotes.example.com/", "protocol": None}
        return json.dumps({"ok": made})

    sockets = PullSockets(call)
    token = insert_secret("/headers/authorization", "token", prefix="Bearer ")
    sockets.open(connection="quotes", headers={"X-Lang": "en"}, query={"v": "1"}, insert=[token])
    assert asked == [
        {
            "url": "",
            "protocols": [],
            "headers": {"X-Lang": "en"},
            "query": {"v": "1"},
            "insert": [token.wire()],
            "connection": "quotes",
        }
    ]
    sockets.open("wss://x.example.com/")
    assert asked[1] == {"url": "wss://x.example.com/", "protocols": []}
    with pytest.raises(TypeError, match="a url, or a connection"):
        sockets.open()
