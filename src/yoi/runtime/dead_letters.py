"""The events of one service that were given up, kept for a person to read and to replay."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from yoi.core.ingress_account import Offered
from yoi.core.ingress_queue import IngressQueue
from yoi.errors import ServiceError
from yoi.limits import LIMITS, Limits
from yoi.permissions.connection_settings import OnFull
from yoi.protocol.ingress import QueuedEvent, public
from yoi.protocol.service_log import Dead, Discarded, Entry, Replayed
from yoi.runtime.ledger import Ledger
from yoi.types import Clock, rfc3339_ms


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that was given up, and why."""

    event: QueuedEvent
    code: str
    message: str
    at_ms: int

    def to_json(self) -> dict[str, Any]:
        """Return what a person or a script reads; the event is in its public shape."""
        return {
            "event_id": self.event.event_id,
            "kind": str(self.event.kind),
            "ingress": self.event.ingress,
            "attempt": self.event.attempt,
            "code": self.code,
            "message": self.message,
            "at": rfc3339_ms(self.at_ms),
            "event": msgspec.to_builtins(public(self.event)),
        }


def _unrecorded(entry: Entry) -> None:
    """Keep nothing of it."""


class DeadLetters:
    """See the module docstring. Bounded by count and bytes: the oldest make room."""

    def __init__(self, service: str, ledger: Ledger, clock: Clock, limits: Limits = LIMITS) -> None:
        self.record: Callable[[Entry], None] = _unrecorded
        """Hears of each change: a durable service writes it down."""
        self._service = service
        self._ledger = ledger
        self._clock = clock
        self._limits = limits
        self._letters: deque[DeadLetter] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._letters)

    @property
    def letters(self) -> tuple[DeadLetter, ...]:
        """Return them, oldest first."""
        return tuple(self._letters)

    def add(self, event: QueuedEvent, code: str, message: str) -> None:
        """Keep `event`, which was given up because of `code`."""
        self._ledger.counters.dead += 1
        at_ms = self._clock.wall_ms()
        self.record(Dead(event.event_id, code, message[: self._limits.message_chars], at_ms))
        self._letters.append(DeadLetter(event, code, message, at_ms))
        self._bytes += event.size
        while len(self._letters) > 1 and (
            len(self._letters) > self._limits.dead_letters
            or self._bytes > self._limits.dead_letter_bytes
        ):
            self._make_room()
        self._ledger.note(
            "service.dead_letter",
            f"event {event.event_id} was given up after {_attempts(event.attempt)}: {message}",
            severity="error",
            hint=f"yoi service dead-letters {self._service}",
            event_id=event.event_id,
            cause=code,
        )

    def restore(self, letters: Iterable[DeadLetter]) -> None:
        """Let these be what is kept, oldest first."""
        self._letters = deque(letters)
        self._bytes = sum(letter.event.size for letter in self._letters)

    def _make_room(self) -> None:
        gone = self._letters.popleft().event
        self._bytes -= gone.size
        self.record(Discarded(gone.event_id))
        self._ledger.note(
            "service.dead_letter_dropped",
            f"the dead letter {gone.event_id} made room for a newer one",
            severity="error",
            hint=f"yoi service dead-letters {self._service}",
            event_id=gone.event_id,
        )

    def replay(self, event_id: str, queue: IngressQueue) -> None:
        """Queue the event again, as its first attempt, and forget the letter.

        Raises ServiceError and keeps the letter: `service.unknown`, `service.ingress_gone`,
        `service.queue_full`.
        """
        letter = self._letter(event_id)
        if letter.event.ingress not in queue.ingresses:
            raise ServiceError(
                "service.ingress_gone",
                f"{self._service} declares no ingress {letter.event.ingress!r} any more",
                hint=f"yoi service discard {self._service} {event_id}",
            )
        attempt, letter.event.attempt = letter.event.attempt, 1
        # A person asks for one event at a time: it is accepted whatever the ingress's policy is.
        if queue.offer(letter.event, OnFull.PAUSE) not in (Offered.ACCEPTED, Offered.PAUSE):
            letter.event.attempt = attempt
            raise ServiceError(
                "service.queue_full",
                f"the queue of {self._service} has no room for {event_id!r}",
            )
        self._forget(letter)
        self.record(Replayed(event_id))
        self._ledger.counters.enqueued += 1

    def discard(self, event_id: str) -> None:
        """Throw the letter away, as a person asks. Raises ServiceError (`service.unknown`)."""
        self._forget(self._letter(event_id))
        self.record(Discarded(event_id))

    def _forget(self, letter: DeadLetter) -> None:
        self._letters.remove(letter)
        self._bytes -= letter.event.size

    def _letter(self, event_id: str) -> DeadLetter:
        for letter in self._letters:
            if letter.event.event_id == event_id:
                return letter
        raise ServiceError(
            "service.unknown",
            f"there is no dead letter {event_id!r}",
            hint=f"yoi service dead-letters {self._service}",
        )


def _attempts(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"
