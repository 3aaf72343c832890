"""Alerts: what a person should see of a worker and the model should not."""

from collections import deque

from yoi.display import printable
from yoi.limits import LIMITS, Limits
from yoi.protocol import events as ev
from yoi.types import Clock
from yoi.workers.bus import Bus


class Alerts:
    """The recent alerts of one worker, each published as it is made."""

    def __init__(self, bus: Bus, clock: Clock, limits: Limits = LIMITS) -> None:
        self._bus = bus
        self._clock = clock
        self._limits = limits
        self._recent: deque[ev.AlertData] = deque(maxlen=limits.worker_alerts)

    def add(self, level: ev.AlertLevel, source: str, message: str) -> None:
        """Show `message`, escaped and bounded."""
        data = ev.AlertData(
            level=level,
            source=source,
            message=printable(message, self._limits.message_chars),
            timestamp_ms=self._clock.wall_ms(),
        )
        self._recent.append(data)
        self._bus.publish(ev.Alert(data))

    @property
    def recent(self) -> list[ev.AlertData]:
        """Return the recent alerts, oldest first."""
        return list(self._recent)
