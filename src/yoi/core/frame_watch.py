"""What the host itself reads in text frames: acknowledgements, frames to answer, last values.

Sans-I/O. The sender of a frame chooses its size and shape, and the event loop reads it: so each
object or list on the way to a place is gone through once, whatever is watched for there, the rest
is skipped over and never built, and what one frame may cost is bounded.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from yoi.core.frame_search import FrameSearch, Way
from yoi.core.session_values import SessionValues
from yoi.limits import LIMITS, Limits
from yoi.permissions import JsonPointer
from yoi.permissions.connection_settings import LastValue
from yoi.permissions.match import Match
from yoi.protocol.parts import CONTROL

Json = Any
_ABSENT: Final = object()
_LINE_END = re.compile(r"[\r\n]")


@dataclass(frozen=True, slots=True)
class Autoreply:
    """Answer every frame that matches `when`.

    `render(copied, values)` returns the text to send: `copied` are the values at the pointers
    `copies`, in order; with `rest`, the one value is what follows the matched prefix instead. It
    may raise YoiError; then nothing is sent.
    """

    when: Match
    render: Callable[[Sequence[Json], SessionValues], str] = field(repr=False)
    copies: tuple[JsonPointer, ...] = ()
    rest: bool = False
    """Whether what follows the prefix in the frame's first line is copied."""


@dataclass(frozen=True, slots=True)
class Due:
    """An autoreply that a frame asked for; `copied` is None where a value is not there."""

    reply: Autoreply
    copied: tuple[Json, ...] | None


class FrameWatch:
    """What is watched for in the frames of one session, and what was last seen in them."""

    def __init__(self, last: Sequence[LastValue], limits: Limits = LIMITS) -> None:
        self.ack: Match | None = None
        self.replies: list[Autoreply] = []
        self.places: tuple[JsonPointer, ...] = ()
        """Further places whose values are read, into `found`."""
        self.found: Mapping[JsonPointer, Json] = {}
        """What the frame looked at last holds at the watched places."""
        self.last: dict[str, Json] = {}
        self.values = SessionValues(self.last)
        self.cut_short = False
        """Whether it is not known what the frame looked at last holds, see `FrameSearch`."""
        self._last = tuple(last)
        self._limits = limits
        self._ways = Way.to(self._pointers())
        self._ways_of: tuple[Any, ...] = (self.ack, self.replies, self.places)

    @property
    def idle(self) -> bool:
        """Return whether no frame need be parsed."""
        return self.ack is None and not (self.replies or self._last or self.places)

    def look(self, text: str) -> tuple[bool, list[Due]]:
        """Return whether `text` is the acknowledgement, and the replies that it asks for.

        Text that is not JSON holds nothing at any pointer. Where only whole texts are matched it is
        not parsed.
        """
        self.found = found = self._values(text)
        for pointer in self._last:
            value = found.get(pointer.at, _ABSENT)
            if value is not None and value is not _ABSENT:
                self.last[pointer.name] = value
        acked = self.ack is not None and self.ack.fits(text, found)
        due = [
            Due(reply, self._rest(text, reply) if reply.rest else _copied(found, reply.copies))
            for reply in self.replies
            if reply.when.fits(text, found)
        ]
        return acked, due

    def _values(self, text: str) -> dict[JsonPointer, Json]:
        watched = (self.ack, self.replies, self.places)
        if any(now is not before for now, before in zip(watched, self._ways_of, strict=True)):
            self._ways = Way.to(self._pointers())
            self._ways_of = watched
        self.cut_short = False
        if not self._ways.further:
            return {}
        search = FrameSearch(self._limits)
        search.look(text, self._ways)
        self.cut_short = search.unread
        return search.found

    def _pointers(self) -> Iterable[JsonPointer]:
        for last in self._last:
            yield last.at
        yield from self.places
        if self.ack is not None and self.ack.at is not None:
            yield self.ack.at
        for reply in self.replies:
            if reply.when.at is not None:
                yield reply.when.at
            yield from reply.copies

    def _rest(self, text: str, reply: Autoreply) -> tuple[Json, ...] | None:
        """Return what follows the prefix, to the end of its line; None where it may not be sent."""
        start = len(reply.when.prefix or "")
        most = self._limits.last_value_bytes
        rest = _LINE_END.split(text[start : start + most + 1], maxsplit=1)[0]
        return None if len(rest) > most or CONTROL.search(rest) else (rest,)


def _copied(
    values: Mapping[JsonPointer, Json], pointers: Sequence[JsonPointer]
) -> tuple[Json, ...] | None:
    if not all(pointer in values for pointer in pointers):
        return None
    return tuple(values[pointer] for pointer in pointers)
