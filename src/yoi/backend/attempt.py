"""What a runtime says in one attempt, checked against its own numbers and our bounds."""

from typing import Any, Protocol

from yoi.backend.source import Loss, Resume
from yoi.core.observation.measure import on_one_line
from yoi.errors import ProtocolMalformed
from yoi.limits import Limits
from yoi.protocol.cursors import Position


class AttemptOwner(Protocol):
    """The upstream that made an attempt. `Attempt` has checked what it is told."""

    @property
    def limits(self) -> Limits:
        """Return the bounds in force."""
        ...

    def current(self, attempt: "Attempt") -> bool:
        """Return whether `attempt` is still the one that counts."""
        ...

    def heard_snapshot(self, at: Position, cursor: str, event: Any) -> None:
        """Take in all state as of `at`."""
        ...

    def heard_resumed(self) -> None:
        """Note that what follows the position asked for comes next."""
        ...

    def heard_event(self, at: Position, cursor: str, event: Any, raw: bytes) -> None:
        """Take in the next event."""
        ...

    def heard_live(self) -> None:
        """Note that the replay is over."""
        ...

    def heard_loss(self, loss: Loss) -> None:
        """Note that the attempt is over."""
        ...

    def count_repeat(self) -> None:
        """Count an event that was dropped because it came before."""
        ...


class Attempt:
    """A `yoi.backend.source.Sink`; it is heard only while it is its owner's current one."""

    def __init__(self, owner: AttemptOwner, resume: Resume | None) -> None:
        self._owner = owner
        self._resume = resume
        self._at: Position | None = None

    def snapshot(self, at: Position, cursor: str, event: Any) -> None:
        """Hear of all state as of `at`."""
        if self._owner.current(self):
            self._owner.heard_snapshot(at, cursor, event)
            self._at = at

    def resumed(self) -> None:
        """Hear that what follows the position asked for comes next."""
        if not self._owner.current(self):
            return
        if self._resume is None or self._at is not None:
            raise ProtocolMalformed("protocol.malformed", "resumed, but nothing was asked for")
        self._at = self._resume.at
        self._owner.heard_resumed()

    def event(self, at: Position, cursor: str, event: Any, raw: bytes) -> None:
        """Hear of one event; a repeated one is dropped, a gap is a fault."""
        owner = self._owner
        if not owner.current(self):
            return
        if self._at is None or at.epoch != self._at.epoch or at.seq > self._at.seq + 1:
            raise ProtocolMalformed("protocol.malformed", "an event that cannot come next")
        if at.seq <= self._at.seq:
            owner.count_repeat()
            return
        owner.heard_event(at, cursor, event, on_one_line(raw, owner.limits))
        self._at = at

    def caught_up(self) -> None:
        """Hear that what comes next is live."""
        if self._owner.current(self):
            self._owner.heard_live()

    def lost(self, loss: Loss) -> None:
        """Hear that this attempt is over."""
        if self._owner.current(self):
            self._owner.heard_loss(loss)
