"""One sandbox for the whole session, over the user's own cache: the runner is not built per run."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from yoi.limits import LIMITS
from yoi.sandbox import Sandbox
from yoi.sandbox.threads import start_thread

T = TypeVar("T")

ECHO = b'''
import json
from yoi_pdk import Plugin


class Echo(Plugin):
    """Answers each text with itself, and each tool call with the value of an expression."""

    def on_text(self, event, ctx):
        return event.reply(event.text)

    def on_tool(self, call, ctx):
        return repr(eval(call.input["expression"]))
'''


def run_on_guest_thread(work: Callable[[], T], stack_bytes: int = LIMITS.thread_stack_bytes) -> T:
    """Return what `work` returns (or raise what it raises) on a thread that may run guests."""
    box: list[Any] = []

    def run() -> None:
        try:
            box.extend((True, work()))
        except BaseException as exc:
            box.extend((False, exc))

    start_thread(run, name="test-guest", stack_bytes=stack_bytes).join()
    if not box[0]:
        raise box[1]
    return box[1]


@pytest.fixture(scope="session")
def user_cache() -> Path:
    """The cache directory of the account that runs the tests."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "yoi"


@pytest.fixture(scope="session")
def sandbox(user_cache: Path) -> Sandbox:
    """A sandbox with the default limits and a compiled runner."""
    made = Sandbox(LIMITS, user_cache)
    made.warm_up()
    return made
