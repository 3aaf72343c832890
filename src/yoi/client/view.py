"""The state that a stream adds up to, folded as the servers fold it (core/observation)."""

from typing import Protocol

from yoi.client.values import Event, Snapshot
from yoi.core.observation import BoardView, ServiceView, WorkerView
from yoi.limits import LIMITS, Limits
from yoi.protocol import events as ev
from yoi.protocol.board_events import BoardSnapshot
from yoi.protocol.service_events import ServiceSnapshot


class View(Protocol):
    """Takes in what a stream brings. May raise ProtocolMalformed: then it is not handed out."""

    def begin(self, snapshot: Snapshot) -> None:
        """Replace everything."""
        ...

    def apply(self, event: Event) -> None:
        """Take in the next event."""
        ...

    def snapshot(self) -> ev.Snapshot | ServiceSnapshot | BoardSnapshot | None:
        """Return the state, or None where it is not known."""
        ...


class NoView:
    """Keeps nothing: for those who fold themselves."""

    def begin(self, snapshot: Snapshot) -> None:
        """Do nothing."""

    def apply(self, event: Event) -> None:
        """Do nothing."""

    def snapshot(self) -> None:
        """Return None."""


class FoldedView:
    """The view of a worker, a service or a board, whichever its first snapshot is of."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._fold: WorkerView | ServiceView | BoardView | None = None

    def begin(self, snapshot: Snapshot) -> None:
        """Replace everything."""
        event = snapshot.event
        if isinstance(event, ServiceSnapshot):
            self._fold = ServiceView.of(event, self._limits)
        elif isinstance(event, BoardSnapshot):
            self._fold = BoardView.of(event, self._limits)
        else:
            self._fold = WorkerView.of(event, self._limits)

    def apply(self, event: Event) -> None:
        """Take in the next event; before a first snapshot there is nothing to add it to."""
        if self._fold is not None:
            self._fold.apply(event.event)  # type: ignore[arg-type]  # of one subject, one kind

    def snapshot(self) -> ev.Snapshot | ServiceSnapshot | BoardSnapshot | None:
        """Return the state, or None before a first snapshot: a resumed watch has its own."""
        return None if self._fold is None else self._fold.snapshot()
