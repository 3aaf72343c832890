"""What one plugin costs the event loop, which all plugins share: measured, and bounded.

Sans-I/O: times are arguments, in seconds. The runtime reports what it spent on a plugin's answers;
a plugin that takes more than its share waits before it is handed the next events.
"""

from yoi.core.pace import Pace
from yoi.limits import LIMITS, Limits

_RESUME_S = 0.0005
"""Saved up before a plugin that had to wait goes on: what a neighbour waits for at most."""
_TELL_AFTER_S = 1.0
"""What is over sooner was a few large answers at once, of which a person notices nothing."""
_TELL_EVERY_S = 60.0


class LoopBudget:
    """The loop time of one plugin: a share of each second, and a burst that may be saved up."""

    def __init__(self, now: float, limits: Limits = LIMITS) -> None:
        self._pace = Pace(limits.loop_share_percent / 100, limits.loop_burst_ms / 1000, now)
        self._over_since: float | None = None
        """When it first had to wait, since it last had all that may be saved up."""
        self._told = float("-inf")
        self.spent = 0.0
        """All of it, since the service was enabled."""
        self.waits = 0
        """How many times the plugin had to wait."""

    def spend(self, seconds: float, now: float) -> None:
        """Take note of `seconds` that the loop worked for this plugin until `now`."""
        self._forgive(now)
        self.spent += seconds
        self._pace.spend(seconds, now)

    def wait(self, now: float) -> float:
        """Return how long the plugin must wait before the loop works for it again; often 0."""
        self._forgive(now)
        wait = self._pace.wait(now, _RESUME_S)
        if wait:
            self.waits += 1
            if self._over_since is None:
                self._over_since = now
        return wait

    def should_tell(self, now: float) -> bool:
        """Return whether a person is to hear that the plugin waits, whose `wait` was just asked.

        Only of one that is slowed for a second and more, once a minute.
        """
        if self._over_since is None or now - self._told < _TELL_EVERY_S:
            return False
        if now + self._pace.wait(now) - self._over_since < _TELL_AFTER_S:
            return False
        self._told = now
        return True

    def _forgive(self, now: float) -> None:
        if self._pace.is_rested(now):
            self._over_since = None
