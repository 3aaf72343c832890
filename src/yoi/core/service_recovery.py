"""What a service must do with what its log says after the host was away. Pure: `now` is given.

An event in hand at the end may have been tried, so it comes back as a further attempt; which those
are is not known, only that they were among the first of their ingress, or of their keys where one
waited for a further attempt and others passed it. A command without an end is repeated where that
is harmless, else it is unknown.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from yoi.core.frame_key import frame_key
from yoi.core.service_fold import ServicePicture
from yoi.permissions import JsonPointer
from yoi.protocol.ingress import QueuedEvent
from yoi.protocol.service_log import Accepted, Closed, Command, Dead, Tried, event_of

INGRESS_GONE = "service.ingress_gone"


@dataclass(slots=True)
class Recovery:
    """What stands, and what has to be written before the plugin runs."""

    events: list[QueuedEvent] = field(default_factory=list)
    """In the order in which they were accepted."""
    tried: list[Tried] = field(default_factory=list)
    gone: list[tuple[QueuedEvent, Dead]] = field(default_factory=list)
    """Events whose ingress is declared no more; each is a dead letter now."""
    letters: list[tuple[QueuedEvent, Dead]] = field(default_factory=list)
    """Dead letters from before, oldest first."""
    sessions: list[tuple[str, str, int]] = field(default_factory=list)
    """Sessions that were open: connection, session, and since when frames may be missing."""
    closed: list[Closed] = field(default_factory=list)
    timers: list[tuple[str, str, int]] = field(default_factory=list)
    """Ingress, name, and in how many milliseconds: an overdue one now."""
    repeated: list[tuple[str, Command]] = field(default_factory=list)
    """Commands without an end to carry out again, with the event that they answered."""
    unknown: list[tuple[str, Command]] = field(default_factory=list)


def recover(
    picture: ServicePicture,
    ingresses: Collection[str],
    now_ms: int,
    window: int,
) -> Recovery:
    """Return what to do. `window` is how many events of an ingress can be in hand at once."""
    made = Recovery()
    _add_events(made, picture, ingresses, now_ms, window)
    for letter, entry in picture.dead.values():
        if entry is not None:
            made.letters.append((event_of(entry, 1), letter))
    for session, (connection, since_ms) in picture.sessions.items():
        made.sessions.append((connection, session, max(since_ms, picture.alive_ms)))
        made.closed.append(Closed(connection, session, now_ms))
    made.timers = [
        (ingress, name, max(0, due_ms - now_ms))
        for (ingress, name), due_ms in picture.timers.items()
        if ingress in ingresses
    ]
    for (event_id, _), command in picture.unsettled.items():
        (made.repeated if command.repeatable else made.unknown).append((event_id, command))
    return made


def _add_events(
    made: Recovery,
    picture: ServicePicture,
    ingresses: Collection[str],
    now_ms: int,
    window: int,
) -> None:
    # What was in hand was handed over in the order that held then, whatever is declared now.
    order_keys = {name: JsonPointer.parse(place) for name, place in picture.declared.order.items()}
    seen: dict[tuple[str, str | None], int] = {}
    # An event is only passed once the log says that it waits for a further attempt.
    passed = {one.entry.ingress for one in picture.waiting.values() if one.attempts}
    for event_id, one in picture.waiting.items():
        entry: Accepted = one.entry
        if entry.ingress not in ingresses:
            message = f"the plugin declares no ingress {entry.ingress!r} any more"
            made.gone.append((event_of(entry, 1), Dead(event_id, INGRESS_GONE, message, now_ms)))
            continue
        event = event_of(entry, 1)
        at = order_keys.get(entry.ingress) if entry.ingress in passed else None
        line = entry.ingress, None if at is None else frame_key(event, at)
        place = seen[line] = seen.get(line, 0) + 1
        if place <= window or one.attempts:
            event.attempt = max(1, one.attempts) + 1
            made.tried.append(Tried(event_id, event.attempt))
        made.events.append(event)


def changed_state(kept: Mapping[str, str], picture: ServicePicture) -> dict[str, str | None]:
    """Return what to change in `kept` so that it is the state of the log."""
    changes: dict[str, str | None] = {key: None for key in kept if key not in picture.state}
    changes.update({key: value for key, value in picture.state.items() if kept.get(key) != value})
    return changes
