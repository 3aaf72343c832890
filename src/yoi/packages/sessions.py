"""The keys of `[[connections]]` about sessions: how they open, get ready and are renewed."""

from typing import TypedDict

from yoi.limits import LIMITS
from yoi.permissions import JsonPointer, PointerFault
from yoi.permissions.connection_settings import LastValue, Open, Ready
from yoi.tables import Table

SESSION_KEYS = frozenset({"open", "ready", "last", "reconnect", "send_per_second"})
LAST_KEYS = frozenset({"name", "at"})
RECONNECT_KEYS = frozenset({"per_day", "fresh_after", "overlap_ms"})


class SessionSettings(TypedDict):
    """The settings that these keys say."""

    open: Open
    ready: Ready
    last: tuple[LastValue, ...]
    dials_per_day: int
    fresh_after: int | None
    overlap_ms: int
    send_per_second: int


def session_settings(table: Table) -> SessionSettings:
    """Return the session keys of one `[[connections]]` table. Raises ManifestError."""
    reconnect = table.table("reconnect", RECONNECT_KEYS)
    per_day, fresh_after, overlap = LIMITS.dials_per_day, None, 0
    if reconnect is not None:
        per_day = reconnect.number("per_day", per_day, 1, LIMITS.dials_per_day_max)
        if reconnect.has("fresh_after"):
            fresh_after = reconnect.number("fresh_after", 1, 1, LIMITS.fresh_after_max)
        overlap = reconnect.number("overlap_ms", 0, 0, LIMITS.overlap_max_ms)
    return SessionSettings(
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
    return tuple(found.values())
