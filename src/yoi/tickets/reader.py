"""What the files of a workspace's items say: `.yoi/tickets/`. Everything blocks, and reads anew."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from yoi.errors import TicketError
from yoi.limits import Limits
from yoi.tickets.files import is_folder, read_bytes, read_start, read_text
from yoi.tickets.front_matter import parse_front_matter, parse_head
from yoi.tickets.ids import LENGTH, TicketId, is_id, parse_id
from yoi.tickets.relations import Linked, Relation, RelationGraph, parse_relations
from yoi.tickets.thread import Thread, parse_thread
from yoi.tickets.ticket import Damaged, Ticket, state_of

ITEM, THREAD, RESOLUTION = "item.md", "thread.md", "resolution.md"
ARTIFACTS = "artifacts"
RELATIONS = f"{ARTIFACTS}/relations.json"
_HEAD_ROOM = 64
"""Bytes for the two fences of a head."""


class TicketReader:
    """See the module docstring. A damaged item keeps no other from being read."""

    def __init__(self, workspace: Path, limits: Limits) -> None:
        self.root = workspace / ".yoi" / "tickets"
        self._limits = limits

    def listing(self) -> list[Ticket | Damaged]:
        """Return every item, oldest first; those that cannot be read as `Damaged`."""
        return self.each(self.names())

    def each(self, names: Iterable[str]) -> list[Ticket | Damaged]:
        """Return the items called `names`; those that cannot be read as `Damaged`."""
        return [self._try(name) for name in names]

    def state(self, name: str) -> str | None:
        """Return an item's state from the head of its item.md; None where that cannot be read."""
        try:
            path = self.folder(parse_id(name)) / ITEM
            head = read_start(path, self._limits.ticket_front_matter_bytes + _HEAD_ROOM)
            return None if head is None else state_of(parse_head(head))
        except TicketError:
            return None

    def ticket(self, name: str) -> Ticket:
        """Return one item; raises TicketError: `ticket.id`, `ticket.unknown`, or its damage."""
        ticket = parse_id(name)
        folder = self.folder(ticket)
        text = read_text(folder / ITEM, self._limits.ticket_item_bytes)
        if text is None:
            raise TicketError(
                "ticket.unknown", f"there is no ticket {ticket}", hint="yoi ticket list"
            )
        return self.parsed(ticket, text)

    def thread(self, ticket: TicketId, most: int | None = None) -> Thread:
        """Return the item's thread, its last `most` events (None: all); empty where it has none."""
        path = self.folder(ticket) / THREAD
        return parse_thread(read_text(path, self._limits.ticket_thread_bytes) or "", most)

    def resolution(self, ticket: TicketId) -> str:
        """Return the item's resolution; empty where there is none."""
        path = self.folder(ticket) / RESOLUTION
        return read_text(path, self._limits.ticket_item_bytes) or ""

    def relations(self, ticket: TicketId) -> Linked:
        """Return what the files of all items say of this one; damaged files say nothing."""
        return self.graph().of(ticket)

    def graph(self) -> RelationGraph:
        """Return what the files of all items say of each other; damaged files say nothing.

        Raises TicketError (`ticket.bounds`) where there are too many relations.
        """
        return RelationGraph(self._all_relations())

    def own_relations(self, ticket: TicketId) -> tuple[Relation, ...]:
        """Return the relations in the item's own file. Raises TicketError where it is damaged."""
        if not is_folder(self.folder(ticket) / ARTIFACTS):
            return ()
        path = self.folder(ticket) / RELATIONS
        data = read_bytes(path, self._limits.ticket_relations_bytes)
        return () if data is None else parse_relations(data)

    def artifacts(self, ticket: TicketId) -> list[str]:
        """Return the names of the files in the item's artifacts folder, sorted.

        Raises TicketError where it is a link, or cannot be read.
        """
        folder = self.folder(ticket) / ARTIFACTS
        if not is_folder(folder):
            return []
        try:
            with os.scandir(folder) as entries:
                return sorted(one.name for one in entries)[: self._limits.ticket_relations]
        except OSError as exc:
            raise TicketError("ticket.file", f"{ARTIFACTS}: {exc.strerror}") from None

    def names(self) -> list[str]:
        """Return the names of all items' folders, oldest first; they may be no ids."""
        try:
            with os.scandir(self.root) as entries:
                names = [one.name for one in entries if _may_be_item(one)]
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise TicketError("ticket.file", f"{self.root}: {exc.strerror}") from None
        # What is no id comes first, as if it were older: it takes the room of no item.
        names.sort(key=lambda name: (is_id(name), name))
        return names[-self._limits.tickets :]

    def thread_bytes(self, ticket: TicketId) -> bytes:
        """Return the item's thread.md as it is; empty where there is none. Raises TicketError."""
        path = self.folder(ticket) / THREAD
        return read_bytes(path, self._limits.ticket_thread_bytes) or b""

    def signature(self, name: str, file: str = ITEM) -> object:
        """Return what is another when a file of an item has changed, without reading it.

        None where it is not there; else the first of the values is when it changed.
        """
        try:
            found = (self.root / name / file).lstat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino

    def blockers(
        self, ticket: TicketId, among: RelationGraph | None = None
    ) -> tuple[tuple[str, str | None], ...]:
        """Return what the item depends on, with its state; None where that item is not here.

        `among` is a graph that was read already.
        """
        graph = self.graph() if among is None else among
        return tuple((name, self._state_of(name)) for name in graph.depends_on(ticket))

    def parsed(self, ticket: TicketId, text: str) -> Ticket:
        """Return the item of which item.md says `text`. Raises TicketError."""
        resolution = self.resolution(ticket)
        digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        return Ticket(ticket, parse_front_matter(text), bool(resolution.strip()), digest)

    def folder(self, ticket: TicketId) -> Path:
        """Return where the item is. Raises TicketError where there is none, or it is a link."""
        folder = self.root / ticket
        if not is_folder(folder):
            raise TicketError(
                "ticket.unknown", f"there is no ticket {ticket}", hint="yoi ticket list"
            )
        return folder

    def _try(self, name: str) -> Ticket | Damaged:
        try:
            return self.ticket(name)
        except TicketError as exc:
            return Damaged(name, exc.code, exc.message, exc.fields.get("line"))

    def _state_of(self, name: str) -> str | None:
        """Return the state of another item; None where it is not here or cannot be read."""
        if len(name) != LENGTH:
            return None
        found = self._try(name)
        return found.state if isinstance(found, Ticket) else None

    def _all_relations(self) -> Iterator[Relation]:
        count = 0
        for name in self.names():
            try:
                found = self.own_relations(parse_id(name))
            except TicketError:
                continue
            count += len(found)
            if count > self._limits.ticket_relations_all:
                raise TicketError(
                    "ticket.bounds",
                    f"the items have more than {self._limits.ticket_relations_all} relations",
                )
            yield from found


def _may_be_item(entry: "os.DirEntry[str]") -> bool:
    """Return whether this is an item, or what should be one: a README beside them is not."""
    if entry.name.startswith("."):
        return False
    return is_id(entry.name) or not entry.is_file(follow_symlinks=False)
