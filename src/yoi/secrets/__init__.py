"""Secrets: where the operator's values are kept, and how they stay out of every log and guest."""

from yoi.secrets.file_store import EncryptedFileStore
from yoi.secrets.held import HeldSecrets
from yoi.secrets.keyring_store import KeyringStore, system_keyring
from yoi.secrets.keys import KeyFile, Passphrase, Prompt, Unlock
from yoi.secrets.store import SecretEntry, SecretStore, StoredSecret
from yoi.secrets.workspace import Place, Settings, UnlockBy, default_key_file, open_store
from yoi.types import Secret

__all__ = [
    "EncryptedFileStore",
    "HeldSecrets",
    "KeyFile",
    "KeyringStore",
    "Passphrase",
    "Place",
    "Prompt",
    "Secret",
    "SecretEntry",
    "SecretStore",
    "Settings",
    "StoredSecret",
    "Unlock",
    "UnlockBy",
    "default_key_file",
    "open_store",
    "system_keyring",
]
