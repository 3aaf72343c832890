"""How a connection ended, or why none was made: try again, or final.

Words here never hold the server's address: a backend passes them on to its own clients.
"""

import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from yoi.core.retry_after import retry_seconds_ms
from yoi.display import printable
from yoi.errors import ObserveError
from yoi.limits import LIMITS, Limits
from yoi.protocol.observation import CloseCode, ObservationDiagnostic, SubjectKind

_CERTIFICATE_OF_ANOTHER = frozenset({62, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH: OpenSSL names the host."""
_TRY_AGAIN = frozenset({408, 425, 429})


class Why(StrEnum):
    """Why a client has no connection, where the server did not say it with a diagnostic."""

    UNREACHABLE = "unreachable"
    UNKNOWN_PLACE = "unknown_place"
    TIMEOUT = "timeout"
    TLS = "tls"
    HANDSHAKE = "handshake"
    BUSY = "busy"
    UNAUTHORIZED = "unauthorized"
    CLOSED = "closed"
    LOST = "lost"
    SILENT = "silent"
    MALFORMED_FRAME = "malformed_frame"
    GAP = "gap"
    STARTED_OVER = "started_over"


@dataclass(frozen=True, slots=True)
class Leave:
    """Why a connection is left. `error` is set where another one would end the same way."""

    reason: str
    message: str
    retry_after_ms: int = 0
    error: ObserveError | None = None


def of_answer(status: int, headers: Mapping[str, str], body: bytes) -> Leave:
    """Judge an HTTP answer that is not the one hoped for; `headers` in lower case."""
    told = _told(body)
    words = f"the server answered {status}" + (f": {told.message}" if told else "")
    if status >= 500 or status in _TRY_AGAIN:
        # A date is a form of Retry-After as well; without a common clock it says little.
        after = retry_seconds_ms(headers.get("retry-after", ""))
        return Leave(Why.BUSY, printable(words, LIMITS.message_chars), after or 0)
    if status == 401:
        return _final(Why.UNAUTHORIZED, "observe.unauthorized", words)
    if status == 403:
        return _final(Why.HANDSHAKE, "observe.forbidden", words)
    if status == 404:
        return _final(Why.HANDSHAKE, "observe.not_found", words)
    if 300 <= status < 400:
        words += "; redirects are not followed"
    return _final(Why.HANDSHAKE, "observe.refused", words)


def of_failed_dial(exc: Exception) -> Leave:
    """Judge what a dial raised. A certificate that cannot be trusted has an `error`."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        words = (
            "the certificate is for another name"
            if exc.verify_code in _CERTIFICATE_OF_ANOTHER
            else f"the certificate cannot be trusted: {exc.verify_message}"
        )
        return _final(Why.TLS, "observe.tls", words)
    if isinstance(exc, ssl.SSLError):
        return Leave(Why.TLS, "TLS with the server failed; does it speak TLS on this port?")
    if isinstance(exc, TimeoutError):
        return Leave(Why.TIMEOUT, "the server did not answer in time")
    if isinstance(exc, socket.gaierror):
        return Leave(Why.UNREACHABLE, "the server's name could not be resolved")
    if isinstance(exc, OSError):
        # Not `str(exc)`, which holds the address. Several failed addresses have no common errno.
        words = os.strerror(exc.errno) if exc.errno else "no address could be connected"
        return Leave(Why.UNREACHABLE, f"the server could not be reached: {words}")
    return Leave(Why.HANDSHAKE, "the server did not complete the handshake")


def of_close(code: int, said: str) -> Leave:
    """Judge a close frame of the server that no diagnostic has explained."""
    words = f"the server closed with {code}" + (f" ({said})" if said else "")
    if code == CloseCode.NOT_FOUND:
        return _final(Why.CLOSED, "observe.not_found", "there is nothing of that name here")
    if code == CloseCode.CURSOR_MALFORMED:
        return _final(Why.CLOSED, "observe.cursor", "that is not a cursor of this server")
    if code == CloseCode.SESSION_EXPIRED:
        return _final(Why.UNAUTHORIZED, "observe.unauthorized", "the token has expired")
    if 4500 <= code <= 4999:
        return _final(Why.CLOSED, "observe.refused", words)
    known = code in frozenset(CloseCode)
    reason = CloseCode(code).name.lower() if known else Why.CLOSED
    return Leave(reason, printable(words, LIMITS.message_chars))


def of_diagnostic(entry: ObservationDiagnostic) -> Leave:
    """Judge a diagnostic that asks to reconnect or to stop."""
    if entry.action != "stop":
        return Leave(entry.name, _words(entry), max(0, entry.retry_after_ms or 0))
    code = {
        **{kind.not_found: "observe.not_found" for kind in SubjectKind},
        "cursor_malformed": "observe.cursor",
        "session_expired": "observe.unauthorized",
    }.get(entry.name, "observe.refused")
    reason = Why.UNAUTHORIZED if code == "observe.unauthorized" else entry.name
    return Leave(reason, _words(entry), 0, ObserveError(code, entry.message, said=entry.code))


def bounded_ms(asked: int, limits: Limits) -> int:
    """Return how long to wait when a server asked for `asked` milliseconds."""
    return min(max(0, asked), limits.observe_retry_after_ms)


class _Told(msgspec.Struct):
    """The body of a refusal."""

    message: str


def _told(body: bytes) -> _Told | None:
    try:
        return msgspec.json.decode(body, type=_Told)
    except (msgspec.DecodeError, RecursionError):
        return None


def _words(entry: ObservationDiagnostic) -> str:
    return printable(entry.message, LIMITS.message_chars)


def _final(reason: str, code: str, words: str) -> Leave:
    return Leave(reason, printable(words, LIMITS.message_chars), 0, ObserveError(code, words))
