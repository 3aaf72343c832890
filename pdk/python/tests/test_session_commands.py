import pytest

from yoi_pdk import (
    Autoreply,
    Close,
    Heartbeat,
    Match,
    Open,
    Ready,
    Reconnect,
    Request,
    Send,
    StateSet,
    StopConnection,
    TimerClear,
    TimerSet,
    insert_captured,
    insert_counter,
    insert_last,
    insert_secret,
)

TOKEN = insert_secret("/headers/authorization", "app", prefix="Bearer ")

COMMANDS = {
    Open("gw", handle="h1", id="o"): [
        "o",
        "websocket_open",
        {"connection": "gw", "handle": "h1"},
    ],
    Open("gw", headers={"x-a": "1"}, query={"v": "10"}, insert=[TOKEN]): [
        None,
        "websocket_open",
        {
            "connection": "gw",
            "headers": {"x-a": "1"},
            "query": {"v": "10"},
            "insert": [{"at": "/headers/authorization", "secret": "app", "prefix": "Bearer "}],
        },
    ],
    Reconnect("gw", url="wss://a.example/"): [
        None,
        "websocket_reconnect",
        {"connection": "gw", "url": "wss://a.example/"},
    ],
    Close("gw", code=4000, reason="new"): [
        None,
        "websocket_close",
        {"connection": "gw", "code": 4000, "reason": "new"},
    ],
    StopConnection("gw", reason="revoked"): [
        None,
        "websocket_stop",
        {"connection": "gw", "reason": "revoked"},
    ],
    Ready("gw"): [None, "websocket_ready", {"connection": "gw"}],
    Heartbeat(
        "gw",
        41_250,
        json={"op": 1, "d": None},
        insert=[insert_last("/d", "seq")],
        ack=("/op", 11),
        first_ms=1000,
    ): [
        None,
        "websocket_heartbeat",
        {
            "connection": "gw",
            "every_ms": 41_250,
            "json": {"op": 1, "d": None},
            "insert": [{"at": "/d", "last": "seq"}],
            "ack": {"at": "/op", "equals": 11},
            "first_ms": 1000,
        },
    ],
    Heartbeat("gw", 0): [None, "websocket_heartbeat", {"connection": "gw", "every_ms": 0}],
    Autoreply("gw", when=("/type", "ping"), json={"type": "pong"}, copy={"/id": "/id"}): [
        None,
        "websocket_autoreply",
        {
            "connection": "gw",
            "when": {"at": "/type", "equals": "ping"},
            "json": {"type": "pong"},
            "copy": [{"from": "/id", "to": "/id"}],
        },
    ],
    Autoreply("gw", when=("", "2"), text="3"): [
        None,
        "websocket_autoreply",
        {"connection": "gw", "when": {"at": "", "equals": "2"}, "text": "3"},
    ],
    Autoreply("gw", when=Match("", prefix="PING "), text="PONG ", copy_rest=True): [
        None,
        "websocket_autoreply",
        {
            "connection": "gw",
            "when": {"at": "", "prefix": "PING "},
            "text": "PONG ",
            "copy_rest": True,
        },
    ],
    Heartbeat("gw", 5000, json={"id": None}, insert=[insert_counter("/id")], ack=("", "ok")): [
        None,
        "websocket_heartbeat",
        {
            "connection": "gw",
            "every_ms": 5000,
            "json": {"id": None},
            "insert": [{"at": "/id", "counter": "session"}],
            "ack": {"at": "", "equals": "ok"},
        },
    ],
    Send(parts=["40", {"token": None}], insert=[insert_secret("/1/token", "bot")]): [
        None,
        "websocket_send",
        {"parts": ["40", {"token": None}], "insert": [{"at": "/1/token", "secret": "bot"}]},
    ],
    Send(parts=["SEND\n\n", {"a": 1}, "\0"]): [
        None,
        "websocket_send",
        {"parts": ["SEND\n\n", {"a": 1}, "\0"]},
    ],
    Autoreply("gw"): [None, "websocket_autoreply", {"connection": "gw"}],
    TimerSet("retry", 1000): [None, "timer_set", {"name": "retry", "after_ms": 1000}],
    TimerClear("retry"): [None, "timer_clear", {"name": "retry"}],
    Request(
        "api", "post", "/api/open", json={"a": 1}, insert=[TOKEN], capture=["url"], id="open"
    ): [
        "open",
        "request",
        {
            "target": "api",
            "method": "POST",
            "path": "/api/open",
            "json": {"a": 1},
            "insert": [{"at": "/headers/authorization", "secret": "app", "prefix": "Bearer "}],
            "capture": ["url"],
        },
    ],
    Request("api", "GET", "/x", text="", headers={"a": "b"}): [
        None,
        "request",
        {"target": "api", "method": "GET", "path": "/x", "text": "", "headers": {"a": "b"}},
    ],
    StateSet("k", None): [None, "state_set", {"key": "k", "value": None}],
    StateSet("k", {"a": [1]}): [None, "state_set", {"key": "k", "value": {"a": [1]}}],
    Send(json={"op": 2, "d": {"token": None}}, insert=[insert_secret("/d/token", "bot")]): [
        None,
        "websocket_send",
        {
            "json": {"op": 2, "d": {"token": None}},
            "insert": [{"at": "/d/token", "secret": "bot"}],
        },
    ],
    Send(json={"a": 1}, insert=[insert_captured("/a", "h")], session="current"): [
        None,
        "websocket_send",
        {"json": {"a": 1}, "insert": [{"at": "/a", "captured": "h"}], "session": "current"},
    ],
}


@pytest.mark.parametrize("command", COMMANDS, ids=repr)
def test_a_command_writes_what_was_said_and_shows_its_call(command):
    assert command.wire() == COMMANDS[command]
    assert eval(repr(command)) == command


@pytest.mark.parametrize(
    ("wrong", "error", "why"),
    [
        (lambda: Open("gw", url="wss://a.example/", handle="h"), TypeError, "not both"),
        (lambda: Open(""), ValueError, "connection"),
        (lambda: Open("gw", headers={"a": 1}), TypeError, "strings"),
        (lambda: Open("gw", query={str(n): "" for n in range(17)}), ValueError, "16"),
        (lambda: Open("gw", insert=[{"at": "/a"}]), TypeError, "insert_secret"),
        (lambda: Close("gw", code=1006), ValueError, "1000 or"),
        (lambda: Close("gw", reason="x" * 124), ValueError, "123"),
        (lambda: Heartbeat("gw", 999, text="x"), ValueError, "1000"),
        (lambda: Heartbeat("gw", 1000), TypeError, "json, text or parts"),
        (lambda: Heartbeat("gw", 1.5, text="x"), TypeError, "int"),
        (lambda: Heartbeat("gw", 5000, text="x", insert=[TOKEN]), TypeError, "needs json"),
        (lambda: Heartbeat("gw", 5000, text="x", ack="/op"), TypeError, "place and a value"),
        (lambda: Autoreply("gw", when=("/t", 1)), TypeError, "answer with"),
        (lambda: Autoreply("gw", when=("t", 1), text="x"), ValueError, "JSON pointer"),
        (lambda: Autoreply("gw", when=("/t", 1), text="x", copy={"/a": "/b"}), TypeError, "json"),
        (lambda: TimerSet("t", 9), ValueError, "10"),
        (lambda: TimerSet("t", True), TypeError, "int"),
        (lambda: Request("api", "GET", "x"), ValueError, "start with"),
        (lambda: Request("api", "GET", "/", json={}, text=""), TypeError, "one of"),
        (lambda: Request("api", "GET", "/", capture="url"), TypeError, "list"),
        (lambda: Request("api", "GET", "/", json={1, 2}), TypeError, "set"),
        (lambda: StateSet("k", "x" * 65_536), ValueError, "65536"),
        (lambda: StateSet("k", object()), TypeError, "object"),
        (lambda: Send("x", insert=[TOKEN]), TypeError, "nothing is ever substituted"),
        (lambda: Send(json={}, insert=["x"]), TypeError, "insert_secret"),
        (lambda: Send(parts="40"), TypeError, "list"),
        (lambda: Send("x", parts=["40"]), TypeError, "one of"),
        (lambda: Send(parts=[]), ValueError, "1 to 16"),
        (lambda: Send(parts=["x", ""]), ValueError, "empty"),
        (lambda: Send(parts=["x", 1]), TypeError, "int"),
        (lambda: Send(parts=["PRIVMSG #c :", "hi\r\nQUIT"]), ValueError, "control"),
        (
            lambda: Send(parts=["x{", {}], insert=[insert_secret("/1/a", "b")]),
            ValueError,
            "bracket",
        ),
        (
            lambda: Send(parts=["x", {}], insert=[insert_secret("/0", "b")]),
            ValueError,
            "whole part",
        ),
        (
            lambda: Autoreply("gw", when=("/t", 1), text="x", copy_rest=True),
            TypeError,
            "prefix",
        ),
        (lambda: Autoreply("gw", when=("", 2), text="x"), TypeError, "whole text"),
        (lambda: insert_secret("headers", "app"), ValueError, "JSON pointer"),
        (lambda: insert_secret("/a", ""), TypeError, "name"),
        (lambda: insert_secret("/a", "app", prefix=1), TypeError, "prefix"),
    ],
)
def test_what_the_host_would_refuse_is_refused_where_it_is_written(wrong, error, why):
    with pytest.raises(error, match=why):
        wrong()


def test_a_request_with_a_segment_and_a_password_to_insert():
    command = Request(
        "api",
        "GET",
        "/-/list",
        basic=("ada", None),
        insert=[insert_secret("/path/0", "bot", prefix="bot")],
    )
    assert command.payload()["basic"] == {"user": "ada", "password": None}
    assert command.payload()["insert"] == [{"at": "/path/0", "secret": "bot", "prefix": "bot"}]
    with pytest.raises(TypeError):
        Request("api", "GET", "/x", basic="ada:secret")


def test_a_whole_part_is_none_where_it_is_inserted():
    insert = [insert_secret("/1", "chat")]
    assert Send(parts=["PASS ", None, "\r\n"], insert=insert).parts == ["PASS ", None, "\r\n"]
    with pytest.raises(ValueError, match="nothing is inserted at /1"):
        Send(parts=["PASS ", None])
    with pytest.raises(ValueError, match="whole part"):
        Send(parts=["PASS ", "x"], insert=insert)
