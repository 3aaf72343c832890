"""The pending timers of one service: bounded, named, and silent once the service stops."""

import asyncio
from collections.abc import Callable

from yoi.errors import ServiceError
from yoi.limits import Limits


class Timers:
    """Calls `fire(ingress, name)` on the loop when a timer is due."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fire: Callable[[str, str], None],
        limits: Limits,
    ) -> None:
        self._loop = loop
        self._fire = fire
        self._limits = limits
        self._pending: dict[tuple[str, str], asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def pending(self) -> list[tuple[str, str]]:
        """Return the ingress and name of each timer that is not due yet."""
        return list(self._pending)

    def set(self, ingress: str, name: str, after_ms: int) -> None:
        """Start or replace the timer `name`. Raises ServiceError `service.timers` at the bound."""
        key = (ingress, name)
        pending = self._pending.pop(key, None)
        if pending is not None:
            pending.cancel()
        elif len(self._pending) >= self._limits.timers:
            raise ServiceError(
                "service.timers", f"more than {self._limits.timers} timers are pending"
            )
        self._pending[key] = self._loop.call_later(after_ms / 1000, self._due, key)

    def clear(self, ingress: str, name: str) -> None:
        """Forget the timer `name`, where there is one."""
        pending = self._pending.pop((ingress, name), None)
        if pending is not None:
            pending.cancel()

    def clear_all(self) -> None:
        """Forget every timer."""
        for pending in self._pending.values():
            pending.cancel()
        self._pending.clear()

    def _due(self, key: tuple[str, str]) -> None:
        del self._pending[key]
        self._fire(*key)
