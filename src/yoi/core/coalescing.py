"""How lifecycle events of one connection coalesce when there is no room for each of them.

Only events that wait, and between which no frame of their connection stands, become one: what the
plugin then hears is still true and in order. A gap grows until it covers the later one, with the
sum of what is known to be missing; a session that began and ended without a frame is left out and
counted in the gap; of several errors the last is told.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from yoi.limits import LIMITS
from yoi.protocol.ingress import (
    FEEDBACK_KINDS,
    LIFECYCLE_KINDS,
    EventKind,
    IngressEvent,
    QueuedEvent,
)
from yoi.types import SessionId


@dataclass(frozen=True, slots=True)
class Coalesced:
    """What became of an event: `into` tells of it as well, those `without` wait no longer."""

    into: IngressEvent | None = None
    without: tuple[IngressEvent, ...] = ()
    joins: bool = False
    """The event itself waits, in place of those `without`."""


def since_last_frame(waiting: Iterable[QueuedEvent], connection: str | None) -> list[IngressEvent]:
    """Return the lifecycle events of `connection` after its last waiting frame, oldest first.

    One that was handed over before is left out: it is not changed between two attempts.
    """
    found: list[IngressEvent] = []
    for event in reversed(tuple(waiting)):
        if event.connection != connection:
            continue
        if not isinstance(event, IngressEvent) or event.kind not in LIFECYCLE_KINDS:
            break
        if event.attempt == 1 and event.kind not in FEEDBACK_KINDS:
            found.append(event)
    return found[::-1]


def coalesce(event: IngressEvent, tail: Sequence[IngressEvent]) -> Coalesced | None:
    """Let one of `tail` tell of `event` too; None where none can.

    So no more than two opens, two closes, a gap and an error stand between two frames.
    """
    same = [other for other in tail if other.kind == event.kind]
    if event.kind == EventKind.GAP and same:
        same[-1].payload = covering(same[-1].payload, event.payload)
        return Coalesced(same[-1])
    if event.kind == EventKind.ERROR and same:
        return _repeated(event, same[-1])
    if event.kind == EventKind.CLOSE:
        return _without_session(event, tail) or (_repeated(event, same[-1]) if same[1:] else None)
    if event.kind == EventKind.OPEN and same[1:]:
        # Two sessions are open at most: the oldest of three is over.
        return _without(same[0].session, tail, joins=True)
    return None


def covering(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the payload of a gap that covers both; its count is known if both are."""
    first, last = sorted((one, other), key=lambda gap: int(gap["since_ms"]))
    until = max(one, other, key=lambda gap: int(gap["until_ms"]))
    known = one["count"] is not None and other["count"] is not None
    return {
        **one,
        "since": first["since"],
        "since_ms": first["since_ms"],
        "until": until["until"],
        "until_ms": until["until_ms"],
        "why": last["why"],
        "count": one["count"] + other["count"] if known else None,
        "sessions": one.get("sessions", 0) + other.get("sessions", 0),
        **_missing(one, other),
    }


def _missing(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the ranges of missing numbers that two gaps name, as many as one may."""
    ranges = [*one.get("missing", ()), *other.get("missing", ())]
    more = one.get("missing_more", 0) + other.get("missing_more", 0)
    more += max(0, len(ranges) - LIMITS.gap_ranges)
    named = {"missing": ranges[: LIMITS.gap_ranges]} if ranges else {}
    return {**named, "missing_more": more} if more else named


def _without_session(event: IngressEvent, tail: Sequence[IngressEvent]) -> Coalesced | None:
    """Leave out the session that `event` closes, where its open waits: it had no frame."""
    if any(e.kind == EventKind.OPEN and e.session == event.session for e in tail):
        return _without(event.session, tail)
    return None


def _without(
    session: SessionId | None, tail: Sequence[IngressEvent], *, joins: bool = False
) -> Coalesced:
    """Leave out the open of `session` and its close, where it waits; a waiting gap counts it."""
    gone = tuple(
        e for e in tail if e.kind in (EventKind.OPEN, EventKind.CLOSE) and e.session == session
    )
    gaps = [e for e in tail if e.kind == EventKind.GAP]
    if not gaps:
        return Coalesced(None, gone, joins)
    gap = gaps[-1]
    gap.payload = {**gap.payload, "sessions": gap.payload.get("sessions", 0) + 1}
    return Coalesced(gap, gone, joins)


def _repeated(event: IngressEvent, other: IngressEvent) -> Coalesced:
    other.payload = {**event.payload, "repeated": other.payload.get("repeated", 0) + 1}
    return Coalesced(other)
