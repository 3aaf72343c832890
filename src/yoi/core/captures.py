"""Values taken out of HTTP answers before the guest sees them, and the handles it gets instead.

Sans-I/O. A captured value is a short-lived credential (a socket's URL with its ticket, an access
token): it stays on this side, and no repr, log or error shows it.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from yoi.errors import CaptureFailed
from yoi.limits import LIMITS, Limits
from yoi.permissions import JsonPointer, array_index

Json = Any
_ABSENT = object()


class Declared(Protocol):
    """What this needs of a declared capture (`yoi.permissions.Capture`)."""

    @property
    def name(self) -> str:
        """What the manifest calls it."""
        ...

    @property
    def at(self) -> JsonPointer:
        """Where in the answer it stands."""
        ...


class Captured:
    """A captured string or number; `reveal` is called where it leaves the host."""

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str | int | float) -> None:
        self.name = name
        self._value = value

    def reveal(self) -> str | int | float:
        """Return the value itself, of the type that the answer had."""
        return self._value

    def text(self) -> str:
        """Return the value where it must be text; raises CaptureFailed (`capture.type`)."""
        if not isinstance(self._value, str):
            raise CaptureFailed("capture.type", f"the captured {self.name} is not text")
        return self._value

    def __repr__(self) -> str:
        return f"<captured {self.name}>"

    def __reduce__(self) -> str:
        raise TypeError("a captured value is not pickled")


@dataclass(frozen=True, slots=True)
class Taken:
    """An answer relieved of what was declared."""

    document: Json
    """The answer with null where each value was."""
    values: Mapping[str, Captured]
    failed: Mapping[str, CaptureFailed]
    """Per capture: nothing there (`capture.absent`), or no text or number (`capture.type`)."""


def take_captures(document: Json, declared: Iterable[Declared], limits: Limits = LIMITS) -> Taken:
    """Return `document` without its `declared` values, and the values; `document` is not changed.

    A failed capture leaves the rest of the answer as it is: a service's own error message has no
    credential in it and must reach the guest. A value of the wrong type is taken out too, because
    the manifest declares that the guest must not see what stands there.
    """
    values: dict[str, Captured] = {}
    failed: dict[str, CaptureFailed] = {}
    places: list[JsonPointer] = []
    for capture in declared:
        found = _find(document, capture.at)
        if found is _ABSENT or found is None:
            failed[capture.name] = CaptureFailed(
                "capture.absent",
                f"the answer has nothing at {capture.at} for the capture {capture.name}",
                name=capture.name,
            )
            continue
        places.append(capture.at)
        problem = _problem(found, limits)
        if problem is None:
            values[capture.name] = Captured(capture.name, found)
        else:
            failed[capture.name] = CaptureFailed(
                "capture.type",
                f"the capture {capture.name} at {capture.at} {problem}",
                name=capture.name,
            )
    # Only now: all values are found before any is taken out, also where one lies inside another.
    for place in places:
        document = _blank(document, place.tokens)
    return Taken(document, values, failed)


def _problem(found: Json, limits: Limits) -> str | None:
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        kind = {bool: "true or false", dict: "an object", list: "an array"}.get(type(found))
        return f"is {kind or type(found).__name__}; it must be text or a number"
    if isinstance(found, str):
        if not found:
            return "is empty"
        try:
            size = len(found.encode())
        except UnicodeEncodeError:
            return "has half of a surrogate pair, which is not text"
        if size > limits.handle_value_bytes:
            return f"is over {limits.handle_value_bytes} bytes"
    return None


def _find(document: Json, pointer: JsonPointer) -> Json:
    at = document
    for token in pointer.tokens:
        if isinstance(at, dict):
            at = at.get(token, _ABSENT)
        elif isinstance(at, list):
            index = array_index(token)
            at = at[index] if index is not None and index < len(at) else _ABSENT
        else:
            return _ABSENT
    return at


def _blank(document: Json, tokens: tuple[str, ...]) -> Json:
    """Return a copy with null at the place, along its way only; nothing where there is no way."""
    if not tokens:
        return None
    token, rest = tokens[0], tokens[1:]
    if isinstance(document, dict) and token in document:
        return {**document, token: _blank(document[token], rest)}
    if isinstance(document, list):
        index = array_index(token)
        if index is not None and index < len(document):
            return [*document[:index], _blank(document[index], rest), *document[index + 1 :]]
    return document


@dataclass(slots=True)
class _Held:
    connection: str | None
    target: str
    value: Captured
    until: float


class HandleTable:
    """Captured values behind opaque names: URLs to open, and what may be inserted elsewhere.

    A handle belongs to the first connection that uses it. A plugin has at most `handles`, the
    oldest goes; each lives for `handle_ms`. A handle stays usable within its
    time, because a dial may have to be repeated.
    """

    def __init__(
        self,
        limits: Limits = LIMITS,
        new_token: Callable[[], str] = lambda: secrets.token_urlsafe(24),
    ) -> None:
        self._limits = limits
        self._new_token = new_token
        self._held: dict[str, dict[str, _Held]] = {}

    def __repr__(self) -> str:
        return f"<HandleTable of {sum(map(len, self._held.values()))}>"

    def count(self, plugin: str) -> int:
        """Return how many handles `plugin` has, those too old included."""
        return len(self._held.get(plugin, ()))

    def issue(
        self,
        plugin: str,
        value: Captured,
        now: float,
        *,
        target: str,
    ) -> str:
        """Return a new handle for `value`, captured from an answer of the request `target`."""
        mine = self._held.setdefault(plugin, {})
        for old in [handle for handle, held in mine.items() if held.until <= now]:
            del mine[old]
        while len(mine) >= self._limits.handles:
            del mine[next(iter(mine))]
        handle = f"handle:{self._new_token()}"
        mine[handle] = _Held(None, target, value, now + self._limits.handle_ms / 1000)
        return handle

    def open_url(self, handle: str, plugin: str, connection: str, now: float) -> Captured:
        """Return the URL behind `handle`, for `websocket_open` of `connection` by `plugin`.

        Raises CaptureFailed (`capture.handle`), in the same words for a handle that never was, is
        too old, or is another plugin's or connection's.
        """
        held = self._held.get(plugin, {}).get(handle)
        if held is None or held.until <= now or held.connection not in (None, connection):
            raise _unusable()
        held.value.text()
        held.connection = connection
        return held.value

    def value(self, handle: str, plugin: str, now: float) -> tuple[str, Captured]:
        """Return the request target that a value was captured from, and the value, to insert it.

        Whether it may go where it is wanted is asked of `Authority.captured`. Raises CaptureFailed
        (`capture.handle`).
        """
        held = self._held.get(plugin, {}).get(handle)
        if held is None or held.until <= now:
            raise _unusable()
        return held.target, held.value

    def forget(self, plugin: str) -> None:
        """Drop all handles of `plugin`: it stopped, or lost its grant."""
        self._held.pop(plugin, None)


def _unusable() -> CaptureFailed:
    return CaptureFailed(
        "capture.handle",
        "the handle is unknown, too old, or belongs to another connection; "
        "ask for a new one with a request that captures it",
    )
