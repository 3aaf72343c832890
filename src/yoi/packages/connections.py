"""`[[connections]]`: the standing subscriptions a plugin asks the host to own."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from yoi.errors import UrlRefused
from yoi.limits import LIMITS
from yoi.packages.sessions import SESSION_KEYS, session_settings
from yoi.permissions import TargetKind, Url, UrlTarget, own_target
from yoi.permissions.connection_settings import (
    DEFAULT_DELIVER,
    ConnectionSettings,
    Deliver,
    Handshake,
    OnFull,
    Open,
    SettingRefused,
)
from yoi.tables import Table, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping


_KEYS = frozenset(
    {
        "name", "ingress", "url", "target", "deliver", "on_full", "subprotocols", "headers",
        "origin", "ping_ms", "pong_ms", "pause_grace_ms", "backoff", "fatal_close_codes",
    }
) | SESSION_KEYS  # fmt: skip


@dataclass(frozen=True, slots=True)
class IngressRoute:
    """What a connection needs to know of the ingress it feeds."""

    on_full: OnFull
    event_kinds: tuple[str, ...]
    """Empty means every kind."""

    def takes(self, kind: Deliver) -> bool:
        """Return whether the ingress lists the kind of event."""
        return not self.event_kinds or kind.event_kind in self.event_kinds


def parse_connections(
    manifest: Table, ingresses: "Mapping[str, IngressRoute]"
) -> list[ConnectionSettings]:
    """Return the `[[connections]]` of a manifest. Raises ManifestError for the first fault."""
    declared: dict[str, ConnectionSettings] = {}
    for table in manifest.tables("connections", _KEYS):
        connection = _connection(table, ingresses)
        if connection.name in declared:
            raise table.fault("duplicate", "name", f'"{connection.name}" is declared twice')
        declared[connection.name] = connection
    return list(declared.values())


def connections_of_sources(
    ingress: Table, route: IngressRoute, taken: "set[str]"
) -> list[ConnectionSettings]:
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
            ConnectionSettings(
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


def _connection(table: Table, ingresses: "Mapping[str, IngressRoute]") -> ConnectionSettings:
    name, ingress = table.safe_id("name"), table.safe_id("ingress")
    route = ingresses.get(ingress)
    if route is None:
        raise table.fault("reference", "ingress", f'no [[ingresses]] entry is named "{ingress}"')
    session = session_settings(table)
    url = _url(table, session["open"])
    backoff_first, backoff_max = _backoff(table)
    try:
        return ConnectionSettings(
            name=name,
            ingress=ingress,
            url=url,
            target=_target(table, url),
            deliver=_deliver(table, ingress, route),
            on_full=OnFull(table.choice("on_full", tuple(OnFull), route.on_full)),
            handshake=_handshake(table),
            ping_ms=_keepalive(table, "ping_ms", LIMITS.ping_ms),
            pong_ms=_keepalive(table, "pong_ms", LIMITS.pong_ms),
            pause_grace_ms=table.number(
                "pause_grace_ms", LIMITS.pause_grace_ms, 0, LIMITS.pause_grace_max_ms
            ),
            backoff_first_ms=backoff_first,
            backoff_max_ms=backoff_max,
            fatal_close_codes=_close_codes(table),
            **session,
        )
    except SettingRefused as exc:
        raise table.fault(exc.problem, exc.key, exc.message) from None


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


def _url(table: Table, opened: Open) -> Url | None:
    if opened is Open.COMMAND and not table.has("url"):
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
                f'the ingress "{ingress}" does not list {kind.event_kind} in its event_kinds',
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
            f"list {Deliver.TEXT.event_kind} in its event_kinds",
        )
    return kinds


def _handshake(table: Table) -> Handshake:
    headers = table.raw("headers")
    if headers is None:
        headers = {}
    if not isinstance(headers, dict):
        raise table.fault("type", "headers", "must be a table of header names and values")
    for name, text in headers.items():
        if type(text) is not str:
            raise table.fault("type", f"headers.{name}", "must be a string")
    return Handshake(
        subprotocols=table.texts("subprotocols"),
        headers=tuple(headers.items()),
        origin=table.text("origin", LIMITS.url_chars) if table.has("origin") else None,
    )


def _keepalive(table: Table, key: str, default: int) -> int:
    return table.number(key, default, LIMITS.keepalive_min_ms, LIMITS.keepalive_max_ms)


def _backoff(table: Table) -> tuple[int, int]:
    backoff = table.table("backoff", frozenset({"first_ms", "max_ms"}))
    if backoff is None:
        return LIMITS.backoff_first_ms, LIMITS.backoff_max_ms
    low, high = LIMITS.keepalive_min_ms, LIMITS.backoff_limit_ms
    first = backoff.number("first_ms", LIMITS.backoff_first_ms, low, high)
    return first, backoff.number("max_ms", max(first, LIMITS.backoff_max_ms), low, high)


def _close_codes(table: Table) -> frozenset[int]:
    codes = table.items("fatal_close_codes")
    for index, code in enumerate(codes):
        if type(code) is not int:
            raise table.fault("type", f"fatal_close_codes[{index}]", "must be a whole number")
    return frozenset(codes)
