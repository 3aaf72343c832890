"""TLS of listeners and of backends that dial runtimes: 1.2 or newer, the library's own ciphers."""

import asyncio
import contextlib
import os
import ssl
from pathlib import Path

import structlog

from yoi.errors import ServingError
from yoi.limits import LIMITS, Limits
from yoi.serving.listeners import TlsFiles

_ALPN = ["http/1.1"]
_log = structlog.get_logger("yoi.serving")


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the context of a listener. Reads files. Raises ServingError (`serving.tls`)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(_ALPN)
    load_certificate(context, files)
    return context


async def listening_tls(
    files: TlsFiles | None, limits: Limits, running: contextlib.AsyncExitStack
) -> ssl.SSLContext | None:
    """Return the context of a listener, its certificate kept fresh while `running`; None without.

    Raises ServingError (`serving.tls`).
    """
    if files is None:
        return None
    context = await asyncio.to_thread(server_context, files)
    renewing = asyncio.ensure_future(keep_certificate(context, files, limits))
    running.callback(renewing.cancel)
    return context


def load_certificate(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Read certificate and key into `context`: connections from now on use them.

    For a renewed certificate too. Raises ServingError, and then the old one stays in use.
    """
    # A copy first: a certificate whose key does not fit would be half taken.
    trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for one in (trial, context):
        try:
            one.load_cert_chain(files.certificate, files.key, password=_no_password)
        except (OSError, ValueError) as exc:
            raise _unusable(files, exc) from None


async def keep_certificate(
    context: ssl.SSLContext, files: TlsFiles, limits: Limits = LIMITS
) -> None:
    """Take a renewed certificate whenever the files change. Until cancelled."""
    seen = _stamps(files)
    while True:
        await asyncio.sleep(limits.certificate_check_ms / 1000)
        found = _stamps(files)
        if found == seen:
            continue
        seen = found
        try:
            # On the loop: OpenSSL does not say that another thread may, and it takes a millisecond.
            load_certificate(context, files)
        except ServingError as exc:
            _log.error("the changed certificate is not used", code=exc.code, reason=exc.message)
        else:
            _log.info("the changed certificate is used from now on")


def _stamps(files: TlsFiles) -> tuple[tuple[int, int, int] | None, ...]:
    return tuple(_stamp(path) for path in (files.certificate, files.key))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def client_context(ca: Path | None) -> ssl.SSLContext:
    """Return a context that verifies certificate and name, against `ca` or the system's.

    Reads files. Raises ServingError (`serving.tls`).
    """
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    except OSError as exc:
        raise ServingError(
            "serving.tls",
            f"the authorities in {ca} cannot be used: {_reason(exc)}",
            hint="`ca` names a PEM file with the certificates to trust",
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(_ALPN)
    return context


def _no_password() -> str:
    # Otherwise OpenSSL asks on the terminal, of a process that may have none.
    raise ValueError("the key is encrypted with a passphrase, and there is nobody to ask")


def _unusable(files: TlsFiles, exc: OSError | ValueError) -> ServingError:
    return ServingError(
        "serving.tls",
        f"the certificate {files.certificate} with the key {files.key} cannot be used: "
        f"{_reason(exc)}",
        hint="both are PEM files that this account can read; the certificate comes with its chain",
    )


def _reason(exc: OSError | ValueError) -> str:
    if isinstance(exc, ssl.SSLError):
        return (exc.reason or "not PEM").replace("_", " ").lower()
    if isinstance(exc, OSError):
        return exc.strerror or "cannot be read"
    return str(exc)
