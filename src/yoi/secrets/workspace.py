"""Which store a workspace uses: the `[secrets]` table of its yoi.toml, or the encrypted file."""

import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from yoi.display import printable
from yoi.errors import SecretError
from yoi.limits import LIMITS
from yoi.secrets.file_store import EncryptedFileStore
from yoi.secrets.files import read_private
from yoi.secrets.keyring_store import KeyringStore, system_keyring
from yoi.secrets.keys import KeyFile, Passphrase, Prompt
from yoi.secrets.store import SecretStore

_KEYS = ("store", "unlock", "key_file")


class Place(StrEnum):
    """Where the secrets of a workspace are."""

    FILE = "file"
    KEYRING = "keyring"


class UnlockBy(StrEnum):
    """What opens the encrypted file."""

    KEY_FILE = "key-file"
    PASSPHRASE = "passphrase"


@dataclass(frozen=True, slots=True)
class Settings:
    """The `[secrets]` table, checked."""

    place: Place = Place.FILE
    unlock: UnlockBy = UnlockBy.KEY_FILE
    key_file: Path | None = None
    """None means the account's own, see `default_key_file`."""

    @classmethod
    def load(cls, workspace: Path) -> "Settings":
        """Return what `.yoi/yoi.toml` of `workspace` says; an absent file or table says nothing.

        Raises SecretError (`secret.settings`).
        """
        path = workspace / ".yoi" / "yoi.toml"
        data = read_private(Path(os.path.realpath(path)), LIMITS.operator_config_bytes)
        try:
            document = tomllib.loads((data or b"").decode())
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as exc:
            raise _bad(f"{path} is not TOML: {exc}") from None
        return cls.parse(document.get("secrets", {}), workspace)

    @classmethod
    def parse(cls, table: Any, workspace: Path) -> "Settings":
        """Return the settings in a `[secrets]` table; a relative key_file is below `workspace`."""
        if not isinstance(table, dict):
            raise _bad("secrets must be a table")
        for key, value in table.items():
            if key not in _KEYS:
                raise _bad(f"secrets.{printable(key, 60)} is not a key (known: {', '.join(_KEYS)})")
            if not isinstance(value, str):
                raise _bad(f"secrets.{key} must be text")
        place = _choice(table, "store", Place, Place.FILE)
        unlock = _choice(table, "unlock", UnlockBy, UnlockBy.KEY_FILE)
        if place is Place.KEYRING and len(table) > 1:
            raise _bad("secrets.unlock and key_file do not go with the keyring")
        written = table.get("key_file")
        if written is not None and (unlock is not UnlockBy.KEY_FILE or not written):
            raise _bad('secrets.key_file is a path, and goes with unlock = "key-file"')
        key_file = None if written is None else workspace / Path(written).expanduser()
        return cls(place, unlock, key_file)


def open_store(workspace: Path, settings: Settings, prompt: Prompt) -> SecretStore:
    """Return the secret store of `workspace`. Nothing is read or asked for before it is used.

    Raises SecretError (`secret.keyring`) where the keyring is chosen and there is none.
    """
    folder = workspace / ".yoi"
    if settings.place is Place.KEYRING:
        backend = system_keyring()
        if backend is None:
            raise SecretError(
                "secret.keyring",
                "this machine has no keyring that Yoi uses, or nobody is logged in to it",
                hint='use the encrypted file: [secrets] store = "file" in yoi.toml',
            )
        # Workspaces of one account must not see each other's secrets under the same name.
        mark = hashlib.sha256(str(workspace.resolve()).encode()).hexdigest()[:16]
        return KeyringStore(backend, f"yoi:{workspace.name}:{mark}", folder / "secrets.lock")
    unlock = (
        Passphrase(prompt)
        if settings.unlock is UnlockBy.PASSPHRASE
        else KeyFile(settings.key_file or default_key_file(os.environ, Path.home()))
    )
    return EncryptedFileStore(folder / "secrets.enc", unlock)


def default_key_file(environment: Mapping[str, str], home: Path) -> Path:
    """Return the account's key file: apart from any workspace, so that a copy of one opens nothing.

    Only the place comes from the environment (XDG Base Directory), never a key.
    """
    base = environment.get("XDG_CONFIG_HOME", "")
    config = Path(base) if base.startswith("/") else home / ".config"
    return config / "yoi" / "secret.key"


def _choice(table: dict[str, Any], key: str, kind: Any, default: Any) -> Any:
    try:
        return kind(table.get(key, default))
    except ValueError:
        choices = ", ".join(f'"{one}"' for one in kind)
        raise _bad(f"secrets.{key} must be one of {choices}") from None


def _bad(message: str) -> SecretError:
    return SecretError("secret.settings", message, hint="see docs/how-to/secrets.md")
