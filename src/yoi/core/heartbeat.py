"""When a heartbeat goes out, and when a peer that does not acknowledge it is dead. Sans-I/O."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from yoi.core.session_values import SessionValues
from yoi.limits import LIMITS
from yoi.permissions.match import Match


class Beat(StrEnum):
    """What to do when a heartbeat is due."""

    SEND = "send"
    DEAD = "dead"
    """The one before was never acknowledged: the session is a zombie."""


class Heartbeat:
    """The times of one session's heartbeat: first after `first_ms`, then every `every_ms`.

    The beat does not drift: a late one does not move those after it, and what was missed is not
    made up for. With `acknowledged`, one that is still unanswered when the next is due means that
    the session is dead; except where reading was paused in between, for then the answer may lie
    unread.
    """

    def __init__(self, now: float, *, every_ms: float, first_ms: float, acknowledged: bool) -> None:
        if every_ms <= 0 or first_ms < 0:
            raise ValueError("a heartbeat needs every_ms > 0 and first_ms >= 0")
        self._every = every_ms / 1000
        self._due_at = now + first_ms / 1000
        self._acknowledged = acknowledged
        self._unanswered = False
        self._excused = False
        self.last_ack: float | None = None
        """When the last acknowledgement came, in monotonic seconds."""

    def wait_ms(self, now: float) -> float:
        """Return the milliseconds until the next one is due."""
        return max(0.0, (self._due_at - now) * 1000)

    def due(self, now: float, paused: bool) -> tuple[Beat, float]:
        """Return what to do now, and how many milliseconds it is late."""
        late = max(0.0, now - self._due_at)
        if self._unanswered and not self._excused and not paused:
            return Beat.DEAD, late * 1000
        missed = int(late / self._every)
        self._due_at += self._every * (missed + 1)
        return Beat.SEND, late * 1000

    def sent(self, paused: bool) -> None:
        """It was sent; an acknowledgement is expected."""
        self._unanswered, self._excused = self._acknowledged, paused

    def acked(self, now: float) -> None:
        """The peer answered."""
        self.last_ack, self._unanswered = now, False

    def paused(self) -> None:
        """Reading stopped: the answer on its way cannot be seen."""
        self._excused = True


@dataclass(frozen=True, slots=True)
class HeartbeatSpec:
    """What one session's heartbeat is: times in milliseconds, the text, what acknowledges it.

    `render(values)` returns the text to send, from the session's values; it may raise YoiError,
    then that beat is not sent. ValueError outside `heartbeat_min_ms` to `heartbeat_max_ms`.
    """

    every_ms: float
    render: Callable[[SessionValues], str] = field(repr=False)
    first_ms: float | None = None
    """None: `every_ms`."""
    ack: Match | None = None

    def __post_init__(self) -> None:
        low, high = LIMITS.heartbeat_min_ms, LIMITS.heartbeat_max_ms
        if not low <= self.every_ms <= high:
            raise ValueError(f"a heartbeat comes every {low} to {high} ms")
        if self.first_ms is not None and not 0 <= self.first_ms <= high:
            raise ValueError(f"the first heartbeat comes within {high} ms")

    def begin(self, now: float) -> Heartbeat:
        """Return the times of a heartbeat that begins now."""
        return Heartbeat(
            now,
            every_ms=self.every_ms,
            first_ms=self.every_ms if self.first_ms is None else self.first_ms,
            acknowledged=self.ack is not None,
        )
