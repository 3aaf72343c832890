"""Texts that a person gives: as an option, on standard input, or in an editor."""

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from yoi.errors import UsageError, YoiError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def written_text(message: str | None, template: str, what: str) -> "Iterator[str]":
    """Yield the text that a person gave: the option, standard input for `-`, or an editor's.

    What was written in an editor is kept where the command fails, and the error says where.
    """
    if message == "-":
        # A byte that is no UTF-8 is refused with a word, wherever the text goes.
        yield sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
        return
    if message is not None:
        yield message
        return
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor or not sys.stdin.isatty():
        raise UsageError(
            "usage.arguments",
            f"no text for the {what}: there is no terminal, or $EDITOR is not set",
            hint="give it with --message TEXT, or --message - for standard input",
        )
    with tempfile.NamedTemporaryFile("w", suffix=".md", delete=False) as file:
        file.write(template)
    path, kept = Path(file.name), False
    try:
        _run_editor(editor, path)
        try:
            yield path.read_text(encoding="utf-8", errors="surrogateescape")
        except YoiError as exc:
            kept = True
            exc.hint = f"what you wrote is kept: {path}"
            raise
    finally:
        if not kept:
            path.unlink(missing_ok=True)


def _run_editor(editor: str, path: Path) -> None:
    try:
        ended = subprocess.run([*shlex.split(editor), str(path)], check=False).returncode
    except (OSError, ValueError) as exc:
        raise UsageError("usage.arguments", f"$EDITOR cannot be run: {exc}") from None
    if ended != 0:
        raise UsageError("usage.arguments", f"{editor} ended with an error; nothing is changed")
