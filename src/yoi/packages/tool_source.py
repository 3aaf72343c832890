"""The tools that a plugin's source marks with `@tool`, read from its syntax tree. Runs nothing."""

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yoi.display import shell_word
from yoi.errors import PackageError
from yoi.packages.declarations import PythonRuntime, ToolDecl
from yoi.packages.source import parse_source

if TYPE_CHECKING:
    from yoi.packages.package import Package

_SCALARS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_FORM = ("type", "properties", "required", "additionalProperties", "items", "enum")
"""The keywords that the annotations decide; an author may add others, such as `maxLength`."""


@dataclass(frozen=True, slots=True)
class ToolSource:
    """One method marked with `@tool`, as plugin.toml should declare it."""

    declaration: ToolDecl
    path: str
    line: int


def tools_of_source(package: "Package") -> tuple[list[ToolSource], list[PackageError]]:
    """Return the tools that the entry class marks, and what keeps others from being described.

    A method whose annotations have no JSON schema is an error that names the parameter.
    """
    runtime = package.manifest.runtime
    if not isinstance(runtime, PythonRuntime):
        return [], []
    entry = runtime.entry_point
    path = next((path for path in entry.candidates if path in package.files), None)
    if path is None:
        return [], []
    tree = parse_source(package.files[path], path)
    if isinstance(tree, PackageError):
        return [], []
    marks = _marks(tree)
    found: list[ToolSource] = []
    problems: list[PackageError] = []
    for cls in tree.body:
        if not (isinstance(cls, ast.ClassDef) and cls.name == entry.name):
            continue
        for node in cls.body:
            mark = _mark(node, marks)
            if mark is None or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            try:
                found.append(ToolSource(_declaration(node, mark), path, node.lineno))
            except _NoSchema as exc:
                problems.append(
                    PackageError(
                        "package.source",
                        f"{path}, line {node.lineno}: tool {node.name}: {exc}",
                        hint="annotate with str, int, float, bool, list[...], dict, Literal[...], "
                        "or one of those | None with a default",
                        at=path,
                        line=node.lineno,
                    )
                )
    return found, problems


def tool_differences(package: "Package") -> list[PackageError]:
    """Return where plugin.toml and the tools that the source marks do not agree."""
    found, problems = tools_of_source(package)
    declared = {tool.name: tool for tool in package.manifest.tools}
    for one in found:
        wanted = one.declaration
        known = declared.get(wanted.name)
        if known is None:
            what = f"tool {wanted.name} is not declared in plugin.toml"
        elif form(known.input_schema) != form(wanted.input_schema):
            what = f"the input schema of tool {wanted.name} in plugin.toml is another one"
        elif known.external_write != wanted.external_write:
            said = str(wanted.external_write).lower()
            what = f"tool {wanted.name} has external_write = {said} here, not in plugin.toml"
        else:
            continue
        problems.append(
            PackageError(
                "package.tools",
                f"{one.path}, line {one.line}: {what}",
                hint=f"yoi plugin check --fix {shell_word(package.path)}",
                at=one.path,
                line=one.line,
            )
        )
    return problems


def form(schema: Any) -> Any:
    """Return what of `schema` the annotations decide: the order of names does not matter."""
    if not isinstance(schema, dict):
        return schema
    made = {key: value for key, value in schema.items() if key in _FORM}
    if isinstance(made.get("properties"), dict):
        made["properties"] = {name: form(one) for name, one in made["properties"].items()}
    if "items" in made:
        made["items"] = form(made["items"])
    if isinstance(made.get("required"), list):
        made["required"] = sorted(map(str, made["required"]))
    if not made.get("required"):
        made.pop("required", None)
    if not made.get("properties"):
        made.pop("properties", None)
    return made


def merged(declared: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return `wanted` with what the author added to `declared`: descriptions, bounds, defaults."""
    made = dict(wanted)
    for key, value in declared.items():
        if key not in _FORM:
            made[key] = value
    known = declared.get("properties")
    if isinstance(known, dict) and isinstance(made.get("properties"), dict):
        made["properties"] = {
            name: merged(known[name], one) if isinstance(known.get(name), dict) else one
            for name, one in made["properties"].items()
        }
    return made


class _NoSchema(Exception):
    """A parameter has no JSON schema; the text says which and why."""


def _marks(tree: ast.Module) -> set[str]:
    """Return the local names, dotted, that mean `yoi_pdk.tool`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "yoi_pdk":
            found |= {
                alias.asname or alias.name for alias in node.names if alias.name in ("tool", "*")
            }
        elif isinstance(node, ast.Import):
            found |= {
                f"{alias.asname or alias.name}.tool"
                for alias in node.names
                if alias.name == "yoi_pdk"
            }
    return {"tool" if name == "*" else name for name in found}


def _mark(node: ast.stmt, marks: set[str]) -> dict[str, Any] | None:
    """Return the literal keyword arguments of `@tool` above `node`, or None without one."""
    for one in getattr(node, "decorator_list", ()):
        called = isinstance(one, ast.Call)
        if ast.unparse(one.func if called else one) in marks:
            keywords = one.keywords if called else []
            return {
                keyword.arg: keyword.value.value
                for keyword in keywords
                if keyword.arg and isinstance(keyword.value, ast.Constant)
            }
    return None


def _declaration(node: ast.FunctionDef | ast.AsyncFunctionDef, mark: dict[str, Any]) -> ToolDecl:
    arguments = node.args
    if arguments.vararg or arguments.kwarg:
        raise _NoSchema("*args and **kwargs have no schema: name the parameters")
    positional = [*arguments.posonlyargs, *arguments.args][1:]
    defaults: list[ast.expr | None] = [
        *[None] * (len(positional) - len(arguments.defaults)),
        *arguments.defaults,
    ]
    pairs = [
        *zip(positional, defaults[-len(positional) :] if positional else [], strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    properties: dict[str, Any] = {}
    required: list[str] = []
    for argument, default in pairs:
        if argument.arg == "ctx" or _is_call(argument.annotation):
            continue
        schema = _schema(argument.annotation, argument.arg, has_default=default is not None)
        if isinstance(default, ast.Constant) and default.value is not None:
            schema["default"] = default.value
        properties[argument.arg] = schema
        if default is None:
            required.append(argument.arg)
    made: dict[str, Any] = {"type": "object"}
    if required:
        made["required"] = required
    made["additionalProperties"] = False
    if properties:
        made["properties"] = properties
    words = (ast.get_docstring(node) or "").partition("\n\n")[0]
    return ToolDecl(
        name=str(mark.get("name") or node.name),
        description=" ".join(words.split()) or node.name.replace("_", " "),
        input_schema=made,
        external_write=mark.get("external_write") is True,
    )


def _schema(annotation: ast.expr | None, name: str, *, has_default: bool) -> dict[str, Any]:
    if annotation is None:
        raise _NoSchema(f"parameter {name} has no annotation")
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        sides = [one for one in (annotation.left, annotation.right) if not _is_none(one)]
        if len(sides) == 1 and has_default:
            return _schema(sides[0], name, has_default=has_default)
        raise _NoSchema(f"parameter {name}: a union has no schema unless it is X | None = None")
    if isinstance(annotation, ast.Subscript):
        return _generic(annotation, name, has_default=has_default)
    word = ast.unparse(annotation).rpartition(".")[2]
    if word in _SCALARS:
        return {"type": _SCALARS[word]}
    if word in ("dict", "Mapping"):
        return {"type": "object"}
    raise _NoSchema(f"parameter {name}: {ast.unparse(annotation)} has no schema")


def _generic(annotation: ast.Subscript, name: str, *, has_default: bool) -> dict[str, Any]:
    word = ast.unparse(annotation.value).rpartition(".")[2]
    inner = annotation.slice
    if word in ("list", "List", "Sequence"):
        return {"type": "array", "items": _schema(inner, name, has_default=False)}
    if word in ("dict", "Dict", "Mapping"):
        return {"type": "object"}
    if word == "Optional" and has_default:
        return _schema(inner, name, has_default=True)
    if word == "Literal":
        values = [
            one.value
            for one in (inner.elts if isinstance(inner, ast.Tuple) else [inner])
            if isinstance(one, ast.Constant)
        ]
        kinds = {type(value).__name__ for value in values}
        if len(kinds) == 1 and (kind := _SCALARS.get(kinds.pop())):
            return {"type": kind, "enum": values}
    raise _NoSchema(f"parameter {name}: {ast.unparse(annotation)} has no schema")


def _is_call(annotation: ast.expr | None) -> bool:
    """Return whether a parameter so annotated receives the call itself, not a part of its input."""
    if annotation is None:
        return False
    word = (
        str(annotation.value) if isinstance(annotation, ast.Constant) else ast.unparse(annotation)
    )
    return word.rpartition(".")[2] == "ToolCall"


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
