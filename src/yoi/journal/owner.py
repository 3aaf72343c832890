"""Which workspace a database of the host was made for: a random id that only its account knows.

A planted journal could hold a notification that waits, or a tool call that was approved.
"""

import contextlib
import os
import sqlite3
import stat
from pathlib import Path

from yoi.errors import TrustError

_TABLE = "CREATE TABLE owner (id TEXT NOT NULL, open INTEGER NOT NULL DEFAULT 0) STRICT"
"""`open` is 1 while a host has the database open, and after it was killed."""


def check_file(path: Path) -> None:
    """Raise TrustError (`trust.foreign`) for a database, or a log beside it, that is not ours.

    A file that is not there passes.
    """
    check_account(path)
    _check_logs(path)


def check_account(path: Path) -> None:
    """Raise TrustError (`trust.foreign`) for a file that another account made or can open."""
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


def _check_logs(path: Path) -> None:
    """Raise for a log beside the database that no host of ours can have left.

    SQLite takes what such a log says into the database when it is opened.
    """
    rollback, ahead, index = (
        path.with_name(path.name + ending) for ending in ("-journal", "-wal", "-shm")
    )
    if os.path.lexists(rollback):
        raise foreign(rollback, "was not written by a host")
    for log in (ahead, index):
        check_account(log)
    try:
        if not os.path.getsize(ahead):
            return
    except OSError:
        return
    try:
        # Immutable: the file itself, without what the log would make of it.
        with contextlib.closing(
            sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
        ) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            left_open = connection.execute("SELECT open FROM owner").fetchall() == [(1,)]
    except sqlite3.Error:
        left_open = False
    if not left_open:
        raise foreign(ahead, "was not left by a host that was killed")


def opened(connection: sqlite3.Connection) -> None:
    """Note in the file itself that a log beside it is its own, until `closed`."""
    with contextlib.suppress(sqlite3.OperationalError):  # of no owner
        connection.execute("UPDATE owner SET open = 1")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def closed(connection: sqlite3.Connection) -> None:
    """Note that no log is left; the connection is closed next."""
    with contextlib.suppress(sqlite3.Error):
        connection.execute("UPDATE owner SET open = 0")


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
    connection.execute("INSERT INTO owner (id) VALUES (?)", (owner,))


def is_of(path: Path, owner: str) -> bool:
    """Return whether the database at `path` was made for `owner`, or holds nothing at all."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return _empty(connection) or _owner(connection) == owner


def has_table(path: Path, table: str) -> bool:
    """Return whether the database at `path` has `table`, or holds nothing. Raises sqlite3.Error."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        found = connection.execute(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)
        ).fetchone()
        return found is not None or _empty(connection)


def adopt(path: Path, owner: str) -> None:
    """Write `owner` into the database at `path`. Raises sqlite3.Error."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        # A host that was killed while it made the file left none: it is made anew.
        if not _empty(connection):
            stamp(connection, owner)
        connection.execute("COMMIT")


def foreign(path: Path, why: str, hint: str | None = None) -> TrustError:
    """Return the error about a file that is not opened."""
    return TrustError(
        "trust.foreign",
        f"{path} {why}; it is not opened",
        hint=hint or "if you know where it comes from: yoi trust --adopt",
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


def _empty(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return bool(tables == 0)
