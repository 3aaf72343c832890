"""`TableSpec`: the keys of one table. `Row`: one table as it was read."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

from yoi.display import printable
from yoi.limits import LIMITS
from yoi.toml.faults import FaultKind, Faults
from yoi.toml.kinds import BAD, Bad, Kind, bounded_list, type_name

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Key:
    """One key: what it holds, what it means, and what holds where it is absent."""

    name: str
    kind: Kind[Any]
    doc: str
    default: Any = None
    required: bool = False
    default_words: str | None = None
    """The default as the reference says it, where the value itself says too little."""
    missing: str = "is required"
    """What the author reads where a required key is absent."""


class Row:
    """One table: values by key, defaults where a key is absent, BAD where a value has a fault."""

    def __init__(
        self, values: dict[str, Any], raw: dict[str, Any], at: str, faults: Faults
    ) -> None:
        self._values, self.raw, self.at, self.faults = values, raw, at, faults

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def get(self, key: str, default: Any) -> Any:
        """Return the value at `key`; `default` where it is faulty or no key of this table."""
        value = self._values.get(key, default)
        return default if isinstance(value, Bad) else value

    def has(self, key: str) -> bool:
        """Return whether the document has `key`."""
        return key in self.raw

    def good(self, *keys: str) -> bool:
        """Return whether none of `keys` has a fault."""
        return not any(isinstance(self._values[key], Bad) for key in keys)

    @property
    def sound(self) -> bool:
        """Return whether no key has a fault."""
        return self.good(*self._values)

    def path(self, key: str) -> str:
        """Return the dotted path of `key`."""
        return f"{self.at}.{key}" if self.at and key else self.at or key

    def fault(self, kind: FaultKind, key: str, message: str, hint: str | None = None) -> None:
        """Say what is wrong with the value at `key`."""
        self.faults.add(kind, self.path(key), message, hint)


class TableSpec(Generic[T]):
    """A table: its keys, and how a value is built from a row without faults.

    `build` may find further faults, between keys; then the value it returns is not used.
    """

    def __init__(
        self, keys: Iterable[Key], build: Callable[[Row], T], *, about: str = "", name: str = ""
    ) -> None:
        self.keys = {key.name: key for key in keys}
        self._build = build
        self.about = about
        """What the table is for, one paragraph for the reference pages."""
        self.name = name

    def row(self, value: Any, at: str, faults: Faults) -> Row | None:
        """Return the table in `value`, each key read; None when it is no table."""
        if not isinstance(value, dict):
            faults.add("type", at, f"must be a table, not {type_name(value)}")
            return None
        row = Row({}, value, at, faults)
        guessed = set(self._unknown(row))
        for name, key in self.keys.items():
            if name in value:
                row._values[name] = key.kind.read(value[name], row.path(name), faults)
                continue
            row._values[name] = key.default
            if key.required:
                row._values[name] = BAD
                if name not in guessed:
                    row.fault("missing", name, key.missing)
        return row

    def read(self, value: Any, at: str, faults: Faults) -> T | Literal[Bad.BAD]:
        """Return what `build` makes of the table in `value`; BAD after at least one fault."""
        before = faults.count
        row = self.row(value, at, faults)
        if row is None or faults.count > before:
            return BAD
        built = self._build(row)
        return BAD if faults.count > before else built

    def extended(self, *keys: Key) -> "TableSpec[T]":
        """Return this table with other keys beside, or instead of, its own."""
        known = {key.name for key in keys}
        return TableSpec(
            [key for key in self.keys.values() if key.name not in known] + list(keys),
            self._build,
            about=self.about,
            name=self.name,
        )

    def _unknown(self, row: Row) -> Iterator[str]:
        """Add a fault for each unknown key; yield the known keys that were probably meant."""
        for key in row.raw:
            if key in self.keys:
                continue
            shown = printable(str(key), 64)
            close = difflib.get_close_matches(shown, self.keys, n=1)
            guess = f'; did you mean "{close[0]}"?' if close else ""
            known = ", ".join(sorted(self.keys))
            row.fault("unknown_key", shown, f"is not a key of this table{guess} (known: {known})")
            yield from (one for one in close if one not in row.raw)


class Nested(Kind[T], Generic[T]):
    """A table inside a table."""

    def __init__(self, spec: TableSpec[T]) -> None:
        self.spec = spec

    def read(self, value: Any, at: str, faults: Faults) -> T | Literal[Bad.BAD]:
        """Return the value, or BAD after adding at least one fault."""
        return self.spec.read(value, at, faults)

    words = "table"

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return json_schema(self.spec)


class Rows(Kind[tuple[T, ...]], Generic[T]):
    """An array of tables. With `unique`, two of them must not have the same value at that key."""

    def __init__(
        self,
        spec: TableSpec[T],
        most: int = LIMITS.manifest_list_items,
        *,
        unique: str | None = None,
    ) -> None:
        self.spec, self.most, self._unique = spec, most, unique

    def read(self, value: Any, at: str, faults: Faults) -> tuple[T, ...] | Literal[Bad.BAD]:
        """Return the value, or BAD after adding at least one fault."""
        before = faults.count
        rows = bounded_list(value, self.most, at, faults)
        if rows is None:
            return BAD
        read = [self.spec.read(one, f"{at}[{index}]", faults) for index, one in enumerate(rows)]
        if self._unique is not None:
            self._check_unique(rows, at, faults)
        return BAD if faults.count > before else tuple(x for x in read if not isinstance(x, Bad))

    def _check_unique(self, rows: list[Any], at: str, faults: Faults) -> None:
        seen: set[str] = set()
        for index, row in enumerate(rows):
            name = row.get(self._unique) if isinstance(row, dict) else None
            if not isinstance(name, str):
                continue
            if name in seen:
                shown = printable(name, 64)
                faults.add(
                    "duplicate", f"{at}[{index}].{self._unique}", f'"{shown}" is declared twice'
                )
            seen.add(name)

    words = "array of tables"

    @property
    def bound(self) -> str:
        """Return its bound, for the reference pages."""
        return f"at most {self.most}"

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"type": "array", "items": json_schema(self.spec), "maxItems": self.most}


def json_schema(spec: TableSpec[Any]) -> dict[str, Any]:
    """Return the JSON Schema (draft 7) of a table."""
    made: dict[str, Any] = {
        "type": "object",
        "properties": {
            name: {**key.kind.schema(), "description": _plain(key.doc)}
            for name, key in spec.keys.items()
        },
        "additionalProperties": False,
    }
    required = [name for name, key in spec.keys.items() if key.required]
    return {**made, "required": required} if required else made


def required(key: Key) -> Key:
    """Return `key` as one that must be there."""
    return replace(key, required=True)


def _plain(doc: str) -> str:
    return doc.replace("`", "")
