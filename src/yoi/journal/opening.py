"""Opens a database of the host: the file that lies in the workspace, reached through no link.

SQLite opens files by path alone. So the file is made and looked at in the folder that is held;
SQLite gets that folder's own path, makes no file, and is believed where the path still leads there.
"""

import contextlib
import os
import sqlite3
import stat
from pathlib import Path
from urllib.parse import quote

from yoi.display import shell_word
from yoi.folders import held, make_folder, open_in, others_may_write
from yoi.journal.owner import check_file, foreign

_PRIVATE, _PRIVATE_FOLDER = 0o600, 0o700


def open_database(path: Path, owner: str | None, busy_ms: int) -> sqlite3.Connection:
    """Return a connection to the database `path`, made where it is missing (mode 0600).

    Nothing of it was read yet. `owner` is the id that it must carry; None: any, see `owner.claim`.
    Raises OSError, sqlite3.Error, and TrustError (`trust.foreign`) for a file that is not ours.
    """
    if owner is not None:
        check_file(path)
    make_folder(path.parent, _PRIVATE_FOLDER)
    with held(path.parent) as folder:
        if owner is not None:
            _refuse_shared(os.fstat(folder), path)
        found = _made(path, folder)
        place = _place(folder, path.parent)
        connection = sqlite3.connect(
            f"file:{quote(str(place / path.name))}?mode=rw",
            uri=True,
            timeout=busy_ms / 1000,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            there = (os.stat(place), os.stat(place / path.name, follow_symlinks=False))
            ours = (os.fstat(folder), found)
            if not all(map(os.path.samestat, there, ours)):
                raise foreign(path, "was swapped while it was opened")
        except BaseException:
            connection.close()
            raise
    return connection


def _made(path: Path, folder: int) -> os.stat_result:
    """Make the file where it is missing; return what it is. Raises TrustError, OSError."""
    file = open_in(folder, path.name, os.O_RDWR | os.O_CREAT, _PRIVATE)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise foreign(path, "is not a regular file")
        if found.st_nlink > 1:
            word = shell_word(path)
            raise foreign(
                path,
                "has a second name (a hard link), perhaps outside of the workspace",
                hint=f"give it one of its own: cp {word} {word}.own && mv {word}.own {word}",
            )
        if found.st_mode & 0o077 and found.st_uid == os.geteuid():
            os.fchmod(file, _PRIVATE)
        return found
    finally:
        os.close(file)


def _refuse_shared(folder: os.stat_result, path: Path) -> None:
    """Raise TrustError where another account could put a log of SQLite beside the database."""
    if others_may_write(folder):
        raise foreign(
            path,
            f"lies in {path.parent}, which other accounts can write to",
            hint=f"look at it, then: chmod go-w {shell_word(path.parent)}",
        )


def _place(folder: int, path: Path) -> Path:
    """Return the path of the held folder without links, as far as the system says it."""
    with contextlib.suppress(OSError):
        return Path(os.readlink(f"/proc/self/fd/{folder}"))
    return path
