"""What a hub counts for metrics, and how many clients may watch at once."""

from collections import Counter
from dataclasses import dataclass, field

from yoi.limits import Limits


@dataclass(slots=True)
class HubCounters:
    """What happened so far: plain numbers that metrics read when they are asked for."""

    events: int = 0
    attached: int = 0
    frames: int = 0
    bytes_out: int = 0
    cut_off: int = 0
    refused_input: int = 0
    closed: dict[str, int] = field(default_factory=dict)
    """By observation code."""
    resyncs: dict[str, int] = field(default_factory=dict)
    """Fresh snapshots in band, by observation code."""

    def count_closed(self, name: str) -> None:
        """Count a stream that this side closed with the observation code `name`."""
        self.closed[name] = self.closed.get(name, 0) + 1

    def count_resync(self, name: str) -> None:
        """Count a fresh snapshot that a client was sent in band because of `name`."""
        self.resyncs[name] = self.resyncs.get(name, 0) + 1


class WatcherCount:
    """How many clients watch now, in all and by principal."""

    def __init__(self, limits: Limits) -> None:
        self.total = 0
        self._limits = limits
        self._by_principal: Counter[str] = Counter()

    def has_room(self, principal: str) -> bool:
        """Return whether one more client may watch, and one more of `principal`."""
        return (
            self.total < self._limits.followers
            and self._by_principal[principal] < self._limits.followers_per_token
        )

    def add(self, principal: str) -> None:
        """Count one more client of `principal`."""
        self.total += 1
        self._by_principal[principal] += 1

    def remove(self, principal: str) -> None:
        """Count one client of `principal` less."""
        self.total -= 1
        self._by_principal[principal] -= 1
        if not self._by_principal[principal]:
            del self._by_principal[principal]
