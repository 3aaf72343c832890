"""A runtime that says what a test tells it to, repeats, gaps and lies included."""

import asyncio
from typing import Any

from yoi.backend.source import (
    KINDS,
    Availability,
    Inventory,
    Link,
    Loss,
    LossKind,
    Resume,
    Sink,
)
from yoi.errors import ProtocolMalformed
from yoi.protocol.cursors import Position
from yoi.protocol.observation import Subject

EPOCH = "0123456789abcdef"


class ScriptedLink:
    """One attempt; the methods are the runtime's side of it."""

    def __init__(self, subject: Subject, sink: Sink, resume: Resume | None) -> None:
        self.subject = subject
        self.resume = resume
        self.open = True
        self._sink = sink
        self._kind = KINDS[subject.kind]

    def close(self) -> None:
        """Hear that the backend gave it up."""
        self.open = False

    def snapshot(self, seq: int, event: Any, epoch: str = EPOCH) -> None:
        """Say all state as of `seq`."""
        at = Position(bytes.fromhex(epoch), seq)
        self._say(lambda: self._sink.snapshot(at, f"at-{epoch}-{seq}", event))

    def resumed(self) -> None:
        """Say that what follows the place asked for comes next."""
        self._say(self._sink.resumed)

    def event(self, seq: int, event: Any, epoch: str = EPOCH, raw: bytes | None = None) -> None:
        """Say the event `seq`."""
        made = self._kind.encode(event) if raw is None else raw
        at = Position(bytes.fromhex(epoch), seq)
        self._say(lambda: self._sink.event(at, f"at-{epoch}-{seq}", event, made))

    def caught_up(self) -> None:
        """Say that what comes next is live."""
        self._say(self._sink.caught_up)

    def lose(
        self, kind: LossKind = LossKind.UNREACHABLE, retry_after_ms: int | None = None
    ) -> None:
        """End the attempt."""
        if self.open:
            self.open = False
            self._sink.lost(Loss(kind, retry_after_ms))

    def _say(self, said: Any) -> None:
        if not self.open:
            return
        try:
            said()
        except ProtocolMalformed:
            self.lose(LossKind.MALFORMED)


class ScriptedSource:
    """A `yoi.backend.source.RemoteStreams`; `links` are the attempts made, the newest last."""

    def __init__(self, runtime_id: str = "r") -> None:
        self.runtime_id = runtime_id
        self.availability = Availability.AVAILABLE
        self.since_ms = 0
        self.inventory = Inventory()
        self.links: list[ScriptedLink] = []
        self.started = False
        self._opened = asyncio.Event()

    @property
    def link(self) -> ScriptedLink:
        """Return the newest attempt."""
        return self.links[-1]

    async def attempt(self, count: int = 1) -> ScriptedLink:
        """Wait until there were `count` attempts, and return that one."""
        while len(self.links) < count:
            self._opened.clear()
            await self._opened.wait()
        return self.links[count - 1]

    @property
    def open_links(self) -> int:
        """Return how many attempts are under way."""
        return sum(link.open for link in self.links)

    async def start(self) -> None:
        """Note the start."""
        self.started = True

    async def close(self) -> None:
        """Note the end."""
        self.started = False

    def open(self, subject: Subject, sink: Sink, resume: Resume | None) -> Link:
        """Return a new attempt, which says nothing by itself."""
        link = ScriptedLink(subject, sink, resume)
        self.links.append(link)
        self._opened.set()
        return link
