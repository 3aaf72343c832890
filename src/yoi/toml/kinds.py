"""Kinds of values: each reads a decoded TOML value, and describes itself to people and editors."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

from yoi.display import printable
from yoi.errors import YoiError
from yoi.limits import LIMITS
from yoi.toml.faults import FaultKind, Faults

_SAFE_ID = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_-])?")
SAFE_ID_WORDS = (
    f"1 to {LIMITS.name_bytes} ASCII letters, digits, '-', '_' or '.', "
    "and not start with '-' or '.', nor end with '.'"
)
"""What a safe id must be, behind a `must be`."""
_TYPE_NAMES: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a table",
}


class Bad(Enum):
    """The value of a key that has a fault; the fault is in the `Faults` of the reading."""

    BAD = "bad"


BAD: Final = Bad.BAD

T = TypeVar("T")
U = TypeVar("U")


class Kind(ABC, Generic[T]):
    """What a value must be. `read` never raises: what is wrong goes to `faults`."""

    @abstractmethod
    def read(self, value: Any, at: str, faults: Faults) -> T | Literal[Bad.BAD]:
        """Return the value, or BAD after adding at least one fault."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What it is, for the reference pages: `text`, `whole number`."""

    @property
    def bound(self) -> str:
        """Its bound, for the reference pages; empty where `words` says it all."""
        return ""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""


class Text(Kind[str]):
    """A string of at most `most` characters; not blank unless `blank`."""

    def __init__(self, most: int = LIMITS.name_bytes, *, blank: bool = False) -> None:
        self.most, self.blank = most, blank

    def read(self, value: Any, at: str, faults: Faults) -> str | Literal[Bad.BAD]:
        """Return the value, or BAD after adding at least one fault."""
        if not _typed(value, str, at, faults):
            return BAD
        if not self.blank and not value.strip():
            faults.add("value", at, "must not be blank")
            return BAD
        if len(value) > self.most:
            faults.add("too_large", at, f"is longer than {self.most} characters")
            return BAD
        return str(value)

    words = "text"

    @property
    def bound(self) -> str:
        """Return its bound, for the reference pages."""
        return f"at most {self.most} characters"

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        least = {} if self.blank else {"minLength": 1}
        return {"type": "string", **least, "maxLength": self.most}


class SafeId(Kind[str]):
    """A safe id: a name that needs no escaping in a file, a path, a URL or a command line."""

    def read(self, value: Any, at: str, faults: Faults) -> str | Literal[Bad.BAD]:
        """Return the value, or BAD after adding at least one fault."""
        if not _typed(value, str, at, faults):
            return BAD
        if not is_safe_id(value):
            faults.add(
                "value",
                at,
                f"must be {SAFE_ID_WORDS}",
            )
            return BAD
        return str(value)

    words = "safe id"

    @property
    def bound(self) -> str:
        """Return its bound, for the reference pages."""
        return f"1 to {LIMITS.name_bytes} characters"

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {
            "type": "string",
            "pattern": f"^{_SAFE_ID.pattern}$",
            "maxLength": LIMITS.name_bytes,
        }


class Choice(Kind[str]):
    """One of a few words."""

    def __init__(self, choices: Iterable[str], kind: FaultKind = "value") -> None:
        self.choices = tuple(choices)
        self._kind: FaultKind = kind

    def read(self, value: Any, at: str, faults: Faults) -> str | Literal[Bad.BAD]:
        """Return the value, or BAD after adding at least one fault."""
        if not _typed(value, str, at, faults):
            return BAD
        if value not in self.choices:
            shown = printable(value, 64)
            faults.add(self._kind, at, f'must be one of {quoted(self.choices)}, not "{shown}"')
            return BAD
        return self.choices[self.choices.index(value)]

    @property
    def words(self) -> str:
        """Return what it is, for the reference pages."""
        return " or ".join(f"`{one}`" for one in self.choices)

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"type": "string", "enum": [str(one) for one in self.choices]}


class Flag(Kind[bool]):
    """True or false."""

    def read(self, value: Any, at: str, faults: Faults) -> bool | Literal[Bad.BAD]:
        """Return the value, or BAD after adding at least one fault."""
        return bool(value) if _typed(value, bool, at, faults) else BAD

    words = "true or false"

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"type": "boolean"}


class Whole(Kind[int]):
    """A whole number from `low` to `high`, both included."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def read(self, value: Any, at: str, faults: Faults) -> int | Literal[Bad.BAD]:
        """Return the value, or BAD after adding at least one fault."""
        # bool is an int to Python, not to the author.
        if not _typed(value, int, at, faults):
            return BAD
        if not self.low <= value <= self.high:
            faults.add("value", at, f"must be from {self.low} to {self.high}")
            return BAD
        return int(value)

    words = "whole number"

    @property
    def bound(self) -> str:
        """Return its bound, for the reference pages."""
        return f"{self.low} to {self.high}"

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


class AnyTable(Kind[dict[str, Any]]):
    """A table whose keys belong to somebody else, such as a schema."""

    def read(self, value: Any, at: str, faults: Faults) -> dict[str, Any] | Literal[Bad.BAD]:
        """Return the value, or BAD after adding at least one fault."""
        return value if _typed(value, dict, at, faults) else BAD

    words = "table"

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"type": "object"}


class AnyValue(Kind[Any]):
    """A value that is read elsewhere."""

    def read(self, value: Any, at: str, faults: Faults) -> Any:
        """Return the value."""
        return value

    words = "value"

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {}


class ListOf(Kind[tuple[T, ...]], Generic[T]):
    """A list of at most `most` values of one kind."""

    def __init__(self, item: Kind[T], most: int = LIMITS.manifest_list_items) -> None:
        self.item, self.most = item, most

    def read(self, value: Any, at: str, faults: Faults) -> tuple[T, ...] | Literal[Bad.BAD]:
        """Return the value, or BAD after adding at least one fault."""
        items = bounded_list(value, self.most, at, faults)
        if items is None:
            return BAD
        read = [self.item.read(one, f"{at}[{index}]", faults) for index, one in enumerate(items)]
        good = tuple(one for one in read if not isinstance(one, Bad))
        return good if len(good) == len(read) else BAD

    @property
    def words(self) -> str:
        """Return what it is, for the reference pages."""
        return f"list of {self.item.words}"

    @property
    def bound(self) -> str:
        """Return its bound, for the reference pages."""
        each = f", each {self.item.bound}" if self.item.bound else ""
        return f"at most {self.most}{each}"

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"type": "array", "items": self.item.schema(), "maxItems": self.most}


class Parsed(Kind[U], Generic[U]):
    """A value of another kind that `convert` makes into something else.

    `convert` raises ValueError or YoiError for a value it refuses; `at` of such a YoiError is kept.
    """

    def __init__(
        self,
        base: Kind[Any],
        convert: Callable[[Any], U],
        words: str | None = None,
    ) -> None:
        self._base, self._convert, self._words = base, convert, words

    def read(self, value: Any, at: str, faults: Faults) -> U | Literal[Bad.BAD]:
        """Return the value, or BAD after adding at least one fault."""
        plain = self._base.read(value, at, faults)
        if isinstance(plain, Bad):
            return BAD
        try:
            return self._convert(plain)
        except YoiError as exc:
            faults.add("value", at, exc.message, exc.hint)
        except ValueError as exc:
            faults.add("value", at, str(exc))
        return BAD

    @property
    def words(self) -> str:
        """Return what it is, for the reference pages."""
        return self._words or self._base.words

    @property
    def bound(self) -> str:
        """Return its bound, for the reference pages."""
        return self._base.bound

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return self._base.schema()


def file_path(text: str) -> Path:
    """Return `text` as the path of a file, `~` for a home. Raises ValueError for what is none."""
    if not text.isprintable():
        raise ValueError("must be a path without control or invisible characters")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("begins with the home of an account that does not exist") from None


class Never(Kind[Any]):
    """A key that belongs elsewhere; `why` tells the author where."""

    def __init__(self, why: str) -> None:
        self._why = why

    def read(self, value: Any, at: str, faults: Faults) -> Literal[Bad.BAD]:
        """Return the value, or BAD after adding at least one fault."""
        faults.add("unknown_key", at, self._why)
        return BAD

    words = "refused"

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"not": {}}


def is_safe_id(text: str) -> bool:
    """Return whether `text` is 1 to 128 ASCII letters, digits, `-`, `_` and `.`.

    It does not begin with `-`, as an option does, and has no dot at either end.
    """
    return len(text) <= LIMITS.name_bytes and _SAFE_ID.fullmatch(text) is not None


def bounded_list(value: Any, most: int, at: str, faults: Faults) -> list[Any] | None:
    """Return the list `value` if it is one of at most `most` entries; None after a fault."""
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, dict):
        faults.add("type", at, f"must be a list, not a table; write [[{at.rpartition('.')[2]}]]")
        return None
    if not _typed(value, list, at, faults):
        return None
    if len(value) > most:
        faults.add("too_large", at, f"has more than {most} entries")
        return None
    return list(value)


def quoted(values: Iterable[str]) -> str:
    """Return the values as a readable list of quoted strings."""
    return ", ".join(f'"{value}"' for value in values)


def type_name(value: Any) -> str:
    """Return what a TOML author would call the type of `value`."""
    return _TYPE_NAMES.get(type(value), "a date or time")


def _typed(value: Any, kind: type, at: str, faults: Faults) -> bool:
    if type(value) is kind or (kind is not bool and kind is not int and isinstance(value, kind)):
        return True
    faults.add("type", at, f"must be {_TYPE_NAMES[kind]}, not {type_name(value)}")
    return False
