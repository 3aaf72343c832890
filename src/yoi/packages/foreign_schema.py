"""JSON Schemas written by others, and values checked against as much of them as is safe to follow.

Followed are types, enumerations, objects, lists, bounds, `anyOf`, `oneOf`, `allOf`, and references
inside the document. Everything else (`pattern`, `format`, `not`, conditions, references elsewhere)
refuses nothing here: the author of the schema checks that. Steps are counted, whatever the schema.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from yoi.display import printable
from yoi.limits import LIMITS, Limits
from yoi.packages.schema import SchemaProblem
from yoi.permissions.match import json_equal

_MAX_PROBLEMS = 16
_DEPTH = 48
_VALUES = 5_000


class _TooLong(Exception):
    """The steps are used up."""


def foreign_schema_problems(schema: Any) -> list[SchemaProblem]:
    """Return what keeps `schema` from being used for a tool's input: nothing for most.

    The root must be of type object; size, depth and references are bounded.
    """
    if not isinstance(schema, dict):
        return [SchemaProblem("$", "must be an object")]
    if schema.get("type") != "object":
        return [SchemaProblem("$", 'the root must have type = "object"')]
    return list(_walk(schema))[:_MAX_PROBLEMS]


def _walk(schema: Any) -> Iterator[SchemaProblem]:
    waiting: list[tuple[Any, int]] = [(schema, 0)]
    seen = 0
    while waiting:
        node, depth = waiting.pop()
        seen += 1
        if seen > _VALUES:
            yield SchemaProblem("$", f"has more than {_VALUES} values")
            return
        if depth > _DEPTH:
            yield SchemaProblem("$", f"is nested deeper than {_DEPTH} levels")
            return
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str) and not reference.startswith("#"):
                shown = printable(reference, 64)
                yield SchemaProblem("$", f'refers to another document: "{shown}"')
            waiting += [(one, depth + 1) for one in node.values()]
        elif isinstance(node, list):
            waiting += [(one, depth + 1) for one in node]


def foreign_value_problems(
    schema: Mapping[str, Any], value: Any, limits: Limits = LIMITS
) -> list[SchemaProblem]:
    """Return how `value`, decoded JSON, breaks `schema`: an empty list if nothing followed does.

    Never raises, whatever the schema; what cannot be checked within `mcp_schema_steps` is refused.
    """
    checking = _Checking(schema, limits.mcp_schema_steps)
    try:
        return checking.problems(schema, value, "$")[:_MAX_PROBLEMS]
    except (_TooLong, RecursionError):
        return [SchemaProblem("$", "cannot be checked: the tool's schema takes too many steps")]


class _Checking:
    """One value against one schema."""

    def __init__(self, root: Mapping[str, Any], steps: int) -> None:
        self._root, self._left = root, steps

    def problems(self, node: Any, value: Any, at: str) -> list[SchemaProblem]:
        """Return how `value` breaks `node`."""
        self._left -= 1 + _listed(node)
        if self._left < 0:
            raise _TooLong
        if node is False:
            return [SchemaProblem(at, "is not allowed")]
        if not isinstance(node, dict):
            return []
        if isinstance(node.get("$ref"), str):
            target = self._referred(node["$ref"])
            found = [] if target is None else self.problems(target, value, at)
            if found:
                return found
        wrong = _wrong_type(node.get("type"), value)
        if wrong is not None:
            return [SchemaProblem(at, wrong)]
        found = list(_own(node, value, at))
        if isinstance(value, dict):
            found += self._members(node, value, at)
        elif isinstance(value, list):
            found += self._items(node, value, at)
        return found + self._combined(node, value, at)

    def _combined(self, node: Mapping[str, Any], value: Any, at: str) -> list[SchemaProblem]:
        found: list[SchemaProblem] = []
        for one in _schemas(node.get("allOf")):
            found += self.problems(one, value, at)
        for key in ("anyOf", "oneOf"):
            choices = _schemas(node.get(key))
            if choices and all(self.problems(one, value, at) for one in choices):
                found.append(SchemaProblem(at, "fits none of its forms"))
        return found

    def _members(
        self, node: Mapping[str, Any], value: Mapping[str, Any], at: str
    ) -> list[SchemaProblem]:
        properties, required = node.get("properties"), node.get("required")
        properties = properties if isinstance(properties, dict) else {}
        extra = node.get("additionalProperties", True)
        if node.get("patternProperties"):
            extra = True  # a name may match there
        found = [
            SchemaProblem(f"{at}.{printable(name, 64)}", "is required")
            for name in (required if isinstance(required, list) else ())
            if isinstance(name, str) and name not in value
        ]
        for name, item in value.items():
            path = f"{at}.{printable(name, 64)}"
            if name not in properties and extra is False:
                known = ", ".join(printable(str(key), 64) for key in islice(properties, 16))
                found.append(SchemaProblem(path, f"is not a known name (known: {known})"))
            else:
                found += self.problems(properties.get(name, extra), item, path)
        return found

    def _items(self, node: Mapping[str, Any], value: list[Any], at: str) -> list[SchemaProblem]:
        items = node.get("items")
        if not isinstance(items, dict) or node.get("prefixItems"):
            return []
        return [
            problem
            for index, item in enumerate(value)
            for problem in self.problems(items, item, f"{at}[{index}]")
        ]

    def _referred(self, reference: str) -> Any:
        """Return what `reference` names inside the document; None where there is nothing."""
        target: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, dict) or key not in target:
                return None
            target = target[key]
        return target


def _listed(node: Any) -> int:
    """Return how many entries are looked through for each value that meets `node`."""
    if not isinstance(node, dict):
        return 0
    lists = (node.get("enum"), node.get("required"), node.get("type"))
    return sum(len(one) for one in lists if isinstance(one, list))


def _schemas(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _own(node: Mapping[str, Any], value: Any, at: str) -> Iterator[SchemaProblem]:
    """Yield what is wrong with `value` by itself."""
    enum = node.get("enum")
    if isinstance(enum, list) and not any(json_equal(value, one) for one in enum):
        shown = ", ".join(printable(repr(one), 64) for one in enum[:8])
        yield SchemaProblem(at, f"must be one of {shown}")
    if "const" in node and not json_equal(value, node["const"]):
        yield SchemaProblem(at, f"must be {printable(repr(node['const']), 64)}")
    size, keys, unit = _measure(value)
    if keys is None or size is None:
        return
    low, high = node.get(keys[0]), node.get(keys[1])
    if _number(low) and size < low:
        yield SchemaProblem(at, f"must be at least {low}{unit}")
    if _number(high) and size > high:
        yield SchemaProblem(at, f"must be at most {high}{unit}")


def _measure(value: Any) -> tuple[Any, tuple[str, str] | None, str]:
    if isinstance(value, str):
        return len(value), ("minLength", "maxLength"), " characters"
    if _number(value):
        return value, ("minimum", "maximum"), ""
    if isinstance(value, list):
        return len(value), ("minItems", "maxItems"), " entries"
    if isinstance(value, dict):
        return len(value), ("minProperties", "maxProperties"), " names"
    return None, None, ""


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _wrong_type(wanted: Any, value: Any) -> str | None:
    kinds = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(kinds, list) or any(_is(kind, value) for kind in kinds):
        return None
    return f"must be of type {printable(' or '.join(str(kind) for kind in kinds), 64)}"


def _is(kind: Any, value: Any) -> bool:
    match kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return _number(value) and (isinstance(value, int) or value.is_integer())
        case "number":
            return _number(value)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case _:
            return True  # a type that we do not know refuses nothing
