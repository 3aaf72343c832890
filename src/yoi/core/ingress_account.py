"""What one ingress may hold, what it holds, and what becomes of an event that is offered to it."""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from yoi.limits import LIMITS
from yoi.permissions import JsonPointer
from yoi.permissions.connection_settings import Dedupe, OnFull
from yoi.protocol.ingress import QueuedEvent

EVENT_OVERHEAD_BYTES = 256
"""What an event costs beside its payload; empty frames must not be free."""


class Offered(Enum):
    """What became of an offered event."""

    ACCEPTED = "accepted"
    PAUSE = "pause"
    """Accepted, and the connection must stop reading until `resumable()`."""
    COALESCED = "coalesced"
    """A lifecycle event that an event waiting already tells of."""
    DROPPED_OLDEST = "dropped_oldest"
    """Accepted; the oldest waiting payload of the ingress made room; see `dropped`."""
    REFUSED = "refused"
    """Not accepted; the event is lost and counted."""
    DISCONNECT = "disconnect"
    """Not accepted; the connection must close, and its gap be reported."""


@dataclass(frozen=True, slots=True)
class IngressPolicy:
    """How much one ingress may hold, and what happens to a frame that finds it full."""

    name: str
    overflow: OnFull = OnFull.PAUSE
    max_events: int = LIMITS.queue_events
    max_bytes: int = LIMITS.queue_bytes
    order_key: JsonPointer | None = None
    """Where the key of a frame stands that orders it among others; None: all keep their order."""
    dedupe: Dedupe | None = None
    """How a frame is known again that a gateway sends anew; None: it never is."""


class IngressAccount:
    """What one ingress holds; `depth` and `bytes` include what is in flight."""

    __slots__ = (
        "bytes", "depth", "dropped", "high_bytes", "high_events", "max_bytes", "max_events",
        "name", "overdrawn", "overflow", "paused", "waiting",
    )  # fmt: skip

    def __init__(self, policy: IngressPolicy, waiting: deque[QueuedEvent]) -> None:
        self.waiting = waiting
        """Where its events wait: among all, or in a line of its own while it is held."""
        self.name = policy.name
        self.use(policy)
        self.depth = 0
        self.bytes = 0
        self.dropped = 0
        self.paused = False
        self.overdrawn: set[str | None] = set()
        """Connections that were told to pause and have brought a frame beyond all bounds since."""

    def use(self, policy: IngressPolicy) -> None:
        """Have these bounds from now on, whatever is held."""
        self.overflow = policy.overflow
        self.max_events = policy.max_events
        self.max_bytes = policy.max_bytes
        # Frames already read when reading stops still arrive: leave half of the room for them.
        self.high_events = max(1, policy.max_events // 2)
        self.high_bytes = max(1, policy.max_bytes // 2)
