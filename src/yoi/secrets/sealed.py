"""The sealed form of a store: one JSON document whose content only its key opens.

AES-256-GCM with a random nonce for every write. The header (format, kind of key, salt, check) is
authenticated with the content. `check` tells a wrong key from a changed file; it helps nobody guess
a passphrase who could not try the content itself. An older copy of the file cannot be told apart.
"""

import hmac
import json
import secrets
from dataclasses import dataclass

import msgspec

from yoi.errors import SecretError
from yoi.secrets.keys import Unlock

FORMAT = "yoi-secrets-1"
_SALT_BYTES = 16
_NONCE_BYTES = 12
_CHECK_BYTES = 16


class Document(msgspec.Struct, forbid_unknown_fields=True):
    """The file, decoded."""

    format: str
    key: str
    salt: bytes
    check: bytes
    nonce: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """What one store is sealed with. Made once: a passphrase takes its time."""

    kind: str
    salt: bytes
    check: bytes
    encryption: bytes

    @classmethod
    def new(cls, unlock: Unlock) -> "Keys":
        """Return the keys of a new store."""
        salt = secrets.token_bytes(_SALT_BYTES)
        return cls._of(unlock.kind, salt, unlock.new_root(salt))

    @classmethod
    def _of(cls, kind: str, salt: bytes, root: bytes) -> "Keys":
        def derived(purpose: bytes) -> bytes:
            # HKDF-Expand (RFC 5869) for one block: the root is uniform already.
            return hmac.digest(root, b"yoi secrets " + purpose + salt + b"\x01", "sha256")

        return cls(kind, salt, derived(b"check")[:_CHECK_BYTES], derived(b"encryption"))

    @classmethod
    def for_document(cls, document: Document, unlock: Unlock) -> "Keys":
        """Return the keys of the store in `document`; raises `secret.wrong_key`."""
        if document.key != unlock.kind:
            raise SecretError(
                "secret.wrong_key",
                f"the store is locked with a {_words(document.key)}, not with a "
                f"{_words(unlock.kind)}",
                hint='say so in yoi.toml: [secrets] unlock = "key-file" or "passphrase"',
            )
        keys = cls._of(unlock.kind, document.salt, unlock.root(document.salt))
        keys.require_for(document)
        return keys

    def require_for(self, document: Document) -> None:
        """Raise `secret.wrong_key` unless these are the keys of the store in `document`."""
        same = (document.key, document.salt) == (self.kind, self.salt)
        if not (same and hmac.compare_digest(document.check, self.check)):
            raise SecretError(
                "secret.wrong_key",
                f"the store was written with another {_words(document.key)}",
                hint="use the key that it was made with",
            )

    @property
    def _header(self) -> bytes:
        return json.dumps(
            [FORMAT, self.kind, self.salt.hex(), self.check.hex()], separators=(",", ":")
        ).encode()

    def seal(self, content: bytes) -> bytes:
        """Return the file that holds `content`."""
        # Imported here: most commands open no store.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(self.encryption).encrypt(nonce, content, self._header)
        document = Document(FORMAT, self.kind, self.salt, self.check, nonce, sealed)
        return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"

    def unseal(self, document: Document) -> bytes:
        """Return the content; raises `secret.wrong_key` or `secret.tampered`."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self.require_for(document)
        try:
            return AESGCM(self.encryption).decrypt(document.nonce, document.sealed, self._header)
        except (InvalidTag, ValueError):
            raise tampered("its content was changed, or the file is damaged") from None


def parse(data: bytes) -> Document:
    """Return the document in a store's file; raises `secret.tampered`."""
    try:
        document = msgspec.json.decode(data, type=Document)
    except (msgspec.DecodeError, RecursionError):
        raise tampered("it is not a secret store of this format") from None
    if (
        document.format != FORMAT
        or document.key not in _WORDS
        or (len(document.salt), len(document.nonce), len(document.check))
        != (_SALT_BYTES, _NONCE_BYTES, _CHECK_BYTES)
    ):
        raise tampered("it is not a secret store of this format")
    return document


def tampered(why: str) -> SecretError:
    """Return the error for a file that cannot be what Yoi wrote."""
    return SecretError(
        "secret.tampered",
        f"the secret store cannot be trusted: {why}",
        hint="restore it from a copy, or remove it and set its secrets anew",
    )


_WORDS = {"file": "key file", "passphrase": "passphrase"}


def _words(kind: str) -> str:
    return _WORDS.get(kind, "key")
