"""Secrets: where the operator's values are kept, and how they stay out of every log and guest.

Each name is loaded when it is first asked for: code that only reads private files loads no store.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yoi.secrets.file_store import EncryptedFileStore
    from yoi.secrets.held import HeldSecrets
    from yoi.secrets.keyring_store import KeyringStore, system_keyring
    from yoi.secrets.keys import KeyFile, Passphrase, Prompt, Unlock
    from yoi.secrets.store import SecretEntry, SecretStore, StoredSecret
    from yoi.secrets.workspace import Settings, StoreKind, UnlockBy, default_key_file, open_store
    from yoi.types import Secret

__all__ = [
    "EncryptedFileStore",
    "HeldSecrets",
    "KeyFile",
    "KeyringStore",
    "Passphrase",
    "Prompt",
    "Secret",
    "SecretEntry",
    "SecretStore",
    "Settings",
    "StoreKind",
    "StoredSecret",
    "Unlock",
    "UnlockBy",
    "default_key_file",
    "open_store",
    "system_keyring",
]

_HOMES = {
    "yoi.secrets.file_store": ("EncryptedFileStore",),
    "yoi.secrets.held": ("HeldSecrets",),
    "yoi.secrets.keyring_store": ("KeyringStore", "system_keyring"),
    "yoi.secrets.keys": ("KeyFile", "Passphrase", "Prompt", "Unlock"),
    "yoi.secrets.store": ("SecretEntry", "SecretStore", "StoredSecret"),
    "yoi.secrets.workspace": (
        "StoreKind",
        "Settings",
        "UnlockBy",
        "default_key_file",
        "open_store",
    ),
    "yoi.types": ("Secret",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
"""The module that defines each public name."""


def __getattr__(name: str) -> Any:
    """Return the public name `name`, loading its module (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *_HOME})
