"""The life of one service, with restarts, their backoff, and quarantine.

    READY ─start▶ STARTING ─started▶ RUNNING ─stop▶ STOPPING ─stopped▶ STOPPED
                     │  ▲               │                                  │
                     │  └──start──┐     │                                start
                   fail           │    fail                                ▼
                     └──────────▶ FAILED ◀┘        FAILED ─quarantine▶ QUARANTINED ─start▶ STARTING

FAILED waits for its backoff, or for other settings where the service could not be made;
QUARANTINED waits for a person. Both may be stopped.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from yoi.core.backoff import FullJitter
from yoi.errors import ServiceError, YoiError
from yoi.limits import LIMITS, Limits


class Lifecycle(StrEnum):
    """The states a person sees."""

    READY = "ready"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    QUARANTINED = "quarantined"


_NEXT: dict[Lifecycle, frozenset[Lifecycle]] = {
    Lifecycle.READY: frozenset({Lifecycle.STARTING, Lifecycle.STOPPED}),
    Lifecycle.STARTING: frozenset({Lifecycle.RUNNING, Lifecycle.FAILED, Lifecycle.STOPPING}),
    Lifecycle.RUNNING: frozenset({Lifecycle.FAILED, Lifecycle.STOPPING}),
    Lifecycle.STOPPING: frozenset({Lifecycle.STOPPED}),
    Lifecycle.STOPPED: frozenset({Lifecycle.STARTING}),
    Lifecycle.FAILED: frozenset({Lifecycle.STARTING, Lifecycle.QUARANTINED, Lifecycle.STOPPING}),
    Lifecycle.QUARANTINED: frozenset({Lifecycle.STARTING, Lifecycle.STOPPING}),
}


@dataclass(frozen=True, slots=True)
class Restart:
    """Start again at `at` (monotonic seconds)."""

    at: float


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Do not start again until a person says so."""

    failures: int


class ServiceLifecycle:
    """See the module docstring. `rng` returns a float in [0, 1) for the jitter."""

    def __init__(self, rng: Callable[[], float], limits: Limits = LIMITS) -> None:
        self.state = Lifecycle.READY
        self.restarts = 0
        self.last_error: YoiError | None = None
        self.last_error_at: float | None = None
        """When it came up, on the monotonic clock."""
        self.restart_at: float | None = None
        self._limits = limits
        self._failures = 0
        self._good_events = 0
        self._failed_at: float | None = None
        self._backoff = FullJitter(
            first_ms=limits.restart_first_ms, max_ms=limits.restart_max_ms, rng=rng
        )

    def start(self) -> None:
        """Enter STARTING: first start, a restart that is due, or a person's wish."""
        if self.state is Lifecycle.FAILED:
            self.restarts += 1
        self._transition(Lifecycle.STARTING)
        self.restart_at = None

    def started(self) -> None:
        """Enter RUNNING."""
        self._transition(Lifecycle.RUNNING)

    def succeeded(self, events: int) -> None:
        """Count `events` handled well; enough of them forgive earlier failures."""
        if not self._failures:
            return
        self._good_events += events
        if self._good_events >= self._limits.restart_reset_events:
            self.forgive()

    def fail(self, error: YoiError, now: float) -> Restart | Quarantine:
        """Record that the instance is gone and return what follows.

        A failure `restart_reset_ms` after the one before is no loop: the count begins anew.
        """
        self._transition(Lifecycle.FAILED)
        self.last_error, self.last_error_at = error, now
        reset = self._limits.restart_reset_ms / 1000
        if self._failed_at is not None and now - self._failed_at >= reset:
            self.forgive()
        self._failed_at = now
        self._failures += 1
        self._good_events = 0
        if self._failures >= self._limits.restarts_until_quarantine:
            self._transition(Lifecycle.QUARANTINED)
            self.restart_at = None
            return Quarantine(self._failures)
        self.restart_at = now + self._backoff.next_ms() / 1000
        return Restart(self.restart_at)

    def refuse(self, error: YoiError, now: float) -> None:
        """Record that the service cannot be made: it waits for other settings, or for a person."""
        self._transition(Lifecycle.FAILED)
        self.last_error, self.last_error_at = error, now

    def release(self) -> None:
        """A person starts a failed or quarantined service again: earlier failures are forgiven."""
        self.forgive()
        self.start()

    def stop(self) -> None:
        """Enter STOPPING, or STOPPED at once where nothing ever ran; stopping twice is harmless."""
        if self.state in (Lifecycle.STOPPING, Lifecycle.STOPPED):
            return
        ready = self.state is Lifecycle.READY
        self._transition(Lifecycle.STOPPED if ready else Lifecycle.STOPPING)
        self.restart_at = None

    def stopped(self) -> None:
        """Enter STOPPED."""
        if self.state is not Lifecycle.STOPPED:
            self._transition(Lifecycle.STOPPED)

    @property
    def failures(self) -> int:
        """Return the failures in a row."""
        return self._failures

    def forgive(self) -> None:
        """Count failures anew: what failed before was another version, or is over."""
        self._failures = 0
        self._good_events = 0
        self._backoff.reset()

    def _transition(self, to: Lifecycle) -> None:
        if to not in _NEXT[self.state]:
            raise ServiceError(
                "service.transition",
                f"a {self.state} service cannot become {to}",
                state=self.state,
                to=to,
            )
        self.state = to
