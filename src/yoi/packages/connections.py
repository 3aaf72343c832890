"""`[[connections]]`: the standing subscriptions a plugin asks the host to own."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from yoi.errors import UrlRefused
from yoi.limits import LIMITS
from yoi.packages.sessions import SESSION_KEYS, Open, SessionDecl, parse_session
from yoi.permissions import DEFAULT_PORTS, REQUEST_SCHEMES, TargetKind, Url, UrlTarget
from yoi.tables import Table, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping


class Deliver(StrEnum):
    """What of a connection reaches the plugin, by the name used in `deliver`."""

    TEXT = "text"
    BINARY = "binary"
    OPEN = "open"
    CLOSE = "close"
    ERROR = "error"
    GAP = "gap"
    SEND_FAILED = "send_failed"
    DENIED = "denied"


class OnFull(StrEnum):
    """What happens to a frame when the plugin does not keep up."""

    PAUSE = "pause"
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    DISCONNECT = "disconnect"


DEFAULT_DELIVER = (Deliver.TEXT, Deliver.OPEN, Deliver.CLOSE, Deliver.GAP)

_KEYS = frozenset(
    {
        "name", "ingress", "url", "target", "deliver", "on_full", "subprotocols", "headers",
        "origin", "ping_ms", "pong_ms", "pause_grace_ms", "backoff", "fatal_close_codes",
    }
) | SESSION_KEYS  # fmt: skip
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
# RFC 9110 7.6.1, and what the handshake itself sets.
_HANDSHAKE_HEADERS = frozenset(
    {
        "host", "origin", "connection", "upgrade", "keep-alive", "te", "trailer", "expect",
        "transfer-encoding", "content-length", "content-type", "proxy-connection",
    }
)  # fmt: skip
_CREDENTIAL_PARTS = (
    "auth", "cookie", "token", "secret", "passw", "credential", "api-key", "apikey", "api_key",
    "session", "signature", "private-key", "access-key",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ConnectionDecl:
    """One declared connection; every field is checked and bounded."""

    name: str
    ingress: str
    url: Url | None
    """None only where the plugin opens it, and says where."""
    target: UrlTarget
    """Every dial and send stays within this, whatever else is granted."""
    deliver: frozenset[Deliver] = frozenset(DEFAULT_DELIVER)
    on_full: OnFull = OnFull.PAUSE
    subprotocols: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    origin: str | None = None
    ping_ms: int = LIMITS.ping_ms
    pong_ms: int = LIMITS.pong_ms
    pause_grace_ms: int = LIMITS.pause_grace_ms
    backoff_first_ms: int = LIMITS.backoff_first_ms
    backoff_max_ms: int = LIMITS.backoff_max_ms
    fatal_close_codes: frozenset[int] = frozenset()
    session: SessionDecl = field(default_factory=SessionDecl)


@dataclass(frozen=True, slots=True)
class IngressRoute:
    """What a connection needs to know of the ingress it feeds."""

    on_full: OnFull
    event_kinds: tuple[str, ...]
    """Empty means every kind."""

    def takes(self, kind: Deliver) -> bool:
        """Return whether the ingress lists the kind of event."""
        return not self.event_kinds or event_kind(kind) in self.event_kinds


def event_kind(kind: Deliver) -> str:
    """Return the name that an event of this kind has on the wire and in `event_kinds`."""
    return "command_denied" if kind is Deliver.DENIED else f"websocket_{kind}"


def own_target(url: Url) -> UrlTarget:
    """Return the narrowest target that allows `url`: its scheme, host, port and path.

    Raises UrlRefused where the path cannot be written as a prefix.
    """
    table: dict[str, Any] = {"scheme": url.scheme, "host": url.bracketed_host}
    if url.port != DEFAULT_PORTS[url.scheme]:
        table["port"] = url.port
    return UrlTarget.parse({**table, "path_prefixes": [url.path]}, TargetKind.WEBSOCKET)


def parse_connections(
    manifest: Table, ingresses: "Mapping[str, IngressRoute]"
) -> list[ConnectionDecl]:
    """Return the `[[connections]]` of a manifest. Raises ManifestError for the first fault."""
    declared: dict[str, ConnectionDecl] = {}
    for table in manifest.tables("connections", _KEYS):
        connection = _connection(table, ingresses)
        if connection.name in declared:
            raise table.fault("duplicate", "name", f'"{connection.name}" is declared twice')
        declared[connection.name] = connection
    return list(declared.values())


def connections_of_sources(
    ingress: Table, route: IngressRoute, taken: "set[str]"
) -> list[ConnectionDecl]:
    """Return the connections that an ingress names in `sources`, the ancestor's shorthand.

    `websocket:URL` and bare `ws://`, `wss://` URLs are meant; other words are recorded only. A
    connection is named like its ingress, or `<ingress>-<n>` where that is taken or there are
    several; `taken` holds the names in use and is added to.
    """
    urls = [
        (index, text.strip().removeprefix("websocket:"))
        for index, text in enumerate(ingress.texts("sources", LIMITS.url_chars))
        if _is_source_url(ingress, index, text.strip())
    ]
    base = ingress.safe_id("name")
    made = []
    for index, text in urls:
        key = f"sources[{index}]"
        try:
            url = Url.parse(text)
            target = own_target(url)
        except UrlRefused as exc:
            raise ingress.fault("value", key, exc.message) from None
        name = _free_name(base, len(urls) > 1, taken)
        taken.add(name)
        made.append(
            ConnectionDecl(
                name=name,
                ingress=base,
                url=url,
                target=target,
                deliver=_default_deliver(ingress, key, base, route),
                on_full=route.on_full,
            )
        )
    return made


def _is_source_url(ingress: Table, index: int, text: str) -> bool:
    if text.startswith(("websocket:", "ws://", "wss://")):
        return True
    if "://" in text:
        raise ingress.fault("value", f"sources[{index}]", "must be websocket:URL, ws:// or wss://")
    return False


def _free_name(base: str, numbered: bool, taken: "set[str]") -> str:
    if not numbered and base not in taken:
        return base
    number = 1
    while True:
        end = f"-{number}"
        name = base[: LIMITS.name_bytes - len(end)] + end
        if name not in taken:
            return name
        number += 1


def _connection(table: Table, ingresses: "Mapping[str, IngressRoute]") -> ConnectionDecl:
    name, ingress = table.safe_id("name"), table.safe_id("ingress")
    route = ingresses.get(ingress)
    if route is None:
        raise table.fault("reference", "ingress", f'no [[ingresses]] entry is named "{ingress}"')
    session = parse_session(table)
    url = _url(table, session)
    target = _target(table, url)
    if url is not None and not target.allows(url):
        raise table.fault(
            "value", "target", f"does not allow the connection's own url {url.display}"
        )
    backoff_first, backoff_max = _backoff(table)
    return ConnectionDecl(
        name=name,
        ingress=ingress,
        url=url,
        target=target,
        deliver=_deliver(table, ingress, route),
        on_full=OnFull(table.choice("on_full", tuple(OnFull), route.on_full)),
        subprotocols=_subprotocols(table),
        headers=_headers(table),
        origin=_origin(table),
        ping_ms=_keepalive(table, "ping_ms", LIMITS.ping_ms),
        pong_ms=_keepalive(table, "pong_ms", LIMITS.pong_ms),
        pause_grace_ms=table.number(
            "pause_grace_ms", LIMITS.pause_grace_ms, 0, LIMITS.pause_grace_max_ms
        ),
        backoff_first_ms=backoff_first,
        backoff_max_ms=backoff_max,
        fatal_close_codes=_close_codes(table),
        session=session,
    )


def _target(table: Table, url: Url | None) -> UrlTarget:
    try:
        if not table.has("target"):
            if url is None:
                raise table.fault(
                    "missing", "target", "is required without a url: every dial stays within it"
                )
            return own_target(url)
        return UrlTarget.parse(table.raw("target"), TargetKind.WEBSOCKET, table.path("target"))
    except UrlRefused as exc:
        raise table.foreign(exc, "target") from None


def _url(table: Table, session: SessionDecl) -> Url | None:
    if session.open is Open.COMMAND and not table.has("url"):
        return None
    text = table.text("url", LIMITS.url_chars)
    try:
        return Url.parse(text)
    except UrlRefused as exc:
        raise table.fault("value", "url", exc.message) from None


def _deliver(table: Table, ingress: str, route: IngressRoute) -> frozenset[Deliver]:
    if not table.has("deliver"):
        return _default_deliver(table, "deliver", ingress, route)
    chosen: list[Deliver] = []
    for index, text in enumerate(table.texts("deliver")):
        key = f"deliver[{index}]"
        if text not in tuple(Deliver):
            raise table.fault("value", key, f"must be one of {quoted(tuple(Deliver))}")
        kind = Deliver(text)
        if kind in chosen:
            raise table.fault("duplicate", key, f'"{kind}" is listed twice')
        if not route.takes(kind):
            raise table.fault(
                "value", key,
                f'the ingress "{ingress}" does not list {event_kind(kind)} in its event_kinds',
            )  # fmt: skip
        chosen.append(kind)
    if not chosen:
        raise table.fault("value", "deliver", "must list at least one kind")
    return frozenset(chosen)


def _default_deliver(
    table: Table, key: str, ingress: str, route: IngressRoute
) -> frozenset[Deliver]:
    kinds = frozenset(kind for kind in DEFAULT_DELIVER if route.takes(kind))
    if not kinds:
        raise table.fault(
            "value",
            key,
            f'delivers nothing that the ingress "{ingress}" takes; '
            f"list {event_kind(Deliver.TEXT)} in its event_kinds",
        )
    return kinds


def _subprotocols(table: Table) -> tuple[str, ...]:
    values = table.texts("subprotocols")
    if len(values) > LIMITS.subprotocols:
        raise table.fault("too_large", "subprotocols", f"has more than {LIMITS.subprotocols}")
    for index, value in enumerate(values):
        if _TOKEN.fullmatch(value) is None:
            raise table.fault(
                "value", f"subprotocols[{index}]", "must be letters, digits and -._ only"
            )
    if len(set(values)) != len(values):
        raise table.fault("duplicate", "subprotocols", "lists the same subprotocol twice")
    return values


def _headers(table: Table) -> tuple[tuple[str, str], ...]:
    value = table.raw("headers")
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise table.fault("type", "headers", "must be a table of header names and values")
    if len(value) > LIMITS.handshake_headers:
        raise table.fault("too_large", "headers", f"has more than {LIMITS.handshake_headers}")
    seen: set[str] = set()
    for name, text in value.items():
        lower = name.lower()
        key = f"headers.{name}"
        if len(name) > LIMITS.name_bytes or _TOKEN.fullmatch(name) is None:
            raise table.fault("value", "headers", "has a name that is not an HTTP header name")
        if lower in seen:
            raise table.fault("duplicate", key, "is given twice")
        seen.add(lower)
        _check_header_name(table, key, lower)
        if type(text) is not str:
            raise table.fault("type", key, "must be a string")
        if len(text) > LIMITS.header_bytes:
            raise table.fault("too_large", key, f"is longer than {LIMITS.header_bytes} bytes")
        if _HEADER_VALUE.fullmatch(text) is None:
            raise table.fault(
                "value", key, "must be printable ASCII, not blank, without spaces at its ends"
            )
    return tuple(value.items())


def _check_header_name(table: Table, key: str, lower: str) -> None:
    if lower in _HANDSHAKE_HEADERS or lower.startswith(("sec-", "proxy-")):
        hint = {
            "origin": "; use the connection's origin key",
            "sec-websocket-protocol": "; use the connection's subprotocols key",
        }.get(lower, "")
        raise table.fault("value", key, f"is set by the handshake itself{hint}")
    if any(part in lower for part in _CREDENTIAL_PARTS):
        raise table.fault(
            "value", key, "looks like a credential; a manifest holds none, it is public"
        )


def _origin(table: Table) -> str | None:
    if not table.has("origin"):
        return None
    text = table.text("origin", LIMITS.url_chars)
    try:
        url = Url.parse(text, REQUEST_SCHEMES)
    except UrlRefused as exc:
        raise table.fault("value", "origin", exc.message) from None
    origin = f"{url.scheme}://{url.host_header}"
    if url.href != f"{origin}/":
        raise table.fault("value", "origin", f'must be an origin without a path, as "{origin}"')
    return origin


def _keepalive(table: Table, key: str, default: int) -> int:
    return table.number(key, default, LIMITS.keepalive_min_ms, LIMITS.keepalive_max_ms)


def _backoff(table: Table) -> tuple[int, int]:
    backoff = table.table("backoff", frozenset({"first_ms", "max_ms"}))
    if backoff is None:
        return LIMITS.backoff_first_ms, LIMITS.backoff_max_ms
    low, high = LIMITS.keepalive_min_ms, LIMITS.backoff_limit_ms
    first = backoff.number("first_ms", LIMITS.backoff_first_ms, low, high)
    longest = backoff.number("max_ms", max(first, LIMITS.backoff_max_ms), low, high)
    if first > longest:
        raise backoff.fault("value", "max_ms", "must not be below first_ms")
    return first, longest


def _close_codes(table: Table) -> frozenset[int]:
    codes = table.items("fatal_close_codes")
    if len(codes) > LIMITS.fatal_close_codes:
        raise table.fault(
            "too_large", "fatal_close_codes", f"has more than {LIMITS.fatal_close_codes}"
        )
    for index, code in enumerate(codes):
        key = f"fatal_close_codes[{index}]"
        if type(code) is not int:
            raise table.fault("type", key, "must be a whole number")
        # 1004-1006 and 1015 never stand in a frame (RFC 6455 7.4.1).
        if not (1000 <= code <= 1014 or 3000 <= code <= 4999) or code in (1004, 1005, 1006):
            raise table.fault("value", key, "is not a close code that a server can send")
    return frozenset(codes)
