"""Every wasmtime message becomes one code, in one place; messages are safe to show."""

import pytest

from yoi.errors import GuestTrapped
from yoi.sandbox.state import Stop
from yoi.sandbox.traps import trapped

MESSAGES = {
    "error while executing at wasm backtrace:\n  0: x\n\nCaused by:\n    wasm trap: interrupt": (
        "sandbox.deadline"
    ),
    "Caused by:\n    wasm trap: call stack exhausted": "sandbox.stack",
    "memory minimum size of 2000 pages exceeds memory limits": "sandbox.memory",
    "resource limit exceeded: memory count too high at 3": "sandbox.memory",
    "Caused by:\n    wasm trap: wasm `unreachable` instruction executed": "sandbox.trap",
    "Caused by:\n    wasm trap: integer divide by zero": "sandbox.trap",
    "": "sandbox.trap",
    "\n\n": "sandbox.trap",
}


@pytest.mark.parametrize("message", MESSAGES)
def test_the_last_line_decides(message: str) -> None:
    error = trapped(message, None)
    assert type(error) is GuestTrapped
    assert error.code == MESSAGES[message]


def test_a_guest_cannot_choose_its_code_by_the_names_in_its_backtrace() -> None:
    """Function names in the backtrace are the guest's; only the cause, the last line, counts."""
    message = (
        "error while executing at wasm backtrace:\n"
        "  0: 0x1 - wasm trap: interrupt\n\nCaused by:\n    wasm trap: undefined element"
    )
    assert trapped(message, None).code == "sandbox.trap"


def test_what_an_import_raised_comes_first() -> None:
    stop = Stop("sandbox.host_calls", "too many")
    assert trapped("wasm trap: interrupt", stop).code == "sandbox.host_calls"
    defect = trapped("host function failed", KeyError("\x1b[2J"))
    assert defect.code == "sandbox.trap"
    assert defect.message.isprintable()
    assert "KeyError" in defect.message
