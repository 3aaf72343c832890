"""`KeyringStore`: secrets in the operating system's own keyring. For a person's machine."""

import importlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from yoi.errors import SecretError
from yoi.limits import LIMITS, Limits
from yoi.secrets.files import locked
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

# Keyrings of operating systems and desktops; others that `keyring` may find write plain text, or
# are chosen by the environment.
_BACKENDS = (
    ("keyring.backends.macOS", "Keyring"),
    ("keyring.backends.SecretService", "Keyring"),
    ("keyring.backends.libsecret", "Keyring"),
    ("keyring.backends.kwallet", "DBusKeyring"),
    ("keyring.backends.Windows", "WinVaultKeyring"),
)
_INDEX = "index"
_T = TypeVar("_T")


class Backend(Protocol):
    """What is used of a `keyring` backend."""

    def get_password(self, service: str, username: str, /) -> str | None:
        """Return what is stored, or None."""
        ...

    def set_password(self, service: str, username: str, password: str, /) -> None:
        """Store `password`."""
        ...

    def delete_password(self, service: str, username: str, /) -> None:
        """Forget what is stored."""
        ...


def system_keyring() -> Backend | None:
    """Return the keyring of this operating system or desktop, or None where there is none."""
    for module, name in _BACKENDS:
        try:
            found: Any = getattr(importlib.import_module(module), name)
            if found.viable:
                backend: Backend = found()
                return backend
        except Exception:
            # Backends fail in their own ways where they do not belong.
            continue
    return None


class _Index(msgspec.Struct, forbid_unknown_fields=True):
    revision: int = 0
    names: dict[str, tuple[int, str]] = {}


class KeyringStore:
    """A `SecretStore` in `backend`, below the service name `service`.

    Keyrings list nothing, so the names, versions and times are an entry of their own; a value is
    written before it is listed. `lock` is a file that keeps writers apart. A call may wait for a
    person to unlock the keyring.
    """

    def __init__(
        self,
        backend: Backend,
        service: str,
        lock: Path,
        *,
        clock: Clock | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        self._backend = backend
        self._service = service
        self._lock = lock
        self._clock = clock or SystemClock()
        self._limits = limits
        self._mutex = threading.Lock()

    def __repr__(self) -> str:
        return f"<KeyringStore {self._service}>"

    def entries(self) -> tuple[SecretEntry, ...]:
        """Return what is stored, by name, without the values."""
        return tuple(
            SecretEntry(name, version, changed_at)
            for name, (version, changed_at) in sorted(self._index().names.items())
        )

    def read(self, name: str) -> StoredSecret:
        """Return the secret `name`."""
        listed = self._index().names.get(name)
        value = None if listed is None else self._get(_entry(name))
        if listed is None or value is None:
            raise missing(name)
        return StoredSecret(Secret(name, value), listed[0])

    def read_all(self) -> dict[str, StoredSecret]:
        """Return every secret, by name; one that was removed outside of Yoi is left out."""
        found = {}
        for name, (version, _) in self._index().names.items():
            value = self._get(_entry(name))
            if value is not None:
                found[name] = StoredSecret(Secret(name, value), version)
        return found

    def set(self, name: str, value: str) -> int:
        """Store `value`, whatever was there, and return its version."""
        check_name(name)
        check_value(name, value, self._limits)
        with self._mutex, self._locked():
            return self._put(self._index(), name, value)

    def replace(self, name: str, value: str, expected_version: int) -> int:
        """Store `value` if `name` still has `expected_version`, and return its new version."""
        check_value(name, value, self._limits)
        with self._mutex, self._locked():
            index = self._index()
            found = index.names.get(name, (None, ""))[0]
            if found != expected_version:
                raise conflict(name, found, expected_version)
            return self._put(index, name, value)

    def remove(self, name: str) -> None:
        """Forget the secret `name`; raises `secret.missing`."""
        with self._mutex, self._locked():
            index = self._index()
            if index.names.pop(name, None) is None:
                raise missing(name)
            index.revision += 1
            self._write(index)
            if self._get(_entry(name)) is not None:
                self._ask(lambda: self._backend.delete_password(self._service, _entry(name)))

    def _put(self, index: _Index, name: str, value: str) -> int:
        index.revision += 1
        index.names[name] = (index.revision, rfc3339(self._clock.wall()))
        if len(index.names) > self._limits.secrets:
            raise full(self._limits)
        self._ask(lambda: self._backend.set_password(self._service, _entry(name), value))
        self._write(index)
        return index.revision

    def _index(self) -> _Index:
        text = self._get(_INDEX)
        if text is None:
            return _Index()
        try:
            return msgspec.json.decode(text, type=_Index)
        except msgspec.DecodeError:
            raise SecretError(
                "secret.tampered", f"the entry {_INDEX!r} of {self._service} is not a list of names"
            ) from None

    def _write(self, index: _Index) -> None:
        text = msgspec.json.encode(index).decode()
        self._ask(lambda: self._backend.set_password(self._service, _INDEX, text))

    def _get(self, entry: str) -> str | None:
        return self._ask(lambda: self._backend.get_password(self._service, entry))

    def _ask(self, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except SecretError:
            raise
        except Exception as exc:
            # Each backend raises what its system's library raises; the text could hold a value.
            raise SecretError(
                "secret.keyring", f"the keyring refused: {type(exc).__name__}"
            ) from None

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self._lock, self._limits)


def _entry(name: str) -> str:
    return f"secret:{name}"
