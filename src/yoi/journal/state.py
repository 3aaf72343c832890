"""Small durable state of services: `state_set` writes here, the guest reads its own keys.

Everything is held in memory and written through to SQLite, so reads never touch the disk. One
store serves one host; keys of one service are never visible to another.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path

from yoi.errors import ServiceError
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
    """

    def __init__(self, path: Path | None, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._values: dict[str, dict[str, str]] = {}
        self._database = sqlite3.connect(
            ":memory:" if path is None else path, check_same_thread=False, isolation_level=None
        )
        if path is not None:
            path.chmod(0o600)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute(_SCHEMA)
        for service, key, value in self._database.execute("SELECT * FROM state"):
            self._values.setdefault(service, {})[key] = value

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

        Raises ServiceError `service.state_full` when the service has too many keys or bytes.
        """
        with self._lock:
            mine = self._values.setdefault(service, {})
            if value is None:
                if mine.pop(key, None) is not None:
                    self._database.execute(
                        "DELETE FROM state WHERE service = ? AND key = ?", (service, key)
                    )
                return
            self._check(mine, key, value)
            self._database.execute(
                "INSERT INTO state VALUES (?, ?, ?) "
                "ON CONFLICT (service, key) DO UPDATE SET value = excluded.value",
                (service, key, value),
            )
            mine[key] = value

    def close(self) -> None:
        """Close the database."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._database.close()

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
