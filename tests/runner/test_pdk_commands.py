"""What the PDK writes is what the host parses: one list, from both sides."""

import importlib.util
from pathlib import Path

import pytest

from yoi.protocol.session_commands import SESSION_KINDS, parse_session_payload

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


def test_every_session_command_has_its_class():
    assert {command.wire()[1] for command in COMMANDS} == SESSION_KINDS
