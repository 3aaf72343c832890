"""How deep, and how much of it, told without recursion: whoever sent it chose both."""

from typing import Any

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
