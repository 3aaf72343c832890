"""JSON Schema and TypeScript of the worker events, made from the types themselves."""

import inspect
import json
from typing import Any

import msgspec

from yoi.protocol.events import Event

_HEADER = "Generated from yoi/protocol/events.py by `python -m yoi.protocol.schemas`; do not edit."


def events_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one event of this version.

    A reader tolerates event names and fields that are not in it: a newer Yoi may send more.
    """
    (_,), components = msgspec.json.schema_components([Event], ref_template="#/$defs/{name}")
    for node in components.values():
        # Some versions of Python and of msgspec keep a docstring's indentation, some take it away.
        if "description" in node:
            node["description"] = inspect.cleandoc(node["description"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": _HEADER,
        "title": "Yoi worker event",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in sorted(_event_names(components))],
        "$defs": dict(sorted(components.items())),
    }


def schema_text() -> str:
    """Return the content of events.schema.json."""
    return json.dumps(events_schema(), indent=2, ensure_ascii=False) + "\n"


def typescript_text() -> str:
    """Return the content of events.ts: one interface per type and the union `WorkerEvent`."""
    schema = events_schema()
    lines = [f"// {_HEADER}", ""]
    for name, node in schema["$defs"].items():
        lines += _interface(name, node)
    union = [ref["$ref"].rsplit("/", 1)[1] for ref in schema["oneOf"]]
    lines += [
        "/** Every event of this version. */",
        "export type WorkerEvent =",
        *(f"  | {name}" for name in union[:-1]),
        f"  | {union[-1]};",
        "",
        "/** What a newer Yoi may send: check `event` before the data. */",
        "export interface UnknownEvent {",
        "  event: string;",
        "  data?: unknown;",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _event_names(components: dict[str, Any]) -> list[str]:
    return [name for name, node in components.items() if "event" in node.get("properties", {})]


def _interface(name: str, node: dict[str, Any]) -> list[str]:
    required = set(node.get("required", []))
    lines = [f"/** {_one_line(node.get('description', ''))} */", f"export interface {name} {{"]
    for key, value in node["properties"].items():
        mark = "" if key in required else "?"
        lines.append(f"  {key}{mark}: {_type(value)};")
    return [*lines, "}", ""]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _type(node: dict[str, Any]) -> str:
    if "$ref" in node:
        return str(node["$ref"].rsplit("/", 1)[1])
    if "enum" in node:
        return " | ".join(json.dumps(value) for value in node["enum"])
    if "anyOf" in node:
        return " | ".join(_type(member) for member in node["anyOf"])
    kind = node.get("type")
    if kind == "array":
        inner = _type(node["items"])
        return f"({inner})[]" if "|" in inner else f"{inner}[]"
    if kind == "object":
        return "Record<string, unknown>"
    plain = {
        "string": "string",
        "integer": "number",
        "number": "number",
        "boolean": "boolean",
        "null": "null",
    }
    return plain[kind] if isinstance(kind, str) else "unknown"
