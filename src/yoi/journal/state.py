"""Small durable state of services: `state_set` writes here, the guest reads its own keys.

Everything is held in memory and written through to SQLite, so reads never touch the disk. One
store serves one host; keys of one service are never visible to another.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from yoi.errors import JournalError, ServiceError, TrustError
from yoi.journal.opening import open_database
from yoi.journal.owner import claim, closed, opened
from yoi.journal.sqlite_faults import aside, fault
from yoi.limits import LIMITS, Limits

_SCHEMA = """
CREATE TABLE IF NOT EXISTS state (
    service TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (service, key)
) WITHOUT ROWID
"""


class StateStore:
    """Values are JSON texts. Safe to use from several threads; writes block on the disk.

    `path` None keeps the state in memory only. With a path, a write that returned survives a crash
    of the process; after a power failure the last writes may be missing (`synchronous = NORMAL`).
    `owner` is the id of the workspace that the file must be of; None accepts any.
    Raises JournalError: `journal.io`, also when `path` is a link; `journal.format`; and TrustError
    `trust.foreign` for another workspace's file.
    """

    def __init__(
        self, path: Path | None, limits: Limits = LIMITS, owner: str | None = None
    ) -> None:
        self._path = path or Path(":memory:")
        self._limits = limits
        self._lock = threading.Lock()
        self._values: dict[str, dict[str, str]] = {}
        self._listeners: dict[str, Callable[[str], None]] = {}
        try:
            self._database = _open(path, owner, limits.journal_busy_ms)
        except (OSError, sqlite3.Error) as exc:
            raise self._failed(exc) from None
        try:
            self._read()
        except sqlite3.Error as exc:
            self.close()
            raise self._failed(exc) from None
        except JournalError:
            self.close()
            raise

    def get(self, service: str, key: str) -> str | None:
        """Return the JSON text under `key`, or None."""
        with self._lock:
            return self._values.get(service, {}).get(key)

    def all(self, service: str) -> Mapping[str, str]:
        """Return a copy of every key of `service`."""
        with self._lock:
            return dict(self._values.get(service, {}))

    def set(self, service: str, key: str, value: str | None) -> None:
        """Keep `value` under `key`; None removes it.

        Whoever listens hears of it afterwards, on this thread.
        Raises ServiceError `service.state_full` when the service has too many keys or bytes,
        JournalError `journal.io` when the disk takes nothing; then the old value stays.
        """
        with self._lock:
            self._set(service, key, value)
            heard = self._listeners.get(service)
        if heard is not None:
            heard(key)

    def listen(self, service: str, heard: Callable[[str], None] | None) -> None:
        """Let `heard` hear each key of `service` that is set; None: nothing hears any more."""
        with self._lock:
            if heard is None:
                self._listeners.pop(service, None)
            else:
                self._listeners[service] = heard

    def close(self) -> None:
        """Close the database."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            closed(self._database)
            self._database.close()

    def _read(self) -> None:
        """Read all values. Raises JournalError for what this module does not write."""
        kind, other = self._database.execute(
            "SELECT max(type), count(*) FROM sqlite_schema WHERE name = 'state' OR type NOT IN"
            " ('table', 'index')"
        ).fetchone()
        most = 4 * self._limits.state_bytes  # in characters, of four bytes at most
        if (kind, other) != ("table", 1):
            raise self._foreign()
        for service, key, value in self._database.execute(
            "SELECT service, key, iif(length(CAST(value AS BLOB)) <= ?, value, NULL) FROM state",
            (most,),
        ):
            if not all(isinstance(one, str) for one in (service, key, value)):
                raise self._foreign()
            self._values.setdefault(service, {})[key] = value

    def _foreign(self) -> JournalError:
        return JournalError(
            "journal.format",
            f"{self._path.name} holds what no state file of Yoi holds",
            hint=aside(self._path),
        )

    def _failed(self, exc: OSError | sqlite3.Error) -> JournalError:
        return fault(exc, self._path)

    def _set(self, service: str, key: str, value: str | None) -> None:
        mine = self._values.setdefault(service, {})
        if value is None:
            if key in mine:
                self._write("DELETE FROM state WHERE service = ? AND key = ?", service, key)
                del mine[key]
            return
        self._check(mine, key, value)
        self._write(
            "INSERT INTO state VALUES (?, ?, ?) "
            "ON CONFLICT (service, key) DO UPDATE SET value = excluded.value",
            service,
            key,
            value,
        )
        mine[key] = value

    def _write(self, statement: str, *values: str) -> None:
        try:
            self._database.execute(statement, values)
        except sqlite3.Error as exc:
            raise self._failed(exc) from None

    def _check(self, mine: dict[str, str], key: str, value: str) -> None:
        held = sum(len(k) + len(v) for k, v in mine.items() if k != key)
        if key not in mine and len(mine) >= self._limits.state_keys:
            raise ServiceError(
                "service.state_full", f"more than {self._limits.state_keys} state keys"
            )
        if held + len(key) + len(value) > self._limits.state_bytes:
            raise ServiceError(
                "service.state_full", f"state is over {self._limits.state_bytes} bytes"
            )


def _open(path: Path | None, owner: str | None, busy_ms: int) -> sqlite3.Connection:
    if path is None:
        database = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    else:
        database = open_database(path, owner, busy_ms)
    try:
        if path is not None:
            (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            claim(database, owner, path, fresh=tables == 0)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            opened(database)
        database.execute(_SCHEMA)
    except (sqlite3.Error, TrustError):
        database.close()
        raise
    return database
