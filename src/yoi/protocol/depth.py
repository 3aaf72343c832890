"""How deep a value from a guest is nested, told without recursion: the guest chose the depth."""

from typing import Any


def deeper_than(value: Any, levels: int) -> bool:
    """Return whether objects and lists in `value` are nested more than `levels` deep."""
    rank = [value]
    for _ in range(levels):
        rank = [
            inner
            for one in rank
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return any(isinstance(one, dict | list) for one in rank)
