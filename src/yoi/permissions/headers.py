"""Which headers a plugin may set: one list for manifests, handshakes, requests and their page.

A name is compared in lower case with every other character read as a hyphen, because some servers
fold `X_Forwarded_For` and `X.Forwarded.For` into `X-Forwarded-For`. docs/reference/headers.md is
generated from this file.
"""

import re
from enum import StrEnum
from typing import Literal

from yoi.limits import LIMITS

Problem = Literal["value", "too_large", "duplicate"]
"""What is wrong with a setting, as a manifest's fault names it."""


class HeaderKind(StrEnum):
    """Who may set a header."""

    PLAIN = "plain"
    """The manifest, and the plugin's commands and calls."""
    CREDENTIAL = "credential"
    """Only the host, where a grant lets it insert a secret there."""
    TRANSPORT = "transport"
    """Only the host: it says where the message goes, how it is framed and what it is for."""
    FORWARDING = "forwarding"
    """Only a proxy: servers behind one believe what it says about who asks."""
    REWRITING = "rewriting"
    """Not allowed at all: some servers then act on another method or path than was granted."""


NAMES = {
    HeaderKind.TRANSPORT: (
        "accept-encoding", "connection", "content-length", "cookie2", "early-data", "expect",
        "host", "http2-settings", "keep-alive", "origin", "proxy", "set-cookie", "set-cookie2",
        "te", "trailer", "transfer-encoding", "upgrade",
    ),
    HeaderKind.FORWARDING: (
        "cdn-loop", "cf-connecting-ip", "cf-connecting-ipv6", "client-ip", "fastly-client-ip",
        "forwarded", "max-forwards", "remote-addr", "remote-user", "true-client-ip", "via",
        "x-client-ip", "x-cluster-client-ip", "x-forwarded", "x-originating-ip",
        "x-proxyuser-ip", "x-real-ip",
    ),
    HeaderKind.REWRITING: (
        "x-host", "x-host-override", "x-http-method", "x-http-method-override", "x-method",
        "x-method-override", "x-override-url",
    ),
}  # fmt: skip
"""Names that no plugin sets, not even by inserting a secret."""

PREFIXES = {
    HeaderKind.TRANSPORT: ("proxy-", "sec-"),
    HeaderKind.FORWARDING: (
        "impersonate-", "wl-proxy-", "x-consumer-", "x-forwarded-", "x-ms-client-principal",
        "x-remote-",
    ),
    HeaderKind.REWRITING: ("x-accel-", "x-envoy-", "x-http-", "x-original-", "x-rewrite-"),
}  # fmt: skip
"""How other such names begin."""

CREDENTIAL_WORDS = ("jwt", "key", "keys", "otp", "pass", "pwd", "sid")
"""A name with one of these between hyphens carries a credential."""

CREDENTIAL_PARTS = (
    "auth", "bearer", "cookie", "credential", "passw", "secret", "session", "signature", "token",
)  # fmt: skip
"""A name with one of these anywhere, or with a word that ends in `key`, carries a credential."""

NOT_CREDENTIALS = ("idempotency-key", "x-idempotency-key", "author", "x-author")
"""Names with such a word or part that carry none."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
_OTHER = re.compile(r"[^a-z0-9]")
_KINDS = {name: kind for kind, names in NAMES.items() for name in names}


class HeaderRefused(ValueError):
    """A header that may not be set. The message has neither its name nor its value."""

    def __init__(self, message: str, problem: Problem = "value") -> None:
        super().__init__(message)
        self.message = message
        self.problem = problem


def kind_of(name: str) -> HeaderKind:
    """Return who may set the header `name`, whatever its case."""
    plain = _OTHER.sub("-", name.lower())
    kind = _KINDS.get(plain)
    if kind is not None:
        return kind
    for kind, prefixes in PREFIXES.items():
        if plain.startswith(prefixes):
            return kind
    return HeaderKind.CREDENTIAL if _is_credential(plain) else HeaderKind.PLAIN


def _is_credential(plain: str) -> bool:
    if plain in NOT_CREDENTIALS:
        return False
    words = plain.split("-")
    return any(word in CREDENTIAL_WORDS or word.endswith("key") for word in words) or any(
        part in plain for part in CREDENTIAL_PARTS
    )


WHY = {
    HeaderKind.CREDENTIAL: "looks like a credential: only a secret may be inserted there",
    HeaderKind.TRANSPORT: "is set by the host itself",
    HeaderKind.FORWARDING: "says who asks, and servers believe it: only a proxy may set it",
    HeaderKind.REWRITING: "makes some servers act on another method or path than the granted one",
}
_HINTS = {
    "origin": "; use the connection's origin key",
    "sec-websocket-protocol": "; use the connection's subprotocols key",
}


def check_name(name: str, *, inserted: bool) -> None:
    """Raise HeaderRefused unless a plugin, or with `inserted` a secret, may set the header."""
    if not is_token(name):
        raise HeaderRefused("is not an HTTP header name")
    kind = kind_of(name)
    if kind is HeaderKind.PLAIN or (inserted and kind is HeaderKind.CREDENTIAL):
        return
    raise HeaderRefused(WHY[kind] + _HINTS.get(name.lower(), ""))


def check_value(value: str, most_bytes: int) -> None:
    """Raise HeaderRefused unless `value` may stand in a header."""
    if len(value) > most_bytes:
        raise HeaderRefused(f"is longer than {most_bytes} bytes", "too_large")
    if not _VALUE.fullmatch(value):
        raise HeaderRefused("must be printable ASCII, not blank, without spaces at its ends")


def is_token(name: str) -> bool:
    """Return whether `name` can be a header's or subprotocol's name (RFC 9110 5.6.2), in bounds."""
    return len(name) <= LIMITS.name_bytes and _TOKEN.fullmatch(name) is not None
