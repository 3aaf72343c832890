"""The JSON Schema subset for tool inputs and operator configuration, and values checked against it.

No `pattern`, no references, no combinators: checking a value takes time linear in the value and the
schema, whatever a package's author wrote. Source: ancestor-behaviour.md 1.3, widened by bounds and
defaults.
"""

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from yoi.display import printable
from yoi.errors import ConfigError
from yoi.limits import LIMITS
from yoi.permissions.match import json_equal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_ANYWHERE = frozenset({"type", "title", "description", "enum", "default"})
_KEYWORDS: dict[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items"}),
    "string": frozenset({"minLength", "maxLength"}),
    "number": frozenset({"minimum", "maximum"}),
    "integer": frozenset({"minimum", "maximum"}),
    "boolean": frozenset(),
    "null": frozenset(),
}
_ALL_KEYWORDS = _ANYWHERE.union(*_KEYWORDS.values())
_MAX_PROBLEMS = 16


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """One fault of a schema, or of a value: `at` is a path such as `$.properties.room`."""

    at: str
    message: str


def schema_problems(schema: Any) -> list[SchemaProblem]:
    """Return what keeps `schema` out of the supported subset: an empty list if nothing does.

    The root must be of type object. At most 16 problems are returned.
    """
    problems: list[SchemaProblem] = []
    if isinstance(schema, dict) and schema.get("type") not in (None, "object"):
        problems.append(SchemaProblem("$", 'the root must have type = "object"'))
    for problem in _node_problems(schema, "$", 0):
        problems.append(problem)
        if len(problems) >= _MAX_PROBLEMS:
            break
    return problems


def _node_problems(node: Any, at: str, depth: int) -> "Iterator[SchemaProblem]":
    if depth > LIMITS.schema_depth:
        yield SchemaProblem(at, f"is nested deeper than {LIMITS.schema_depth} levels")
        return
    if not isinstance(node, dict):
        yield SchemaProblem(at, "must be an object with a type")
        return
    kind = node.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        yield SchemaProblem(at, f"needs a type, one of {', '.join(TYPES)}")
        return
    for key in node:
        if key not in _ALL_KEYWORDS:
            known = ", ".join(sorted(_ANYWHERE | _KEYWORDS[kind]))
            yield SchemaProblem(
                at, f'the keyword "{printable(str(key), 64)}" is not supported (known: {known})'
            )
        elif key not in _ANYWHERE and key not in _KEYWORDS[kind]:
            yield SchemaProblem(at, f'"{key}" does not apply to type {kind}')
    for key in ("title", "description"):
        if not isinstance(node.get(key, ""), str):
            yield SchemaProblem(at, f"{key} must be a string")
    yield from _bound_problems(node, at)
    yield from _enum_problems(node, at)
    if kind == "object":
        yield from _object_problems(node, at, depth)
    if kind == "array" and "items" in node:
        yield from _node_problems(node["items"], f"{at}.items", depth + 1)
    if "default" in node:
        # Only against this node's own sound parts: the problems above are reported already.
        for fault in _value_faults(node, node["default"], f"{at}.default", depth):
            yield SchemaProblem(fault.at, f"the default {fault.message}")
            break


def _bound_problems(node: "Mapping[str, Any]", at: str) -> "Iterator[SchemaProblem]":
    for low_key, high_key, kinds in (
        ("minLength", "maxLength", (int,)),
        ("minimum", "maximum", (int, float)),
    ):
        sound = True
        for key in (low_key, high_key):
            if key not in node:
                continue
            value = node[key]
            if type(value) not in kinds or value != value or (kinds == (int,) and value < 0):
                sound = False
                yield SchemaProblem(at, f"{key} must be a number the type can have")
        if sound and low_key in node and high_key in node and node[low_key] > node[high_key]:
            yield SchemaProblem(at, f"{low_key} is over {high_key}")


def _enum_problems(node: "Mapping[str, Any]", at: str) -> "Iterator[SchemaProblem]":
    if "enum" not in node:
        return
    values = node["enum"]
    if not isinstance(values, list) or not values:
        yield SchemaProblem(at, "enum must be a list with at least one value")
    elif len(values) > LIMITS.package_entries:
        yield SchemaProblem(at, f"enum has more than {LIMITS.package_entries} values")
    elif len({repr(value) for value in values}) != len(values):
        yield SchemaProblem(at, "enum has the same value twice")


def _object_problems(node: "Mapping[str, Any]", at: str, depth: int) -> "Iterator[SchemaProblem]":
    properties = node.get("properties")
    if "properties" in node:
        if not isinstance(properties, dict):
            yield SchemaProblem(at, "properties must be an object")
            properties = None
        else:
            for name, child in properties.items():
                shown = printable(str(name), 64)
                yield from _node_problems(child, f"{at}.properties.{shown}", depth + 1)
    required = node.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        yield SchemaProblem(at, "required must be a list of strings")
    else:
        if len(set(required)) != len(required):
            yield SchemaProblem(at, "required has the same name twice")
        for name in required:
            if properties is not None and name not in properties:
                yield SchemaProblem(at, f'required names "{printable(name, 64)}", not a property')
    extra = node.get("additionalProperties", True)
    if not isinstance(extra, bool):
        yield from _node_problems(extra, f"{at}.additionalProperties", depth + 1)


def validate_config(
    schema: "Mapping[str, Any] | None", values: "Mapping[str, Any]"
) -> dict[str, Any]:
    """Return `values` with the schema's defaults filled in, as plain JSON values.

    `schema` None means the plugin declares none: any JSON object is passed on as it is. Raises
    ConfigError with `fields["at"]`: `config.schema` when the schema itself is not in the subset,
    `config.value` for a value that does not fit, has no JSON form, or is over 64 KiB encoded.
    """
    if schema is not None:
        for problem in schema_problems(schema):
            raise ConfigError(
                "config.schema",
                f"the plugin's config schema: {problem.at}: {problem.message}",
                at=problem.at,
            )
    root: Mapping[str, Any] = {"type": "object"} if schema is None else schema
    filled = _filled(root, _plain(values, "config", 0))
    for fault in _value_faults(root, filled, "config", 0):
        raise ConfigError("config.value", f"{fault.at} {fault.message}", at=fault.at)
    if len(msgspec.json.encode(filled)) > LIMITS.config_bytes:
        raise ConfigError(
            "config.value", f"config is over {LIMITS.config_bytes} bytes as JSON", at="config"
        )
    return dict(filled)


def value_problems(schema: "Mapping[str, Any]", value: Any) -> list[SchemaProblem]:
    """Return how `value`, decoded JSON, breaks `schema`: an empty list if nothing does.

    At most 16 problems; `at` starts with `$`.
    """
    return list(islice(_value_faults(schema, value, "$", 0), _MAX_PROBLEMS))


def _plain(value: Any, at: str, depth: int) -> Any:
    """Return a copy of `value` in plain JSON types; anything else is refused with its path."""
    if depth > LIMITS.schema_depth:
        raise ConfigError(
            "config.value", f"{at} is nested deeper than {LIMITS.schema_depth} levels", at=at
        )
    # Subclasses (tomlkit's wrappers) are reduced to what they hold.
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return int(value)
    if isinstance(value, float) and value == value and value not in (float("inf"), -float("inf")):
        return float(value)
    if isinstance(value, list):
        return [_plain(item, f"{at}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {
            str(key): _plain(item, f"{at}.{printable(str(key), 64)}", depth + 1)
            for key, item in value.items()
        }
    raise ConfigError("config.value", f"{at} has no JSON form; write it as a string", at=at)


def _filled(schema: "Mapping[str, Any]", value: Any) -> Any:
    """Return `value` with the defaults of absent properties; recursion follows the schema."""
    if schema["type"] == "array" and isinstance(value, list) and "items" in schema:
        return [_filled(schema["items"], item) for item in value]
    if schema["type"] != "object" or not isinstance(value, dict):
        return value
    result = dict(value)
    for name, child in schema.get("properties", {}).items():
        if name in result:
            result[name] = _filled(child, result[name])
        elif "default" in child:
            result[name] = _filled(child, _plain(child["default"], name, 0))
    return result


def _value_faults(
    schema: "Mapping[str, Any]", value: Any, at: str, depth: int
) -> "Iterator[SchemaProblem]":
    """Yield how `value` breaks `schema`; parts of the schema that are unsound are passed over."""
    if depth > LIMITS.schema_depth:
        yield SchemaProblem(at, f"is nested deeper than {LIMITS.schema_depth} levels")
        return
    kind = schema.get("type")
    if not isinstance(kind, str) or not _has_type(value, kind):
        yield SchemaProblem(at, f"must be of type {kind}")
        return
    enum = schema.get("enum")
    if isinstance(enum, list) and not any(json_equal(value, allowed) for allowed in enum):
        shown = ", ".join(printable(repr(allowed), 64) for allowed in enum[:8])
        yield SchemaProblem(at, f"must be one of {shown}")
    if kind == "string":
        yield from _range_faults(schema, len(value), at, "minLength", "maxLength", " characters")
    elif kind in ("number", "integer"):
        yield from _range_faults(schema, value, at, "minimum", "maximum", "")
    elif kind == "array" and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            yield from _value_faults(schema["items"], item, f"{at}[{index}]", depth + 1)
    elif kind == "object":
        yield from _member_faults(schema, value, at, depth)


def _range_faults(
    schema: "Mapping[str, Any]", size: float, at: str, low_key: str, high_key: str, unit: str
) -> "Iterator[SchemaProblem]":
    low, high = schema.get(low_key), schema.get(high_key)
    if isinstance(low, (int, float)) and size < low:
        yield SchemaProblem(at, f"must be at least {low}{unit}")
    if isinstance(high, (int, float)) and size > high:
        yield SchemaProblem(at, f"must be at most {high}{unit}")


def _member_faults(
    schema: "Mapping[str, Any]", value: dict[str, Any], at: str, depth: int
) -> "Iterator[SchemaProblem]":
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    extra = schema.get("additionalProperties", True)
    required = schema.get("required", [])
    for name in required if isinstance(required, list) else []:
        if isinstance(name, str) and name not in value:
            yield SchemaProblem(f"{at}.{printable(name, 64)}", "is required")
    for name, item in value.items():
        path = f"{at}.{printable(name, 64)}"
        child = properties.get(name, extra)
        if child is False:
            known = ", ".join(printable(str(key), 64) for key in properties)
            yield SchemaProblem(path, f"is not a known name (known: {known})")
        elif isinstance(child, dict):
            yield from _value_faults(child, item, path, depth + 1)


def _has_type(value: Any, kind: str) -> bool:
    if kind == "null":
        return value is None
    if kind == "boolean":
        return type(value) is bool
    if kind == "integer":
        return type(value) is int
    if kind == "number":
        return type(value) in (int, float)
    return type(value) is {"string": str, "array": list, "object": dict}.get(kind)
