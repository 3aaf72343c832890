"""What is wrong with an SQLite file of the host's: the error, and what a person can do about it."""

import sqlite3
from pathlib import Path

from yoi.display import shell_word
from yoi.errors import JournalError
from yoi.folders import hint_of

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_NO_TEXT = "Could not decode to UTF-8"
_ROOM = "is the disk full, read-only or locked by another program? df; then again"


def fault(exc: Exception, path: Path) -> JournalError:
    """Return the error for what was raised while the file was used."""
    if _is_transient(exc):
        reason, hint = (exc.strerror, hint_of(exc)) if isinstance(exc, OSError) else (exc, None)
        return JournalError(
            "journal.io", f"{path.name} could not be used: {reason}", hint=hint or _ROOM
        )
    words = "is not a database" if "not a database" in str(exc) else "is damaged"
    return JournalError("journal.format", f"{path.name} {words} ({exc})", hint=aside(path))


def aside(path: Path) -> str:
    """Return what to do about a file that cannot be read, with the commands that do it."""
    folder = path.parent / "aside"
    there, files = shell_word(folder), shell_word(path)
    return (
        "stop the host, then put a copy of it in its place, or begin without what it holds:\n"
        f"mkdir -p {there} && mv {files}* {there}/"
    )


def _is_transient(exc: Exception) -> bool:
    """Return whether it is about the disk or another program, and not about what the file holds."""
    if isinstance(exc, sqlite3.Error):
        code = getattr(exc, "sqlite_errorcode", None)
        if code is None or code & 0xFF == sqlite3.SQLITE_ERROR:
            return not _missing(str(exc))
        return code & 0xFF not in _DAMAGED
    return isinstance(exc, OSError | MemoryError)


def _missing(words: str) -> bool:
    """Return whether SQLite misses a table or column, or cannot read a text."""
    return words.startswith((_NO_TEXT, "no such ", "malformed database schema"))
