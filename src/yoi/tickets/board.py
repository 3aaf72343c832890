"""Notices what changes in the work items of a workspace, whoever changes their files.

A look costs a few `stat` calls an item; only files that changed are read. A thread is only ever
added to: where what stood in it is another, that is said.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from msgspec import structs

from yoi.core.ticket_states import TicketState
from yoi.display import printable
from yoi.errors import TicketError, TrustError
from yoi.limits import Limits
from yoi.protocol.board_events import (
    BoardCount,
    BoardCounted,
    BoardEntry,
    BoardEvent,
    BoardItem,
    ThreadAdded,
    ThreadRewritten,
    TicketChanged,
    TicketGone,
    TicketName,
)
from yoi.tickets.ids import parse_id
from yoi.tickets.reader import ITEM, RESOLUTION, THREAD, TicketReader
from yoi.tickets.thread import Thread, ThreadEvent, parse_thread

_STATE_CHARS, _NAME_CHARS, _WHY_CHARS = 32, 64, 120


@dataclass(frozen=True, slots=True)
class _Item:
    """What was read of an item.md, and what tells whether it changes."""

    signature: object
    row: BoardItem
    digest: str


@dataclass(frozen=True, slots=True)
class _Thread:
    """What was read of a thread.md: enough to see whether it was only added to."""

    signature: object
    size: int = 0
    digest: bytes = hashlib.sha256().digest()
    count: int = 0
    last: BoardEntry | None = None
    damage: str = ""


@dataclass(frozen=True, slots=True)
class _Known:
    item: _Item
    thread: _Thread
    row: BoardItem
    """What observers were told last."""


class BoardReader:
    """Looks at the items of `store`. Every method blocks; one at a time.

    `queued` returns what this account queued, by id with its digest, None where the files' word
    counts.
    """

    def __init__(
        self, store: TicketReader, queued: Callable[[], Mapping[str, str] | None], limits: Limits
    ) -> None:
        self._store = store
        self._queued = queued
        self._limits = limits
        self._known: dict[str, _Known] = {}
        self._doubtful: set[tuple[str, str]] = set()
        """What looked damaged or rewritten at the last look: it may only be half written."""
        self._left_out = 0

    def look(self) -> list[BoardEvent]:
        """Return what changed since the last look, in order. Raises TicketError."""
        names = self._store.names()
        left_out = max(0, len(names) - self._limits.board_items)
        names = names[left_out:]
        found: list[BoardEvent] = []
        if left_out != self._left_out:
            self._left_out = left_out
            found.append(BoardCounted(BoardCount(left_out=left_out)))
        for name in self._known.keys() - set(names):
            del self._known[name]
            found.append(TicketGone(TicketName(id=printable(name, _NAME_CHARS))))
        queued = self._decided()
        doubted, self._doubtful = self._doubtful, set()
        # What changed last comes last: where entries are too many, older ones make room.
        signed = [(self._store.signature(name, THREAD), name) for name in names]
        for signature, name in sorted(signed, key=_changed_at):
            found += self._looked_at(name, signature, queued, doubted)
        return found

    def _decided(self) -> Mapping[str, str] | None:
        try:
            return self._queued()
        except TrustError:
            return {}

    def _looked_at(
        self,
        name: str,
        thread_signature: object,
        queued: Mapping[str, str] | None,
        doubted: set[tuple[str, str]],
    ) -> Iterator[BoardEvent]:
        known = self._known.get(name)
        signature = (self._store.signature(name), self._store.signature(name, RESOLUTION))
        item = None if known is None else known.item
        if item is None or item.signature != signature:
            fresh = self._item(name, signature)
            if item is None or not self._doubts(bool(fresh.row.damage), (name, ITEM), doubted):
                item = fresh
        shown = item.row.id
        thread, entries = (known.thread if known else _Thread(None)), list[BoardEvent]()
        if thread.signature != thread_signature:
            thread, entries = self._thread(name, shown, thread_signature, thread, doubted)
        undecided = (
            item.row.state == TicketState.QUEUED
            and queued is not None
            and queued.get(name) != item.digest
        )
        row = structs.replace(
            item.row, undecided=undecided, thread_damage=thread.damage, events=thread.count
        )
        self._known[name] = _Known(item, thread, row)
        changed = [TicketChanged(row)] if known is None or row != known.row else []
        # An item's first row comes before what stands in its thread, a later one after it.
        yield from [*changed, *entries] if known is None else [*entries, *changed]

    def _doubts(self, doubtful: bool, what: tuple[str, str], doubted: set[tuple[str, str]]) -> bool:
        """Return whether to look once more before this is told: a file may be half written."""
        if not doubtful or what in doubted:
            return False
        self._doubtful.add(what)
        return True

    def _item(self, name: str, signature: object) -> _Item:
        shown = printable(name, _NAME_CHARS)
        try:
            ticket = self._store.ticket(name)
        except TicketError as exc:
            return _Item(signature, BoardItem(id=shown, damage=_line(exc.message)), "")
        row = BoardItem(
            id=shown,
            title=printable(ticket.title, self._limits.ticket_title_chars),
            state=printable(ticket.state, _STATE_CHARS),
            assignee=printable(ticket.text("assignee"), _NAME_CHARS),
            updated_at=printable(ticket.text("updated_at"), _NAME_CHARS),
        )
        return _Item(signature, row, ticket.digest)

    def _thread(
        self,
        name: str,
        shown: str,
        signature: object,
        known: _Thread,
        doubted: set[tuple[str, str]],
    ) -> tuple[_Thread, list[BoardEvent]]:
        try:
            data = self._store.thread_bytes(parse_id(name))
            text = data.decode()
        except TicketError as exc:
            return replace(known, signature=signature, damage=_line(exc.message)), []
        except UnicodeDecodeError:
            damage = "thread.md is not UTF-8 text"
            return replace(known, signature=signature, damage=damage), []
        seen = hashlib.sha256(memoryview(data)[: known.size])
        grown = seen.digest() == known.digest
        if self._doubts(not grown, (name, THREAD), doubted):
            return known, []
        read = parse_thread(text, self._limits.board_thread_entries)
        entries = self._entries(shown, read)
        found: list[BoardEvent] = []
        if grown:
            entries_told = [
                one
                for one in entries
                if one.number > known.count or (one.number == known.count and one != known.last)
            ]
        else:
            found.append(ThreadRewritten(TicketName(id=shown)))
            entries_told = entries
        found += map(ThreadAdded, entries_told)
        seen.update(memoryview(data)[known.size :])
        now = _Thread(
            signature,
            len(data),
            seen.digest(),
            read.count,
            entries[-1] if entries else None,
            _line(f"thread.md, line {read.damage[0][0]}: {read.damage[0][1]}")
            if read.damage
            else "",
        )
        return now, found

    def _entries(self, shown: str, thread: Thread) -> list[BoardEntry]:
        return [
            self._entry(shown, number, event)
            for number, event in enumerate(thread.events, thread.left_out + 1)
        ]

    def _entry(self, shown: str, number: int, event: ThreadEvent) -> BoardEntry:
        text = event.text.encode()
        cut = len(text) > self._limits.board_text_bytes
        said = text[: self._limits.board_text_bytes].decode(errors="ignore") if cut else event.text
        steps = event.attributes if event.kind == "state_changed" else {}
        return BoardEntry(
            ticket=shown,
            number=number,
            kind=event.kind,
            author=printable(event.author, _NAME_CHARS),
            at=printable(event.at, _NAME_CHARS),
            step=printable(f"{steps.get('from', '')} -> {steps.get('to', '')}", 2 * _STATE_CHARS)
            if steps
            else "",
            text=said,
            cut=cut,
        )


def _line(message: str) -> str:
    return printable(message, _WHY_CHARS)


def _changed_at(signed: tuple[object, str]) -> tuple[int, str]:
    signature, name = signed
    return (signature[0] if isinstance(signature, tuple) else 0), name
