"""How deep JSON is nested, and how much of it there is, told without recursion or building it."""

from collections.abc import Iterator
from typing import Any

from yoi.limits import KIB

_SLICE = 64 * KIB
"""Counted at once: of what has far too many values, little is looked at."""
_ALIKE = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def deeper_than(value: Any, levels: int) -> bool:
    """Return whether objects and lists in `value` are nested more than `levels` deep."""
    rank = [value] if isinstance(value, (dict, list)) else []
    for _ in range(levels):
        if not rank:
            return False
        rank = [
            inner
            for one in rank
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, (dict, list))
        ]
    return bool(rank)


def json_beyond(data: bytes, levels: int, containers: int) -> bool:
    """Return whether JSON has more objects and lists than `containers`, or nests them deeper.

    Nothing is built: millions of empty lists take seconds to decode. So do texts: there may be four
    for each container. What is not JSON may be either.
    """
    count = data.count(b"{") + data.count(b"[")
    if count <= min(levels, containers):
        return False
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    if data.count(b'"') > 8 * containers:
        return True
    # Texts are between quotes: every second piece.
    brackets = b"".join(data.split(b'"')[::2]).translate(_ALIKE, _NOT_BRACKETS)
    if len(brackets) > 2 * containers:
        return True
    for _ in range(levels):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def more_values_than(most: int, data: str | bytes) -> bool:
    """Return whether JSON has more than `most` values: objects, lists, texts, numbers and so on.

    Nothing is built: a host that decodes valid JSON of empty lists, or of keys, keeps every other
    plugin waiting meanwhile. What is not JSON may be either.
    """
    if len(data) < most:
        return False
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    if not _reaches(most, data):
        return False
    found = 1
    for piece, _ in _outside_texts(data):
        found += _places(piece)
        if found > most:
            return True
    return False


def _reaches(most: int, data: bytes) -> bool:
    """Return whether `data` might have more than `most` values, were all of it outside of texts."""
    found = 1
    for at in range(0, len(data), _SLICE):
        found += _places(data[at : at + _SLICE])
        if found > most:
            return True
    return False


def parsed_bytes(text: str) -> int:
    """Return what JSON takes in a 32-bit CPython beside its text; less than it really does.

    Measured: an empty list takes 17 bytes with its place in a list, a number 31, an object of two
    fields 186.
    """
    values = objects = quotes = 0
    for piece, between in _outside_texts(text.encode("utf-8", "surrogatepass")):
        values += _places(piece)
        objects += piece.count(b"{")
        quotes += between
    return 16 * values + 100 * objects + 4 * quotes


def _places(outside: bytes) -> int:
    """Return how many values begin: one stands first in its container, or behind a comma."""
    return outside.count(b",") + outside.count(b"[") + outside.count(b"{")


def _outside_texts(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield what of JSON stands outside of its texts, a slice at a time, and the quotes there."""
    at = inside = 0
    while at < len(data):
        piece = data[at : at + _SLICE]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            piece = data[at : at + _SLICE + 1]  # an escape is not cut in two
        at += len(piece)
        quotes = 0
        if inside or b'"' in piece:
            if b"\\" in piece:
                piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
            pieces = piece.split(b'"')
            piece = b"".join(pieces[inside::2])
            quotes = len(pieces) - 1
            inside ^= quotes & 1
        yield piece, quotes
