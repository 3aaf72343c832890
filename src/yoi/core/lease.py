"""`Lease`: whether this host may act, by what it knows of a lease that lapses by itself. Sans-I/O.

    FREE ──claimed▶ HELD ──time▶ EXPIRING ──time, refused▶ LOST
                     ▲  ◀─renewed──┘ │
                     └───refused─────┴──────────────────▶ LOST

The bucket that holds the lease counts from when a renewal *arrives*; the host counts from when it
was *sent*, which is earlier, and stops well before. So of two hosts, whose clocks may drift by
`drift`, never do both act. LOST is the end: what was dropped is not taken up again.
"""

from dataclasses import dataclass
from enum import StrEnum


class LeaseState(StrEnum):
    """What may be done under a lease."""

    FREE = "free"
    """Nothing: another host may hold it."""
    HELD = "held"
    """Everything."""
    EXPIRING = "expiring"
    """Nothing is sent; a renewal in time makes it HELD again."""
    LOST = "lost"
    """Nothing, ever: another host may act."""


_NEXT = {
    LeaseState.FREE: frozenset({LeaseState.HELD}),
    LeaseState.HELD: frozenset({LeaseState.EXPIRING, LeaseState.LOST}),
    LeaseState.EXPIRING: frozenset({LeaseState.HELD, LeaseState.LOST}),
    LeaseState.LOST: frozenset[LeaseState](),
}


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How long a lease lives, all in seconds of a monotonic clock."""

    ttl: float
    """The bucket's: a lease that is not renewed for so long is free."""

    @property
    def renew(self) -> float:
        """How long after a renewal the next one is sent."""
        return self.ttl * 2 / 15

    @property
    def stop(self) -> float:
        """How long after the last successful renewal was sent nothing is sent any more."""
        return self.ttl * 2 / 3


class Lease:
    """See the module docstring. `now` is a clock that goes on while the machine sleeps."""

    def __init__(self, times: LeaseTimes) -> None:
        self.times = times
        self.epoch = 0
        """The revision at which it was made: larger for each holder than for all before."""
        self._state = LeaseState.FREE
        self._sent = 0.0

    def claimed(self, epoch: int, sent: float) -> None:
        """It was made for us; the request for that was sent at `sent`."""
        self._transition(LeaseState.HELD)
        self.epoch, self._sent = epoch, sent

    def renewed(self, sent: float, now: float) -> None:
        """A renewal that was sent at `sent` succeeded."""
        if self.state(now) is LeaseState.LOST:
            return
        self._sent = max(self._sent, sent)
        if self._state is LeaseState.EXPIRING and now < self.stops_at:
            self._transition(LeaseState.HELD)

    def refused(self) -> None:
        """The bucket has another's lease, or none: a compare-and-set failed."""
        if self._state in (LeaseState.HELD, LeaseState.EXPIRING):
            self._transition(LeaseState.LOST)

    def saw(self, epoch: int) -> None:
        """An epoch was seen anywhere: a higher one means that another host was given the lease."""
        if epoch > self.epoch:
            self.refused()

    def state(self, now: float) -> LeaseState:
        """Return the state at `now`."""
        if self._state is LeaseState.HELD and now >= self.stops_at:
            self._transition(LeaseState.EXPIRING)
        if self._state is LeaseState.EXPIRING and now >= self._sent + self.times.ttl:
            self._transition(LeaseState.LOST)
        return self._state

    def may_send(self, now: float) -> bool:
        """Return whether something may be sent at `now`."""
        return self.state(now) is LeaseState.HELD

    @property
    def stops_at(self) -> float:
        """When sending stops, unless a renewal succeeds before."""
        return self._sent + self.times.stop

    @property
    def renew_at(self) -> float:
        """When the next renewal is due."""
        return self._sent + self.times.renew

    def _transition(self, to: LeaseState) -> None:
        if to not in _NEXT[self._state]:
            raise ValueError(f"a lease that is {self._state} does not become {to}")
        self._state = to
