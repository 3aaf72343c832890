"""What the host itself reads in text frames: acknowledgements, frames to answer, last values.

Sans-I/O. A frame is parsed only where something is watched for, and only along the pointers that
are asked for: the rest is skipped over, not built.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from yoi.limits import LIMITS, Limits
from yoi.permissions import JsonPointer, array_index

Json = Any
_ABSENT: Final = object()
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_RAW = msgspec.json.Decoder(msgspec.Raw)
_ANY = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class FrameMatch:
    """A text frame whose JSON holds `equals` at `at`; 1 equals 1.0, and true equals only true."""

    at: JsonPointer
    equals: Json


@dataclass(frozen=True, slots=True)
class LastPointer:
    """A value to remember under `name`."""

    name: str
    at: JsonPointer


@dataclass(frozen=True, slots=True)
class Autoreply:
    """Answer every frame that matches `when`.

    `render(copied, last)` returns the text to send: `copied` are the values at the pointers
    `copies`, in order, and `last` the session's last values. It may raise YoiError; then nothing
    is sent.
    """

    when: FrameMatch
    render: Callable[[Sequence[Json], Mapping[str, Json]], str] = field(repr=False)
    copies: tuple[JsonPointer, ...] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """An autoreply that a frame asked for; `copied` is None where a value is not there."""

    reply: Autoreply
    copied: tuple[Json, ...] | None


class FrameWatch:
    """What is watched for in the frames of one session, and what was last seen in them."""

    def __init__(self, last: Sequence[LastPointer], limits: Limits = LIMITS) -> None:
        self.ack: FrameMatch | None = None
        self.replies: list[Autoreply] = []
        self.last: dict[str, Json] = {}
        self._last = tuple(last)
        self._limits = limits

    @property
    def idle(self) -> bool:
        """Return whether no frame need be parsed."""
        return self.ack is None and not self.replies and not self._last

    def look(self, text: str) -> tuple[bool, list[Due]]:
        """Return whether `text` is the acknowledgement, and the replies that it asks for.

        Text that is not JSON, or nested too deeply to parse, matches nothing.
        """
        frame = _Frame(text)
        for pointer in self._last:
            value = frame.at(pointer.at, self._limits.last_value_bytes)
            if value is not None and value is not _ABSENT:
                self.last[pointer.name] = value
        acked = self.ack is not None and frame.matches(self.ack)
        due = [
            Due(reply, _copied(frame, reply.copies))
            for reply in self.replies
            if frame.matches(reply.when)
        ]
        return acked, due


def _copied(frame: "_Frame", pointers: Sequence[JsonPointer]) -> tuple[Json, ...] | None:
    values = tuple(frame.at(pointer) for pointer in pointers)
    return None if any(value is _ABSENT for value in values) else values


class _Frame:
    """One text frame, its outer object parsed once and anything deeper when asked for."""

    def __init__(self, text: str) -> None:
        self._top = _parsed(_OBJECT, text) if text.lstrip()[:1] == "{" else None
        self._text = text

    def at(self, pointer: JsonPointer, max_bytes: int | None = None) -> Json:
        """Return the value at `pointer`; `_ABSENT` where there is none, or a longer one."""
        tokens = pointer.tokens
        raw: msgspec.Raw | None
        if self._top is not None:
            raw = self._top.get(tokens[0])
            tokens = tokens[1:]
        else:
            raw = _parsed(_RAW, self._text)
        for token in tokens:
            if raw is None:
                break
            raw = _child(raw, token)
        if raw is None or (max_bytes is not None and len(memoryview(raw)) > max_bytes):
            return _ABSENT
        return _parsed(_ANY, raw, _ABSENT)

    def matches(self, match: FrameMatch) -> bool:
        """Return whether the frame holds what is looked for."""
        value = self.at(match.at)
        return value is not _ABSENT and json_equal(value, match.equals)


def _child(raw: msgspec.Raw, token: str) -> msgspec.Raw | None:
    first = bytes(memoryview(raw)[:1])
    if first == b"{":
        inside: dict[str, msgspec.Raw] | None = _parsed(_OBJECT, raw)
        return None if inside is None else inside.get(token)
    index = array_index(token) if first == b"[" else None
    elements: list[msgspec.Raw] | None = None if index is None else _parsed(_ARRAY, raw)
    if index is None or elements is None or index >= len(elements):
        return None
    return elements[index]


def _parsed(decoder: "msgspec.json.Decoder[Any]", data: Any, otherwise: Any = None) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return otherwise


def json_equal(one: Json, other: Json) -> bool:
    """Return whether two JSON values are equal: numbers by value, true and false only as such."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(json_equal(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(json_equal, one, other))
    return bool(one == other)
