"""`UrlTarget`: where a plugin may connect, as a parsed rule that a person can read."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from yoi.display import printable
from yoi.errors import UrlRefused
from yoi.limits import LIMITS, MIB
from yoi.permissions import shapes
from yoi.permissions.addresses import AddressClass, classify, undialable
from yoi.permissions.hosts import Host, HostPattern
from yoi.permissions.secrets import Capture, name_of
from yoi.permissions.url import DEFAULT_PORTS, REQUEST_SCHEMES, WEBSOCKET_SCHEMES, Url

if TYPE_CHECKING:
    from collections.abc import Iterator

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_LABEL_CHARS = 512
_PLAIN_PREFIX = re.compile(r"/[^?#]*\Z")


class TargetKind(StrEnum):
    """Which list a target stands in."""

    WEBSOCKET = "websocket"
    REQUEST = "request"

    @property
    def schemes(self) -> tuple[str, ...]:
        """The schemes that `*` stands for."""
        return WEBSOCKET_SCHEMES if self is TargetKind.WEBSOCKET else REQUEST_SCHEMES


_KEYS = {
    TargetKind.WEBSOCKET: (
        "scheme",
        "host",
        "port",
        "path_prefixes",
        "max_message_bytes",
        "addresses",
    ),
    TargetKind.REQUEST: (
        "name",
        "scheme",
        "host",
        "port",
        "methods",
        "path_prefixes",
        "addresses",
        "captures",
    ),
}


@dataclass(frozen=True, slots=True)
class Reach:
    """One indivisible part of a target: a scheme, a port, a method ('' for WebSocket), a prefix."""

    scheme: str
    port: int
    method: str
    prefix: str


@dataclass(frozen=True, slots=True, init=False)
class UrlTarget:
    """A rule over URLs; made by `UrlTarget.parse` only. Nothing is implied that is not written."""

    kind: TargetKind
    scheme: str
    """A scheme, or `*` for each scheme of the kind."""
    host: HostPattern
    port: int | None
    """None means the scheme's default port."""
    methods: tuple[str, ...]
    path_prefixes: tuple[str, ...]
    """Whole segments; none means any path."""
    max_message_bytes: int
    addresses: str
    """`public` or `private`, as written."""
    name: str | None
    """What commands, secrets and captures call this request target."""
    captures: tuple[Capture, ...]
    """Values that its answers may be relieved of; named request targets only."""

    @classmethod
    def parse(
        cls, value: object, kind: TargetKind | str = TargetKind.WEBSOCKET, at: str | None = None
    ) -> "UrlTarget":
        """Return the target in a `[[websocket]]` or `[[request]]` table.

        Raises `UrlRefused` (`url.target`); `fields["at"]` is the dotted place.
        """
        kind = TargetKind(kind)
        at = at or kind.value
        row = shapes.table(value, _KEYS[kind], at, _refuse)
        for key in ("scheme", "host", *(("methods",) if kind is TargetKind.REQUEST else ())):
            if key not in row:
                raise _refuse(f"{at} needs {key!r}", at)
        target = object.__new__(cls)
        for name, made in (
            ("kind", kind),
            ("scheme", _scheme(row["scheme"], kind, f"{at}.scheme")),
            ("host", _host(row["host"], f"{at}.host")),
            ("port", _port(row.get("port"), f"{at}.port")),
            ("methods", _methods(row.get("methods", []), kind, f"{at}.methods")),
            ("path_prefixes", _prefixes(row.get("path_prefixes", []), f"{at}.path_prefixes")),
            ("max_message_bytes", _max_bytes(row, f"{at}.max_message_bytes")),
            ("addresses", _addresses(row.get("addresses", "public"), f"{at}.addresses")),
            ("name", name_of(row["name"], f"{at}.name", _refuse) if "name" in row else None),
            ("captures", _captures(row, at)),
        ):
            object.__setattr__(target, name, made)
        return target

    def allows(self, url: Url, method: str = "") -> bool:
        """Return whether this target names `url` (and `method`, for requests)."""
        return (
            url.scheme in self.kind.schemes
            and self.scheme in ("*", url.scheme)
            and url.port == (self.port or DEFAULT_PORTS[url.scheme])
            and self.host.allows(url.host)
            and (self.kind is TargetKind.WEBSOCKET or method in self.methods)
            and any(_within(url.path, prefix) for prefix in self._prefixes)
        )

    @property
    def private(self) -> bool:
        """Whether addresses that are not public may be reached by this target.

        So it says `addresses = "private"`, or its host is itself such a literal or `localhost`.
        """
        return self.addresses == "private" or self.local

    @property
    def local(self) -> bool:
        """Whether the host itself is a literal that is not public, or `localhost`."""
        host = self.host.exact
        if host is None:
            return False
        if host.ip is None:
            return host.name == "localhost"
        return classify(host.ip) is not AddressClass.PUBLIC

    @property
    def any_path(self) -> bool:
        """Whether every path of the host is included."""
        return not self.path_prefixes or "/" in self.path_prefixes

    @property
    def broad(self) -> tuple[str, ...]:
        """Why this is broad access, one plain sentence each; empty for an ordinary target."""
        reasons = []
        if self.scheme == "*":
            plain = "ws://" if self.kind is TargetKind.WEBSOCKET else "http://"
            reasons.append(
                f"any scheme: also {plain}, which anybody on the way can read and change"
            )
        if self.host.exact is None and self.host.domain is None:
            reasons.append("any host on the internet: what the plugin knows can be sent anywhere")
        elif self.host.domain is not None:
            whole = "a whole top-level domain, " if "." not in self.host.domain.name else ""
            reasons.append(
                f"{whole}every subdomain of {self.host.domain.display}: "
                "whoever can create one is included"
            )
        if self.any_path:
            reasons.append("any path on the host")
        if self.private:
            reasons.append(self._private_words())
        return tuple(reasons)

    def _private_words(self) -> str:
        if self.host.exact is not None and self.host.exact.name == "localhost":
            return "this machine itself: programs that trust local callers"
        if self.local and self.host.exact is not None and self.host.exact.ip is not None:
            return f"an address that is not public ({classify(self.host.exact.ip)})"
        return (
            "private networks: this machine, its local network and cloud metadata services, "
            "if the name leads there"
        )

    @property
    def label(self) -> str:
        """A bounded, escaped line such as `wss://*.example.com /ws`."""
        parts = [self.scheme + "://" + self.host.display]
        if self.port is not None:
            parts[0] += f":{self.port}"
        if self.methods:
            parts.append(",".join(self.methods))
        parts.append(" ".join(self.path_prefixes) or "*")
        if self.name is not None:
            parts.append(f"(named {self.name})")
        if self.addresses == "private":
            parts.append("(private addresses)")
        if self.max_message_bytes != LIMITS.message_bytes:
            parts.append(f"(messages up to {in_words(self.max_message_bytes)})")
        return printable(" ".join(parts), _LABEL_CHARS)

    @property
    def where(self) -> str:
        """The hosts and paths alone, escaped: `api.example.com/v1`."""
        paths = self.path_prefixes or ("",)
        return printable(", ".join(self.host.display + path for path in paths), _LABEL_CHARS)

    def capture(self, name: str) -> Capture | None:
        """Return the capture called `name`, or None."""
        return next((one for one in self.captures if one.name == name), None)

    def reaches(self) -> "Iterator[Reach]":
        """Yield each indivisible part; together with the host they are the whole target."""
        for scheme in self.kind.schemes if self.scheme == "*" else (self.scheme,):
            port = self.port or DEFAULT_PORTS[scheme]
            for method in self.methods or ("",):
                for prefix in self._prefixes:
                    yield Reach(scheme, port, method, prefix)

    def covers_reach(self, host: HostPattern, reach: Reach) -> bool:
        """Return whether every URL of `reach` on `host` is one of this target."""
        return (
            self._meets_reach(reach)
            and self.host.covers(host)
            and any(_within(reach.prefix, mine) for mine in self._prefixes)
        )

    def meets(self, other: "UrlTarget") -> bool:
        """Return whether some URL is one of both targets."""
        return (
            self.kind is other.kind
            and self.host.meets(other.host)
            and any(
                self._meets_reach(reach)
                and any(
                    _within(reach.prefix, mine) or _within(mine, reach.prefix)
                    for mine in self._prefixes
                )
                for reach in other.reaches()
            )
        )

    @property
    def _prefixes(self) -> tuple[str, ...]:
        return ("/",) if self.any_path else self.path_prefixes

    def _meets_reach(self, reach: Reach) -> bool:
        return (
            self.scheme in ("*", reach.scheme)
            and reach.port == (self.port or DEFAULT_PORTS[reach.scheme])
            and (not reach.method or reach.method in self.methods)
        )

    def to_table(self) -> dict[str, Any]:
        """Return the canonical TOML-able table; parsing it gives an equal target."""
        made: dict[str, Any] = {} if self.name is None else {"name": self.name}
        made |= {"scheme": self.scheme, "host": str(self.host)}
        if self.port is not None:
            made["port"] = self.port
        if self.methods:
            made["methods"] = list(self.methods)
        if self.path_prefixes:
            made["path_prefixes"] = list(self.path_prefixes)
        if self.max_message_bytes != LIMITS.message_bytes:
            made["max_message_bytes"] = self.max_message_bytes
        if self.addresses != "public":
            made["addresses"] = self.addresses
        if self.captures:
            made["captures"] = [one.to_table() for one in self.captures]
        return made


def in_words(size: int) -> str:
    """Return a byte count for a person: `4 MiB` when whole, else the number of bytes."""
    return f"{size // MIB} MiB" if size % MIB == 0 else f"{size} bytes"


def _within(path: str, prefix: str) -> bool:
    """Return whether `path` is `prefix` or lies under it, by whole segments."""
    return path == prefix or path.startswith(prefix if prefix.endswith("/") else prefix + "/")


def _refuse(message: str, at: str) -> UrlRefused:
    return UrlRefused("url.target", message, at=at)


def _scheme(value: object, kind: TargetKind, at: str) -> str:
    written = shapes.text(value, at, _refuse)
    if written not in ("*", *kind.schemes):
        choices = ", ".join(f'"{scheme}"' for scheme in kind.schemes)
        raise _refuse(f'{at} must be {choices} or "*", not {printable(written, 40)!r}', at)
    return written


def _host(value: object, at: str) -> HostPattern:
    written = shapes.text(value, at, _refuse)
    if written == "*":
        return HostPattern(None, None)
    if written.startswith("*."):
        domain = _one_host(written[2:], at)
        if domain.ip is not None:
            raise _refuse(f"{at}: an address has no subdomains; write the address alone", at)
        return HostPattern(None, domain)
    return HostPattern(_one_host(written, at), None)


def _one_host(written: str, at: str) -> Host:
    if any(char in written for char in "/?#*") or (":" in written and not written.startswith("[")):
        raise _refuse(
            f"{at} is {printable(written, 100)!r}: write a host name alone, '*.domain' or '*'; "
            "the port, scheme and path have keys of their own, and IPv6 stands in brackets",
            at,
        )
    if written.startswith("[") and not written.endswith("]"):
        raise _refuse(f"{at}: write the port in 'port', and IPv6 as [2001:db8::1]", at)
    try:
        host = Url.parse(f"wss://{written}/").host_value
    except UrlRefused as refused:
        raise _refuse(f"{at}: {refused.message}", at) from None
    if host.ip is not None and undialable(host.ip):
        raise _refuse(
            f"{at}: no server can be reached at {host.header} ({classify(host.ip)}); "
            "for this machine write 127.0.0.1, [::1] or localhost",
            at,
        )
    return host


def _port(value: object, at: str) -> int | None:
    return None if value is None else shapes.whole(value, 65535, at, _refuse)


def _methods(value: object, kind: TargetKind, at: str) -> tuple[str, ...]:
    if kind is TargetKind.WEBSOCKET:
        return ()
    found = set()
    for index, item in enumerate(shapes.items(value, len(METHODS) * 2, at, _refuse)):
        method = shapes.text(item, f"{at}[{index}]", _refuse)
        if method.upper() not in METHODS or not method.isascii():
            raise _refuse(
                f"{at}[{index}] must be one of {', '.join(METHODS)}, not {printable(method, 40)!r}",
                f"{at}[{index}]",
            )
        found.add(method.upper())
    if not found:
        raise _refuse(f'{at} must name at least one method, such as ["GET"]', at)
    return tuple(method for method in METHODS if method in found)


def _prefixes(value: object, at: str) -> tuple[str, ...]:
    rows = shapes.items(value, LIMITS.target_prefixes, at, _refuse)
    made = {_prefix(item, f"{at}[{index}]") for index, item in enumerate(rows)}
    return tuple(sorted(made))


def _prefix(value: object, at: str) -> str:
    written = shapes.text(value, at, _refuse)
    if not _PLAIN_PREFIX.match(written):
        raise _refuse(
            f"{at} is {printable(written, 100)!r}: a path prefix starts with '/' and has no '?' or "
            "'#'; it matches whole segments, so write /ws for /ws and all under it",
            at,
        )
    if "//" in written:
        raise _refuse(f"{at} has an empty segment ('//'); write one '/'", at)
    try:
        return Url.parse(f"wss://host{written}").path
    except UrlRefused as refused:
        raise _refuse(f"{at}: {refused.message}", at) from None


def _captures(row: dict[str, Any], at: str) -> tuple[Capture, ...]:
    rows = shapes.items(row.get("captures", []), LIMITS.captures, f"{at}.captures", _refuse)
    if rows and "name" not in row:
        raise _refuse(f"{at} has captures, so it needs a 'name' that commands can use", at)
    found: dict[str, Capture] = {}
    for index, item in enumerate(rows):
        capture = Capture.parse(item, f"{at}.captures[{index}]", _refuse)
        if capture.name in found:
            raise _refuse(
                f"{at}.captures[{index}]: {capture.name!r} is captured twice",
                f"{at}.captures[{index}].name",
            )
        found[capture.name] = capture
    return tuple(found.values())


def _max_bytes(row: dict[str, Any], at: str) -> int:
    value = row.get("max_message_bytes")
    if value is None:
        return LIMITS.message_bytes
    return shapes.whole(value, LIMITS.message_max_bytes, at, _refuse)


def _addresses(value: object, at: str) -> str:
    written = shapes.text(value, at, _refuse)
    if written not in ("public", "private"):
        raise _refuse(
            f'{at} must be "public" (the default) or "private", not {printable(written, 40)!r}', at
        )
    return written
