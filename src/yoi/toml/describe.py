"""What a `TableSpec` says to people (rows of a reference page) and to editors (JSON Schema)."""

from collections.abc import Iterator
from typing import Any

from yoi.toml.spec import Key, TableSpec


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


def _plain(doc: str) -> str:
    return doc.replace("`", "")
