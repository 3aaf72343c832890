"""How logs stand in an SQLite file: what one append brings is one row, and how it is found again.

A row has the position of its last record, the records one behind the other, and their sizes unless
it holds a single one. Format 1 had a row for each record: those are rows of a single one.
"""

import sqlite3
import struct
from collections.abc import Iterator, Sequence

from yoi.errors import JournalError
from yoi.journal.log import Append, LogStatus, Record, check_fit
from yoi.limits import Limits

APPLICATION_ID = 0x596F694A  # "YoiJ": another program's database is refused, not altered
FORMAT = 2
_SCHEMA = """
CREATE TABLE logs (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
  head INTEGER NOT NULL, records INTEGER NOT NULL, size INTEGER NOT NULL
) STRICT;
CREATE TABLE records (
  log INTEGER NOT NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, sizes BLOB, PRIMARY KEY (log, seq)
) STRICT, WITHOUT ROWID;
"""
"""`sizes`: four bytes for each record, the lowest first; NULL for a single one."""
_COLUMNS = {
    "logs": [
        ("id", "INTEGER"),
        ("name", "TEXT"),
        ("head", "INTEGER"),
        ("records", "INTEGER"),
        ("size", "INTEGER"),
    ],
    "records": [("log", "INTEGER"), ("seq", "INTEGER"), ("data", "BLOB"), ("sizes", "BLOB")],
}
_COUNT = "coalesce(length({0}.sizes) / 4, 1)"
_FOLLOW = f"""
CREATE TEMP TRIGGER follow BEFORE INSERT ON main.records BEGIN
  UPDATE logs SET head = NEW.seq, records = records + {_COUNT.format("NEW")},
      size = size + length(NEW.data)
    WHERE id = NEW.log AND head = NEW.seq - {_COUNT.format("NEW")};
  SELECT RAISE(ABORT, 'conflict') WHERE changes() = 0;
END
"""
"""The fence: of this connection, not of the file. What is appended follows the head of its log."""
_NOTHING = LogStatus(head=0, records=0, size_bytes=0)

Known = dict[str, tuple[int | None, LogStatus]]
"""Logs by name: their id in the file, and what a connection knows of them."""


def make(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty file."""
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def are_ours(connection: sqlite3.Connection, version: int) -> bool:
    """Return whether a file of format `version` has the tables that this module makes.

    Strict tables hold the types that they say; a trigger or view would do what nobody asked for.
    """
    connection.execute("PRAGMA trusted_schema = OFF")
    (others,) = connection.execute(
        "SELECT count(*) FROM sqlite_schema WHERE type NOT IN ('table', 'index')"
    ).fetchone()
    columns = {
        table: connection.execute(
            "SELECT x.name, x.type FROM pragma_table_xinfo(?) x, pragma_table_list(?) l"
            " WHERE l.strict AND l.schema = 'main' AND x.hidden = 0",
            (table, table),
        ).fetchall()
        for table in _COLUMNS
    }
    expected = {**_COLUMNS, "records": _COLUMNS["records"][: 3 if version == 1 else 4]}
    return not others and columns == expected


def upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Make a file of format `version` one of today's; an older Yoi refuses it from then on."""
    if version == 1:
        connection.execute("ALTER TABLE records ADD COLUMN sizes BLOB")
        connection.execute(f"PRAGMA user_version = {FORMAT}")


def fence(connection: sqlite3.Connection) -> None:
    """Have each append of this connection refused that does not follow the head of its log."""
    connection.execute(_FOLLOW)


def status(connection: sqlite3.Connection, log: str) -> tuple[int | None, LogStatus]:
    """Return the id of `log` in the file, None for an unknown one, and how much it holds."""
    row = connection.execute(
        "SELECT id, head, records, size FROM logs WHERE name = ?", (log,)
    ).fetchone()
    if row is None:
        return None, _NOTHING
    return row[0], LogStatus(head=row[1], records=row[2], size_bytes=row[3])


def commit(
    connection: sqlite3.Connection, appends: Sequence[Append], limits: Limits, known: Known
) -> None:
    """Append all of `appends`. Raises JournalError; what was done until then is not undone."""
    for append in appends:
        log_id, before = known.get(append.log) or status(connection, append.log)
        try:
            after = check_fit(append, before)
        except JournalError:
            # Another process may have appended, or made room.
            log_id, before = status(connection, append.log)
            after = check_fit(append, before)
        if log_id is None:
            log_id = _made(connection, append.log, limits)
        _insert(connection, log_id, after.head, append.records)
        known[append.log] = log_id, after


def _made(connection: sqlite3.Connection, log: str, limits: Limits) -> int | None:
    """Make an empty log and return its id. Raises JournalError `journal.full`."""
    (count,) = connection.execute("SELECT count(*) FROM logs").fetchone()
    if count >= limits.journal_logs:
        raise JournalError("journal.full", f"the journal holds {limits.journal_logs} logs already")
    cursor = connection.execute(
        "INSERT INTO logs (name, head, records, size) VALUES (?, 0, 0, 0)", (log,)
    )
    return cursor.lastrowid


def reset(connection: sqlite3.Connection, log: str, head: int, limits: Limits) -> None:
    """Make `log` an empty one at position `head`."""
    log_id, _ = status(connection, log)
    if log_id is None:
        log_id = _made(connection, log, limits)
    connection.execute("DELETE FROM records WHERE log = ?", (log_id,))
    connection.execute(
        "UPDATE logs SET head = ?, records = 0, size = 0 WHERE id = ?", (head, log_id)
    )


def read(
    connection: sqlite3.Connection, log: str, after: int, limit: int, limits: Limits
) -> list[Record]:
    """Return the records of `log` that follow `after`, within the bounds of one reading."""
    found: list[Record] = []
    size = 0
    most = min(limit, limits.journal_batch)
    rows = connection.execute(
        "SELECT seq, iif(length(data) <= ? AND coalesce(length(sizes), 0) <= ?, data, NULL), sizes"
        " FROM records WHERE log = (SELECT id FROM logs WHERE name = ?) AND seq > ?"
        " ORDER BY seq LIMIT ?",
        (limits.journal_batch_bytes, 4 * limits.journal_batch, log, after, most),
    )
    for last, data, sizes in rows:
        if data is None:
            raise JournalError(
                "journal.format", f"record {last} of {log} is over what one append may bring"
            )
        for record in _records(log, last, data, sizes):
            if record.seq <= after:
                continue
            size += len(record.data)
            if len(found) >= most or (found and size > limits.journal_batch_bytes):
                return found
            found.append(record)
    return found


def trim(connection: sqlite3.Connection, log: str, through: int) -> None:
    """Drop the records of `log` up to `through`."""
    log_id, held = status(connection, log)
    if log_id is None:
        return
    last = min(through, held.head)
    (size,) = connection.execute(
        "SELECT coalesce(sum(length(data)), 0) FROM records WHERE log = ? AND seq <= ?",
        (log_id, last),
    ).fetchone()
    connection.execute("DELETE FROM records WHERE log = ? AND seq <= ?", (log_id, last))
    size += _shorten(connection, log, log_id, last)
    connection.execute(
        "UPDATE logs SET records = ?, size = size - ? WHERE id = ?",
        (min(held.records, held.head - last), size, log_id),
    )


def _shorten(connection: sqlite3.Connection, log: str, log_id: int, last: int) -> int:
    """Drop what the first row left has up to `last`; return how many bytes that were."""
    row = connection.execute(
        f"SELECT seq - {_COUNT.format('records')} FROM records WHERE log = ? ORDER BY seq LIMIT 1",
        (log_id,),
    ).fetchone()
    if row is None or row[0] >= last:
        return 0
    seq, data, sizes = connection.execute(
        "SELECT seq, data, sizes FROM records WHERE log = ? ORDER BY seq LIMIT 1", (log_id,)
    ).fetchone()
    kept = [one.data for one in _records(log, seq, data, sizes) if one.seq > last]
    connection.execute(
        "UPDATE records SET data = ?, sizes = ? WHERE log = ? AND seq = ?",
        (*_packed(kept), log_id, seq),
    )
    return len(data) - sum(map(len, kept))


def _insert(
    connection: sqlite3.Connection, log_id: int | None, last: int, records: Sequence[bytes]
) -> None:
    """Insert `records`, of which `last` is the last. Raises JournalError `journal.conflict`."""
    if not records:
        return
    try:
        connection.execute(
            "INSERT INTO records (log, seq, data, sizes) VALUES (?, ?, ?, ?)",
            (log_id, last, *_packed(records)),
        )
    except sqlite3.IntegrityError:
        raise JournalError(
            "journal.conflict", "another writer has appended to this log meanwhile"
        ) from None


def _packed(records: Sequence[bytes]) -> tuple[bytes, bytes | None]:
    """Return `data` and `sizes` of the row that holds `records`."""
    if len(records) == 1:
        return bytes(records[0]), None
    return b"".join(records), struct.pack(f"<{len(records)}I", *map(len, records))


def _records(log: str, last: int, data: bytes, sizes: bytes | None) -> Iterator[Record]:
    """Yield the records of a row. Raises JournalError `journal.format` where it does not add up."""
    if sizes is None:
        yield Record(last, data)
        return
    lengths = struct.unpack(f"<{len(sizes) // 4}I", sizes[: len(sizes) // 4 * 4])
    if len(sizes) % 4 or sum(lengths) != len(data):
        raise JournalError("journal.format", f"record {last} of {log} does not hold what it says")
    seq, start = last - len(lengths), 0
    for length in lengths:
        seq, end = seq + 1, start + length
        yield Record(seq, data[start:end])
        start = end
