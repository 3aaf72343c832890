"""Marked secrets, and a search for any trace of them: the canary test's two halves.

    canaries = Canaries()
    store.set("slack-app", canaries.secret("slack-app", prefix="xapp-1-"))
    ... run a whole session, collecting what it wrote ...
    assert canaries.grep_everything(log=log_text, events=events, status=status, guest=frames) == []

Whatever is handed in is searched: text, bytes, files, folders, exceptions with what led to them,
containers, and for any other object its repr, its str and its attributes.
"""

import base64
import dataclasses
import html
import json
import secrets
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_DEPTH = 12
_FRAGMENT = 12
"""A piece this long of the random part is a trace too: half a token is a leak."""


@dataclasses.dataclass(frozen=True)
class Trace:
    """Where a marked secret was found, and in which disguise; never the value."""

    canary: str
    place: str
    form: str


class Canaries:
    """Makes secrets that exist nowhere else, and finds them again."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._needles: list[tuple[str, str, bytes]] = []

    def secret(self, name: str, prefix: str = "", signs: str = '/"+é') -> str:
        """Return a new marked value for `name`; `signs` are some that JSON and URLs escape."""
        core = secrets.token_hex(20)
        value = f"{prefix}canary-{core}{signs}"
        self.mark(name, value)
        for start in range(0, len(core) - _FRAGMENT + 1, _FRAGMENT):
            self._needles.append((name, "piece", core[start : start + _FRAGMENT].encode()))
        return value

    def mark(self, name: str, value: str) -> None:
        """Look for `value` (one that a test server made up, say) under `name` too."""
        self._values[name] = value
        self._needles += [(name, form, needle) for form, needle in _disguises(value)]

    def value(self, name: str) -> str:
        """Return the value of `name`."""
        return self._values[name]

    def grep_everything(self, **places: Any) -> list[Trace]:
        """Return every trace in what was handed in, each place and form once."""
        found: dict[Trace, None] = {}
        for place, value in places.items():
            for where, data in _texts(value, place, _DEPTH, set()):
                for name, form, needle in self._needles:
                    if needle in data:
                        found.setdefault(Trace(name, where, form))
        return list(found)


def _disguises(value: str) -> Iterator[tuple[str, bytes]]:
    raw = value.encode()
    yield "plain", raw
    yield "json", json.dumps(value)[1:-1].encode()
    yield "json, unicode", json.dumps(value, ensure_ascii=False)[1:-1].encode()
    yield "json, slashes", json.dumps(value)[1:-1].replace("/", "\\/").encode()
    yield "repr", repr(value)[1:-1].encode()
    yield "bytes repr", repr(raw)[2:-1].encode()
    yield "url", urllib.parse.quote(value, safe="").encode()
    yield "url, path", urllib.parse.quote(value).encode()
    yield "form", urllib.parse.quote_plus(value).encode()
    yield "hex", raw.hex().encode()
    yield "hex, upper", raw.hex().upper().encode()
    yield "json in json", json.dumps(json.dumps(value)[1:-1])[1:-1].encode()
    yield "html", html.escape(value).encode()
    yield "url, lower", urllib.parse.quote(value, safe="").lower().encode()
    yield "reversed", value[::-1].encode()
    for shift in range(3):
        # Inside a longer base64 text a value starts at any of three offsets.
        whole = base64.b64encode(b"\0" * shift + raw)
        inner = whole[4 if shift else 0 : len(whole) - 4]
        yield f"base64 at {shift}", inner
        yield f"base64url at {shift}", inner.translate(bytes.maketrans(b"+/", b"-_"))


def _texts(value: Any, place: str, depth: int, seen: set[int]) -> Iterator[tuple[str, bytes]]:
    if isinstance(value, str):
        yield place, value.encode("utf-8", "surrogatepass")
        return
    if isinstance(value, bytes | bytearray | memoryview):
        yield place, bytes(value)
        return
    if value is None or isinstance(value, bool | int | float) or depth == 0 or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Path):
        yield from _files(value, place)
        return
    inner: Iterator[tuple[str, Any]]
    if isinstance(value, Mapping):
        inner = ((f"{place} key", key) for key in value)
        for where, one in inner:
            yield from _texts(one, where, depth - 1, seen)
        for key, one in value.items():
            yield from _texts(one, f"{place}[{type(key).__name__}]", depth - 1, seen)
        return
    if isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _texts(one, f"{place}[]", depth - 1, seen)
        return
    yield f"{place} repr", repr(value).encode("utf-8", "surrogatepass")
    yield f"{place} str", str(value).encode("utf-8", "surrogatepass")
    if isinstance(value, BaseException):
        for name in ("args", "__cause__", "__context__", "__notes__"):
            yield from _texts(getattr(value, name, None), f"{place}.{name}", depth - 1, seen)
    for name in _attributes(value):
        yield from _texts(getattr(value, name, None), f"{place}.{name}", depth - 1, seen)


def _attributes(value: Any) -> set[str]:
    if callable(value):
        return set()
    names = set(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        names |= {slots} if isinstance(slots, str) else set(slots)
    return names - {"__weakref__", "__dict__"}


def _files(path: Path, place: str) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        yield f"{place}: name", str(file).encode("utf-8", "surrogateescape")
        if file.is_file():
            yield f"{place}: {file.name}", file.read_bytes()
