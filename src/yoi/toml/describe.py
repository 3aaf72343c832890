"""What a `TableSpec` says to people: rows of a reference page."""

from collections.abc import Iterator
from typing import Any

from yoi.toml.spec import Key, TableSpec


def key_rows(spec: TableSpec[Any]) -> Iterator[str]:
    """Yield the reference's table of keys, one Markdown line at a time."""
    yield "| key | type | default | bound | meaning |"
    yield "|---|---|---|---|---|"
    for key in spec.keys.values():
        cells = (f"`{key.name}`", key.kind.words, default_of(key), key.kind.bound, key.doc)
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
    return f"`{value}`"
