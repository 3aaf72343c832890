"""What comes into a service: into its queue, and on disk ingresses into its log before the guest.

`MemoryIntake` puts events into the queue and keeps nothing. `DurableIntake` withholds an event in
the queue until its `accepted` record is committed; what the log cannot take slows reading down.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Protocol

from yoi.core.ingress_account import Offered
from yoi.core.ingress_queue import IngressQueue
from yoi.core.repeats import Repeats
from yoi.limits import Limits
from yoi.permissions.connection_settings import OnFull
from yoi.protocol.ingress import LIFECYCLE_KINDS, EventKind, IngressEvent, QueuedEvent
from yoi.protocol.service_log import (
    Accepted,
    Closed,
    Handled,
    Opened,
    Settles,
    Tried,
    accepted,
    encode,
)
from yoi.runtime.log_writer import LogWriter
from yoi.types import Clock, SessionId


class Intake(Protocol):
    """Where the events of a service arrive."""

    def offer(self, event: QueuedEvent, overflow: OnFull | None = None) -> Offered:
        """Queue `event` or say why not."""
        ...

    def answer(self, event: IngressEvent, settles: Settles) -> Offered:
        """Queue the answer to a command, which has its end with that; or say why not."""
        ...

    def opened(self, connection: str, session: SessionId) -> None:
        """A session has begun."""
        ...

    def closed(self, connection: str, session: SessionId) -> None:
        """A session is over."""
        ...

    def tried(self, events: Sequence[QueuedEvent]) -> None:
        """`events`, which wait, are about to be handed over for another attempt."""
        ...

    def attempts(self, event: QueuedEvent) -> int:
        """Return how many attempts of `event` count against it, this one included."""
        ...

    def once_taken(self, ingress: str, taken: bool, then: Callable[[], None]) -> None:
        """Call `then` when the frame just offered to `ingress` is safe; `taken`: it had room."""
        ...


class MemoryIntake:
    """Puts events into the queue; nothing of them outlives the host."""

    def __init__(self, queue: IngressQueue, repeats: Repeats, clock: Clock) -> None:
        self._queue = queue
        self._repeats = repeats
        self._clock = clock
        self.offer = self._offer_marked if repeats else queue.offer

    def _offer_marked(self, event: QueuedEvent, overflow: OnFull | None = None) -> Offered:
        now_ms = self._clock.wall_ms()
        key = self._repeats.mark(event, now_ms)
        offered = self._queue.offer(event, overflow)
        if key is not None and offered in _TAKEN:
            self._repeats.accepted(event.ingress, key, now_ms)
        return offered

    def answer(self, event: IngressEvent, settles: Settles) -> Offered:
        """Queue it; nothing waits for the end of a command."""
        return self.offer(event, OnFull.PAUSE)

    def opened(self, connection: str, session: SessionId) -> None:
        """Keep nothing of it."""

    def closed(self, connection: str, session: SessionId) -> None:
        """Keep nothing of it."""

    def tried(self, events: Sequence[QueuedEvent]) -> None:
        """Keep nothing of it."""

    def attempts(self, event: QueuedEvent) -> int:
        """Return the attempt: nothing else repeats an event."""
        return event.attempt

    def once_taken(self, ingress: str, taken: bool, then: Callable[[], None]) -> None:
        """Call `then` now: waiting would make nothing safer."""
        then()


_TAKEN = frozenset({Offered.ACCEPTED, Offered.PAUSE})
_HEAD_BYTES = 4096
_ALWAYS = frozenset({EventKind.TIMER, EventKind.RESPONSE})
"""Answers and timers of a durable service are logged on every ingress, as their commands are."""


class DurableIntake:
    """See the module docstring. `disk` names the ingresses with `durability = "disk"`."""

    def __init__(
        self,
        queue: IngressQueue,
        repeats: Repeats,
        writer: LogWriter,
        disk: Collection[str],
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._limits = limits
        self._queue = queue
        self._repeats = repeats
        self._writer = writer
        self._disk = frozenset(disk)
        self._clock = clock
        self._marks = bool(repeats)
        self._forgiven: dict[str, int] = {}
        self.any_session = False
        """Whether a session was ever opened: before, no frame can be missing."""

    def answer(self, event: IngressEvent, settles: Settles) -> Offered:
        """Queue the answer to a command; its record settles the command."""
        return self._offer(event, OnFull.PAUSE, settles)

    def offer(self, event: QueuedEvent, overflow: OnFull | None = None) -> Offered:
        """Queue `event` or say why not; it is taken once its record is committed."""
        return self._offer(event, overflow, None)

    def _offer(
        self, event: QueuedEvent, overflow: OnFull | None, settles: Settles | None
    ) -> Offered:
        if self._writer.closed:
            # Nothing could write it: the next host tells what this one did not accept.
            return Offered.REFUSED
        key = self._repeats.mark(event, self._clock.wall_ms()) if self._marks else None
        if event.ingress not in self._disk and not self.keeps(event):
            offered = self._queue.offer(event, overflow)
            if key is not None and offered in _TAKEN:
                self._repeats.accepted(event.ingress, key, self._clock.wall_ms())
            return offered
        if not self._fits(event):
            # No record can hold it: it is lost like one that finds no room, inside a gap.
            return Offered.REFUSED
        offered = self._queue.offer(event, overflow)
        if self._queue.merged is not None and event.kind in LIFECYCLE_KINDS:
            self._write_merged()
        if offered in _TAKEN:
            self.accept(event, key, settles)
            if self._writer.busy and not isinstance(event, IngressEvent):
                self._queue.account(event.ingress).paused = True
                return Offered.PAUSE
        return offered

    def _fits(self, event: QueuedEvent) -> bool:
        """Return whether a record can hold `event`; escaped, text grows to six times its size."""
        most = self._limits.journal_record_bytes
        return event.size * 6 + _HEAD_BYTES <= most or len(encode(accepted(event))) <= most

    def keeps(self, event: QueuedEvent) -> bool:
        """Return whether `event` is one that the log has."""
        return event.ingress in self._disk or event.kind in _ALWAYS

    def accept(
        self, event: QueuedEvent, key: str | None = None, settles: Settles | None = None
    ) -> None:
        """Write that the host has `event`, which waits in the queue.

        `key` is the gateway's id of it; `settles` the command that has its end with it.
        """
        now_ms = self._clock.wall_ms()
        if key is not None:
            self._repeats.accepted(event.ingress, key, now_ms)
        self._queue.withhold(event)
        fires = None
        if isinstance(event, IngressEvent) and event.kind == EventKind.TIMER:
            fires = event.payload["name"]
        self._writer.put(
            accepted(event, seen=key, settles=settles, fires=fires, at_ms=now_ms),
            partial(self._queue.admit, event),
            event.size,
        )

    def opened(self, connection: str, session: SessionId) -> None:
        """Write that a session has begun."""
        self.any_session = True
        self._writer.put(Opened(connection, session, self._clock.wall_ms()))

    def closed(self, connection: str, session: SessionId) -> None:
        """Write that a session is over."""
        self._writer.put(Closed(connection, session, self._clock.wall_ms()))

    def tried(self, events: Sequence[QueuedEvent]) -> None:
        """Write that `events` are about to be handed over; each waits for that."""
        for event in events:
            if self.keeps(event):
                self._withhold_until(event, Tried(event.event_id, event.attempt))

    def attempts(self, event: QueuedEvent) -> int:
        """Return how many attempts count: what the host itself interrupted is forgiven."""
        return event.attempt - self._forgiven.get(event.event_id, 0)

    def forgive(self, events: Sequence[QueuedEvent], attempts: int | None = None) -> None:
        """Let `attempts` of each event not count, or (None) all those before the next one."""
        for event in events:
            before = event.attempt - 1 if attempts is None else attempts
            self._forgiven[event.event_id] = self._forgiven.get(event.event_id, 0) + before

    def ended(self, event: QueuedEvent) -> None:
        """`event` has its end: nothing of it is remembered."""
        if self._forgiven:
            self._forgiven.pop(event.event_id, None)

    def once_taken(self, ingress: str, taken: bool, then: Callable[[], None]) -> None:
        """Call `then` once the frame is committed; never for one that was not accepted.

        What a gateway takes for a receipt must not be sent for a frame that a crash would cost.
        """
        if ingress not in self._disk:
            then()
        elif taken:
            self._writer.after(then)

    def _withhold_until(self, event: QueuedEvent, entry: Tried) -> None:
        self._queue.withhold(event)
        self._writer.put(entry, partial(self._queue.admit, event))

    def _write_merged(self) -> None:
        """Write what became of lifecycle events that had to make room for one another."""
        merged = self._queue.merged
        assert merged is not None
        if merged.into is not None:
            self._writer.put(self._again(merged.into), size=merged.into.size)
        for gone in merged.without:
            # The plugin hears of it through another one: that is its end.
            self._writer.put(Handled(gone.event_id, at_ms=self._clock.wall_ms()))

    def _again(self, event: IngressEvent) -> Accepted:
        """Return the record of an event that tells more than it did when it was accepted."""
        return accepted(event, at_ms=self._clock.wall_ms())
