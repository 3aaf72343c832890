"""Whether a call answers where it was asked: the operator's `same` of a tool."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from yoi.core.frame_search import PointerReader
from yoi.limits import LIMITS, Limits
from yoi.permissions.match import json_equal
from yoi.permissions.pointers import JsonPointer
from yoi.workers import items as it
from yoi.workers.grants import canonical

_ABSENT: Final = object()


class Facts:
    """Reads, out of the frame that a notification is about, what some tools compare."""

    def __init__(self, pointers: Iterable[str] = (), limits: Limits = LIMITS) -> None:
        self._pointers = [JsonPointer.parse(text) for text in sorted(set(pointers))]
        self._reader = PointerReader(self._pointers, limits)
        self._chars = limits.fact_chars

    def read(self, frame: str) -> dict[str, Any]:
        """Return the plain values of `frame` by pointer; longer texts and the rest are left out."""
        found = (self._reader.read(frame) if frame and self._pointers else None) or {}
        return {str(at): value for at, value in found.items() if self._plain(value)}

    def _plain(self, value: Any) -> bool:
        if isinstance(value, str):
            return len(value) <= self._chars
        return isinstance(value, int) and abs(value) < 2**53


def answers_where_asked(heard: Sequence[it.SystemItem], spec: it.ToolSpec, call: it.Call) -> bool:
    """Return whether `call` of the tool `spec` goes where each message of `heard` came from.

    `heard` is what the run took from outside. Each must be of the tool's own plugin and hold, at
    every `event` of `same`, the value that the arguments hold at its `arg`.
    """
    if not heard or not spec.same or spec.origin.kind != "plugin":
        return False
    wanted = {same: JsonPointer.parse(same.arg) for same in spec.same}
    given = PointerReader(wanted.values()).read(canonical(call.arguments))
    return given is not None and all(
        item.provenance.plugin == spec.origin.service
        and all(
            _equal(given.get(at, _ABSENT), item.facts, same.event) for same, at in wanted.items()
        )
        for item in heard
    )


def _equal(value: Any, facts: Mapping[str, Any], event: str) -> bool:
    fact = facts.get(event, _ABSENT)
    return value is not _ABSENT and fact is not _ABSENT and json_equal(value, fact)
