"""What is odd about the items of a workspace. Reports; repairs nothing."""

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from yoi.core.ticket_states import TicketState
from yoi.errors import TicketError
from yoi.limits import LIMITS
from yoi.tickets.reader import TicketReader
from yoi.tickets.relations import KINDS, RelationGraph
from yoi.tickets.thread import ThreadEvent
from yoi.tickets.ticket import Damaged, Ticket


@dataclass(frozen=True, slots=True)
class Oddity:
    """One thing that a person should look at. `offer` is what would settle it; empty: nothing."""

    ticket: str
    what: str
    message: str
    line: int | None
    offer: str


def examine(store: TicketReader, undecided: Callable[[Ticket], bool]) -> list[Oddity]:
    """Return what is damaged, what the files disagree about, and what else is odd.

    `undecided` returns whether an item is queued by its file alone.
    """
    listed = store.listing()
    readable = {str(one.id) for one in listed if isinstance(one, Ticket)}
    try:
        graph = store.graph()
    except TicketError as exc:
        return [Oddity("", "relation", exc.message, None, "remove some of them")]
    found: list[Oddity] = []
    for one in listed:
        if isinstance(one, Damaged):
            offer = "mend the file in an editor" if one.line else "look at the folder"
            found.append(Oddity(one.name, "damaged", one.message, one.line, offer))
            continue
        if undecided(one):
            found.append(
                Oddity(
                    one.id,
                    "queue",
                    "queued by its file alone, not in force: no worker is given it",
                    None,
                    f"yoi ticket show {one.id}",
                )
            )
        found += _item(store, one)
        found += _relations(store, one, graph, readable)
    return found


def _item(store: TicketReader, ticket: Ticket) -> Iterator[Oddity]:
    if ticket.state not in set(TicketState):
        yield Oddity(
            ticket.id,
            "state",
            f'the state "{ticket.state}" is none of {", ".join(TicketState)}',
            ticket.head.lines.get("state", (None, None))[0],
            "write one of them in item.md",
        )
    try:
        thread = store.thread(ticket.id, LIMITS.ticket_doctor_events)
    except TicketError as exc:
        yield Oddity(ticket.id, "damaged", exc.message, exc.fields.get("line"), "mend thread.md")
        return
    for line, message in thread.damage:
        yield Oddity(ticket.id, "thread", f"thread.md: {message}", line, "mend thread.md")
    if thread.state is None:
        # That is so where nothing has happened yet.
        if ticket.state != TicketState.PLANNING:
            said = f"item.md says {ticket.state}, the thread has no event about the state"
            yield Oddity(ticket.id, "state", said, None, "")
    elif thread.state != ticket.state:
        yield Oddity(
            ticket.id,
            "state",
            f"item.md says {ticket.state}, the thread ends with {thread.state}; item.md counts",
            None,
            f"yoi ticket state {ticket.id} {thread.state}"
            if thread.state in set(TicketState)
            else "",
        )
    times = list(_times(thread.events))
    for line, message in times[: LIMITS.ticket_damage]:
        yield Oddity(ticket.id, "time", message, line, "")
    more = len(times) - LIMITS.ticket_damage
    if more > 0:
        yield Oddity(ticket.id, "time", f"so it is with {more} more events", None, "")


def _times(events: Iterable[ThreadEvent]) -> Iterator[tuple[int, str]]:
    """Yield what is odd about the times of `events`, with the line."""
    before: datetime | None = None
    for event in events:
        at = _moment(event.at)
        if at is None:
            yield event.line, f"an event has no time: {event.at!r}"
        elif before is not None and at < before:
            yield event.line, "an event is older than the one above"
        before = at or before


def _relations(
    store: TicketReader, ticket: Ticket, graph: RelationGraph, readable: Container[str]
) -> Iterator[Oddity]:
    try:
        store.own_relations(ticket.id)
    except TicketError as exc:
        yield Oddity(ticket.id, "damaged", exc.message, None, "mend artifacts/relations.json")
    relations = graph.of(ticket.id)
    if relations.cycle:
        way = " -> ".join(relations.cycle)
        yield Oddity(ticket.id, "cycle", f"it depends on itself: {way}", None, "remove one of them")
    for kind, target in relations.others:
        yield Oddity(
            ticket.id, "relation", f"{kind} {target} is none of {', '.join(KINDS)}", None, ""
        )
    for name in relations.depends_on:
        if name not in readable:
            yield Oddity(
                ticket.id, "relation", f"it depends on {name}, which is not here", None, ""
            )


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
