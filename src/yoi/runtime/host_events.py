"""Queues the events that the host makes itself: a start, a timer, an answer, feedback."""

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from yoi.core.ingress_account import Offered
from yoi.core.ingress_queue import IngressQueue
from yoi.permissions.connection_settings import OnFull
from yoi.protocol.ingress import EventKind, IngressEvent
from yoi.protocol.service_log import Settles
from yoi.runtime.intake import Intake
from yoi.runtime.ledger import Ledger
from yoi.types import Clock, rfc3339_ms


class HostEvents:
    """See the module docstring. `wake` has the dispatcher look at the queue."""

    def __init__(
        self,
        queue: IngressQueue,
        intake: Intake,
        ledger: Ledger,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._intake = intake
        self._ledger = ledger
        self._clock = clock
        self._wake = wake

    def made(
        self, kind: EventKind, ingress: str, source: str, payload: dict[str, Any]
    ) -> IngressEvent:
        """Return an event of the host's making."""
        return IngressEvent(
            kind=kind,
            source=source,
            ingress_name=ingress,
            payload=payload,
            created_at=rfc3339_ms(self._clock.wall_ms()),
            correlation_id=f"host.{secrets.token_hex(8)}",
        )

    def put_first(self, events: Sequence[IngressEvent]) -> None:
        """Let a new instance hear `events` before anything that waits."""
        self._queue.put_first(events)
        self._ledger.counters.enqueued += len(events)
        self._wake()

    def offer(self, kind: EventKind, ingress: str, source: str, payload: dict[str, Any]) -> None:
        """Queue one event; without room it is counted and told to the operator.

        Nothing is queued for an ingress that is declared no more: a command may be older than that.
        """
        if ingress not in self._queue.ingresses:
            self._ledger.note(
                "notice.dropped",
                f"there is no ingress {ingress} any more for the {kind} event",
                severity="warning",
                count=1,
            )
            return
        event = self.made(kind, ingress, source, payload)
        # It waits like a frame of a paused connection: accepted, within the overdraft.
        self._count(kind, self._intake.offer(event, OnFull.PAUSE))

    def answer(self, ingress: str, source: str, payload: dict[str, Any], settles: Settles) -> None:
        """Queue the answer to a request, with which the command has its end."""
        if ingress not in self._queue.ingresses:
            return
        event = self.made(EventKind.RESPONSE, ingress, source, payload)
        self._count(EventKind.RESPONSE, self._intake.answer(event, settles))

    def _count(self, kind: EventKind, offered: Offered) -> None:
        if offered in (Offered.ACCEPTED, Offered.PAUSE):
            self._ledger.counters.enqueued += 1
        else:
            self._ledger.counters.rejected += 1
            self._ledger.note(
                "service.queue_full", f"no room for the {kind} event", severity="error"
            )
        self._wake()
