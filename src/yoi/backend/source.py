"""What a backend knows of a runtime: an inventory, and streams that it can open.

A source of another process makes one attempt when it is asked for a stream; its upstream decides
when to ask again. The source of this process (`LocalSource`) shares its streams instead.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, Protocol

import msgspec

from yoi.core.observation import BoardView, ServiceView, View, WorkerView
from yoi.protocol.board_events import BoardSnapshot, decode_board_event, encode_board_event
from yoi.protocol.cursors import Position
from yoi.protocol.events import Snapshot, decode_event, encode_event
from yoi.protocol.moves import MoveReport
from yoi.protocol.observation import Subject, SubjectKind
from yoi.protocol.service_events import (
    ServiceSnapshot,
    decode_service_event,
    encode_service_event,
)


@dataclass(frozen=True, slots=True)
class Resume:
    """Where to go on: `cursor` is the runtime's own for the position `at`."""

    at: Position
    cursor: str


class LossKind(Enum):
    """How an attempt ended."""

    UNREACHABLE = "unreachable"
    """Nothing came of it, or what was there is gone; asking again may help."""
    REFUSED = "refused"
    """The runtime does not let this backend in."""
    NOT_FOUND = "not_found"
    """The runtime has no such subject."""
    ENDED = "ended"
    """The runtime says that nothing will ever follow."""
    MALFORMED = "malformed"
    """The runtime sent what cannot be read."""
    CURSOR = "cursor"
    """The runtime does not take the cursor at all; ask without one."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Why an attempt ended, in words of ours: nothing a runtime or a socket said is in it."""

    kind: LossKind
    retry_after_ms: int | None = None


class Sink(Protocol):
    """Hears one attempt, on the event loop; returns at once.

    First `snapshot` or `resumed`; then events, `caught_up` once they are live, and snapshots where
    the runtime begins anew. A method raises ProtocolMalformed for what cannot be; the source then
    says `lost` with MALFORMED. `lost` is the last call, and comes unless the link was closed.
    """

    def snapshot(self, at: Position, cursor: str, event: Any) -> None:
        """Hear of all state as of `at`."""
        ...

    def resumed(self) -> None:
        """Hear that exactly what follows the position asked for comes next."""
        ...

    def event(self, at: Position, cursor: str, event: Any, raw: bytes) -> None:
        """Hear of one event and its JSON."""
        ...

    def caught_up(self) -> None:
        """Hear that what comes next is live."""
        ...

    def lost(self, loss: Loss) -> None:
        """Hear that this attempt is over."""
        ...


class Link(Protocol):
    """One attempt under way."""

    def close(self) -> None:
        """Give it up: nothing is called any more. Closing twice is harmless."""
        ...


class Availability(StrEnum):
    """Whether a runtime answers."""

    AVAILABLE = "available"
    UNAVAILABLE = "unavailable"
    CONNECTING = "connecting"


class WorkerSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One worker as a list shows it."""

    id: str
    machine: str = ""
    """Which of several machines has it."""
    moves: list[MoveReport] = []
    """Its last moves between machines, newest last."""
    moved: int = 0
    """How often it has moved in all."""
    status: str = ""
    engine: str = ""
    waiting: int = 0
    approvals: int = 0
    approval_since: str | None = None
    """Since when the oldest of them waits."""
    last_error: str | None = None
    last_error_at: str | None = None


class ServiceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One service as a list shows it."""

    id: str
    machine: str = ""
    """Which of several machines has it."""
    moves: list[MoveReport] = []
    """Its last moves between machines, newest last."""
    moved: int = 0
    """How often it has moved in all."""
    lifecycle: str = ""
    health: str = ""
    reference: str = ""
    connections: int = 0
    open: int = 0
    down_since: str | None = None
    next_dial_at: str | None = None
    frames_in: int = 0
    frames_out: int = 0
    last_frame_at: str | None = None
    queue_depth: int = 0
    dead_letters: int = 0
    last_error: str | None = None
    last_error_at: str | None = None


class BoardSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The work items of a workspace as a list shows them: how many there are in which state."""

    id: str
    machine: str = ""
    """Whose folder they are in, where there are several machines."""
    items: int = 0
    queued: int = 0
    inprogress: int = 0
    undecided: int = 0
    """Queued by their files alone."""
    damaged: int = 0


Summary = WorkerSummary | ServiceSummary | BoardSummary


class Inventory(msgspec.Struct, frozen=True):
    """What a runtime has, as last heard."""

    workers: list[WorkerSummary] = []
    services: list[ServiceSummary] = []
    boards: list[BoardSummary] = []

    def of(self, kind: SubjectKind) -> Sequence[Summary]:
        """Return what there is of one kind."""
        found: dict[SubjectKind, Sequence[Summary]] = {
            SubjectKind.WORKER: self.workers,
            SubjectKind.SERVICE: self.services,
            SubjectKind.BOARD: self.boards,
        }
        return found[kind]


class Source(Protocol):
    """One runtime, wherever it runs."""

    @property
    def runtime_id(self) -> str:
        """Return the operator's name for it; the only one that clients ever hear."""
        ...

    @property
    def availability(self) -> Availability:
        """Return whether it answers."""
        ...

    @property
    def since_ms(self) -> int:
        """Return since when, in milliseconds since 1970."""
        ...

    @property
    def inventory(self) -> Inventory:
        """Return what it had when it was last heard of."""
        ...

    async def start(self) -> None:
        """Begin to ask for the inventory. Does not wait for an answer."""
        ...

    async def close(self) -> None:
        """Stop; every link is closed before."""
        ...


class RemoteStreams(Source, Protocol):
    """One runtime whose streams come in attempts, each of which may end."""

    def open(self, subject: Subject, sink: Sink, resume: Resume | None) -> Link:
        """Begin one attempt at the stream of `subject`. Nothing is called before this returns."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """How the events of one kind of subject are read, folded and written."""

    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    view: Callable[[Any], View[Any]]
    snapshot: type
    not_found: str


KINDS: dict[SubjectKind, Kind] = {
    SubjectKind.WORKER: Kind(
        decode_event, encode_event, WorkerView.of, Snapshot, "worker_not_found"
    ),
    SubjectKind.SERVICE: Kind(
        decode_service_event,
        encode_service_event,
        ServiceView.of,
        ServiceSnapshot,
        "service_not_found",
    ),
    SubjectKind.BOARD: Kind(
        decode_board_event, encode_board_event, BoardView.of, BoardSnapshot, "board_not_found"
    ),
}


@dataclass(slots=True)
class Standing:
    """Whether a runtime answers, and since when: what both kinds of sources keep."""

    now_ms: Callable[[], int]
    availability: Availability = Availability.CONNECTING
    since_ms: int = field(default=0)

    def __post_init__(self) -> None:
        self.since_ms = self.now_ms()

    def becomes(self, availability: Availability) -> None:
        """Note the present state."""
        if availability is not self.availability:
            self.availability, self.since_ms = availability, self.now_ms()
