"""What `yoi watch tickets` prints: the items with their states, then what happens to them."""

from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from yoi.cli.layout import lines, moment, table
from yoi.cli.output import Output, console, shown
from yoi.cli.ticket_view import STYLES, block
from yoi.display import shell_word
from yoi.protocol.board_events import (
    BoardEntry,
    BoardItem,
    BoardSnapshot,
    ThreadAdded,
    ThreadRewritten,
    TicketChanged,
    TicketGone,
)
from yoi.tickets.ids import is_id

_RECENT = 10
"""Thread events of a first snapshot that are printed; more is what `yoi ticket show` is for."""
_TEXT_LINES = 12


class BoardContent:
    """The work items: a table, the last events of their threads, then each change as a line."""

    def __init__(self, output: Output, name: str) -> None:
        self._output = output
        self._name = name
        self._items: dict[str, BoardItem] = {}

    def begin(self, event: BoardSnapshot) -> None:
        """Print the items and what happened last."""
        data = event.data
        self._items = {one.id: one for one in data.items}
        console().print(overview(data.items, data.left_out), crop=False)
        for entry in data.entries[-_RECENT:]:
            self._entry(entry)

    def hear(self, event: Any) -> None:
        """Print one event."""
        match event:
            case TicketChanged(data):
                before, self._items[data.id] = self._items.get(data.id), data
                if before is None or _told(before) != _told(data):
                    self._print(_changed(before, data))
            case TicketGone(data):
                self._items.pop(data.id, None)
                self._print(Text.assemble(shown(data.id, 64, "bold"), "  is gone"))
            case ThreadAdded(data):
                self._entry(data)
            case ThreadRewritten(data):
                words = "  its thread was rewritten: what stood there is changed or gone"
                self._print(Text.assemble(shown(data.id, 64, "bold"), Text(words, style="red")))
            case _:
                pass

    def settle(self) -> None:
        """Do nothing: no line is left open."""

    def _entry(self, entry: BoardEntry) -> None:
        head = Text.assemble(
            shown(moment(entry.at), 40, "dim"),
            "  ",
            shown(entry.ticket, 64, "bold"),
            "  ",
            shown(entry.author, 100, "cyan"),
            "  ",
            shown(f"{entry.kind}  {entry.step}".rstrip(), 200, "bold"),
        )
        self._print(head)
        if entry.redacted:
            self._print(shown("    what was said is withheld", style="dim"))
        for row in block(entry.text, _TEXT_LINES, "    "):
            console().print(row, soft_wrap=True, crop=False)
        if entry.cut and is_id(entry.ticket):  # a backend elsewhere may say anything
            self._print(
                shown(f"    ... more: yoi ticket show {shell_word(entry.ticket)}", 200, "dim")
            )

    def _print(self, line: Text) -> None:
        console().print(line, soft_wrap=True, crop=False)


def overview(items: Sequence[BoardItem], left_out: int) -> RenderableType:
    """Return one row per item, newest last."""
    if not items:
        return Text("no tickets")
    made = table("id", "state", "updated", "assignee", "title")
    for one in sorted(items, key=lambda one: one.id):
        made.add_row(
            shown(one.id, 64),
            _state(one),
            shown(moment(one.updated_at), 40),
            shown(one.assignee, 64),
            _title(one),
        )
    parts: list[RenderableType] = [made]
    if left_out:
        parts.append(Text(f"  {left_out} older ones are not shown", style="dim"))
    return lines(parts)


def _changed(before: BoardItem | None, item: BoardItem) -> Text:
    words = [shown(item.id, 64, "bold"), Text("  "), _state(item), Text("  ")]
    if before is None:
        words.append(Text("new  ", style="dim"))
    elif before.state != item.state:
        words.append(shown(f"was {before.state or 'damaged'}  ", 64, "dim"))
    if item.assignee:
        words += [shown(item.assignee, 64, "cyan"), Text("  ")]
    words.append(_title(item))
    return Text.assemble(*words)


def _told(item: BoardItem) -> tuple[object, ...]:
    """Return what a line is printed for where it changes; a thread's events have lines already."""
    trouble = (item.damage, item.thread_damage)
    return (item.state, item.title, item.assignee, item.undecided, *trouble)


def _title(item: BoardItem) -> Text:
    trouble = item.damage or item.thread_damage
    made = shown(item.title, 200)
    if item.redacted:
        made = shown("(withheld)", style="dim")
    if trouble:
        made = Text.assemble(made, "  " if made else "", shown(trouble, 200, "red"))
    return made


def _state(item: BoardItem) -> Text:
    if item.damage or (not item.state and not item.redacted):
        return Text("damaged", style="bold red")
    if item.undecided:
        return Text(f"{item.state}, not in force", style="bold yellow")
    return shown(item.state, 32, STYLES.get(item.state, ""))
