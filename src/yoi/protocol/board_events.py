"""Board events: what observers of a workspace's work items are shown.

    {"event": "ticket_changed", "data": {"id": "00001KSKBP8Z8", "state": "queued", ...}}

A board is the list of items with the end of each thread. What stands in them was written by
anybody: it is data on every screen.
"""

import msgspec

from yoi.errors import ProtocolMalformed
from yoi.limits import LIMITS
from yoi.protocol.events import Count, UnknownEvent, unknown_event


class BoardItem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One item as its files say it now."""

    id: str
    """The name of its folder."""
    title: str = ""
    state: str = ""
    """As item.md says it, known or not; empty where it cannot be read."""
    assignee: str = ""
    updated_at: str = ""
    undecided: bool = False
    """Whether it is queued by its file alone: no worker is given it."""
    damage: str = ""
    """Why item.md cannot be read."""
    thread_damage: str = ""
    """Why thread.md cannot be read."""
    events: Count = 0
    """How many events its thread has; the newest of them are entries."""
    redacted: bool = False


class BoardEntry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One event of a thread."""

    ticket: str
    number: Count
    """Its place in the thread, from 1."""
    kind: str
    author: str = ""
    at: str = ""
    step: str = ""
    """For a change of state: `FROM -> TO`."""
    text: str = ""
    cut: bool = False
    """Whether there is more text than is shown."""
    redacted: bool = False


class BoardSnapshotData(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The board as of one moment. `left_out` counts older items that are not in it."""

    items: list[BoardItem]
    entries: list[BoardEntry]
    left_out: Count = 0


class TicketName(msgspec.Struct, kw_only=True):
    """Which item."""

    id: str


class BoardCount(msgspec.Struct, kw_only=True):
    """How many older items are not shown."""

    left_out: Count


class _Event(msgspec.Struct, tag_field="event", gc=False):
    """The base of every board event."""


class BoardSnapshot(_Event, tag="board_snapshot"):
    """The board as of one moment."""

    data: BoardSnapshotData


class TicketChanged(_Event, tag="ticket_changed"):
    """An item was made or is another now; this replaces what was known of it."""

    data: BoardItem


class TicketGone(_Event, tag="ticket_gone"):
    """An item is not there any more, or newer ones have its place."""

    data: TicketName


class ThreadAdded(_Event, tag="thread_added"):
    """An event of a thread; one of the same number replaces what was known of it."""

    data: BoardEntry


class ThreadRewritten(_Event, tag="thread_rewritten"):
    """What stood in a thread was changed or taken out. What it says now follows."""

    data: TicketName


class BoardCounted(_Event, tag="board_counted"):
    """Another number of older items is not shown."""

    data: BoardCount


BoardEvent = (
    BoardSnapshot | TicketChanged | TicketGone | ThreadAdded | ThreadRewritten | BoardCounted
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[BoardEvent] = msgspec.json.Decoder(BoardEvent)


def encode_board_event(event: BoardEvent) -> bytes:
    """Return `event` as one JSON object."""
    return _encoder.encode(event)


def decode_board_event(data: bytes | str) -> BoardEvent | UnknownEvent:
    """Return the event in `data`; what this version cannot read is an UnknownEvent.

    Raises ProtocolMalformed when `data` is not a JSON object with a short text under `event`.
    """
    if len(data) > LIMITS.observed_event_bytes:
        raise ProtocolMalformed("protocol.malformed", "the event is over its bound")
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return unknown_event(data)
