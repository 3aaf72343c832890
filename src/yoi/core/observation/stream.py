"""One stream: a ring of events, an epoch, a sequence, and the view they add up to.

Everything here is one synchronous step, so a snapshot, its position and what follows it agree.
"""

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

from yoi.limits import LIMITS, Limits
from yoi.protocol.cursors import EPOCH_BYTES, CursorFault, Position
from yoi.protocol.observation import Subject

E = TypeVar("E")


class View(Protocol[E]):
    """What events add up to."""

    def apply(self, event: E) -> None:
        """Take in the next event. Raises ProtocolMalformed when it cannot be held."""
        ...

    def snapshot(self) -> E:
        """Return the view as one event."""
        ...

    def copy(self) -> Self:
        """Return an equal view that does not change with this one."""
        ...


class Held(NamedTuple, Generic[E]):
    """An event in the ring, and its JSON."""

    event: E
    raw: bytes


class Listener(Protocol[E]):
    """Hears a stream in process, on the event loop; returns at once and never raises."""

    def published(self, seq: int, held: Held[E]) -> None:
        """Hear of one event."""
        ...

    def restarted(self, reason: str) -> None:
        """Hear that the stream began anew, for the reason of an observation code."""
        ...

    def ended(self, reason: str) -> None:
        """Hear that nothing will follow."""
        ...


class Stream(Generic[E]):
    """See the module docstring.

    `epoch` is 8 random bytes, new for each incarnation. Sequences start at 1; `head` is the last.
    The ring is bounded by count and bytes; what leaves it is folded into the view at its start.
    """

    def __init__(
        self,
        subject: Subject,
        view: View[E],
        epoch: bytes,
        limits: Limits = LIMITS,
        *,
        head: int = 0,
    ) -> None:
        self.subject = subject
        self.epoch = _checked(epoch)
        self.generation = 0
        """Grows with each new beginning; followers compare it."""
        self.version = 0
        """Grows with each event and incarnation: what was made of the stream is old then."""
        self.restart_reason = ""
        self.end_reason: str | None = None
        self.head = head
        self.oldest = head + 1
        """The first sequence that can be replayed; `head + 1` when none can."""
        self._limits = limits
        self._view = view
        self._base = view.copy()
        self._marks: dict[int, View[E]] = {}
        """The view as of some positions of the ring, oldest first, to make past states from."""
        self._ring: deque[Held[E]] = deque()
        self._ring_bytes = 0
        self._listeners: tuple[Listener[E], ...] = ()
        self._evicted: tuple[Callable[[int], None], ...] = ()

    @property
    def ring_bytes(self) -> int:
        """Return the bytes of JSON held."""
        return self._ring_bytes

    @property
    def position(self) -> Position:
        """Return the position after the last event."""
        return Position(self.epoch, self.head)

    @property
    def listeners(self) -> int:
        """Return how many hear it in process."""
        return len(self._listeners)

    def publish(self, event: E, raw: bytes) -> int:
        """Append an event and its JSON; return its sequence.

        Raises ProtocolMalformed, and then nothing has changed for any follower.
        """
        self._view.apply(event)
        held = Held(event, raw)
        self._ring.append(held)
        self._ring_bytes += len(raw)
        self.head += 1
        self.version += 1
        if self.head % self._limits.observed_mark_events == 0:
            self._marks[self.head] = self._view.copy()
        while len(self._ring) > self._limits.observed_ring_events or (
            self._ring_bytes > self._limits.observed_ring_bytes and len(self._ring) > 1
        ):
            self._evict()
        for listener in self._listeners:
            listener.published(self.head, held)
        return self.head

    def held(self, seq: int) -> Held[E]:
        """Return the event `seq`; IndexError outside the ring."""
        index = seq - self.oldest
        if index < 0:
            raise IndexError(seq)
        return self._ring[index]

    def snapshot(self) -> E:
        """Return the view as of `head`."""
        return self._view.snapshot()

    def snapshot_at(self, seq: int) -> E:
        """Return the view as of `seq`, from `oldest - 1` to `head`."""
        if seq == self.head:
            return self._view.snapshot()
        if not self.oldest - 1 <= seq <= self.head:
            raise IndexError(seq)
        mark = max((one for one in self._marks if one <= seq), default=self.oldest - 1)
        view = self._marks.get(mark, self._base).copy()
        first = self.oldest
        for held in islice(self._ring, mark - first + 1, seq - first + 1):
            view.apply(held.event)
        return view.snapshot()

    def judge(self, position: Position) -> CursorFault | None:
        """Return why nothing can be replayed after `position`, or None when all can."""
        if position.epoch != self.epoch:
            return CursorFault.EPOCH_CHANGED
        if position.seq > self.head:
            return CursorFault.FUTURE
        if position.seq < self.oldest - 1:
            return CursorFault.EXPIRED
        return None

    def restart(self, view: View[E], epoch: bytes, reason: str) -> None:
        """Begin a new incarnation with `view`; followers get `reason` and a fresh snapshot."""
        if epoch == self.epoch:
            raise ValueError("an incarnation has an epoch of its own")
        self.rebase(view, Position(epoch, 0), reason)

    def rebase(self, view: View[E], position: Position, reason: str) -> None:
        """Go on from `view` as of `position`; followers get `reason` and a fresh snapshot.

        For a copy of another stream, of which events were missed: the epoch may be the same.
        """
        epoch, head = position
        _checked(epoch)
        self._view, self._base = view, view.copy()
        self._marks.clear()
        while self._ring:
            self._drop_oldest()
        self.epoch, self.head, self.oldest = epoch, head, head + 1
        self.generation += 1
        self.version += 1
        self.restart_reason = reason
        for listener in self._listeners:
            listener.restarted(reason)

    def end(self, reason: str) -> None:
        """Say that nothing will follow, with the observation code that tells why."""
        if self.end_reason is None:
            self.end_reason = reason
            for listener in self._listeners:
                listener.ended(reason)

    def listen(self, listener: Listener[E]) -> None:
        """Let `listener` hear everything from the next event on."""
        self._listeners = (*self._listeners, listener)

    def drop(self, listener: Listener[E]) -> None:
        """Stop telling `listener`; dropping twice is harmless."""
        self._listeners = tuple(one for one in self._listeners if one is not listener)

    def on_evicted(self, forget: Callable[[int], None]) -> None:
        """Call `forget` with each sequence that leaves the ring."""
        self._evicted = (*self._evicted, forget)

    def off_evicted(self, forget: Callable[[int], None]) -> None:
        """Stop calling `forget`."""
        self._evicted = tuple(one for one in self._evicted if one != forget)

    def _evict(self) -> None:
        self._base.apply(self._ring[0].event)
        # The base is as of the event that goes; a mark of an earlier position is out of the ring.
        self._marks.pop(self.oldest - 1, None)
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        seq = self.oldest
        self._ring_bytes -= len(self._ring.popleft().raw)
        self.oldest += 1
        for forget in self._evicted:
            forget(seq)


def _checked(epoch: bytes) -> bytes:
    if len(epoch) != EPOCH_BYTES:
        raise ValueError(f"an epoch has {EPOCH_BYTES} bytes")
    return epoch
