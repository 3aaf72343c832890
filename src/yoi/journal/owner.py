"""Which workspace a database of the host was made for: a random id that only its account knows.

A planted journal could hold a notification that waits, or a tool call that was approved.
"""

import contextlib
import os
import sqlite3
import stat
from pathlib import Path

from yoi.errors import TrustError

_TABLE = "CREATE TABLE owner (id TEXT NOT NULL) STRICT"


def check_file(path: Path) -> None:
    """Raise TrustError (`trust.foreign`) for a file that another account made or can open.

    A file that is not there passes.
    """
    try:
        found = os.lstat(path)
    except OSError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise foreign(path, "is not a regular file")
    if found.st_uid != os.geteuid():
        raise foreign(path, "belongs to another account")
    if found.st_mode & 0o077:
        raise foreign(path, "is open to other accounts")


def claim(connection: sqlite3.Connection, owner: str | None, path: Path, *, fresh: bool) -> None:
    """Write `owner` into a database that was just made; raise TrustError for another's.

    With `owner` None every database passes.
    """
    if owner is None:
        return
    if fresh:
        stamp(connection, owner)
    elif _owner(connection) != owner:
        raise foreign(path, "was not written for this workspace by this account")


def stamp(connection: sqlite3.Connection, owner: str) -> None:
    """Write `owner` into a database, whoever it was made for before."""
    connection.execute("DROP TABLE IF EXISTS owner")
    connection.execute(_TABLE)
    connection.execute("INSERT INTO owner VALUES (?)", (owner,))


def is_of(path: Path, owner: str) -> bool:
    """Return whether the database at `path` was made for `owner`; nothing in it is changed."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return _owner(connection) == owner


def adopt(path: Path, owner: str) -> None:
    """Write `owner` into the database at `path`. Raises sqlite3.Error."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        stamp(connection, owner)
        connection.execute("COMMIT")


def foreign(path: Path, why: str) -> TrustError:
    """Return the error about a file that is not opened."""
    return TrustError(
        "trust.foreign",
        f"{path} {why}; it is not opened",
        hint="if you know where it comes from: yoi trust --adopt",
        path=str(path),
    )


def _owner(connection: sqlite3.Connection) -> str | None:
    # A schema from a stranger: no view or trigger of it may call what it should not.
    connection.execute("PRAGMA trusted_schema = OFF")
    try:
        rows = connection.execute("SELECT id FROM owner LIMIT 2").fetchall()
    except sqlite3.OperationalError:
        return None
    return rows[0][0] if len(rows) == 1 and isinstance(rows[0][0], str) else None
