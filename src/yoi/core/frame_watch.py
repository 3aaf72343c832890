"""What the host itself reads in text frames: acknowledgements, frames to answer, last values.

Sans-I/O. The sender of a frame chooses its size and shape, and the event loop reads it: so each
object or list on the way to a place is gone through once, whatever is watched for there, the rest
is skipped over and never built, and what one frame may cost is bounded.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import msgspec

from yoi.core.session_values import SessionValues
from yoi.limits import LIMITS, Limits
from yoi.permissions import JsonPointer, array_index
from yoi.permissions.connection_settings import LastValue
from yoi.permissions.match import Match
from yoi.protocol.parts import CONTROL

Json = Any
_ABSENT: Final = object()
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAW = msgspec.json.Decoder(msgspec.Raw)
_ANY = msgspec.json.Decoder()
_LIST_COST = 4
"""A list is gone through element by element, an object in one go."""
_ODD_KEY_BYTES = 64 * 1024
"""The largest object that is searched for a key with quotes, backslashes or control characters."""
_LINE_END = re.compile(r"[\r\n]")
_ELEMENTS = 1024
"""Elements of a list in which something can be watched for; real messages name the first few."""


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
        """Whether the frame looked at last was too costly to go through to the end."""
        self._last = tuple(last)
        self._limits = limits
        self._ways = _Way.to(self._pointers())
        self._ways_of: tuple[Any, ...] = (self.ack, self.replies, self.places)

    @property
    def idle(self) -> bool:
        """Return whether no frame need be parsed."""
        return self.ack is None and not (self.replies or self._last or self.places)

    def look(self, text: str) -> tuple[bool, list[Due]]:
        """Return whether `text` is the acknowledgement, and the replies that it asks for.

        Text that is not JSON, or nested too deeply to parse, holds nothing at any pointer. Where
        only whole texts are matched it is not parsed.
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
            self._ways = _Way.to(self._pointers())
            self._ways_of = watched
        self.cut_short = False
        if not self._ways.further:
            return {}
        search = _Search(self._limits)
        search.look(text, self._ways)
        self.cut_short = search.left < 0
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


class PointerReader:
    """Reads the values at some positions out of text frames, at a bounded cost."""

    def __init__(self, pointers: Iterable[JsonPointer], limits: Limits = LIMITS) -> None:
        self._ways = _Way.to(pointers)
        self._limits = limits

    def read(self, text: str) -> dict[JsonPointer, Json] | None:
        """Return what `text` holds at the positions; None where that costs too much to know.

        Text that is not JSON holds nothing.
        """
        search = _Search(self._limits)
        search.look(text, self._ways)
        return None if search.left < 0 else search.found


def _copied(
    values: Mapping[JsonPointer, Json], pointers: Sequence[JsonPointer]
) -> tuple[Json, ...] | None:
    if not all(pointer in values for pointer in pointers):
        return None
    return tuple(values[pointer] for pointer in pointers)


class _Way:
    """The ways from one place to all watched places below it, which share their beginnings."""

    __slots__ = ("ends", "further")

    def __init__(self) -> None:
        self.ends: JsonPointer | None = None
        self.further: dict[str, _Way] = {}

    @classmethod
    def to(cls, pointers: Iterable[JsonPointer]) -> "_Way":
        """Return the ways from the root to `pointers`."""
        root = cls()
        for pointer in pointers:
            at = root
            for token in pointer.tokens:
                at = at.further.setdefault(token, cls())
            at.ends = pointer
        return root


class _Search:
    """One frame: what was found in it, and what may still be spent on it, in bytes."""

    def __init__(self, limits: Limits) -> None:
        self.found: dict[JsonPointer, Json] = {}
        self.left = limits.watched_bytes
        self._value_bytes = limits.last_value_bytes

    def look(self, text: str, way: _Way) -> None:
        """Find what lies on `way` in the frame `text`."""
        first = text[:64].lstrip()[:1]
        if first == "{":
            # The outermost object is always gone through: it costs as much as receiving it.
            self._inside(_object(tuple(way.further), text), way)
        elif first == "[":
            raw = _parsed(_RAW, text)
            if raw is not None:
                self._enter(raw, way)

    def _enter(self, raw: msgspec.Raw, way: _Way) -> None:
        data = memoryview(raw)
        first = bytes(data[:1])
        if first not in (b"{", b"["):
            return
        self.left -= len(data) if first == b"{" else _LIST_COST * len(data)
        if self.left < 0:
            return
        tokens = tuple(way.further)
        self._inside(_object(tokens, raw) if first == b"{" else _elements(tokens, raw), way)

    def _inside(self, inside: Mapping[str, msgspec.Raw], way: _Way) -> None:
        for token, raw in inside.items():
            further = way.further[token]
            if further.ends is not None and len(memoryview(raw)) <= self._value_bytes:
                value = _parsed(_ANY, raw, _ABSENT)
                if value is not _ABSENT:
                    self.found[further.ends] = value
            if further.further:
                self._enter(raw, further)


def _object(tokens: tuple[str, ...], data: str | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Return what an object holds under `tokens`; other keys are skipped over."""
    decoder = _object_decoder(tokens)
    if decoder is not None:
        return _fields(tokens, _parsed(decoder, data))
    size = len(data) if isinstance(data, str) else len(memoryview(data))
    inside: dict[str, msgspec.Raw] = {}
    if size <= _ODD_KEY_BYTES:
        inside = _parsed(_OBJECT, data) or {}
    return {token: inside[token] for token in tokens if token in inside}


def _elements(tokens: tuple[str, ...], data: msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Return the elements of a list at `tokens`, those that are indices."""
    indices = {token: array_index(token) for token in tokens}
    wanted = {t: at for t, at in indices.items() if at is not None and at < _ELEMENTS}
    if not wanted:
        return {}
    made = _parsed(_list_decoder(1 << max(wanted.values()).bit_length()), data)
    if made is None:
        return {}
    found = {token: getattr(made, f"f{at}", msgspec.UNSET) for token, at in wanted.items()}
    return {token: raw for token, raw in found.items() if raw is not msgspec.UNSET}


def _fields(tokens: tuple[str, ...], made: Any) -> dict[str, msgspec.Raw]:
    if made is None:
        return {}
    found = {token: getattr(made, f"f{at}") for at, token in enumerate(tokens)}
    return {token: raw for token, raw in found.items() if raw is not msgspec.UNSET}


@lru_cache(maxsize=1024)
def _object_decoder(tokens: tuple[str, ...]) -> "msgspec.json.Decoder[Any] | None":
    """Return a decoder of the fields `tokens` alone; None where a name cannot be a field's."""
    names = [f"f{at}" for at in range(len(tokens))]
    try:
        shape = msgspec.defstruct(
            "_Object",
            [(name, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for name in names],
            rename=dict(zip(names, tokens, strict=True)),
            gc=False,
        )
    except ValueError:  # also one that is no UTF-8
        return None
    return msgspec.json.Decoder(shape)


@lru_cache(maxsize=16)
def _list_decoder(elements: int) -> "msgspec.json.Decoder[Any]":
    """Return a decoder of the first `elements` elements alone."""
    fields = [(f"f{at}", msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for at in range(elements)]
    return msgspec.json.Decoder(msgspec.defstruct("_List", fields, array_like=True, gc=False))


def _parsed(decoder: "msgspec.json.Decoder[Any]", data: Any, otherwise: Any = None) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return otherwise
