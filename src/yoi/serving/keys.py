"""The keys that cursors and sessions are signed with: kept in one file, so both survive a restart.

When the file is lost, watchers get a fresh snapshot and browsers sign in again.
"""

import base64
import binascii
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from yoi.display import shell_word
from yoi.errors import ServingError
from yoi.limits import LIMITS, Limits
from yoi.protocol.cursors import KEY_BYTES, KEY_ID_BYTES, CursorKeys
from yoi.secrets.deployment import DeploymentKey
from yoi.serving.private import PrivateFile

FILE_NAME = "observation.keys"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Key:
    """One key and its id."""

    id: bytes
    value: bytes

    @classmethod
    def fresh(cls) -> "Key":
        """Return a random key."""
        return cls(secrets.token_bytes(KEY_ID_BYTES), secrets.token_bytes(KEY_BYTES))

    def __repr__(self) -> str:
        return f"<Key {self.id.hex()}>"


@dataclass(frozen=True, slots=True)
class ObservationKeys:
    """`cursors` are newest first: the first signs, the others only read. `session` does both."""

    cursors: tuple[Key, ...]
    session: Key

    @classmethod
    def fresh(cls) -> "ObservationKeys":
        """Return random keys that are kept nowhere."""
        return cls((Key.fresh(),), Key.fresh())

    @classmethod
    def of_deployment(cls, key: DeploymentKey) -> "ObservationKeys":
        """Return keys that are the same at every backend of a deployment."""
        cursor, session = (
            Key(key.derived(f"{what} id")[:KEY_ID_BYTES], key.derived(f"{what} key"))
            for what in ("cursors", "sessions")
        )
        return cls((cursor,), session)

    @property
    def cursor_keys(self) -> CursorKeys:
        """Return what cursors are made and read with."""
        return CursorKeys(self.cursors[0].id, {key.id: key.value for key in self.cursors})

    def rotated(self, limits: Limits = LIMITS) -> "ObservationKeys":
        """Return new keys: old cursors can still be read, old sessions can not."""
        kept = self.cursors[: limits.cursor_keys - 1]
        return ObservationKeys((Key.fresh(), *kept), Key.fresh())


class KeyStore:
    """The keys in the file at `path`. Everything blocks, but not for long."""

    def __init__(self, path: Path, limits: Limits = LIMITS, owner: str | None = None) -> None:
        """`owner` is the id of the workspace that the file must carry; None accepts any."""
        self._file = PrivateFile(path, limits.keys_file_bytes, _fault, limits, owner)
        self._limits = limits

    def load_or_create(self) -> ObservationKeys:
        """Return the keys, made where there is no file. Raises ServingError (`serving.keys`)."""
        keys = self._read()
        if keys is None:
            self._file.create(_encoded(ObservationKeys.fresh()))
            # Read back: another process may have been first.
            keys = self._read()
        if keys is None:
            raise _fault(f"{self._file.path} vanished while it was made", None)
        return keys

    def rotate(self) -> ObservationKeys:
        """Replace the keys and return the new ones; a running process takes them when it starts."""
        with self._file.locked():
            keys = self._read()
            keys = ObservationKeys.fresh() if keys is None else keys.rotated(self._limits)
            self._file.replace(_encoded(keys))
        return keys

    def _read(self) -> ObservationKeys | None:
        data = self._file.read()
        if data is None:
            return None
        try:
            stored = msgspec.json.decode(data, type=_Stored)
            cursors = tuple(_key(one) for one in stored.cursors)
            session = _key(stored.session)
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise self._unusable("is damaged") from None
        if stored.version != _VERSION:
            raise self._unusable("was written by another version of Yoi")
        if not 1 <= len(cursors) <= self._limits.cursor_keys or _repeated(cursors):
            raise self._unusable("is damaged")
        return ObservationKeys(cursors, session)

    def _unusable(self, why: str) -> ServingError:
        return _fault(
            f"{self._file.path} {why}",
            f"put a good copy back, or remove it: rm {shell_word(self._file.path)}\n"
            "without it watchers get a fresh snapshot and browsers sign in again",
        )


def keys_file(workspace: Path) -> Path:
    """Return where the keys of `workspace` are kept."""
    return workspace / ".yoi" / FILE_NAME


class _StoredKey(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    key: str


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    cursors: list[_StoredKey]
    session: _StoredKey


def _key(stored: _StoredKey) -> Key:
    """Return the key. Raises ValueError, which says nothing of it."""
    try:
        # Not as text: the error about other characters would hold it.
        value = base64.b64decode(stored.key.encode("ascii", "replace"), validate=True)
        key = Key(bytes.fromhex(stored.id), value)
    except (ValueError, binascii.Error):
        raise ValueError("not a key") from None
    if len(key.id) != KEY_ID_BYTES or len(key.value) != KEY_BYTES:
        raise ValueError("not a key")
    return key


def _repeated(keys: Iterable[Key]) -> bool:
    ids = [key.id for key in keys]
    return len(set(ids)) != len(ids)


def _encoded(keys: ObservationKeys) -> bytes:
    def row(key: Key) -> _StoredKey:
        return _StoredKey(key.id.hex(), base64.b64encode(key.value).decode())

    stored = _Stored(_VERSION, [row(key) for key in keys.cursors], row(keys.session))
    return msgspec.json.format(msgspec.json.encode(stored)) + b"\n"


def _fault(message: str, hint: str | None) -> ServingError:
    return ServingError("serving.keys", message, hint=hint)
