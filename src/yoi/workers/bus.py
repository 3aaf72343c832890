"""The event bus: a worker publishes each event once, in order, and waits for no listener (O10)."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

import structlog

from yoi.limits import LIMITS, Limits
from yoi.protocol.events import Event

Listener = Callable[[Event], None]
_log = structlog.get_logger("yoi.workers")


class Bus:
    """Calls each listener with each event, on the event loop, in the order of publication.

    A listener returns at once and never raises; one that raises is dropped and logged, because an
    observer may not harm what it observes.
    """

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()

    def publish(self, event: Event) -> None:
        """Hand `event` to each listener there is now."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                _log.exception("a listener failed and is dropped")
                self.drop(listener)

    def listen(self, listener: Listener) -> None:
        """Call `listener` from the next event on."""
        self._listeners = (*self._listeners, listener)

    def drop(self, listener: Listener) -> None:
        """Stop calling `listener`; dropping twice is harmless."""
        self._listeners = tuple(each for each in self._listeners if each is not listener)


class Subscription:
    """A bounded queue of events for one reader, such as `yoi worker history --follow`.

    Iterate over it. A reader too slow for its backlog is cut off: iteration ends and `lagged` is
    true, and the reader takes a fresh snapshot.
    """

    def __init__(self, bus: Bus, limits: Limits = LIMITS) -> None:
        self.lagged = False
        self._bus = bus
        self._capacity = limits.bus_backlog
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._closed = False
        self._listener: Listener = self._hear  # one bound method: it is dropped by identity
        bus.listen(self._listener)

    def _hear(self, event: Event) -> None:
        if len(self._events) >= self._capacity:
            self.lagged = True
            self.close()
            return
        self._events.append(event)
        self._arrived.set()

    def close(self) -> None:
        """Hear nothing more; what was heard can still be read."""
        self._closed = True
        self._bus.drop(self._listener)
        self._arrived.set()

    async def take(self, most: int) -> list[Event]:
        """Return up to `most` events, waiting for the first; none means that no more will come."""
        while not self._events and not self._closed:
            self._arrived.clear()
            await self._arrived.wait()
        return [self._events.popleft() for _ in range(min(most, len(self._events)))]

    async def __aiter__(self) -> AsyncIterator[Event]:
        while events := await self.take(self._capacity):
            for event in events:
                yield event
