"""What is sealed for one process opens nowhere else, as nothing else, and changed in no byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.cluster.sealed_commands import Command, Hello, Seals, Welcome, subject_of
from yoi.secrets.deployment import DeploymentKey

KEY, OTHER_KEY = DeploymentKey(b"k" * 32), DeploymentKey(b"o" * 32)
SESSION, OTHER = "0" * 16, "1" * 16
SEALS = Seals(KEY, "desk", SESSION)
STRANGERS = [
    Seals(OTHER_KEY, "desk", SESSION),
    Seals(KEY, "des", SESSION),
    Seals(KEY, "desk", OTHER),
    # What is bound together cannot be cut in another place.
    Seals(KEY, "desk\n" + SESSION[:8], SESSION[8:]),
]
HELLO = Hello("id", "_INBOX.a1")
COMMAND = Command("id", "_INBOX.a1", "5.x", "a", "service.restart", {"name": "chat"})
WELCOME = Welcome("id", "5.x", "b")


def test_it_opens_where_it_belongs():
    assert SEALS.asked(SEALS.hello(HELLO)) == HELLO
    assert SEALS.asked(SEALS.command(COMMAND)) == COMMAND
    assert SEALS.welcomed("id", SEALS.welcome(WELCOME)) == WELCOME
    assert SEALS.answered("id", 3, SEALS.part("id", 3, b"data", is_last=True)) == (b"data", True)
    assert SEALS.answered("id", 0, SEALS.part("id", 0, b"", is_last=False)) == (b"", False)


def messages():
    return {
        "hello": (SEALS.hello(HELLO), lambda seals, data: seals.asked(data)),
        "command": (SEALS.command(COMMAND), lambda seals, data: seals.asked(data)),
        "welcome": (SEALS.welcome(WELCOME), lambda seals, data: seals.welcomed("id", data)),
        "part": (
            SEALS.part("id", 0, b"data", is_last=True),
            lambda seals, data: seals.answered("id", 0, data),
        ),
    }


@pytest.mark.parametrize("kind", messages())
def test_no_changed_byte_and_no_stranger_opens_it(kind):
    data, opened = messages()[kind]
    assert opened(SEALS, data)
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :]
        assert opened(SEALS, changed) is None
        assert opened(SEALS, data[:at]) is None
    assert opened(SEALS, data + b"\0") is None
    for stranger in STRANGERS:
        assert opened(stranger, data) is None
    for other, (data_of_other, _) in messages().items():
        if other != kind and {kind, other} != {"hello", "command"}:
            assert opened(SEALS, data_of_other) is None


def test_an_answer_is_of_its_request_and_each_part_in_its_place():
    part = SEALS.part("id", 1, b"data", is_last=True)
    assert SEALS.answered("id", 0, part) is None
    assert SEALS.answered("di", 1, part) is None
    assert SEALS.answered("id 1", 1, SEALS.part("id", 11, b"", is_last=True)) is None
    assert SEALS.welcomed("di", SEALS.welcome(WELCOME)) is None


@given(st.binary(max_size=200))
def test_anything_else_is_nothing(data):
    for message in (data, b"h" + data, b"c" + data, b"c\x01" + data):
        assert SEALS.asked(message) is None
    assert SEALS.welcomed("id", data) is None
    assert SEALS.answered("id", 0, data) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"type": "command"}', b"[" * 100_000, b'{"type":"hello","id":"a","inbox":5}'],
)
def test_what_is_sealed_with_the_key_and_is_no_command_is_refused(content):
    for kind in ("hello", "command"):
        sealed = KEY.seal(f"{kind} between machines", f"desk\n{SESSION}\n", content)
        assert SEALS.asked(kind[:1].encode() + sealed) is None


def test_a_process_is_asked_under_its_own_name_only():
    assert subject_of("desk", SESSION) == f"desk.ask.{SESSION}"
    for session in (
        "",
        "*",
        ">",
        "a.b",
        SESSION + "0",
        SESSION.upper().replace("0", "A"),
        "\uff10" * 16,
    ):
        assert subject_of("desk", session) is None
