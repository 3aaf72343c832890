"""The key that the machines of one deployment share: it seals secrets and records for them.

AES-256-GCM with a random nonce, under a key of its own for each purpose; what is sealed is bound to
where it belongs. The key reaches each machine by its operator's own means, never over the servers.
"""

import base64
import hmac
import os
from dataclasses import dataclass
from pathlib import Path

from yoi.errors import SecretError
from yoi.secrets.keys import KeyFile

_NONCE_BYTES = 12
_ID_BYTES = 8
_VERSION = b"\x01"


@dataclass(frozen=True, slots=True, repr=False)
class DeploymentKey:
    """See the module docstring."""

    root: bytes

    @classmethod
    def read(cls, path: Path) -> "DeploymentKey":
        """Return the key in the file. Raises SecretError `secret.key_file`, also for no file."""
        return cls(KeyFile(path).root(b""))

    @classmethod
    def create(cls, path: Path) -> "DeploymentKey":
        """Return the key in the file, which is made where it is missing. Raises SecretError."""
        return cls(KeyFile(path).new_root(b""))

    @property
    def id(self) -> str:
        """What tells this key from another one, and does not help to find it."""
        return self.derived("id")[:_ID_BYTES].hex()

    def tag(self, text: str) -> str:
        """Return what is equal for equal texts only; it gives nothing of the text away."""
        tag = hmac.digest(self.derived("tag"), text.encode("utf-8", "surrogatepass"), "sha256")
        return base64.b64encode(tag[:16]).decode()

    def seal(self, purpose: str, bound: str, data: bytes) -> bytes:
        """Return `data` sealed for `purpose`, to be opened only where the same is `bound`."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + AESGCM(self.derived(purpose)).encrypt(nonce, data, _aad(bound))

    def open(self, purpose: str, bound: str, sealed: bytes) -> bytes:
        """Return what was sealed. Raises SecretError `secret.tampered` for anything else."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        start = len(_VERSION)
        nonce, rest = sealed[start : start + _NONCE_BYTES], sealed[start + _NONCE_BYTES :]
        try:
            if sealed[:start] != _VERSION:
                raise InvalidTag
            return AESGCM(self.derived(purpose)).decrypt(nonce, rest, _aad(bound))
        except (InvalidTag, ValueError):
            raise SecretError(
                "secret.tampered",
                "what was sealed is not there as it was sealed, or with another key",
                hint="the same key_file of [cluster] in host.toml on every machine",
            ) from None

    def derived(self, purpose: str) -> bytes:
        """Return 32 bytes that only who has the key can make, the same on every machine."""
        # HKDF-Expand (RFC 5869) for one block: the root is uniform already.
        label = b"yoi deployment " + purpose.encode() + b"\x01"
        return hmac.digest(self.root, label, "sha256")


def _aad(bound: str) -> bytes:
    return _VERSION + bound.encode()
