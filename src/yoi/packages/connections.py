"""`[[connections]]`: what a declared connection is, from the row of its table."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from yoi.errors import UrlRefused
from yoi.limits import LIMITS
from yoi.permissions import Url, UrlTarget, own_target
from yoi.permissions.connection_settings import (
    DEFAULT_DELIVER,
    ConnectionSettings,
    Deliver,
    Handshake,
    OnFull,
    Open,
    SettingRefused,
)
from yoi.toml import (
    Row,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class IngressRoute:
    """What a connection needs to know of the ingress it feeds."""

    on_full: OnFull
    event_kinds: tuple[str, ...]
    """Empty means every kind."""
    durable: bool = False
    """Whether its events are kept on disk: nothing accepted may be dropped then."""
    dedupe: bool = False
    """Whether it knows repeats: what it has dropped would come again as one."""

    def takes(self, kind: Deliver) -> bool:
        """Return whether the ingress lists the kind of event."""
        return not self.event_kinds or kind.event_kind in self.event_kinds


DROPS_ACCEPTED = (
    'drop_oldest would drop events that the host has accepted: durability = "disk" takes '
    "pause, drop_newest or disconnect"
)
DROPS_KNOWN = (
    "drop_oldest would drop messages that dedupe knows already: dedupe goes with pause, "
    "drop_newest or disconnect"
)


def drops_wrongly(on_full: OnFull, *, durable: bool, dedupe: bool) -> str | None:
    """Return why an ingress of that kind cannot have `on_full`, or None."""
    if on_full is not OnFull.DROP_OLDEST:
        return None
    if durable:
        return DROPS_ACCEPTED
    return DROPS_KNOWN if dedupe else None


def connection(row: Row, routes: "Mapping[str, IngressRoute]") -> ConnectionSettings | None:
    """Return the connection in a row of `CONNECTION`; None after adding a fault to the row's.

    `routes` has the manifest's ingresses by name.
    """
    before = row.faults.count
    route = routes.get(row["ingress"])
    if route is None:
        row.fault("reference", "ingress", f'no [[ingresses]] entry is named "{row["ingress"]}"')
        return None
    url, target = row["url"], row["target"]
    if url is None and row["open"] is Open.START:
        row.fault("missing", "url", "is required")
    if target is None:
        target = _own_target(row, url)
    deliver = _deliver(row, route)
    wrong = drops_wrongly(row["on_full"], durable=route.durable, dedupe=route.dedupe)
    if wrong is not None:
        row.fault("value", "on_full", wrong)
    if row.faults.count > before or target is None:
        return None
    first, longest = row["backoff"]
    per_day, fresh_after, overlap = row["reconnect"]
    try:
        return ConnectionSettings(
            name=row["name"],
            ingress=row["ingress"],
            url=url,
            target=target,
            deliver=deliver,
            on_full=row["on_full"] or route.on_full,
            handshake=Handshake(row["subprotocols"], row["headers"], row["origin"]),
            ping_ms=row["ping_ms"],
            pong_ms=row["pong_ms"],
            pause_grace_ms=row["pause_grace_ms"],
            expect_every_ms=row["expect_every_ms"],
            backoff_first_ms=first,
            backoff_max_ms=longest,
            fatal_close_codes=frozenset(row["fatal_close_codes"]),
            fatal_statuses=frozenset(row["fatal_statuses"]),
            open=row["open"],
            ready=row["ready"],
            last=row["last"],
            sequence=row["sequence"],
            insert=row["insert"],
            dials_per_day=per_day,
            fresh_after=fresh_after,
            overlap_ms=overlap,
            send_per_second=row["send_per_second"],
            leave_code=row["leave_code"],
        )
    except SettingRefused as exc:
        row.fault(exc.problem, exc.key, exc.message)
        return None


def connections_of_sources(
    row: Row, base: str, route: IngressRoute, taken: "set[str]"
) -> list[ConnectionSettings]:
    """Return the connections that the ingress `base` names in `sources`, an older shorthand.

    `websocket:URL` and bare `ws://`, `wss://` URLs are meant; other words are recorded only. A
    connection is named like its ingress, or `<ingress>-<n>` where that is taken or there are
    several; `taken` holds the names in use and is added to. Faults are added to the row's.
    """
    found: list[tuple[str, Url, UrlTarget]] = []
    for index, source in enumerate(row["sources"]):
        key, text = f"sources[{index}]", source.strip()
        if not text.startswith(("websocket:", "ws://", "wss://")):
            if "://" in text:
                row.fault("value", key, "must be websocket:URL, ws:// or wss://")
            continue
        try:
            url = Url.parse(text.removeprefix("websocket:"))
            found.append((key, url, own_target(url)))
        except UrlRefused as exc:
            row.fault("value", key, exc.message)
    made = []
    for key, url, target in found:
        deliver = _default_deliver(row, key, base, route)
        name = _free_name(base, len(found) > 1, taken)
        taken.add(name)
        if deliver:
            made.append(
                ConnectionSettings(
                    name=name,
                    ingress=base,
                    url=url,
                    target=target,
                    deliver=deliver,
                    on_full=route.on_full,
                )
            )
    return made


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


def _own_target(row: Row, url: Url | None) -> UrlTarget | None:
    if url is None:
        if row["open"] is Open.COMMAND:
            row.fault("missing", "target", "is required without a url: every dial stays within it")
        return None
    try:
        return own_target(url)
    except UrlRefused as exc:
        row.fault("value", "target", exc.message)
        return None


def _deliver(row: Row, route: IngressRoute) -> frozenset[Deliver]:
    if row["deliver"] is None:
        return _default_deliver(row, "deliver", row["ingress"], route)
    for index, kind in enumerate(row["deliver"]):
        if not route.takes(kind):
            row.fault(
                "value",
                f"deliver[{index}]",
                f'the ingress "{row["ingress"]}" does not list {kind.event_kind} in its '
                "event_kinds",
            )
        if kind in row["deliver"][:index]:
            row.fault("duplicate", f"deliver[{index}]", f'"{kind}" is listed twice')
    if not row["deliver"]:
        row.fault("value", "deliver", "must list at least one kind")
    return frozenset(row["deliver"])


def _default_deliver(row: Row, key: str, ingress: str, route: IngressRoute) -> frozenset[Deliver]:
    kinds = frozenset(kind for kind in DEFAULT_DELIVER if route.takes(kind))
    if not kinds:
        row.fault(
            "value",
            key,
            f'delivers nothing that the ingress "{ingress}" takes; '
            f"list {Deliver.TEXT.event_kind} in its event_kinds",
        )
    return kinds
