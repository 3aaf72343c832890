"""Which store a workspace uses: the `[secrets]` table of its yoi.toml, or the encrypted file."""

import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from yoi.errors import SecretError
from yoi.limits import LIMITS
from yoi.secrets.file_store import EncryptedFileStore
from yoi.secrets.files import read_private
from yoi.secrets.keyring_store import KeyringStore, system_keyring
from yoi.secrets.keys import KeyFile, Passphrase, Prompt
from yoi.secrets.store import SecretStore
from yoi.toml import Bad, Choice, Faults, Key, Parsed, Row, TableSpec, Text, file_path, joined

_PATH_CHARS = 4096


class StoreKind(StrEnum):
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

    store: StoreKind = StoreKind.FILE
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
        faults = Faults()
        settings = SECRETS.read(table, "secrets", faults)
        if isinstance(settings, Bad):
            raise joined([_bad(f"{one.at} {one.message}") for one in faults], faults.count)
        if settings.key_file is None:
            return settings
        return replace(settings, key_file=workspace / settings.key_file)


def _settings(row: Row) -> Settings:
    store, unlock = row["store"], row["unlock"]
    if store is StoreKind.KEYRING and (row.has("unlock") or row.has("key_file")):
        row.fault("value", "store", "is the keyring: unlock and key_file do not go with it")
    elif row.has("key_file") and unlock is not UnlockBy.KEY_FILE:
        row.fault("value", "key_file", 'goes with unlock = "key-file"')
    return Settings(store, unlock, row["key_file"])


SECRETS = TableSpec(
    (
        Key(
            "store",
            Parsed(Choice(StoreKind), StoreKind),
            "where the secrets are: an encrypted file of the workspace, or the system's keyring",
            default=StoreKind.FILE,
        ),
        Key(
            "unlock",
            Parsed(Choice(UnlockBy), UnlockBy),
            "what opens the encrypted file",
            default=UnlockBy.KEY_FILE,
        ),
        Key(
            "key_file",
            Parsed(Text(_PATH_CHARS), file_path, "path"),
            "the key file; a relative path is below the workspace",
            default_words="the account's own",
        ),
    ),
    _settings,
    about="Which secret store the workspace uses, see [secrets](../how-to/secrets.md).",
)


def open_store(workspace: Path, settings: Settings, prompt: Prompt) -> SecretStore:
    """Return the secret store of `workspace`. Nothing is read or asked for before it is used.

    Raises SecretError (`secret.keyring`) where the keyring is chosen and there is none.
    """
    folder = workspace / ".yoi"
    if settings.store is StoreKind.KEYRING:
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


def _bad(message: str) -> SecretError:
    return SecretError("secret.settings", message, hint="see docs/how-to/secrets.md")
