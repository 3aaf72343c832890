"""The bounded ingress queue of one plugin: what waits, what is being handled, what had to go.

One queue per plugin instance keeps the order in which things happened. Each ingress is a lane with
its own bounds and overflow policy, so a noisy ingress cannot use another's room. Lifecycle events
(open, close, gap, ...) have reserved room and are never dropped for payload.

    offer() ──▶ waiting ──take()──▶ in flight ──settle()──▶ gone
                   ▲                    │
                   └──────give_back()───┘        (a failed or unreached event, at the front)
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from yoi.limits import LIMITS, Limits
from yoi.protocol.ingress import (
    FEEDBACK_KINDS,
    LIFECYCLE_KINDS,
    IngressEvent,
    QueuedEvent,
    TextFrame,
)

EVENT_OVERHEAD_BYTES = 256
"""What an event costs beside its payload; empty frames must not be free."""


class Overflow(StrEnum):
    """What happens to a frame that finds its lane full."""

    PAUSE = "pause"
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    DISCONNECT = "disconnect"


class Offered(Enum):
    """What became of an offered event."""

    ACCEPTED = "accepted"
    PAUSE = "pause"
    """Accepted, and the connection must stop reading until `resumable()`."""
    DROPPED_OLDEST = "dropped_oldest"
    """Accepted; the oldest waiting payload of the lane made room (see `Lane.dropped`)."""
    REFUSED = "refused"
    """Not accepted; the event is lost and counted."""
    DISCONNECT = "disconnect"
    """Not accepted; the connection must close, and its gap be reported."""


@dataclass(slots=True)
class Lane:
    """One ingress: bounds, policy and account. `depth` and `bytes` include what is in flight."""

    name: str
    overflow: Overflow = Overflow.PAUSE
    max_events: int = LIMITS.queue_events
    max_bytes: int = LIMITS.queue_bytes
    depth: int = 0
    bytes: int = 0
    dropped: int = 0
    paused: bool = False
    high_events: int = field(init=False)
    high_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        # Frames already read when reading stops still arrive: leave half of the room for them.
        self.high_events = max(1, self.max_events // 2)
        self.high_bytes = max(1, self.max_bytes // 2)


class IngressQueue:
    """See the module docstring. Not thread-safe: it belongs to the event loop."""

    def __init__(self, lanes: Sequence[Lane], limits: Limits = LIMITS) -> None:
        self._lanes = {lane.name: lane for lane in lanes}
        self._limits = limits
        self._waiting: deque[QueuedEvent] = deque()
        self._in_flight: list[QueuedEvent] = []
        self._lifecycle = 0
        self.evicted = 0
        """How many frames the last `DROPPED_OLDEST` cost."""
        self._overdraft = limits.queue_overdraft_bytes

    @property
    def depth(self) -> int:
        """Return the number of events waiting or in flight."""
        return len(self._waiting) + len(self._in_flight)

    @property
    def bytes(self) -> int:
        """Return the bytes held by waiting and in-flight events, overhead included."""
        return sum(lane.bytes for lane in self._lanes.values())

    @property
    def waiting(self) -> int:
        """Return the number of events not yet taken."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Return whether events have been taken and not yet settled."""
        return bool(self._in_flight)

    @property
    def capacity(self) -> tuple[int, int]:
        """Return the bounds as (events, bytes), summed over the lanes."""
        lanes = self._lanes.values()
        return sum(lane.max_events for lane in lanes), sum(lane.max_bytes for lane in lanes)

    def lane(self, name: str) -> Lane:
        """Return the lane called `name`; KeyError is a defect of the caller."""
        return self._lanes[name]

    def offer(self, event: QueuedEvent, overflow: Overflow | None = None) -> Offered:
        """Queue `event` or say why not; `overflow` is a connection's own policy.

        A lifecycle event is accepted while its reserved room lasts, whatever the lane holds.
        """
        lane = self._lanes[event.ingress]
        if isinstance(event, IngressEvent) and event.kind in LIFECYCLE_KINDS:
            return self._offer_lifecycle(event, lane)
        cost = event.size + EVENT_OVERHEAD_BYTES
        depth, used = lane.depth + 1, lane.bytes + cost
        if depth <= lane.high_events and used <= lane.high_bytes:
            lane.depth, lane.bytes = depth, used
            self._waiting.append(event)
            return Offered.ACCEPTED
        policy = overflow or lane.overflow
        if policy is Overflow.PAUSE:
            if used > lane.max_bytes + self._overdraft:
                lane.dropped += 1
                return Offered.DISCONNECT
            lane.paused = True
            self._admit(event, lane, cost)
            return Offered.PAUSE
        if depth <= lane.max_events and used <= lane.max_bytes:
            self._admit(event, lane, cost)
            return Offered.ACCEPTED
        if policy is Overflow.DROP_OLDEST:
            return self._replace_oldest(event, lane, cost)
        lane.dropped += 1
        return Offered.DISCONNECT if policy is Overflow.DISCONNECT else Offered.REFUSED

    def take(self, max_events: int, max_bytes: int) -> list[QueuedEvent]:
        """Return the next events, at least one if any waits; they stay accounted until settled.

        At most `max_events`, and no more than `max_bytes` of payload unless the first alone exceeds
        it. All are of one ingress (it has one deadline), and an event on a further attempt comes
        alone, so that a failure can be laid at its door. Not while events are in flight.
        """
        if self._in_flight:
            raise RuntimeError("events are in flight")
        waiting, taken = self._waiting, self._in_flight
        if not waiting:
            return []
        first = waiting.popleft()
        taken.append(first)
        if first.attempt > 1:
            return [first]
        ingress, size = first.ingress, first.size
        while waiting and len(taken) < max_events:
            event = waiting[0]
            size += event.size
            if size > max_bytes or event.attempt > 1 or event.ingress != ingress:
                break
            taken.append(waiting.popleft())
        return list(taken)

    def settle(self, count: int) -> None:
        """Forget the first `count` events in flight: each has its outcome."""
        for event in self._in_flight[:count]:
            self._release(event)
        del self._in_flight[:count]

    def give_back(self) -> None:
        """Put what is still in flight back to the front, in order."""
        self._waiting.extendleft(reversed(self._in_flight))
        self._in_flight.clear()

    def resumable(self) -> list[str]:
        """Return lanes whose reading was paused and now has room again; marks them resumed."""
        names: list[str] = []
        for lane in self._lanes.values():
            if (
                lane.paused
                and lane.depth <= lane.high_events // 2
                and lane.bytes <= lane.high_bytes // 2
            ):
                lane.paused = False
                names.append(lane.name)
        return names

    def clear(self) -> int:
        """Forget everything, in flight too, and return how many events that were."""
        count = self.depth
        for event in (*self._in_flight, *self._waiting):
            self._release(event)
        self._in_flight.clear()
        self._waiting.clear()
        return count

    def reserved_room(self, kind: str) -> bool:
        """Return whether an event of this lifecycle kind would be accepted now.

        Feedback about a plugin's own commands gets half of the reserved room, so that a plugin
        whose commands all fail still hears what becomes of its connections.
        """
        room = self._limits.queue_lifecycle_events
        return self._lifecycle < (max(1, room // 2) if kind in FEEDBACK_KINDS else room)

    def _offer_lifecycle(self, event: IngressEvent, lane: Lane) -> Offered:
        if not self.reserved_room(event.kind):
            lane.dropped += 1
            return Offered.REFUSED
        self._lifecycle += 1
        self._admit(event, lane, event.size + EVENT_OVERHEAD_BYTES)
        return Offered.ACCEPTED

    def _replace_oldest(self, event: QueuedEvent, lane: Lane, cost: int) -> Offered:
        # Decide first, drop then: an event that cannot fit must not cost others their place. Only
        # frames of its own connection go, because that is where the loss is reported.
        victims: list[int] = []
        depth, used = lane.depth + 1, lane.bytes + cost
        for index, oldest in enumerate(self._waiting):
            if depth <= lane.max_events and used <= lane.max_bytes:
                break
            if oldest.connection == event.connection and _same_lane_payload(oldest, lane):
                victims.append(index)
                depth -= 1
                used -= oldest.size + EVENT_OVERHEAD_BYTES
        if depth > lane.max_events or used > lane.max_bytes:
            lane.dropped += 1
            return Offered.REFUSED
        for index in reversed(victims):
            self._release(self._waiting[index])
            del self._waiting[index]
        self.evicted = len(victims)
        lane.dropped += self.evicted
        self._admit(event, lane, cost)
        return Offered.DROPPED_OLDEST

    def _admit(self, event: QueuedEvent, lane: Lane, cost: int) -> None:
        lane.depth += 1
        lane.bytes += cost
        self._waiting.append(event)

    def _release(self, event: QueuedEvent) -> None:
        lane = self._lanes[event.ingress]
        lane.depth -= 1
        lane.bytes -= event.size + EVENT_OVERHEAD_BYTES
        if _is_lifecycle(event):
            self._lifecycle -= 1


def _same_lane_payload(event: QueuedEvent, lane: Lane) -> bool:
    return event.ingress == lane.name and not _is_lifecycle(event)


def _is_lifecycle(event: QueuedEvent) -> bool:
    return not isinstance(event, TextFrame) and event.kind in LIFECYCLE_KINDS
