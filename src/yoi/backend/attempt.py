"""What a runtime says in one attempt, held to its own numbers and to what may be passed on."""

from typing import TYPE_CHECKING, Any

import msgspec

from yoi.backend.source import Loss, Position, Resume
from yoi.errors import ProtocolMalformed
from yoi.limits import Limits
from yoi.protocol import events as ev
from yoi.protocol.depth import json_beyond

if TYPE_CHECKING:
    from yoi.backend.upstream import Upstream


class Attempt:
    """A `yoi.backend.source.Sink`; it is heard only while it is the upstream's current one."""

    def __init__(self, upstream: "Upstream", resume: Resume | None) -> None:
        self._upstream = upstream
        self._resume = resume
        self._at: Position | None = None

    def snapshot(self, at: Position, cursor: str, event: Any) -> None:
        """Hear of all state as of `at`."""
        if self._upstream.current(self):
            self._upstream.heard_snapshot(at, cursor, event)
            self._at = at

    def resumed(self) -> None:
        """Hear that what follows the place asked for comes next."""
        if not self._upstream.current(self):
            return
        if self._resume is None or self._at is not None:
            raise ProtocolMalformed("protocol.malformed", "resumed, but nothing was asked for")
        self._at = self._resume.at
        self._upstream.heard_resumed()

    def event(self, at: Position, cursor: str, event: Any, raw: bytes) -> None:
        """Hear of one event; a repeated one is dropped, a gap is a fault."""
        upstream = self._upstream
        if not upstream.current(self):
            return
        if self._at is None or at.epoch != self._at.epoch or at.seq > self._at.seq + 1:
            raise ProtocolMalformed("protocol.malformed", "an event that cannot come next")
        if at.seq <= self._at.seq:
            upstream.count_repeat()
            return
        upstream.heard_event(at, cursor, event, on_one_line(raw, upstream.limits))
        self._at = at

    def caught_up(self) -> None:
        """Hear that what comes next is live."""
        if self._upstream.current(self):
            self._upstream.heard_live()

    def lost(self, loss: Loss) -> None:
        """Hear that this attempt is over."""
        if self._upstream.current(self):
            self._upstream.heard_loss(loss)


def on_one_line(raw: bytes, limits: Limits) -> bytes:
    """Return an event's JSON as it may be passed on. Raises ProtocolMalformed beyond the bounds.

    Server-sent events end at a line's end, so a line break between tokens would cut one short.
    """
    if len(raw) > limits.observed_event_bytes:
        raise ProtocolMalformed("protocol.malformed", "the event is over its bound")
    if json_beyond(raw, limits.observed_depth, limits.observed_containers):
        raise ProtocolMalformed("protocol.malformed", "the event is nested too deeply")
    if b"\n" in raw or b"\r" in raw:
        return msgspec.json.format(raw, indent=-1)
    return raw


def without_paths(event: Any) -> Any:
    """Return a worker's snapshot without what it says of its machine's file system (O6)."""
    if not isinstance(event, ev.Snapshot) or not event.data.greeting.cwd:
        return event
    greeting = msgspec.structs.replace(event.data.greeting, cwd="")
    return ev.Snapshot(msgspec.structs.replace(event.data, greeting=greeting))
