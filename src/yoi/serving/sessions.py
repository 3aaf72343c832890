"""One-time codes, and the signed session tokens they are exchanged for.

A session token is checked without a table, so it survives a restart:

    yois_ + URL-safe base64 of: version 1 | key id 4 | claims as JSON | HMAC-SHA256 32

The session of a named token is checked against that token each time: it never outlives the token,
nor shows more.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace

import msgspec

from yoi.errors import TokenError
from yoi.limits import LIMITS, Limits
from yoi.protocol.cursors import KEY_ID_BYTES
from yoi.serving.admission import Refused
from yoi.serving.failures import FailureLimit
from yoi.serving.keys import Key
from yoi.serving.principals import Principal, PrincipalKind, Redaction, SubjectPattern
from yoi.serving.tokens import TokenStore
from yoi.types import Clock, Secret

PREFIX = "yois_"

_VERSION = 1
_CODE_BYTES = 24
_CODE_CHARS = 64
_TOKEN_CHARS = 8192
_HEAD_BYTES = 1 + KEY_ID_BYTES
_MAC_BYTES = 32


@dataclass(frozen=True, slots=True)
class SessionToken:
    """A new session."""

    token: Secret
    expires_at_ms: int
    principal: Principal


class _Claims(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    name: str
    kind: PrincipalKind
    expires_at_ms: int
    credential: str = ""
    observe: list[str] = []
    redact: list[Redaction] = []
    commands: list[str] = []


class Sessions:
    """Makes codes and sessions for `key`. Belongs to the event loop; nothing here waits."""

    def __init__(self, key: Key, clock: Clock, tokens: TokenStore, limits: Limits = LIMITS) -> None:
        self._key = key
        self._clock = clock
        self._tokens = tokens
        self._limits = limits
        self._codes: dict[bytes, tuple[Principal, float]] = {}
        """By the code's hash, oldest first: the principal it lets in, and until when."""
        self._failures = FailureLimit(limits)

    def __repr__(self) -> str:
        return f"<Sessions: {len(self._codes)} codes>"

    def new_code(self, principal: Principal) -> Secret:
        """Return a code that lets in as `principal`, once, for a short while.

        The oldest code goes where too many wait.
        """
        while len(self._codes) >= self._limits.sign_in_codes:
            del self._codes[next(iter(self._codes))]
        code = secrets.token_urlsafe(_CODE_BYTES)
        until = self._clock.monotonic() + self._limits.sign_in_code_ms / 1000
        self._codes[_hash(code)] = (principal, until)
        return Secret("sign-in code", code)

    def exchange(self, code: str, peer: str) -> SessionToken:
        """Return a session for `code`, which is used up. A good code is taken from any peer.

        Raises Refused: 401 `unauthorized` for a code that is wrong, used or too old, all alike;
        503 `busy` after too many of those from the address `peer`.
        """
        now = self._clock.monotonic()
        # Good codes first: 192 random bits are not guessed, so the limit only keeps guessers quiet.
        found = self._codes.pop(_hash(code), None) if len(code) <= _CODE_CHARS else None
        if found is not None and now < found[1]:
            return self.begin(found[0])
        if not self._failures.failed(peer, now):
            raise Refused(503, "busy", "too many wrong codes from your address; wait a minute")
        raise Refused(401, "unauthorized", "the code is wrong, used or too old")

    def begin(self, principal: Principal) -> SessionToken:
        """Return a new session of `principal`; it ends no later than its token."""
        expires = self._clock.wall_ms() + self._limits.session_ms
        if principal.expires_at_ms is not None:
            expires = min(expires, principal.expires_at_ms)
        principal = replace(principal, expires_at_ms=expires)
        return SessionToken(Secret("session", self._sealed(principal)), expires, principal)

    def verify(self, presented: str) -> Principal | None:
        """Return whose session `presented` is; None when it is none, or is over."""
        claims = self._opened(presented)
        if claims is None:
            return None
        now = self._clock.wall_ms()
        if now >= claims.expires_at_ms:
            return None
        if claims.credential:
            found = self._tokens.find(claims.name, claims.credential, now)
            return None if found is None else replace(found, expires_at_ms=claims.expires_at_ms)
        try:
            observe = tuple(SubjectPattern.parse(text) for text in claims.observe)
        except TokenError:
            return None
        return Principal(
            name=claims.name,
            kind=claims.kind,
            observe=observe,
            redact=frozenset(claims.redact),
            commands=frozenset(claims.commands),
            expires_at_ms=claims.expires_at_ms,
        )

    def _sealed(self, principal: Principal) -> str:
        assert principal.expires_at_ms is not None
        claims = _Claims(principal.name, principal.kind, principal.expires_at_ms)
        if principal.credential:
            claims.credential = principal.credential
        else:
            claims.observe = [str(pattern) for pattern in principal.observe]
            claims.redact = sorted(principal.redact)
            claims.commands = sorted(principal.commands)
        body = bytes([_VERSION]) + self._key.id + msgspec.json.encode(claims)
        return PREFIX + base64.urlsafe_b64encode(body + self._mac(body)).rstrip(b"=").decode()

    def _opened(self, presented: str) -> _Claims | None:
        raw = _unpacked(presented)
        if raw is None or raw[0] != _VERSION or raw[1:_HEAD_BYTES] != self._key.id:
            return None
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)):
            return None
        try:
            return msgspec.json.decode(body[_HEAD_BYTES:], type=_Claims)
        except msgspec.DecodeError:
            # Genuine, but of another version: its holder signs in again.
            return None

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key.value, b"yoi session\0" + body, "sha256")


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).digest()


def _unpacked(text: str) -> bytes | None:
    if len(text) > _TOKEN_CHARS or not text.startswith(PREFIX) or not text.isascii():
        return None
    body = text.removeprefix(PREFIX)
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) > _HEAD_BYTES + _MAC_BYTES else None
