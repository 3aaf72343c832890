"""Watching a worker or service of a host in the same process, without a socket between."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from yoi.core.observation.stream import Held
from yoi.errors import ObserveError
from yoi.protocol.board_events import BoardEvent
from yoi.protocol.events import Event, UnknownEvent
from yoi.protocol.observation import Subject, SubjectKind
from yoi.protocol.service_events import ServiceEvent
from yoi.runtime.observing import Observing

if TYPE_CHECKING:
    from yoi.core.observation import Stream

Observed = Event | ServiceEvent | BoardEvent | UnknownEvent


class Observation(AsyncIterator[Observed]):
    """Yields the subject's state as a snapshot, then each event that follows, once and in order.

    Nothing is kept for a reader: the events wait in the stream's bounded ring. A reader so slow
    that some have left the ring gets a fresh snapshot, which replaces everything before. Ends when
    the subject is gone. Use it as `async with`, or `close` it, so that it is forgotten.
    """

    def __init__(self, observing: Observing, subject: Subject) -> None:
        """Begin to follow. Raises ObserveError `observe.not_found`."""
        observing.refresh(subject)
        channel = observing.hub.channel(subject)
        if channel is None:
            raise ObserveError("observe.not_found", f"there is no {subject.kind} {subject.name!r}")
        self._stream: Stream[Observed] = channel.stream
        self._changed = asyncio.Event()
        self._generation = -1
        self._seq = 0
        self._closed = False
        self._stream.listen(self)

    def close(self) -> None:
        """Stop following; iteration ends. Closing twice is harmless."""
        self._closed = True
        self._stream.drop(self)
        self._changed.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Observed:
        """Return what comes next. Cancelling it loses nothing."""
        stream = self._stream
        while not self._closed:
            if self._generation != stream.generation or self._seq < stream.oldest - 1:
                self._generation, self._seq = stream.generation, stream.head
                return self._stream.snapshot()
            if self._seq < stream.head:
                self._seq += 1
                return stream.held(self._seq).event
            if stream.end_reason is not None:
                break
            self._changed.clear()
            await self._changed.wait()
        self.close()
        raise StopAsyncIteration

    # The stream tells:

    def published(self, seq: int, held: Held[Observed]) -> None:
        """Take note that there is more to read."""
        self._changed.set()

    def restarted(self, reason: str) -> None:
        """Take note that a fresh snapshot is next."""
        self._changed.set()

    def ended(self, reason: str) -> None:
        """Take note that nothing follows."""
        self._changed.set()


def subject_of(name: str) -> Subject:
    """Return what `service:NAME`, `worker:NAME` or `board:tickets` means.

    Raises ObserveError `observe.target`.
    """
    kind, colon, plain = name.partition(":")
    if not colon or not plain or kind not in frozenset(SubjectKind):
        raise ObserveError("observe.target", f"{name!r} is not service:NAME or worker:NAME")
    return Subject(SubjectKind(kind), plain)
