"""Tickets as tables and text for people. What stands in them is escaped, line by line."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Group, RenderableType
from rich.text import Text

from yoi.cli.layout import lines, moment, pairs, table, whole
from yoi.cli.output import shown
from yoi.display import shell_word
from yoi.errors import TicketError
from yoi.tickets.relations import Linked, Relation
from yoi.tickets.thread import Thread
from yoi.tickets.ticket import Damaged, Ticket

T = TypeVar("T")

if TYPE_CHECKING:
    from yoi.tickets.doctor import Oddity
    from yoi.tickets.reader import TicketReader

STYLES = {
    "ready": "cyan",
    "queued": "yellow",
    "inprogress": "green",
    "done": "bold green",
    "closed": "dim",
}
_BODY_LINES = 200
_EVENT_LINES = 40


@dataclass(frozen=True, slots=True)
class Seen:
    """One item with its thread's end."""

    ticket: Ticket
    resolution: str
    relations: Linked
    blockers: tuple[tuple[str, str | None], ...]
    artifacts: list[str]
    thread: Thread
    damage: tuple[tuple[int | None, str], ...]
    """What of it cannot be read: the line, where there is one, and why."""

    @classmethod
    def of(cls, store: "TicketReader", name: str, most: int) -> "Seen":
        """Return the item called `name` with its last `most` events. Raises TicketError."""
        ticket = store.ticket(name)
        graph = store.graph()
        damage: list[tuple[int | None, str]] = []

        def tried(read: Callable[[], T], otherwise: T) -> T:
            """Return what `read` returns; a file that cannot be read keeps nobody from the rest."""
            try:
                return read()
            except TicketError as exc:
                damage.append((exc.fields.get("line"), exc.message))
                return otherwise

        no_names: list[str] = []
        no_relations: tuple[Relation, ...] = ()
        thread = tried(lambda: store.thread(ticket.id, most), Thread((), 0, None, ()))
        tried(lambda: store.own_relations(ticket.id), no_relations)
        artifacts = tried(lambda: store.artifacts(ticket.id), no_names)
        damage += [(line, f"thread.md, line {line}: {words}") for line, words in thread.damage]
        return cls(
            ticket,
            store.resolution(ticket.id),
            graph.of(ticket.id),
            store.blockers(ticket.id, graph),
            artifacts,
            thread,
            tuple(damage),
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "ticket": self.ticket.to_json(),
            "body": self.ticket.body,
            "resolution": self.resolution,
            "relations": self.relations,
            "blockers": [{"id": name, "state": state} for name, state in self.blockers],
            "artifacts": self.artifacts,
            "events": self.thread.events,
            "events_left_out": self.thread.left_out,
            "damage": [{"line": line, "message": message} for line, message in self.damage],
        }


def overview(
    tickets: Sequence[Ticket | Damaged], left_out: int, undecided: Container[str] = frozenset()
) -> RenderableType:
    """Return one row per item; those in `undecided` are queued by their file alone."""
    if not tickets:
        return Group(
            Text("no tickets"), whole(Text('  next: yoi ticket new "TITLE"', style="cyan"))
        )
    made = table("id", "state", "updated", "title")
    for one in tickets:
        if isinstance(one, Damaged):
            line = "" if one.line is None else f" (line {one.line})"
            made.add_row(
                shown(one.name, 64),
                Text("damaged", style="bold red"),
                "",
                shown(one.message + line, 200, "red"),
            )
        else:
            made.add_row(
                shown(one.id),
                _state(one, undecided),
                shown(moment(one.text("updated_at")), 32),
                shown(one.title, 200),
            )
    parts: list[RenderableType] = [made]
    if left_out:
        parts.append(Text(f"  {left_out} older ones left out; more with --most", style="dim"))
    return lines(parts)


def _state(ticket: Ticket, undecided: Container[str]) -> Text:
    if ticket.id in undecided:
        return Text(f"{ticket.state}, not in force", style="bold yellow")
    return shown(ticket.state, 32, STYLES.get(ticket.state, ""))


def moved(ticket: Ticket, what: str) -> RenderableType:
    """Return one line about what a command did."""
    return Text.assemble(
        shown(ticket.id, style="bold"), " ", shown(what, 200), "  ", shown(ticket.title, 200, "dim")
    )


def details(seen: Seen, undecided: Container[str] = frozenset()) -> RenderableType:
    """Return the item, its relations and the end of its thread."""
    ticket = seen.ticket
    rows: list[tuple[str, Text]] = [
        ("state", _state(ticket, undecided)),
    ]
    for key, value in ticket.head.values.items():
        if key not in ("title", "state") and value not in (None, "", []):
            words = ", ".join(value) if isinstance(value, list) else str(value)
            rows.append((shown(key, 32).plain, shown(words, 300)))
    rows += [
        ("depends on", shown(f"{name} ({state or 'unknown'})")) for name, state in seen.blockers
    ]
    rows += [("blocks", shown(name)) for name in seen.relations.blocks]
    rows += [("related", shown(name)) for name in seen.relations.related]
    rows += [(shown(kind, 32).plain, shown(to)) for kind, to in seen.relations.others]
    if seen.artifacts:
        rows.append(("artifacts", shown(", ".join(seen.artifacts), 600)))
    command = (
        f"  next: yoi ticket queue {shell_word(ticket.id)} --digest {shell_word(ticket.digest)}"
    )
    decide = [whole(Text(command, style="cyan"))] if ticket.id in undecided else []
    parts: list[RenderableType] = [
        Text.assemble(shown(ticket.id, style="bold"), "  ", shown(ticket.title, 200, "bold")),
        *decide,
        pairs(rows),
        "",
        *block(ticket.body, _BODY_LINES, ""),
    ]
    if seen.resolution.strip():
        parts += ["", Text("resolution", style="bold"), *block(seen.resolution, _BODY_LINES, "  ")]
    left_out = seen.thread.left_out
    head = f"thread ({seen.thread.count} events" + (
        f", {left_out} older ones left out)" if left_out else ")"
    )
    parts += ["", Text(head, style="bold")]
    for event in seen.thread.events:
        step = (
            f"  {event.attributes.get('from', '')} -> {event.attributes.get('to', '')}"
            if event.kind == "state_changed"
            else ""
        )
        parts.append(
            Text.assemble(
                shown(moment(event.at), 40, "dim"),
                "  ",
                shown(event.author, 100, "cyan"),
                "  ",
                shown(event.kind + step, 200, "bold"),
            )
        )
        parts += block(event.text, _EVENT_LINES, "    ")
    parts += [shown(message, 300, "red") for _, message in seen.damage]
    return lines(parts)


def oddities(found: "Sequence[Oddity]") -> RenderableType:
    """Return what doctor found."""
    if not found:
        return Text("nothing is odd", style="green")
    parts: list[RenderableType] = []
    for one in found:
        line = "" if one.line is None else f", line {one.line}"
        parts.append(
            Text.assemble(shown(one.ticket, 64, "bold"), shown(f"{line}: {one.message}", 600))
        )
        if one.offer:
            parts.append(whole(shown(f"  next: {one.offer}", 300, "cyan")))
    return lines(parts)


def block(text: str, most: int, indent: str) -> list[RenderableType]:
    """Return the lines of `text`, each escaped; at most `most`."""
    rows = text.strip("\n").splitlines()
    made: list[RenderableType] = [shown(indent + row, 2000) for row in rows[:most]]
    if len(rows) > most:
        made.append(Text(f"{indent}... {len(rows) - most} more lines", style="dim"))
    return made
