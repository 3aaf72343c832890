"""Plans the restart of a service's instance, and carries it out when its time has come."""

import asyncio
from collections.abc import Awaitable, Callable

from yoi.limits import Limits
from yoi.runtime.containment import Failed, contained, contained_work


class RestartTimer:
    """See the module docstring. At most one restart is planned; `failed` hears what it raises."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        restart: Callable[[], Awaitable[None]],
        failed: Failed,
        limits: Limits,
    ) -> None:
        self._loop = loop
        self._restart = restart
        self._failed = failed
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._log_faults = 0

    def after(self, seconds: float) -> None:
        """Restart in `seconds`."""
        self._set("a restart", seconds)

    def after_log_fault(self) -> None:
        """Restart when the log may take records again: each fault in a row doubles the wait."""
        limits = self._limits
        delay_ms = min(
            limits.service_log_retry_ms * 2**self._log_faults, limits.service_log_retry_max_ms
        )
        self._log_faults = min(self._log_faults + 1, 16)
        self._set("opening a log", delay_ms / 1000)

    def log_opened(self) -> None:
        """Forget the faults of the log: the next one waits for the shortest time again."""
        self._log_faults = 0

    def cancel(self) -> None:
        """Restart no more, unless the restart has begun."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def due(self) -> None:
        """Begin the restart now."""
        self._timer = None
        self._restarting = self._loop.create_task(
            contained_work("a restart", self._restart(), self._failed)
        )

    def _set(self, doing: str, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, contained(doing, self.due, self._failed))
