"""Finds the values at some positions in text frames, at a bounded cost. Sans-I/O.

The sender of a frame chooses its size and shape, and the event loop reads it: so each object or
list on the way to a place is gone through once, whatever is watched for there, the rest is skipped
over and never built, and what one frame may cost is bounded.

What counts as JSON is what the guest's `json` takes, or the two would disagree about a message: a
frame that msgspec refuses (`NaN`, `Infinity`, half of a surrogate pair) is read once more the slow
way, up to a bound. Where even that is not possible it is not known what the frame holds.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from yoi.limits import LIMITS, Limits
from yoi.permissions import JsonPointer, array_index

Json = Any
_BLANK = " \t\n\r"
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAW = msgspec.json.Decoder(msgspec.Raw)
_ANY = msgspec.json.Decoder()
_LIST_COST = 4
"""A list is gone through element by element, an object in one go."""
_ODD_KEY_BYTES = 64 * 1024
"""The largest object that is searched for a key with quotes, backslashes or control characters."""
_ELEMENTS: Final = 1024
"""Elements of a list in which something can be watched for; real messages name the first few."""
_BEGINNING: Final = 4096
"""Bytes of a long list that are looked at by themselves: the rest is known to be JSON already."""
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)


class PointerReader:
    """Reads the values at some positions out of text frames, at a bounded cost."""

    def __init__(self, pointers: Iterable[JsonPointer], limits: Limits = LIMITS) -> None:
        self._ways = Way.to(pointers)
        self._limits = limits

    def read(self, text: str) -> dict[JsonPointer, Json] | None:
        """Return what `text` holds at the positions; None where that cannot be known.

        Text that is not JSON holds nothing.
        """
        search = FrameSearch(self._limits)
        search.look(text, self._ways)
        return None if search.unread else search.found


class Way:
    """The ways from one place to all watched places below it, which share their beginnings."""

    __slots__ = ("ends", "further")

    def __init__(self) -> None:
        self.ends: JsonPointer | None = None
        self.further: dict[str, Way] = {}

    @classmethod
    def to(cls, pointers: Iterable[JsonPointer]) -> "Way":
        """Return the ways from the root to `pointers`."""
        root = cls()
        for pointer in pointers:
            at = root
            for token in pointer.tokens:
                at = at.further.setdefault(token, cls())
            at.ends = pointer
        return root


class FrameSearch:
    """One frame: what was found in it, and what may still be spent on it, in bytes."""

    def __init__(self, limits: Limits) -> None:
        self.found: dict[JsonPointer, Json] = {}
        self.unread = False
        """Whether it is not known what the frame holds: it costs too much, or is odd JSON."""
        self._left = limits.watched_bytes
        self._value_bytes = limits.last_value_bytes
        self._odd_chars = limits.odd_json_chars

    def look(self, text: str, way: Way) -> None:
        """Find what lies on `way` in the frame `text`."""
        first = text[:1] if text[:1] not in _BLANK else text.lstrip(_BLANK)[:1]
        try:
            if first == "{":
                # The outermost object is always gone through: it costs as much as receiving it.
                self._inside(_object(tuple(way.further), text), way)
            elif first == "[":
                self._enter(_parsed(_RAW, text), way)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            self.found.clear()
            self._look_slowly(text, way)

    def _enter(self, raw: msgspec.Raw, way: Way) -> None:
        data = memoryview(raw)
        first = bytes(data[:1])
        if first not in (b"{", b"["):
            return
        self._left -= len(data) if first == b"{" else _LIST_COST * len(data)
        if self._left < 0:
            self.unread = True
            return
        tokens = tuple(way.further)
        self._inside(_object(tokens, raw) if first == b"{" else _elements(tokens, raw), way)

    def _inside(self, inside: Mapping[str, msgspec.Raw], way: Way) -> None:
        for token, raw in inside.items():
            further = way.further[token]
            if further.ends is not None and len(memoryview(raw)) <= self._value_bytes:
                self.found[further.ends] = _parsed(_ANY, raw)
            if further.further:
                self._enter(raw, further)

    def _look_slowly(self, text: str, way: Way) -> None:
        if len(text) > self._odd_chars:
            self.unread = True
            return
        try:
            self._walk(json.loads(text), way)
        except ValueError:
            return  # the guest finds nothing in it either
        except RecursionError:
            self.unread = True

    def _walk(self, value: Json, way: Way) -> None:
        for token, further in way.further.items():
            if isinstance(value, dict) and token in value:
                inner = value[token]
            elif isinstance(value, list) and (index := array_index(token)) is not None:
                if index >= min(len(value), _ELEMENTS):
                    continue
                inner = value[index]
            else:
                continue
            if further.ends is not None:
                self._keep(further.ends, inner)
            if further.further:
                self._walk(inner, further)

    def _keep(self, at: JsonPointer, value: Json) -> None:
        """Keep a value that can be written again; of one that cannot, it is not known."""
        try:
            written = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        except ValueError:
            self.unread = True
            return
        if len(written) <= self._value_bytes:
            self.found[at] = value


def _object(tokens: tuple[str, ...], data: str | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Return what an object holds under `tokens`; other keys are skipped over."""
    decoder = _object_decoder(tokens)
    if decoder is not None:
        return _fields(tokens, _parsed(decoder, data))
    size = len(data) if isinstance(data, str) else len(memoryview(data))
    inside: dict[str, msgspec.Raw] = {}
    if size <= _ODD_KEY_BYTES:
        inside = _parsed(_OBJECT, data)
    return {token: inside[token] for token in tokens if token in inside}


def _elements(tokens: tuple[str, ...], data: msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Return the elements of a list at `tokens`, those that are indices."""
    indices = {token: array_index(token) for token in tokens}
    wanted = {t: at for t, at in indices.items() if at is not None and at < _ELEMENTS}
    if not wanted:
        return {}
    first = max(wanted.values()) + 1
    made = _parsed(_list_decoder(1 << (first - 1).bit_length()), _beginning(data, first))
    found = {token: getattr(made, f"f{at}", msgspec.UNSET) for token, at in wanted.items()}
    return {token: raw for token, raw in found.items() if raw is not msgspec.UNSET}


def _beginning(data: msgspec.Raw, elements: int) -> "msgspec.Raw | bytes":
    """Return a list of the first `elements` of the valid list `data`; `data` where that is long."""
    whole = memoryview(data)
    if len(whole) <= _BEGINNING:
        return data
    beginning = bytes(whole[:_BEGINNING])
    depth = 0
    for token in _TOKENS.finditer(beginning):
        sign = token[0]
        if sign in b"[{":
            depth += 1
        elif sign in b"]}":
            depth -= 1
        elif sign == b"," and depth == 1:
            elements -= 1
            if not elements:
                return beginning[: token.start()] + b"]"
    return data


def _fields(tokens: tuple[str, ...], made: Any) -> dict[str, msgspec.Raw]:
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


def _parsed(decoder: "msgspec.json.Decoder[Any]", data: Any) -> Any:
    return decoder.decode(data)
