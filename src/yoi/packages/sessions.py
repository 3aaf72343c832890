"""The keys of `[[connections]]` about sessions: how they open, get ready and are renewed."""

from dataclasses import dataclass
from enum import StrEnum

from yoi.limits import LIMITS
from yoi.permissions import JsonPointer, PointerFault
from yoi.tables import Table

SESSION_KEYS = frozenset({"open", "ready", "last", "reconnect", "send_per_second"})
LAST_KEYS = frozenset({"name", "at"})
RECONNECT_KEYS = frozenset({"per_day", "fresh_after", "overlap_ms"})


class Open(StrEnum):
    """When the host dials."""

    START = "start"
    """As soon as the service runs; the url is in the manifest."""
    COMMAND = "command"
    """When the plugin says `websocket_open`."""


class Ready(StrEnum):
    """What makes a session good, so that earlier failures are forgotten."""

    TRAFFIC = "traffic"
    """A frame, and a while."""
    COMMAND = "command"
    """The plugin says `websocket_ready`."""


@dataclass(frozen=True, slots=True)
class LastValue:
    """A value that the host remembers from text frames of the current session, by name."""

    name: str
    at: JsonPointer


@dataclass(frozen=True, slots=True)
class SessionDecl:
    """What a connection says about its sessions; every field is checked and bounded."""

    open: Open = Open.START
    ready: Ready = Ready.TRAFFIC
    last: tuple[LastValue, ...] = ()
    dials_per_day: int = LIMITS.dials_per_day
    fresh_after: int | None = None
    """Failed dials in a row until a captured URL is no longer resumed; None: never given up."""
    overlap_ms: int = 0
    """How long the old socket may live beside its successor; zero: it is closed first."""
    send_per_second: int = LIMITS.send_per_second


def parse_session(table: Table) -> SessionDecl:
    """Return the session keys of one `[[connections]]` table. Raises ManifestError."""
    reconnect = table.table("reconnect", RECONNECT_KEYS)
    per_day, fresh_after, overlap = LIMITS.dials_per_day, None, 0
    if reconnect is not None:
        per_day = reconnect.number("per_day", per_day, 1, LIMITS.dials_per_day_max)
        if reconnect.has("fresh_after"):
            fresh_after = reconnect.number("fresh_after", 1, 1, LIMITS.fresh_after_max)
        overlap = reconnect.number("overlap_ms", 0, 0, LIMITS.overlap_max_ms)
    return SessionDecl(
        open=Open(table.choice("open", tuple(Open), Open.START)),
        ready=Ready(table.choice("ready", tuple(Ready), Ready.TRAFFIC)),
        last=_last(table),
        dials_per_day=per_day,
        fresh_after=fresh_after,
        overlap_ms=overlap,
        send_per_second=table.number(
            "send_per_second", LIMITS.send_per_second, 1, LIMITS.send_per_second
        ),
    )


def _last(table: Table) -> tuple[LastValue, ...]:
    found: dict[str, LastValue] = {}
    for row in table.tables("last", LAST_KEYS):
        name = row.safe_id("name")
        if name in found:
            raise row.fault("duplicate", "name", f'"{name}" is declared twice')
        try:
            found[name] = LastValue(name, JsonPointer.parse(row.text("at", LIMITS.pointer_chars)))
        except PointerFault as exc:
            raise row.fault("value", "at", str(exc)) from None
    if len(found) > LIMITS.last_values:
        raise table.fault("too_large", "last", f"has more than {LIMITS.last_values}")
    return tuple(found.values())
