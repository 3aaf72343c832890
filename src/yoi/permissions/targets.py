"""`UrlTarget`: where a plugin may connect, as a parsed rule that a person can read."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from yoi.display import printable
from yoi.errors import UrlRefused
from yoi.limits import LIMITS, MIB
from yoi.permissions.addresses import AddressClass, classify, undialable
from yoi.permissions.hosts import Host, HostPattern
from yoi.permissions.methods import METHODS, one_method, some_methods
from yoi.permissions.secrets import CAPTURE, Capture
from yoi.permissions.url import DEFAULT_PORTS, REQUEST_SCHEMES, WEBSOCKET_SCHEMES, Url
from yoi.toml import (
    Bad,
    Choice,
    Fault,
    Faults,
    Flag,
    Key,
    ListOf,
    Parsed,
    Row,
    Rows,
    SafeId,
    TableSpec,
    Text,
    Whole,
    joined,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    @property
    def size_key(self) -> str:
        """The key that bounds one message, or one answer."""
        return "max_message_bytes" if self is TargetKind.WEBSOCKET else "max_answer_bytes"

    @property
    def brings(self) -> str:
        """What comes from such a target."""
        return "messages" if self is TargetKind.WEBSOCKET else "answers"


@dataclass(frozen=True, slots=True)
class TargetReach:
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
    """The largest message; of a request, the largest body of an answer."""
    addresses: str
    """`public` or `private`, as written."""
    name: str | None
    """What commands, secrets and captures call this request target."""
    captures: tuple[Capture, ...]
    """Values that its answers may be relieved of; named request targets only."""
    idempotent: bool
    """Whether asking twice is as good as once; named request targets only."""

    @classmethod
    def parse(
        cls, value: object, kind: TargetKind | str = TargetKind.WEBSOCKET, at: str | None = None
    ) -> "UrlTarget":
        """Return the target in a `[[websocket]]` or `[[request]]` table.

        Raises `UrlRefused` (`url.target`); `fields["at"]` is the dotted path.
        """
        kind = TargetKind(kind)
        faults = Faults()
        read = TARGETS[kind].read(value, at or kind.value, faults)
        if isinstance(read, Bad):
            raise joined([refused(fault) for fault in faults], faults.count)
        return read

    @classmethod
    def of(
        cls,
        kind: TargetKind,
        row: Row,
        *,
        methods: tuple[str, ...] = (),
        max_message_bytes: int = LIMITS.message_bytes,
        name: str | None = None,
        captures: tuple[Capture, ...] = (),
        idempotent: bool = False,
    ) -> "UrlTarget":
        """Return the target in a row that was read."""
        target = object.__new__(cls)
        for key, made in (
            ("kind", kind),
            ("scheme", row["scheme"]),
            ("host", row["host"]),
            ("port", row["port"]),
            ("methods", methods),
            ("path_prefixes", row["path_prefixes"]),
            ("max_message_bytes", max_message_bytes),
            ("addresses", row["addresses"]),
            ("name", name),
            ("captures", captures),
            ("idempotent", idempotent),
        ):
            object.__setattr__(target, key, made)
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
                "anyone who can create one is included"
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
        if self.idempotent:
            parts.append("(asked again after a crash)")
        if self.max_message_bytes != LIMITS.message_bytes:
            parts.append(f"({self.kind.brings} up to {in_words(self.max_message_bytes)})")
        return printable(" ".join(parts), _LABEL_CHARS)

    @property
    def where(self) -> str:
        """The hosts and paths alone, escaped: `api.example.com/v1`."""
        paths = self.path_prefixes or ("",)
        return printable(", ".join(self.host.display + path for path in paths), _LABEL_CHARS)

    def capture(self, name: str) -> Capture | None:
        """Return the capture called `name`, or None."""
        return next((one for one in self.captures if one.name == name), None)

    def reaches(self) -> "Iterator[TargetReach]":
        """Yield each indivisible part; together with the host they are the whole target."""
        for scheme in self.kind.schemes if self.scheme == "*" else (self.scheme,):
            port = self.port or DEFAULT_PORTS[scheme]
            for method in self.methods or ("",):
                for prefix in self._prefixes:
                    yield TargetReach(scheme, port, method, prefix)

    def covers_reach(self, host: HostPattern, reach: TargetReach) -> bool:
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

    def covers(self, other: "UrlTarget") -> bool:
        """Return whether having this target is having `other`: URLs, size, captures, name, repeats.

        Another name is another target: commands, secrets and captures refer to it.
        """
        return (
            self.kind is other.kind
            and self.name == other.name
            and all(self.covers_reach(other.host, reach) for reach in other.reaches())
            and other.max_message_bytes <= self.max_message_bytes
            and (self.addresses == "private" or other.addresses != "private")
            and set(other.captures) <= set(self.captures)
            and other.idempotent <= self.idempotent
        )

    @property
    def _prefixes(self) -> tuple[str, ...]:
        return ("/",) if self.any_path else self.path_prefixes

    def _meets_reach(self, reach: TargetReach) -> bool:
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
            made[self.kind.size_key] = self.max_message_bytes
        if self.addresses != "public":
            made["addresses"] = self.addresses
        if self.idempotent:
            made["idempotent"] = True
        if self.captures:
            made["captures"] = [one.to_table() for one in self.captures]
        return made


def in_words(size: int) -> str:
    """Return a byte count for a person: `4 MiB` when whole, else the number of bytes."""
    return f"{size // MIB} MiB" if size % MIB == 0 else f"{size} bytes"


def _within(path: str, prefix: str) -> bool:
    """Return whether `path` is `prefix` or lies under it, by whole segments."""
    return path == prefix or path.startswith(prefix if prefix.endswith("/") else prefix + "/")


def refused(fault: Fault) -> UrlRefused:
    """Return `fault` as an error that begins with its path."""
    return UrlRefused("url.target", f"{fault.at} {fault.message}", hint=fault.hint, at=fault.at)


def host_pattern(written: str) -> HostPattern:
    """Return the hosts that `written` names. Raises ValueError, UrlRefused."""
    if written == "*":
        return HostPattern(None, None)
    if written.startswith("*."):
        domain = _one_host(written[2:])
        if domain.ip is not None:
            raise ValueError("is an address, which has no subdomains; write the address alone")
        return HostPattern(None, domain)
    return HostPattern(_one_host(written), None)


def _one_host(written: str) -> Host:
    if any(char in written for char in "/?#*") or (":" in written and not written.startswith("[")):
        raise ValueError(
            f"is {printable(written, 100)!r}: write a host name alone, '*.domain' or '*'; "
            "the port, scheme and path have keys of their own, and IPv6 stands in brackets"
        )
    if written.startswith("[") and not written.endswith("]"):
        raise ValueError("is not a host: write the port in 'port', and IPv6 as [2001:db8::1]")
    host = Url.parse(f"wss://{written}/").host_value
    if host.ip is not None and undialable(host.ip):
        raise ValueError(
            f"names an address where no server can be reached: {host.header} "
            f"({classify(host.ip)}); for this machine write 127.0.0.1, [::1] or localhost"
        )
    return host


def _prefix(written: str) -> str:
    if not _PLAIN_PREFIX.match(written):
        raise ValueError(
            f"is {printable(written, 100)!r}: a path prefix starts with '/' and has no '?' or "
            "'#'; it matches whole segments, so write /ws for /ws and all under it"
        )
    if "//" in written:
        raise ValueError("has an empty segment ('//'); write one '/'")
    return Url.parse(f"wss://host{written}").path


def _prefixes(found: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(found)))


def _scheme_key(kind: TargetKind) -> Key:
    return Key(
        "scheme", Choice((*kind.schemes, "*")), "`*` is both, also unencrypted", required=True
    )


_TEXT = Text(LIMITS.url_chars)
_HOST_KEYS = (
    Key(
        "host",
        Parsed(_TEXT, host_pattern, "host"),
        "a host name or address, `*.example.com` for its subdomains, or `*` for any",
        required=True,
    ),
    Key("port", Whole(1, 65535), "the port", default_words="the scheme's"),
    Key(
        "path_prefixes",
        Parsed(ListOf(Parsed(_TEXT, _prefix, "path"), LIMITS.target_prefixes), _prefixes),
        "whole segments that the path must begin with",
        default=(),
        default_words="any path",
    ),
    Key(
        "addresses",
        Choice(("public", "private")),
        "`private` also reaches addresses that are not public, where the grant says so too",
        default="public",
    ),
)


def _websocket(row: Row) -> UrlTarget:
    return UrlTarget.of(TargetKind.WEBSOCKET, row, max_message_bytes=row["max_message_bytes"])


def _request(row: Row) -> UrlTarget:
    if row["captures"] and row["name"] is None:
        row.fault("missing", "name", "is required beside captures, for commands to use")
    if row["idempotent"] and row["name"] is None:
        row.fault("missing", "name", "is required beside idempotent, for commands to use")
    return UrlTarget.of(
        TargetKind.REQUEST,
        row,
        methods=row["methods"],
        max_message_bytes=row["max_answer_bytes"],
        name=row["name"],
        captures=row["captures"],
        idempotent=row["idempotent"],
    )


TARGETS = {
    TargetKind.WEBSOCKET: TableSpec(
        (
            _scheme_key(TargetKind.WEBSOCKET),
            *_HOST_KEYS,
            Key(
                "max_message_bytes",
                Whole(1, LIMITS.message_max_bytes),
                "the largest message, either way",
                default=LIMITS.message_bytes,
            ),
        ),
        _websocket,
        about="Where WebSockets may be opened.",
    ),
    TargetKind.REQUEST: TableSpec(
        (
            Key("name", SafeId(), "what commands, secrets and captures call it; unique"),
            _scheme_key(TargetKind.REQUEST),
            *_HOST_KEYS,
            Key(
                "methods",
                Parsed(
                    ListOf(
                        Parsed(Text(16), one_method, " or ".join(f"`{one}`" for one in METHODS)),
                        2 * len(METHODS),
                    ),
                    some_methods,
                ),
                "what may be asked",
                required=True,
            ),
            Key(
                "max_answer_bytes",
                Whole(1, LIMITS.message_max_bytes),
                "the largest body of an answer",
                default=LIMITS.response_body_bytes,
            ),
            Key(
                "idempotent",
                Flag(),
                "`true` where asking twice is as good as once, by the method or because the server "
                "minds `Idempotency-Key`: a crash that leaves a request without a known end has it "
                "asked again; named targets only",
                default=False,
            ),
            Key(
                "captures",
                Rows(CAPTURE, LIMITS.captures, unique="name"),
                "values that the host takes out of JSON answers; named targets only",
                default=(),
            ),
        ),
        _request,
        about="What may be asked over HTTP.",
    ),
}


def own_target(url: Url) -> UrlTarget:
    """Return the narrowest target that allows `url`: its scheme, host, port and path.

    Raises UrlRefused where the path cannot be written as a prefix.
    """
    table: dict[str, Any] = {"scheme": url.scheme, "host": url.bracketed_host}
    if url.port != DEFAULT_PORTS[url.scheme]:
        table["port"] = url.port
    return UrlTarget.parse({**table, "path_prefixes": [url.path]}, TargetKind.WEBSOCKET)
