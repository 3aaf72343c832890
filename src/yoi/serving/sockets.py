"""The open sockets of one listener: how many there are, which observe, how many were refused."""

import asyncio
import resource
from typing import Protocol

from yoi.limits import Limits


class OpenObserver(Protocol):
    """A WebSocket that can be ended."""

    def shutdown(self) -> None:
        """Tell the client that the process stops, and end."""
        ...

    def abort(self) -> None:
        """End now."""
        ...


class OpenSockets:
    """Counts sockets from accept to close, `most` at once, and keeps those of observers."""

    def __init__(self, limits: Limits) -> None:
        self.open = 0
        self.most = _most(limits)
        self.refused: dict[str, int] = {}
        """How many were turned away before they watched, by reason."""
        self._observers: set[OpenObserver] = set()
        self._deserted = asyncio.Event()

    @property
    def observers(self) -> tuple[OpenObserver, ...]:
        """Return the WebSockets that are open now."""
        return tuple(self._observers)

    def accepted(self) -> bool:
        """Count a socket in; return whether there is room for it."""
        self.open += 1
        return self.open <= self.most

    def closed(self) -> None:
        """Count a socket out that never became a WebSocket."""
        self.open -= 1

    def upgraded(self, observer: OpenObserver) -> None:
        """Note that a socket became a WebSocket: it is counted out by `lost`."""
        self._observers.add(observer)

    def lost(self, observer: OpenObserver) -> None:
        """Count a WebSocket out."""
        self.open -= 1
        self._observers.discard(observer)
        if not self._observers:
            self._deserted.set()

    def count_refused(self, reason: str) -> None:
        """Count a client that was turned away."""
        self.refused[reason] = self.refused.get(reason, 0) + 1

    async def deserted(self) -> None:
        """Wait until no WebSocket is open."""
        if self._observers:
            self._deserted.clear()
            await self._deserted.wait()


def _most(limits: Limits) -> int:
    """Return how many may be open: half of all files are for journals, gateways and runtimes."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return limits.http_connections
    return min(limits.http_connections, allowed // 2)
