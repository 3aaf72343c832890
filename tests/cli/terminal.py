"""Commands with a person at the terminal."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def at_terminal(
    workspace: Path,
    answer: bytes,
    *arguments: str,
    before_answer: Callable[[], object] = bool,
    question: bytes = b"[y/N]",
) -> tuple[int, str]:
    """Run a command on a terminal and answer its question; return its status and the screen."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "yoi.cli", *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=workspace,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(theirs)
    screen = b""
    answered = False
    try:
        while data := _read(ours):
            screen += data
            if question in screen and not answered:
                answered = True
                before_answer()
                os.write(ours, answer)
        return child.wait(), screen.decode()
    finally:
        os.close(ours)
        child.kill()
        child.wait()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says EIO once the other side is closed
        return b""
