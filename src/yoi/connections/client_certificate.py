"""`ClientCertificate`: a certificate and its key from one secret, for servers that demand one."""

import hashlib
import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from yoi.errors import SecretError
from yoi.types import Secret

_HINT = (
    "store certificate and key, without a passphrase, in one PEM file: "
    "yoi secret set {} --stdin < FILE"
)


class ClientCertificate:
    """A certificate with its chain and its key, proven to fit. No repr or error shows any of it.

    Raises SecretError: `secret.certificate` (it is not PEM, or a part is missing),
    `secret.certificate_key` (the key belongs to another certificate), `secret.certificate_locked`
    (the key has a passphrase).
    """

    __slots__ = ("_secret", "digest")

    def __init__(self, name: str, pem: str) -> None:
        self._secret = Secret(name, pem)
        self.digest = hashlib.sha256(pem.encode("utf-8", "surrogatepass")).digest()
        """Tells one from another."""
        self.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def __repr__(self) -> str:
        return f"<client certificate {self._secret.name}>"

    def load_into(self, context: ssl.SSLContext) -> None:
        """Have `context` present it to servers that ask."""
        try:
            with _as_file(self._secret.reveal().encode("utf-8", "surrogatepass")) as path:
                context.load_cert_chain(path, password=_no_passphrase)
        except _LockedError:
            raise self._refused(
                "secret.certificate_locked", "the key of the client certificate has a passphrase"
            ) from None
        except (OSError, ValueError) as exc:  # ssl.SSLError is one
            if "KEY_VALUES_MISMATCH" in str(getattr(exc, "reason", "")):
                raise self._refused(
                    "secret.certificate_key", "the key belongs to another certificate"
                ) from None
            raise self._refused(
                "secret.certificate", "it has no certificate and key that can be read as PEM"
            ) from None

    def _refused(self, code: str, why: str) -> SecretError:
        name = self._secret.name
        return SecretError(code, f"the secret {name}: {why}", hint=_HINT.format(name), name=name)


class _LockedError(Exception):
    """OpenSSL asks for a passphrase."""


def _no_passphrase() -> str:
    raise _LockedError


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """Yield the path of a file with `data`, for OpenSSL, which reads from paths only.

    In memory where the system can; else readable by this account alone, and gone afterwards.
    """
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        held = os.memfd_create("yoi", os.MFD_CLOEXEC)
        try:
            os.write(held, data)
            yield f"/proc/self/fd/{held}"
        finally:
            os.close(held)
        return
    held, path = tempfile.mkstemp()
    try:
        os.write(held, data)
        yield path
    finally:
        os.close(held)
        os.unlink(path)
