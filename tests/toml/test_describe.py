"""The JSON Schemas that editors use accept what the parsers accept, and name every key."""

import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from yoi.cli.schemas import Document
from yoi.toml import Choice, Key, TableSpec, Whole, key_rows

GOLDEN = Path(__file__).parents[1] / "packages" / "golden"
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}


def problems(schema, value, at="$"):
    """Yield how `value` breaks `schema`: the part of JSON Schema that the generator uses."""
    if "oneOf" in schema:
        if sum(not list(problems(one, value, at)) for one in schema["oneOf"]) != 1:
            yield f"{at}: not exactly one"
        return
    if "not" in schema:
        yield f"{at}: refused"
    if "const" in schema and value != schema["const"]:
        yield f"{at}: not {schema['const']}"
    if "type" in schema and type(value) is not TYPES[schema["type"]]:
        yield f"{at}: not {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: not of the enum"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{at}: pattern"
    if isinstance(value, str) and not (
        schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9)
    ):
        yield f"{at}: length"
    if type(value) is int and not (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
    ):
        yield f"{at}: range"
    if isinstance(value, list):
        if len(value) > schema.get("maxItems", 10**9):
            yield f"{at}: too many"
        for index, one in enumerate(value):
            yield from problems(schema.get("items", {}), one, f"{at}[{index}]")
    if isinstance(value, dict):
        for key in schema.get("required", ()):
            if key not in value:
                yield f"{at}.{key}: missing"
        for key, one in value.items():
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties", {}))
            if inner is False:
                yield f"{at}.{key}: unknown"
            elif isinstance(inner, dict):
                yield from problems(inner, one, f"{at}.{key}")


def schema_of(document):
    packaged = files("yoi") / "_schemas" / f"{document}.schema.json"
    return json.loads(packaged.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted((GOLDEN / "good").glob("*.toml")), ids=lambda p: p.stem)
def test_the_schema_accepts_every_good_manifest(path):
    assert list(problems(schema_of(Document.MANIFEST), tomllib.loads(path.read_text()))) == []


@pytest.mark.parametrize(
    "name",
    ["unknown-top-key", "id-unsafe", "ingress-deadline", "connection-on-full-typo",
     "services-table", "permission-unknown", "runtime-runner-2", "secrets-store-name"],
)  # fmt: skip
def test_the_schema_refuses_what_an_editor_can_see(name):
    document = tomllib.loads((GOLDEN / "bad" / f"{name}.toml").read_text())
    assert list(problems(schema_of(Document.MANIFEST), document))


def test_the_schema_accepts_what_enabling_writes():
    text = (Path(__file__).parents[2] / "docs" / "reference" / "manifest.md").read_text()
    example = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[-1]
    document = tomllib.loads(example)
    assert "plugins" in document
    assert list(problems(schema_of(Document.YOI_TOML), document)) == []
    assert list(problems(schema_of(Document.YOI_TOML), {"network": {}}))


def test_the_schema_of_this_machine():
    document = {"network": {"assume_public": ["198.18.0.0/15"]}, "host": {"connections": 5}}
    assert list(problems(schema_of(Document.HOST_TOML), document)) == []
    assert list(problems(schema_of(Document.HOST_TOML), {"host": {"connections": 0}}))


def test_a_row_of_the_reference_has_type_default_bound_and_meaning():
    spec = TableSpec(
        (
            Key("size_bytes", Whole(1024, 2**20), "how much", default=2**16),
            Key("mode", Choice(("a", "b")), "a | b", required=True),
        ),
        lambda row: row,
    )
    assert list(key_rows(spec))[2:] == [
        "| `size_bytes` | whole number | 64 KiB | 1 KiB to 1 MiB | how much |",
        "| `mode` | `a` or `b` | required |  | a \\| b |",
    ]
