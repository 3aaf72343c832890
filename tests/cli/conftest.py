"""Run a command in this process, serve a control socket, compare with golden files."""

import asyncio
import json
import logging
import os
import re
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.control.served import served

from yoi.cli import layout
from yoi.cli.main import run
from yoi.cli.output import Output

GOLDEN = Path(__file__).parent / "golden"
JSON_KEYS: dict[str, dict[str, list[str]]] = json.loads((GOLDEN / "json-keys.json").read_text())
"""The keys of each command's answer beside `command`, by what makes it another; `?`: sometimes."""
ELSEWHERE_KEYS = {"machine", "machines", "silent"}
_VOLATILE = re.compile(r"python runner 1 \(CPython [0-9.]+, sources [0-9a-f]+\)")

Method = Callable[[dict[str, Any]], Awaitable[Any]]


@dataclass(frozen=True)
class Ran:
    """What one command line did."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch, tmp_path):
    for name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "YOI_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    # Ages on the screen are counted from here.
    monkeypatch.setattr(layout, "now", lambda: datetime(2026, 1, 2, 3, 5, 30, tzinfo=UTC))


@pytest.fixture(autouse=True)
def _documented_keys(monkeypatch):
    """Each document that a command prints has the keys that docs/reference/cli.md lists."""
    show = Output.show

    def checked(self, data, render):
        said = set(data) - ELSEWHERE_KEYS
        shapes = JSON_KEYS.get(self.command, {}).values()
        assert any(required(keys) <= said <= possible(keys) for keys in shapes), (
            f"tests/cli/golden/json-keys.json knows no such answer of {self.command}: {list(data)}"
        )
        show(self, data, render)

    monkeypatch.setattr(Output, "show", checked)


def required(keys):
    return {key for key in keys if not key.endswith("?")} - ELSEWHERE_KEYS


def possible(keys):
    return {key.rstrip("?") for key in keys}


@pytest.fixture(autouse=True)
def _logs_of_others():
    """A command that serves configures the whole process's logs; the next test has its own."""
    root, ours = logging.getLogger(), logging.getLogger("yoi")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.fixture
def yoi(capsys) -> Callable[..., Ran]:
    """Run `yoi` with these arguments in this process."""

    def call(*arguments: str | Path) -> Ran:
        status = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(int(status), captured.out, captured.err)

    return call


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Path:
    """An empty workspace that is also the current directory."""
    folder = tmp_path / "ws"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def golden(tmp_path) -> Callable[[str, str], None]:
    """Compare text with a golden file; YOI_UPDATE_GOLDEN=1 writes it instead."""

    def check(name: str, text: str) -> None:
        text = _VOLATILE.sub(r"python runner 1 (VERSIONS)", text.replace(str(tmp_path), "TMP"))
        text = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
        path = GOLDEN / name
        if os.environ.get("YOI_UPDATE_GOLDEN"):
            path.write_text(text)
        assert text == path.read_text()

    return check


@contextmanager
def control_server(workspace: Path, methods: Mapping[str, Method]) -> Iterator[None]:
    """Serve the real control socket of `workspace` from a thread."""
    ready, stop = threading.Event(), []

    async def main() -> None:
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with served(workspace, methods):
            stop.append(lambda: loop.call_soon_threadsafe(done.set))
            ready.set()
            await done.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        stop[0]()
        thread.join(10)


@pytest.fixture
def serving() -> Callable[[Path, Mapping[str, Method]], Any]:
    """Return `control_server`."""
    return control_server


@pytest.fixture
def interrupts():
    """Interrupts reach Python even where the test run ignores them, as in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
