"""What a `TableSpec` says to people: rows of a reference page."""

from collections.abc import Iterator
from typing import Any

from yoi.limits import GIB, KIB, MIB
from yoi.toml.kinds import Whole
from yoi.toml.spec import Key, TableSpec


def key_rows(spec: TableSpec[Any]) -> Iterator[str]:
    """Yield the reference's table of keys, one Markdown line at a time."""
    yield "| key | type | default | bound | meaning |"
    yield "|---|---|---|---|---|"
    for key in spec.keys.values():
        cells = (f"`{key.name}`", key.kind.words, default_of(key), _bound(key), key.doc)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def default_of(key: Key) -> str:
    """Return a key's default as the reference says it."""
    if key.default_words is not None:
        return key.default_words
    if key.required:
        return "required"
    value = key.default
    if value is None or value == "" or value == () or value == {}:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if _counts_bytes(key):
        return _size(value)
    return f"`{value}`"


def _bound(key: Key) -> str:
    kind = key.kind
    if isinstance(kind, Whole) and _counts_bytes(key):
        return f"{_size(kind.low)} to {_size(kind.high)}"
    return kind.bound


def _counts_bytes(key: Key) -> bool:
    return key.name.endswith("_bytes") and isinstance(key.kind, Whole)


def _size(value: int) -> str:
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if value >= unit and value % unit == 0:
            return f"{value // unit} {name}"
    return str(value)
