"""Put values into named places of a JSON document. Pure; nothing is ever found by scanning text.

Contract: docs/design/sessions.md. Whether a value may go to a place is asked before, of
`Authority`; here the place is only looked up (RFC 6901) and filled.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import quote

from yoi.display import printable
from yoi.errors import InsertionError, SecretError
from yoi.limits import LIMITS
from yoi.permissions import JsonPointer, PointerFault, array_index
from yoi.permissions.places import Position, part_value_fault, path_value_fault
from yoi.protocol.parts import joined

Json = Any

_SOURCES = ("secret", "captured", "last", "counter")
_PATH_SAFE = "!$&'()*+,;=:@"


class Layout(Enum):
    """What a document becomes, which says what its places are."""

    JSON = "json"
    """Written as JSON: each place holds a JSON value."""
    PARTS = "parts"
    """Parts written one after the other: a whole part is text."""
    HEAD = "head"
    """A request or a handshake, its path as a list of segments, which are text."""


SESSION_COUNTER = "session"
"""The one counter that there is: of the session that the message leaves on."""
_KEYS = frozenset({"at", "prefix", *_SOURCES})


@dataclass(frozen=True, slots=True)
class Insertion:
    """One place, and the one value that goes there; exactly one of the four is not None."""

    at: JsonPointer
    secret: str | None = None
    """The plugin's name of a secret."""
    captured: str | None = None
    """The handle of a captured value."""
    last: str | None = None
    """The name of a last-seen value of the session."""
    counter: str | None = None
    """`SESSION_COUNTER`: the session's next number."""
    prefix: str = ""
    """Text before a secret, such as `Bearer `, or before the counter's number; printable ASCII."""
    as_text: bool = False
    """Whether the counter's number is written as text, behind the prefix."""

    @property
    def placeholder(self) -> str:
        """What a log may show in place of the value: `<secret app>`."""
        for kind in _SOURCES:
            name = getattr(self, kind)
            if name is not None:
                return f"{self.prefix}<{kind} {printable(name, LIMITS.name_bytes)}>"
        raise AssertionError("an insertion has a source")


def parse_insertions(raw: object) -> tuple[Insertion, ...]:
    """Return the insertions in a command's decoded `insert` list, at most `insertions`.

    No place may be, or lie inside, another's: their order then means nothing. Raises
    `InsertionError` (`insert.malformed`).
    """
    if not isinstance(raw, list | tuple):
        raise _malformed("insert must be a list")
    if len(raw) > LIMITS.insertions:
        raise _malformed(f"insert has {len(raw)} entries; at most {LIMITS.insertions}")
    made = tuple(_insertion(item, f"insert[{index}]") for index, item in enumerate(raw))
    # Sorted, a place comes right before what lies inside it.
    places = sorted(one.at for one in made)
    for before, after in itertools.pairwise(places):
        if before.holds(after):
            raise _malformed(f"insert names {_shown(before)} and {_shown(after)}: one place twice")
    return made


def position(document: Json, insertion: Insertion, layout: Layout) -> Position:
    """Return where `insertion` puts its value, and the literal text before it there."""
    tokens = insertion.at.tokens
    if layout is Layout.HEAD and len(tokens) == 2 and tokens[0] == "path":
        return Position(insertion.at, insertion.prefix, literal=True)
    if layout is Layout.PARTS and len(tokens) == 1:
        before = document[: array_index(tokens[0]) or 0]
        # Where a part before it is filled in too, the text is not known: no grant matches a NUL.
        text = "\0" if None in before else joined(before)
        return Position(insertion.at, text + insertion.prefix, literal=True)
    return Position(insertion.at, insertion.prefix)


def literal_text(value: Json, layout: Layout, insertion: Insertion) -> str:
    """Return `value` as it stands in a literal text: encoded for a path.

    Raises SecretError (`secret.malformed`) for one that would end the segment or the line; the
    message does not quote it.
    """
    text = value if isinstance(value, str) else None
    fault = "it is no text"
    if text is not None:
        check = path_value_fault if layout is Layout.HEAD else part_value_fault
        found = check(text)
        if found is None:
            return quote(text, safe=_PATH_SAFE) if layout is Layout.HEAD else text
        fault = found
    raise SecretError(
        "secret.malformed",
        f"{insertion.placeholder} cannot stand at {_shown(insertion.at)}: {fault}",
    )


def insert_into(
    document: Json, insertions: Sequence[Insertion], lookup: Callable[[Insertion], Json]
) -> Json:
    """Return `document` with each value at its place; the document itself is not changed.

    `lookup` returns the value of an insertion and raises its own errors; the value's JSON type is
    kept. Only containers on the way to a place are copied, each once. Raises `InsertionError`
    (`insert.place`) where the parent is missing, or the place holds an array or object;
    `SecretError` (`secret.malformed`) where a value has a prefix and is not text.
    """
    # Looked up first: what is missing is said before anything is copied.
    for insertion in insertions:
        _check_place(document, insertion.at)
    copies = _Copies(document)
    for insertion in insertions:
        copies.put(insertion.at.tokens, _value(insertion, lookup(insertion)))
    return copies.root


def value_at(document: Json, pointer: JsonPointer) -> Json:
    """Return what stands at `pointer`. Raises `LookupError` where nothing does."""
    for token in pointer.tokens:
        document = _child(document, token)
    return document


def _insertion(item: object, at: str) -> Insertion:
    if not isinstance(item, dict):
        raise _malformed(f"{at} must be an object")
    for key in item:
        if key not in _KEYS:
            raise _malformed(f"{at} has no field {printable(str(key), 60)!r}")
    try:
        place = JsonPointer.parse(item.get("at"))
    except PointerFault as exc:
        raise _malformed(f"{at}.at {exc}") from None
    named = [key for key in _SOURCES if item.get(key) is not None]
    if len(named) != 1:
        raise _malformed(f"{at} must name exactly one of {', '.join(_SOURCES)}")
    source = item[named[0]]
    if not isinstance(source, str) or not 1 <= len(source) <= LIMITS.name_bytes:
        raise _malformed(f"{at}.{named[0]} must be 1 to {LIMITS.name_bytes} characters")
    if named[0] == "counter" and source != SESSION_COUNTER:
        raise _malformed(f'{at}.counter must be "{SESSION_COUNTER}"')
    prefix = item.get("prefix", "")
    if not isinstance(prefix, str) or len(prefix) > LIMITS.insert_prefix_chars:
        raise _malformed(
            f"{at}.prefix must be text of at most {LIMITS.insert_prefix_chars} characters"
        )
    counted = named[0] == "counter" and "prefix" in item
    if prefix and named[0] != "secret" and not counted:
        raise _malformed(f"{at}.prefix goes with a secret or a counter")
    if not (prefix.isascii() and (prefix.isprintable() or not prefix)):
        raise _malformed(f"{at}.prefix must be printable ASCII")
    return Insertion(place, **{named[0]: source}, prefix=prefix, as_text=counted)


def _check_place(document: Json, at: JsonPointer) -> None:
    parent = document
    try:
        for token in at.tokens[:-1]:
            parent = _child(parent, token)
    except LookupError:
        raise _no_place(at, "what should hold it is not there") from None
    if isinstance(parent, dict):
        current = parent.get(at.tokens[-1])
    elif isinstance(parent, list):
        try:
            current = _child(parent, at.tokens[-1])
        except LookupError:
            raise _no_place(at, "the array has no such element") from None
    else:
        raise _no_place(at, "what should hold it is neither an object nor an array")
    if isinstance(current, dict | list):
        raise _no_place(at, "it holds an object or array, not a placeholder")


def _value(insertion: Insertion, value: Json) -> Json:
    if insertion.as_text:
        return f"{insertion.prefix}{value}"
    if not insertion.prefix:
        return value
    if not isinstance(value, str):
        raise SecretError(
            "secret.malformed",
            f"a prefix goes before text, and {insertion.placeholder} is none",
        )
    return insertion.prefix + value


class _Copies:
    """A document of which each container on a way was copied, when first come by."""

    def __init__(self, document: Json) -> None:
        self.root = document
        self._own: set[int] = set()

    def put(self, tokens: Sequence[str], value: Json) -> None:
        """Put `value` at the place `tokens`, which was checked."""
        self.root = at = self._copied(self.root)
        for token in tokens[:-1]:
            key = _key(at, token)
            at[key] = inner = self._copied(at[key])
            at = inner
        at[_key(at, tokens[-1])] = value

    def _copied(self, container: Json) -> Json:
        if id(container) in self._own:
            return container
        made = dict(container) if isinstance(container, dict) else list(container)
        self._own.add(id(made))
        return made


def _key(container: Json, token: str) -> str | int:
    if isinstance(container, dict):
        return token
    index = array_index(token)
    assert index is not None, "the place was checked"
    return index


def _child(parent: Json, token: str) -> Json:
    if isinstance(parent, dict):
        return parent[token]
    index = array_index(token) if isinstance(parent, list) else None
    if index is None or index >= len(parent):
        raise LookupError(token)
    return parent[index]


def _no_place(at: JsonPointer, why: str) -> InsertionError:
    return InsertionError(
        "insert.place",
        f"nothing can be inserted at {_shown(at)}: {why}",
        hint="send the document with its parent object, and null where the value goes",
    )


def _shown(place: JsonPointer) -> str:
    return printable(str(place), 200)


def _malformed(message: str) -> InsertionError:
    return InsertionError("insert.malformed", message)
