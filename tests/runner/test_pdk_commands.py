"""What the PDK writes is what the host parses: one list, from both sides."""

import importlib.util
import json
from pathlib import Path

import pytest

from yoi.limits import LIMITS
from yoi.permissions import JsonPointer
from yoi.protocol.commands import ReplyAt, parse_payload
from yoi.protocol.deferral import Deferral
from yoi.protocol.session_commands import SESSION_KINDS, parse_session_payload
from yoi.protocol.tool_answer import parse_tool_answer
from yoi_pdk import Complete, Defer, Send, insert_counter

TESTS = Path(__file__).parents[2] / "pdk/python/tests/test_session_commands.py"


def _commands():
    spec = importlib.util.spec_from_file_location("pdk_session_commands", TESTS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.COMMANDS)


COMMANDS = [command for command in _commands() if command.wire()[1] in SESSION_KINDS]


@pytest.mark.parametrize("command", COMMANDS, ids=repr)
def test_the_host_accepts_what_the_pdk_writes(command):
    _, kind, payload = command.wire()
    parsed = parse_session_payload(kind, payload)
    for name, value in payload.items():
        if name in ("connection", "url", "handle", "key", "value", "after_ms", "every_ms", "path"):
            assert getattr(parsed, name) == value


def test_questions_and_calls_that_wait_are_read_as_they_are_written():
    ask = Send(json={"id": None}, insert=[insert_counter("/id")], reply_at="/at", id="q1")
    sent = parse_payload(*ask.wire()[1:])
    assert sent.reply == ReplyAt(JsonPointer.parse("/id"), JsonPointer.parse("/at"))
    for made in (Complete("q1", "on"), Complete("q1", error="no")):
        assert parse_payload(*made.wire()[1:]).call == "q1"
    wired = json.dumps(Defer("q1", LIMITS.deferred_max_ms, ask).wire())
    answer = parse_tool_answer(wired, "t", "tool.1", "2026-01-01T00:00:00Z")
    assert answer.deferral == Deferral("q1", LIMITS.deferred_max_ms)
    assert [one.command_id for one in answer.commands] == ["q1"]


def test_every_session_command_has_its_class():
    assert {command.wire()[1] for command in COMMANDS} == SESSION_KINDS
