"""`EncryptedFileStore`: secrets in one file, encrypted at rest. For servers."""

import threading
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from yoi.errors import SecretError
from yoi.limits import LIMITS, Limits
from yoi.secrets.files import locked, read_private, write_private
from yoi.secrets.keys import Unlock
from yoi.secrets.sealed import Keys, parse, tampered
from yoi.secrets.store import (
    SecretEntry,
    StoredSecret,
    check_name,
    check_value,
    conflict,
    full,
    missing,
)
from yoi.types import Clock, Secret, SystemClock, rfc3339


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    value: str
    version: int
    changed_at: str


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    revision: int = 0
    """The newest version ever given; removing an entry takes one too."""
    entries: dict[str, _Entry] = {}


class EncryptedFileStore:
    """A `SecretStore` in the file at `path`; every read sees what other processes wrote.

    Nothing is kept open or in memory but the store's keys. Safe between threads and processes.
    """

    def __init__(
        self, path: Path, unlock: Unlock, *, clock: Clock | None = None, limits: Limits = LIMITS
    ) -> None:
        self._path = path
        self._unlock = unlock
        self._clock = clock or SystemClock()
        self._limits = limits
        self._keys: Keys | None = None
        self._mutex = threading.Lock()

    def __repr__(self) -> str:
        return f"<EncryptedFileStore {self._path}>"

    def entries(self) -> tuple[SecretEntry, ...]:
        """Return what is stored, by name, without the values."""
        with self._mutex:
            content = self._read()
        return tuple(
            SecretEntry(name, entry.version, entry.changed_at)
            for name, entry in sorted(content.entries.items())
        )

    def read(self, name: str) -> StoredSecret:
        """Return the secret `name`."""
        found = self.read_all().get(name)
        if found is None:
            raise missing(name)
        return found

    def read_all(self) -> dict[str, StoredSecret]:
        """Return every secret, by name."""
        with self._mutex:
            content = self._read()
        return {
            name: StoredSecret(Secret(name, entry.value), entry.version)
            for name, entry in content.entries.items()
        }

    def set(self, name: str, value: str) -> int:
        """Store `value`, whatever was there, and return its version."""
        check_name(name)
        check_value(name, value, self._limits)
        with self._mutex, self._locked():
            return self._put(self._read(), name, value)

    def replace(self, name: str, value: str, expected_version: int) -> int:
        """Store `value` if `name` still has `expected_version`, and return its new version."""
        check_value(name, value, self._limits)
        with self._mutex, self._locked():
            content = self._read()
            entry = content.entries.get(name)
            if entry is None or entry.version != expected_version:
                found = None if entry is None else entry.version
                raise conflict(name, found, expected_version)
            return self._put(content, name, value)

    def remove(self, name: str) -> None:
        """Forget the secret `name`; raises `secret.missing`."""
        with self._mutex, self._locked():
            content = self._read()
            if content.entries.pop(name, None) is None:
                raise missing(name)
            content.revision += 1
            self._write(content)

    def _put(self, content: _Content, name: str, value: str) -> int:
        content.revision += 1
        content.entries[name] = _Entry(value, content.revision, rfc3339(self._clock.wall()))
        if len(content.entries) > self._limits.secrets:
            raise full(self._limits)
        self._write(content)
        return content.revision

    def _read(self) -> _Content:
        data = read_private(self._path, self._limits.secret_store_bytes)
        if data is None:
            return _Content()
        document = parse(data)
        if self._keys is None or self._keys.salt != document.salt:
            # The first read, or another process has made the store anew.
            self._keys = Keys.for_document(document, self._unlock)
        try:
            return msgspec.json.decode(self._keys.unseal(document), type=_Content)
        except msgspec.DecodeError:
            raise tampered("its content is of another version") from None

    def _write(self, content: _Content) -> None:
        if self._keys is None or not self._path.exists():
            self._keys = Keys.new(self._unlock)
        data = self._keys.seal(msgspec.json.encode(content))
        if len(data) > self._limits.secret_store_bytes:
            raise SecretError(
                "secret.bounds",
                f"the store would be over {self._limits.secret_store_bytes} bytes",
            )
        write_private(self._path, data)

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self._path.with_name(self._path.name + ".lock"), self._limits)
