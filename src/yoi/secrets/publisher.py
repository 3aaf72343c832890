"""The key that an operator signs publications with, and its public half on every machine."""

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from yoi.errors import SecretError
from yoi.secrets.files import create_private, read_owned

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_KIND = "ed25519:"
_BYTES = 32


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Whose publications a machine obeys; its text is `ed25519:` and Base64."""

    raw: bytes

    @classmethod
    def parse(cls, text: str) -> "PublicKey":
        """Return the key in `text`. Raises ValueError for anything else."""
        try:
            raw = base64.b64decode(text.removeprefix(_KIND), validate=True)
        except ValueError:
            raw = b""
        if not text.startswith(_KIND) or len(raw) != _BYTES:
            raise ValueError('must be "ed25519:" and 44 characters, as `yoi cluster key` prints it')
        return cls(raw)

    def __str__(self) -> str:
        return _KIND + base64.b64encode(self.raw).decode()

    def has_signed(self, data: bytes, signature: bytes) -> bool:
        """Return whether `signature` is this key's, of `data`."""
        # Imported here: most machines obey no publication.
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True, repr=False)
class PublisherKey:
    """The operator's key; it stays where a person decides."""

    seed: bytes

    @classmethod
    def read(cls, path: Path) -> "PublisherKey":
        """Return the key in `path`, made there where nothing is.

        Raises SecretError: `secret.key_file`, and `secret.io` for a file that others can read.
        """
        create_private(path, os.urandom(_BYTES))
        seed = read_owned(path, _BYTES + 1)
        if seed is None or len(seed) != _BYTES:
            raise SecretError(
                "secret.key_file",
                f"{path} is no key for publications",
                hint="name the file that `yoi cluster key` made: --key FILE",
            )
        return cls(seed)

    @property
    def public(self) -> PublicKey:
        """Its public half."""
        return PublicKey(self._key.public_key().public_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        """Return the signature of `data`."""
        return self._key.sign(data)

    @property
    def _key(self) -> "Ed25519PrivateKey":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.seed)
