"""Host names and address literals: one canonical ASCII form, or a refusal.

A name that two parsers could read as two hosts is refused here, with the spelling to use instead.
"""

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from ada_url import idna_to_ascii, idna_to_unicode

from yoi.display import printable
from yoi.errors import UrlRefused

IPAddress = IPv4Address | IPv6Address

# RFC 1035 2.3.4, and a name in text form has two bytes fewer than on the wire.
_MAX_NAME = 253
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")


@dataclass(frozen=True, slots=True)
class Host:
    """A canonical host: `name` is ASCII, without brackets; `ip` is set for a literal."""

    name: str
    ip: IPAddress | None

    @property
    def header(self) -> str:
        """The host as it stands in a URL and a Host header (IPv6 in brackets)."""
        return f"[{self.name}]" if isinstance(self.ip, IPv6Address) else self.name

    @property
    def display(self) -> str:
        """The host for a person: punycode with the Unicode name beside it."""
        readable = idna_to_unicode(self.name) if self.ip is None else self.name
        if readable == self.name:
            return self.header
        return printable(f"{self.name} ({readable})", 2 * _MAX_NAME)


@dataclass(frozen=True, slots=True)
class HostPattern:
    """Any host, the subdomains of one domain, or exactly one host."""

    exact: Host | None
    domain: Host | None

    def allows(self, host: str) -> bool:
        """Return whether the canonical `host` is one this pattern names."""
        if self.exact is not None:
            return host == self.exact.name
        return self.domain is None or host.endswith("." + self.domain.name)

    def covers(self, other: "HostPattern") -> bool:
        """Return whether every host of `other` is one of this."""
        if self.exact is not None:
            return other.exact is not None and other.exact.name == self.exact.name
        if self.domain is None:
            return True
        if other.exact is not None:
            return other.exact.ip is None and self.allows(other.exact.name)
        if other.domain is None:
            return False
        return other.domain.name == self.domain.name or self.allows(other.domain.name)

    def meets(self, other: "HostPattern") -> bool:
        """Return whether some host is one of both."""
        return self.covers(other) or other.covers(self)

    def __str__(self) -> str:
        if self.exact is not None:
            return self.exact.header
        return "*" if self.domain is None else f"*.{self.domain.name}"

    @property
    def display(self) -> str:
        """The pattern for a person: punycode beside Unicode."""
        if self.exact is not None:
            return self.exact.display
        return "*" if self.domain is None else f"*.{self.domain.display}"


def canonical_host(raw: str, whatwg: str) -> Host:
    """Return the host written as `raw`, given what the WHATWG parser made of it.

    Raises `UrlRefused` when the two are not plainly the same host.
    """
    if raw.startswith("["):
        return _ipv6(raw, whatwg)
    if _is_ipv4(whatwg):
        if raw != whatwg:
            raise _ambiguous(raw, "is another spelling of an IPv4 address", whatwg)
        return Host(whatwg, IPv4Address(whatwg))
    if whatwg.endswith("."):
        raise _ambiguous(raw, "ends with a dot", whatwg.rstrip("."))
    if raw.isascii():
        same = raw.lower() == whatwg
    else:
        same = unicodedata.normalize("NFC", raw.lower()) == idna_to_unicode(whatwg)
    if not same:
        raise _ambiguous(raw, "has characters that stand for others", whatwg)
    check_name(whatwg)
    return Host(whatwg, None)


def check_name(name: str) -> None:
    """Raise `UrlRefused` unless `name` is a canonical ASCII DNS name without a root dot."""
    shown = printable(name, 100)
    if len(name) > _MAX_NAME:
        raise UrlRefused("url.malformed", f"the host {shown} is longer than {_MAX_NAME} characters")
    for label in name.split("."):
        if not _LABEL.match(label):
            raise UrlRefused(
                "url.malformed",
                f"the host {shown} is not a DNS name: each part between dots has 1 to 63 of "
                "a-z, 0-9, '-' and '_', and neither starts nor ends with '-'",
            )
        if label.startswith("xn--") and not _is_punycode(label):
            raise UrlRefused(
                "url.malformed",
                f"the host {shown} has a part that is not valid punycode: "
                f"{printable(label, 70)}; write the name in its own script",
            )


def _is_punycode(label: str) -> bool:
    readable = idna_to_unicode(label)
    if not isinstance(readable, str) or readable.isascii():
        return False
    try:
        return bool(idna_to_ascii(readable) == label.encode())
    except ValueError:
        return False


def _is_ipv4(host: str) -> bool:
    try:
        IPv4Address(host)
    except AddressValueError:
        return False
    return True


def _ipv6(raw: str, whatwg: str) -> Host:
    try:
        ip = IPv6Address(raw[1:-1])
        agreed = raw.endswith("]") and IPv6Address(whatwg[1:-1]) == ip and ip.scope_id is None
    except AddressValueError:
        agreed = False
    if not agreed:
        raise UrlRefused(
            "url.malformed", f"{printable(raw, 100)} is not an IPv6 address; write [2001:db8::1]"
        )
    return Host(whatwg[1:-1], ip)


def _ambiguous(raw: str, why: str, instead: str) -> UrlRefused:
    return UrlRefused(
        "url.ambiguous", f"the host {printable(raw, 100)} {why}; write {printable(instead, 260)}"
    )
