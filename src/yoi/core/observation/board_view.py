"""A board's view: the items and the end of each thread, folded from its events."""

from collections import Counter

from yoi.core.observation.measure import json_bytes
from yoi.errors import ProtocolMalformed
from yoi.limits import LIMITS, Limits
from yoi.protocol.board_events import (
    BoardCounted,
    BoardEntry,
    BoardEvent,
    BoardItem,
    BoardSnapshot,
    BoardSnapshotData,
    ThreadAdded,
    ThreadRewritten,
    TicketChanged,
    TicketGone,
)
from yoi.protocol.events import UnknownEvent

_Key = tuple[str, int]


class BoardView:
    """The fold. Begin it empty or with a snapshot (`of`), then `apply` every event that follows.

    Items beyond their bounds are refused, and then nothing has changed; of entries the oldest make
    room, of one thread first.
    """

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._items: dict[str, tuple[BoardItem, int]] = {}
        self._items_bytes = 0
        self._entries: dict[_Key, tuple[BoardEntry, int]] = {}
        self._entries_bytes = 0
        self._per_ticket: Counter[str] = Counter()
        self._left_out = 0

    @classmethod
    def of(cls, snapshot: BoardSnapshot, limits: Limits = LIMITS) -> "BoardView":
        """Return the view that `snapshot` shows. Raises ProtocolMalformed beyond the bounds."""
        view = cls(limits)
        view._left_out = snapshot.data.left_out
        for item in snapshot.data.items:
            view._put(item)
        for entry in snapshot.data.entries:
            view._add(entry)
        return view

    def copy(self) -> "BoardView":
        """Return an equal view that does not change with this one."""
        other = BoardView.__new__(BoardView)
        other.__dict__.update(self.__dict__)
        other._items = dict(self._items)
        other._entries = dict(self._entries)
        other._per_ticket = Counter(self._per_ticket)
        return other

    @property
    def items(self) -> list[BoardItem]:
        """Return the items. They are shared and must not be changed."""
        return [item for item, _ in self._items.values()]

    def apply(self, event: BoardEvent | UnknownEvent) -> None:
        """Take in the next event. Raises ProtocolMalformed when it cannot be held."""
        match event:
            case TicketChanged(data):
                self._put(data)
            case TicketGone(data):
                _, size = self._items.pop(data.id, (None, 0))
                self._items_bytes -= size
                self._forget(data.id)
            case ThreadAdded(data):
                self._add(data)
            case ThreadRewritten(data):
                self._forget(data.id)
            case BoardCounted(data):
                self._left_out = data.left_out
            case BoardSnapshot():
                self.__dict__.update(BoardView.of(event, self._limits).__dict__)
            case _:
                pass

    def snapshot(self) -> BoardSnapshot:
        """Return the view as an event."""
        return BoardSnapshot(
            BoardSnapshotData(
                items=self.items,
                entries=[entry for entry, _ in self._entries.values()],
                left_out=self._left_out,
            )
        )

    def _put(self, item: BoardItem) -> None:
        size = json_bytes(item)
        _, before = self._items.get(item.id, (None, 0))
        total = self._items_bytes + size - before
        if total > self._limits.observed_aside_bytes or (
            item.id not in self._items and len(self._items) >= self._limits.board_items
        ):
            raise ProtocolMalformed("protocol.malformed", "the items are over their bound")
        self._items[item.id] = (item, size)
        self._items_bytes = total

    def _add(self, entry: BoardEntry) -> None:
        key = (entry.ticket, entry.number)
        size = json_bytes(entry)
        if key not in self._entries:
            self._per_ticket[entry.ticket] += 1
        _, before = self._entries.get(key, (None, 0))
        self._entries[key] = (entry, size)
        self._entries_bytes += size - before
        if self._per_ticket[entry.ticket] > self._limits.board_thread_entries:
            self._drop(next(one for one in self._entries if one[0] == entry.ticket))
        while (
            len(self._entries) > self._limits.board_entries
            or self._entries_bytes > self._limits.snapshot_bytes
        ):
            self._drop(next(iter(self._entries)))

    def _forget(self, ticket: str) -> None:
        if ticket in self._per_ticket:
            for key in [key for key in self._entries if key[0] == ticket]:
                self._drop(key)

    def _drop(self, key: _Key) -> None:
        _, size = self._entries.pop(key)
        self._entries_bytes -= size
        self._per_ticket[key[0]] -= 1
        if not self._per_ticket[key[0]]:
            del self._per_ticket[key[0]]
