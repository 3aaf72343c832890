"""A runtime in this process that stands for one elsewhere: its streams can be lost."""

import asyncio
from typing import Any

import msgspec

from yoi.backend.source import Availability, Inventory, Link, Loss, LossKind, Resume, Sink
from yoi.core.observation import Stream
from yoi.core.observation.stream import Held
from yoi.protocol.cursors import Position
from yoi.protocol.observation import Subject
from yoi.serving.hub import Hub


class CutSource:
    """A `yoi.backend.source.RemoteStreams` over a runtime's `hub`."""

    def __init__(self, runtime_id: str, hub: Hub, inventory) -> None:
        self.runtime_id = runtime_id
        self.availability = Availability.AVAILABLE
        self.since_ms = hub.clock.wall_ms()
        self._hub = hub
        self._inventory = inventory
        self._lost = False
        self._links: dict[Subject, InProcessLink] = {}

    @property
    def inventory(self) -> Inventory:
        return msgspec.convert(self._inventory(), Inventory)

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def open(self, subject: Subject, sink: Sink, resume: Resume | None) -> Link:
        channel = self._hub.channel(Subject(subject.kind, subject.name))
        link = InProcessLink(sink, resume)
        kind = LossKind.UNREACHABLE if self._lost else LossKind.NOT_FOUND
        if self._lost or channel is None:
            asyncio.get_running_loop().call_soon(link.lose, kind)
        else:
            self._links[subject] = link
            asyncio.get_running_loop().call_soon(link.begin, channel.stream)
        return link

    def cut(self, subject: Subject) -> None:
        """Lose the stream of `subject`, and let none be opened."""
        self._lost = True
        self._links.pop(subject).lose(LossKind.UNREACHABLE)

    def mend(self) -> None:
        """Answer again."""
        self._lost = False


class InProcessLink:
    """Snapshot or replay, and what follows: one step, so there is no gap between them."""

    def __init__(self, sink: Sink, resume: Resume | None) -> None:
        self._sink = sink
        self._resume = resume
        self._stream: Stream[Any] | None = None
        self._open = True

    def begin(self, stream: Stream[Any]) -> None:
        if not self._open:
            return
        self._stream = stream
        if self._resume is not None and stream.judge(self._resume.at) is None:
            self._sink.resumed()
            for seq in range(self._resume.at.seq + 1, stream.head + 1):
                self.published(seq, stream.held(seq))
            self._sink.caught_up()
        else:
            self.restarted("")
        stream.listen(self)

    def published(self, seq: int, held: Held[Any]) -> None:
        self._sink.event(Position(self._stream.epoch, seq), "", held.event, held.raw)

    def restarted(self, reason: str) -> None:
        self._sink.snapshot(self._stream.position, "", self._stream.snapshot())

    def ended(self, reason: str) -> None:
        self.lose(LossKind.ENDED)

    def lose(self, kind: LossKind) -> None:
        if self._open:
            self.close()
            self._sink.lost(Loss(kind))

    def close(self) -> None:
        self._open = False
        if self._stream is not None:
            self._stream.drop(self)
