"""The runtime in this process: its streams are read as they are, without a socket between."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from yoi.backend.source import Availability, Inventory, Link, Loss, LossKind, Position, Resume, Sink
from yoi.core.observation import Stream
from yoi.core.observation.stream import Held
from yoi.errors import ProtocolMalformed
from yoi.protocol.observation import Subject
from yoi.serving.hub import Hub

_log = structlog.get_logger("yoi.backend")


class LocalSource:
    """A `yoi.backend.source.Source` over the runtime's own `hub`.

    `inventory` returns what `GET /v1/inventory` would; `refresh` brings a subject's stream up to
    date before its snapshot is taken. Before it is `settled`, what is missing may yet come.
    """

    def __init__(
        self,
        runtime_id: str,
        hub: Hub,
        inventory: Callable[[], Any],
        refresh: Callable[[Subject], None] = lambda subject: None,
        settled: Callable[[], bool] = lambda: True,
    ) -> None:
        self.runtime_id = runtime_id
        self.availability = Availability.AVAILABLE
        self.since_ms = hub.clock.wall_ms()
        self._hub = hub
        self._inventory = inventory
        self._refresh = refresh
        self._settled = settled

    @property
    def inventory(self) -> Inventory:
        """Return what it has now."""
        return msgspec.convert(self._inventory(), Inventory)

    async def start(self) -> None:
        """Nothing needs to be begun."""

    async def close(self) -> None:
        """Nothing needs to be ended."""

    def open(self, subject: Subject, sink: Sink, resume: Resume | None) -> Link:
        """Begin to follow the runtime's stream in the loop's next turn."""
        missing = LossKind.NOT_FOUND if self._settled() else LossKind.UNREACHABLE
        return _LocalLink(
            self._hub, Subject(subject.kind, subject.name), self._refresh, missing, sink, resume
        )


class _LocalLink:
    """Snapshot or replay, and what follows: one step, so there is no gap between them."""

    def __init__(
        self,
        hub: Hub,
        subject: Subject,
        refresh: Callable[[Subject], None],
        missing: LossKind,
        sink: Sink,
        resume: Resume | None,
    ) -> None:
        self._hub = hub
        self._subject = subject
        self._refresh = refresh
        self._missing = missing
        self._sink = sink
        self._resume = resume
        self._stream: Stream[Any] | None = None
        self._soon: asyncio.Handle | None = asyncio.get_running_loop().call_soon(self._begin)

    def close(self) -> None:
        """Stop following."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if self._stream is not None:
            self._stream.drop(self)
            self._stream = None

    # The stream tells:

    def published(self, seq: int, held: Held[Any]) -> None:
        """Pass on one event."""
        self._guarded(lambda: self._event(seq, held))

    def restarted(self, reason: str) -> None:
        """Pass on the new beginning."""
        self._guarded(self._snapshot)

    def ended(self, reason: str) -> None:
        """Pass on that nothing follows."""
        self._lose(LossKind.ENDED)

    def _begin(self) -> None:
        self._soon = None
        self._refresh(self._subject)
        channel = self._hub.channel(self._subject)
        if channel is None:
            self._lose(self._missing)
            return
        self._stream = channel.stream
        if self._stream.end_reason is not None:
            self._lose(LossKind.ENDED)
            return
        self._guarded(self._replay if self._replayable(self._stream) else self._snapshot)
        if self._stream is not None:
            self._stream.listen(self)

    def _replayable(self, stream: Stream[Any]) -> bool:
        if self._resume is None:
            return False
        epoch, seq = self._resume.at
        return epoch == stream.epoch.hex() and stream.oldest - 1 <= seq <= stream.head

    def _replay(self) -> None:
        assert self._stream is not None
        assert self._resume is not None
        self._sink.resumed()
        for seq in range(self._resume.at.seq + 1, self._stream.head + 1):
            self._event(seq, self._stream.held(seq))
        self._sink.caught_up()

    def _snapshot(self) -> None:
        stream = self._stream
        assert stream is not None
        self._sink.snapshot(Position(stream.epoch.hex(), stream.head), "", stream.snapshot())

    def _event(self, seq: int, held: Held[Any]) -> None:
        assert self._stream is not None
        self._sink.event(Position(self._stream.epoch.hex(), seq), "", held.event, held.raw)

    def _guarded(self, step: Callable[[], None]) -> None:
        """A runtime's stream never pays for what its follower makes of it."""
        try:
            step()
        except ProtocolMalformed:
            self._lose(LossKind.MALFORMED)
        except Exception:
            _log.exception("a defect in Yoi", what="following a stream in process")
            self._lose(LossKind.MALFORMED)

    def _lose(self, kind: LossKind) -> None:
        self.close()
        self._sink.lost(Loss(kind))
