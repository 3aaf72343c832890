"""Log lines: one an event, and nothing in them that nobody put there on purpose."""

import io
import json
import logging

import pytest
import structlog
from tests.canary import Canaries

from yoi.cli.logs import LogFormat, LogLevel, configure_logs
from yoi.errors import ServingError
from yoi.types import Secret


@pytest.fixture
def lines():
    """Configure JSON logs and return a function that reads what was written."""
    stream = io.StringIO()
    configure_logs(LogFormat.JSON, stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def log():
    return structlog.get_logger("yoi.test")


def test_a_line_is_an_object(lines):
    log().warning("not ready", check="journal", count=3)
    (line,) = lines()
    assert line.pop("at").endswith("Z")
    assert line == {
        "event": "not ready",
        "check": "journal",
        "count": 3,
        "level": "warning",
        "logger": "yoi.test",
    }


def test_a_logger_made_before_is_configured_too():
    early = structlog.get_logger("yoi.early")
    stream = io.StringIO()
    configure_logs(LogFormat.JSON, stream)
    early.info("hello")
    assert json.loads(stream.getvalue())["event"] == "hello"


def test_configuring_again_replaces():
    first, second = io.StringIO(), io.StringIO()
    configure_logs(LogFormat.TEXT, first)
    configure_logs(LogFormat.JSON, second)
    log().info("hello")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def test_debugging_is_told_where_it_is_asked_for():
    stream = io.StringIO()
    configure_logs(LogFormat.JSON, stream, LogLevel.DEBUG)
    log().debug("a detail")
    logging.getLogger("websockets").info("no")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["a detail"]


def test_debugging_is_not_told_and_libraries_only_warn(lines):
    log().debug("no")
    logging.getLogger("websockets").info("no")
    logging.getLogger("websockets").warning("yes")
    assert [line["event"] for line in lines()] == ["yes"]


def test_text_is_one_line_whatever_is_in_it():
    stream = io.StringIO()
    configure_logs(LogFormat.TEXT, stream)
    log().warning("said", words="a\nb\x1b[31m\u202e", name="x" * 5000)
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert "\x1b" not in written
    assert "\u202e" not in written
    assert len(written) < 1500
    assert "said" in written


class Hostile:
    def __repr__(self):
        return "token-in-repr"

    __str__ = __repr__


def test_values_are_plain_bounded_and_never_reprs(lines):
    log().info(
        "x",
        hostile=Hostile(),
        inside={"a": [Hostile()], Hostile(): 1},
        many=list(range(1000)),
        deep=[[[[[["deep"]]]]]],
        error=ServingError("serving.keys", "words of ours"),
        other=ValueError("words of others"),
        none=None,
        raw=b"bytes",
    )
    (line,) = lines()
    assert "token-in-repr" not in json.dumps({**line, "inside": line["inside"]["a"]})
    assert line["hostile"] == "<Hostile>"
    assert len(line["many"]) == 32
    assert line["deep"] == [[[["<list>"]]]]
    assert line["error"] == "words of ours [serving.keys]"
    assert line["other"] == "<ValueError>"
    assert line["raw"] == "<bytes>"


def fails(words):
    raise OSError(words)


def test_no_token_no_secret_and_no_words_of_strangers(lines):
    canaries = Canaries()
    token, session = "yoi_" + "k" * 43, "yois_" + "Q" * 80
    canaries.mark("token", token)
    canaries.mark("session", session)
    secret = canaries.secret("stored")
    endpoint = canaries.secret("endpoint", prefix="wss://")
    log().info("x", words=f"got {token} and {session}", header=f"Bearer {secret}")
    log().info(f"event with {token}", secret=Secret("runtime", secret), **{token: 1})
    for logger in (log(), logging.getLogger("websockets.client")):
        try:
            fails(f"cannot connect to {endpoint}")
        except OSError:
            logger.exception("a defect")
    logging.getLogger("uvicorn").error("failed %s", endpoint)
    logging.getLogger("asyncio").error(f"Task exception was never retrieved\nfuture: {endpoint}")
    written = lines()
    assert len(written) == 6
    assert canaries.grep_everything(lines=written) == []
    assert written[1]["secret"] == "<secret runtime>"
    for line in written[2:4]:
        assert line["exception"].endswith("OSError")
        assert "in fails" in line["exception"]
    assert written[4]["event"] == "failed %s"
    assert written[5]["event"] == "Task exception was never retrieved"


def test_our_own_errors_keep_their_words(lines):
    try:
        raise ServingError("serving.keys", "the file is damaged")
    except ServingError:
        log().exception("x")
    assert lines()[0]["exception"].endswith("ServingError: the file is damaged [serving.keys]")


def test_who_asks_gets_the_words(lines, monkeypatch):
    monkeypatch.setenv("YOI_TRACEBACK", "1")
    try:
        fails("on purpose")
    except OSError:
        log().exception("x")
    assert lines()[0]["exception"].endswith("OSError: on purpose")


def test_text_shows_where_a_defect_is():
    stream = io.StringIO()
    configure_logs(LogFormat.TEXT, stream)
    words = "words of a stranger"
    try:
        fails(words)
    except OSError:
        log().exception("a defect in Yoi", what="a test")
    assert "in fails" in stream.getvalue()
    assert words not in stream.getvalue()
