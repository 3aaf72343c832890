"""Where a store's key comes from: a private file, or a passphrase. Never the environment."""

import base64
import binascii
import hashlib
import os
import secrets
from pathlib import Path
from typing import Protocol

from yoi.display import shell_word
from yoi.errors import SecretError
from yoi.limits import LIMITS
from yoi.secrets.files import create_private, failed, read_private

KEY_BYTES = 32
_PREFIX = b"yoi-secret-key-1:"
# Memory-hard: 128 MiB and some 0.3 s for each guess (RFC 7914; OWASP's first choice of parameters).
SCRYPT_LOG2_N, SCRYPT_R, SCRYPT_P = 17, 8, 1


class Prompt(Protocol):
    """Asks a person for a passphrase, without showing it."""

    def passphrase(self) -> str:
        """Return the passphrase of a store that is there."""
        ...

    def new_passphrase(self) -> str:
        """Return a passphrase for a new store, typed twice alike."""
        ...


class Unlock(Protocol):
    """Gives the root key of a store. `kind` stands in the store's file."""

    @property
    def kind(self) -> str:
        """`file` or `passphrase`."""
        ...

    def root(self, salt: bytes) -> bytes:
        """Return the 32 bytes from which the keys of the store with this salt are made."""
        ...

    def new_root(self, salt: bytes) -> bytes:
        """Return the root key of a new store; where there is no key yet, it is made."""
        ...


class KeyFile:
    """A random key in a file of mode 0600, kept apart from the store that it opens."""

    kind = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    def root(self, salt: bytes) -> bytes:
        """Return the key in the file, whatever the salt."""
        key = self._read()
        if key is None:
            raise SecretError(
                "secret.key_file",
                f"the key file {self._path} is not there, and the secret store was made with it",
                hint="put the key file back; without it, remove the store and set its secrets anew",
            )
        return key

    def new_root(self, salt: bytes) -> bytes:
        """Return the key in the file, which is made where it is missing."""
        key = self._read()
        if key is None:
            made = _PREFIX + base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n"
            create_private(self._path, made)
            # Read back: another process may have been first.
            key = self._read()
        if key is None:
            raise self._bad("vanished while it was made")
        return key

    def _read(self) -> bytes | None:
        try:
            found = os.stat(self._path, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise failed(exc, self._path) from None
        if found.st_uid != os.geteuid():
            raise self._bad("belongs to another account")
        if found.st_mode & 0o077:
            raise self._bad("can be read by other accounts", f"chmod 600 {shell_word(self._path)}")
        try:
            data = read_private(self._path, LIMITS.secret_key_file_bytes)
        except SecretError as exc:
            raise SecretError("secret.key_file", exc.message) from None
        if data is None:
            return None
        try:
            if not data.startswith(_PREFIX):
                raise ValueError
            key = base64.b64decode(data.removeprefix(_PREFIX).strip(), validate=True)
        except (ValueError, binascii.Error):
            raise self._bad("is not a key that Yoi has made") from None
        if len(key) != KEY_BYTES:
            raise self._bad("does not hold a whole key")
        return key

    def _bad(self, why: str, hint: str | None = None) -> SecretError:
        return SecretError("secret.key_file", f"the key file {self._path} {why}", hint=hint)


class Passphrase:
    """A key made of a passphrase by scrypt; asked for once, when it is first needed."""

    kind = "passphrase"

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt

    def root(self, salt: bytes) -> bytes:
        """Return the key for this salt; takes about a third of a second."""
        return self._derived(self._prompt.passphrase(), salt)

    def new_root(self, salt: bytes) -> bytes:
        """Return the key for a new store; raises SecretError for a short passphrase."""
        text = self._prompt.new_passphrase()
        if len(text) < LIMITS.passphrase_min_chars:
            raise SecretError(
                "secret.bounds",
                f"a passphrase has at least {LIMITS.passphrase_min_chars} characters",
            )
        return self._derived(text, salt)

    @staticmethod
    def _derived(text: str, salt: bytes) -> bytes:
        return hashlib.scrypt(
            text.encode("utf-8", "surrogatepass"),
            salt=salt,
            n=1 << SCRYPT_LOG2_N,
            r=SCRYPT_R,
            p=SCRYPT_P,
            # Twice the need: OpenSSL counts its own blocks too.
            maxmem=2 * 128 * SCRYPT_R * (1 << SCRYPT_LOG2_N),
            dklen=KEY_BYTES,
        )
