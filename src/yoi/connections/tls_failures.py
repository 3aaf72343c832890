"""What a TLS handshake that failed is told as: whose fault, which certificate, and what helps.

The library's exceptions name the fault and nothing else. `WatchedHandshake` keeps what explains it:
how the server began, and the certificates that it presented. What it presented is a stranger's
text: escaped, bounded, and never believed.
"""

import contextlib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from yoi.connections.client_certificate import ClientCertificate
from yoi.display import printable
from yoi.errors import ConnectionFailure
from yoi.permissions import Url

_FIRST_BYTES = 11
"""A record's head and as much of a ServerHello as names its version (RFC 5246 7.4.1.3)."""
_ALERT, _HANDSHAKE = 21, 22
_OLD = {b"\x03\x00": "SSL 3.0", b"\x03\x01": "TLS 1.0", b"\x03\x02": "TLS 1.1"}
_NAME_CHARS = 120
_NAMES_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a handshake that failed."""

    first: bytes
    """The first bytes that the server sent."""
    chain: Sequence[Mapping[str, Any]]
    """The certificates that it presented, its own first, in the form of `getpeercert`."""


class WatchedHandshake(ssl.SSLObject):
    """For `SSLContext.sslobject_class`: a failed handshake's exception carries a `Seen`."""

    _incoming: ssl.MemoryBIO
    _first = b""

    @classmethod
    def _create(cls, incoming: ssl.MemoryBIO, *args: Any, **more: Any) -> "WatchedHandshake":
        made: WatchedHandshake = super()._create(incoming, *args, **more)  # type: ignore[misc]
        made._incoming = incoming
        return made

    def do_handshake(self) -> None:
        """See ssl.SSLObject."""
        if len(self._first) < _FIRST_BYTES and self._incoming.pending:
            data = self._incoming.read()
            self._first = data[:_FIRST_BYTES]
            self._incoming.write(data)
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as exc:
            exc.seen = Seen(self._first, self._presented())  # type: ignore[attr-defined]
            raise

    def _presented(self) -> Sequence[Mapping[str, Any]]:
        # Public only from Python 3.13 on, and there without a way to read what is in it
        # (tests/connections/test_watched_handshake.py).
        with contextlib.suppress(AttributeError, ValueError, ssl.SSLError):
            chain = self._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
            return [one.get_info() for one in chain or ()]
        return ()


def tls_failure(
    url: Url,
    exc: OSError,
    certificate: ClientCertificate | None,
    authorities: Sequence[Path] = (),
) -> ConnectionFailure:
    """Return what to raise for a TLS handshake with the server of `url` that failed with `exc`.

    `certificate` is what was presented to it; `authorities` were trusted beside the system's. The
    fields of a refused certificate: `subject`, `issuer`, `valid_from`, `valid_until`, `names`,
    `expected`.
    """
    seen = getattr(exc, "seen", Seen(b"", ()))
    fields: dict[str, Any] = {}
    if isinstance(exc, ssl.SSLCertVerificationError):
        why, hint, fields = _refused(url, exc, seen.chain, authorities)
    else:
        why, hint = _failed(exc, seen.first, certificate)
    return ConnectionFailure(
        "connection.tls", f"TLS with {url.host} failed: {why}", host=url.host, hint=hint, **fields
    )


# -- the server's certificate --------------------------------------------------------------------

_NOT_YET, _EXPIRED, _SELF_SIGNED, _WRONG_NAME, _WRONG_ADDRESS = 9, 10, 18, 62, 64
_NO_ISSUER = (19, 20, 21)
"""OpenSSL's numbers: the chain does not end at an authority that is trusted."""
_TRUST_HINT = (
    "if the authority is your own, name its certificate in [[network.authorities]] of host.toml"
)
_TIME_HINT = "its operator has to renew it; is the clock of this machine right?"


def _refused(
    url: Url,
    exc: ssl.SSLCertVerificationError,
    chain: Sequence[Mapping[str, Any]],
    authorities: Sequence[Path],
) -> tuple[str, str | None, dict[str, Any]]:
    """Return what is wrong with the certificate, the hint, and the fields."""
    code = exc.verify_code
    known = [_Certificate.of(one) for one in chain]
    at = _out_of_date(known) if code in (_NOT_YET, _EXPIRED) else 0
    one = known[at] if known else None
    expected = url.server_name or url.host
    hint = None
    if code == _EXPIRED:
        what, hint = "has expired", _TIME_HINT
    elif code == _NOT_YET:
        what, hint = "is not valid yet", _TIME_HINT
    elif code == _SELF_SIGNED:
        what, hint = "is signed by itself and by no authority", _TRUST_HINT
    elif code in _NO_ISSUER:
        what, hint = (
            f"comes from an authority that is not trusted ({exc.verify_message})",
            _TRUST_HINT,
        )
    elif code in (_WRONG_NAME, _WRONG_ADDRESS):
        what = f"is for other names than {expected}"
        hint = "is the host in the target's URL right?"
    else:
        what = f"is not accepted: {exc.verify_message}"
    whose = "its certificate" if at == 0 else "a certificate above the server's"
    if one is None:
        return f"{whose} {what}", hint, {"expected": expected}
    beside = "".join(f" and those in {file}" for file in authorities)
    held = f"; it was held to the system's authorities{beside}" if hint == _TRUST_HINT else ""
    return f"{whose} {what}: {one.words}{held}", hint, {**one.fields, "expected": expected}


@dataclass(frozen=True, slots=True)
class _Certificate:
    subject: str
    issuer: str
    since: datetime | None
    until: datetime | None
    names: Sequence[str]

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> "_Certificate":
        return cls(
            _name(info.get("subject", ())),
            _name(info.get("issuer", ())),
            _moment(info.get("notBefore")),
            _moment(info.get("notAfter")),
            [_shown(str(value)) for _, value in info.get("subjectAltName", ())],
        )

    @property
    def words(self) -> str:
        names = ", ".join(self.names[:_NAMES_SHOWN]) or "no name"
        more = len(self.names) - _NAMES_SHOWN
        return (
            f"{self.subject} for {names}{f' and {more} more' if more > 0 else ''}, "
            f"issued by {self.issuer}, valid from {_day(self.since)} to {_day(self.until)}"
        )

    @property
    def fields(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "issuer": self.issuer,
            "valid_from": _day(self.since),
            "valid_until": _day(self.until),
            "names": ", ".join(self.names[:_NAMES_SHOWN]),
        }


def _out_of_date(chain: Sequence[_Certificate]) -> int:
    """Return which of `chain` is out of date, by the clock that the library used: the system's."""
    now = datetime.now(UTC)
    for at, one in enumerate(chain):
        if (one.since or now) > now or (one.until or now) < now:
            return at
    return 0


def _name(parts: Sequence[Sequence[tuple[str, str]]]) -> str:
    """Return a distinguished name: its common name, else all of it."""
    pairs = [pair for part in parts for pair in part]
    common = [value for kind, value in pairs if kind == "commonName"]
    text = common[0] if common else ", ".join(value for _, value in pairs)
    return _shown(text) if text else "a name without words"


def _shown(text: str) -> str:
    """Return `text` escaped, or how long it is: a part of it could be a part of a secret."""
    if len(text) > _NAME_CHARS:
        return f"a name of {len(text)} characters"
    return printable(text, 6 * _NAME_CHARS)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _day(moment: datetime | None) -> str:
    return "an unknown day" if moment is None else moment.strftime("%Y-%m-%d")


# -- everything else -----------------------------------------------------------------------------

_OLD_TLS = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW")
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")
_WANTS_OURS = (
    "ALERT_UNKNOWN_CA",
    "BAD_CERTIFICATE",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_REQUIRED",
    "CERTIFICATE_REVOKED",
    "CERTIFICATE_UNKNOWN",
    "HANDSHAKE_FAILURE",
)


def _failed(
    exc: OSError, first: bytes, certificate: ClientCertificate | None
) -> tuple[str, str | None]:
    """Return why a handshake failed for another reason than the server's certificate."""
    reason = str(getattr(exc, "reason", "") or exc)

    def has(words: Sequence[str]) -> bool:
        return any(word in reason for word in words)

    if has(_OLD_TLS) or ("WRONG_SSL_VERSION" in reason):
        return _old_server(first)
    if has(_NO_TLS):
        return "the server does not speak TLS at this port", "is the port in the URL right?"
    if "NO_CIPHERS_AVAILABLE" in reason or (
        "HANDSHAKE_FAILURE" in reason and first[:1] == bytes((_ALERT,))
    ):
        # Where it wants a client certificate it says hello first.
        return (
            "the server and this host have no cipher, curve or signature in common",
            "the server's operator has to allow what TLS 1.2 and 1.3 clients of today offer",
        )
    if has(_WANTS_OURS):
        return _said_of_ours(reason, certificate)
    if isinstance(exc, ConnectionAbortedError):
        return "the server did not finish the handshake in time", "is the port in the URL right?"
    if not isinstance(exc, ssl.SSLError) or not reason:
        return (
            "the server hung up in the handshake; it may speak no TLS, or only versions older "
            "than 1.2",
            "is the port in the URL right?",
        )
    return printable(reason, _NAME_CHARS), None


def _old_server(first: bytes) -> tuple[str, str]:
    version = _OLD.get(first[9:11]) if first[:1] == bytes((_HANDSHAKE,)) else None
    most = f"at most {version}" if version else "only versions of TLS older than 1.2"
    return f"the server speaks {most}", "its operator has to switch TLS 1.2 or 1.3 on"


def _said_of_ours(reason: str, certificate: ClientCertificate | None) -> tuple[str, str]:
    """Return what a server that ended the handshake may miss, and the hint."""
    shown = printable(reason, _NAME_CHARS)
    if certificate is not None:
        return (
            f"the server does not accept the client certificate that was presented ({shown})",
            "ask the server's operator which authority it expects, and whether it expired",
        )
    return (
        f"the server ended the handshake ({shown}); it may want a client certificate",
        'a [[secrets]] entry of the plugin with at = ["/tls/client"] presents one',
    )
