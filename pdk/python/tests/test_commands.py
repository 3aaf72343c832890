import pytest

from yoi_pdk import Reply, Send, Status, insert_counter
from yoi_pdk.testing import text_event


def test_a_reply_is_one_text():
    assert text_event("hi").reply("ho") == Reply("ho")
    assert Reply("ho").wire() == [None, "websocket_send", {"text": "ho"}]
    assert Reply("ho") != Reply("hi")
    assert Reply("ho") != Send("ho")
    assert hash(Reply("ho")) == hash(Reply("ho"))


class Text(str):
    __slots__ = ()


def test_a_reply_keeps_only_the_text_of_a_str_subclass():
    assert type(Reply(Text("x")).text) is str


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        ({"a": 1}, "json.dumps"),
        ([1], "json.dumps"),
        (b"x", "decode it"),
        (7, "str("),
        (None, "str("),
    ],
)
def test_a_reply_that_is_not_text_names_the_fix(value, fix):
    with pytest.raises(TypeError, match="takes a str") as caught:
        text_event("hi").reply(value)
    assert fix in str(caught.value)


def test_send_writes_only_what_was_said():
    assert Send("x").wire() == [None, "websocket_send", {"text": "x"}]
    assert Send(data=b"\x00\xff", connection="gw", session="current", id="a").wire() == [
        "a",
        "websocket_send",
        {"data": "AP8=", "connection": "gw", "session": "current"},
    ]
    assert Send("x", url="wss://a.example/").wire()[2] == {"text": "x", "url": "wss://a.example/"}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"text": "x", "data": b"y"},
        {"data": "text"},
        {"text": {"a": 1}},
        {"text": "x", "connection": "a", "url": "wss://a.example/"},
        {"text": "x", "connection": 7},
    ],
)
def test_send_refuses_what_the_host_would_refuse(arguments):
    with pytest.raises(TypeError):
        Send(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [{"session": "old"}, {"id": ""}, {"id": "x" * 129}, {"id": "a\n"}, {"connection": "\x1b[2J"}],
)
def test_send_refuses_values_out_of_bounds(arguments):
    with pytest.raises(ValueError, match="must be"):
        Send("x", **arguments)


def test_status_is_a_message_or_an_object():
    assert Status("fine").wire() == [None, "diagnostic_status_update", {"message": "fine"}]
    assert Status(status={"n": 1}, id="s").wire() == [
        "s",
        "diagnostic_status_update",
        {"status": {"n": 1}},
    ]
    with pytest.raises(TypeError, match="message or a status"):
        Status()
    with pytest.raises(TypeError, match="dict or str"):
        Status(status=7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="65536"):
        Status(status="x" * 70_000)


def test_commands_show_the_call_that_makes_them():
    for command in (Reply("a"), Send("a", connection="c"), Send(data=b"d", id="i"), Status("m")):
        assert eval(repr(command)) == command


def test_a_question_says_where_its_answer_has_the_number():
    asked = Send(json={"id": None}, insert=[insert_counter("/id")], reply_at="/id", id="q1")
    assert asked.wire()[2]["reply_at"] == "/id"
    assert "reply_at='/id'" in repr(asked)
    for wrong in (
        {"insert": [insert_counter("/id")]},  # no id to know the answer by
        {"id": "q1"},
        {"id": "q1", "insert": [insert_counter("/id"), insert_counter("/n")]},
    ):
        with pytest.raises(TypeError):
            Send(json={"id": None}, reply_at="/id", **wrong)
    with pytest.raises(ValueError, match="JSON pointer"):
        Send(json={"id": None}, insert=[insert_counter("/id")], reply_at="id", id="q1")
