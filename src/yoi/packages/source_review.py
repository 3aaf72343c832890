"""What a static look at a Python plugin finds that will not run in the sandbox. Runs nothing."""

import ast
import difflib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

from yoi.display import shell_word
from yoi.errors import PackageError
from yoi.limits import LIMITS
from yoi.packages.declarations import PythonRuntime
from yoi.packages.guest_library import ATTRIBUTES, CALLS, IMPORTABLE, MODULES, NATIVE
from yoi.packages.libraries import top_level
from yoi.packages.source import parse_source
from yoi.permissions import PermissionKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yoi.packages.package import Package

ALLOW = "# sandbox: ok"
"""At the end of a line, this comment says that the author knows better."""

_EVENT_HANDLERS = (
    "on_text",
    "on_event",
    "on_started",
    "on_open",
    "on_close",
    "on_gap",
    "on_binary",
    "on_timer",
    "on_response",
    "on_error",
    "on_send_failed",
    "on_denied",
)
HANDLERS = {
    "start": ("ctx", "config"),
    **dict.fromkeys(_EVENT_HANDLERS, ("event", "ctx")),
    "on_tool": ("call", "ctx"),
    "status": (),
    "stop": (),
}
"""The methods that the PDK calls, and what they take after `self`."""

_INSTEAD = {"on_message": "on_text", "on_ready": "on_started", "on_connect": "on_open"}
_CONNECTION_COMMANDS = frozenset(
    {"Open", "Reconnect", "Close", "StopConnection", "Ready", "Heartbeat", "Autoreply"}
)
_MAX_FINDINGS = 50


@dataclass(frozen=True, slots=True)
class _Declared:
    """What the manifest declares, by what the code calls it."""

    connections: frozenset[str]
    targets: frozenset[str]
    workers: frozenset[str]
    secrets: frozenset[str]


def review_source(package: "Package") -> list[PackageError]:
    """Return what in the package's own Python source cannot run, or names what is not declared.

    Each has `fields["at"]` (the path) and `fields["line"]`; at most 50 are returned. Modules under
    `python_source_bytes` that parse are looked at; tests and installed libraries are not.
    """
    runtime = package.manifest.runtime
    if not isinstance(runtime, PythonRuntime):
        return []
    manifest = package.manifest
    declared = _Declared(
        frozenset(str(one.name) for one in manifest.connections),
        frozenset(one.name for one in manifest.requested.request if one.name is not None),
        frozenset(
            one.name or ""
            for one in manifest.requested.permissions
            if one.kind is PermissionKind.NOTIFY
        ),
        frozenset(one.name for one in manifest.requested.secrets),
    )
    own = {path.split("/")[0].removesuffix(".py") for path in package.files}
    own |= top_level(package.library_paths)
    entry = runtime.entry_point.candidates
    found: list[PackageError] = []
    for path in sorted(package.files):
        if path.endswith(".py") and not path.startswith(("tests/", "test_")):
            # Whether the entry's own module parses is looked at with the entry.
            tree = parse_source(package.files[path], path)
            if isinstance(tree, PackageError) and path not in entry:
                found.append(tree)
            found += _Module(path, package.files[path], own, declared).problems()
    return found[:_MAX_FINDINGS]


class _Module:
    """One source file under review."""

    def __init__(self, path: str, content: bytes, own: set[str], declared: _Declared) -> None:
        self._path = path
        self._content = content
        self._own = own
        self._declared = declared
        self._lines = content.decode("utf-8", "replace").splitlines()
        self._names: dict[str, str] = {}
        """Local names that imports bind, with the dotted name of what they stand for."""

    def problems(self) -> "Iterator[PackageError]":
        """Yield what is wrong, in the order of the file."""
        if len(self._content) > LIMITS.python_source_bytes:
            return
        tree = parse_source(self._content, self._path)
        if isinstance(tree, PackageError):
            return
        optional = _optional(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._bind(node)
        nodes = sorted(ast.walk(tree), key=lambda node: getattr(node, "lineno", 0))
        for node in nodes:
            for line, message, hint in self._look(node, optional):
                if not self._allowed(line):
                    yield PackageError(
                        "package.source",
                        f"{self._path}, line {line}: {message}",
                        hint=hint,
                        at=self._path,
                        line=line,
                    )

    def _allowed(self, line: int) -> bool:
        return 0 < line <= len(self._lines) and self._lines[line - 1].rstrip().endswith(ALLOW)

    def _bind(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    self._names[alias.asname] = alias.name
                else:
                    top = alias.name.partition(".")[0]
                    self._names[top] = top
        elif node.module and not node.level:
            for alias in node.names:
                self._names[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def _look(
        self, node: ast.AST, optional: set[ast.AST]
    ) -> "Iterator[tuple[int, str, str | None]]":
        if isinstance(node, ast.Import | ast.ImportFrom) and node not in optional:
            yield from self._imports(node)
        elif isinstance(node, ast.Call):
            yield from self._call(node)
        elif isinstance(node, ast.Attribute | ast.Name):
            name = self._dotted(node)
            if name in ATTRIBUTES and isinstance(node.ctx, ast.Load):
                yield node.lineno, f"{name} is empty in the sandbox", ATTRIBUTES[name]
        elif isinstance(node, ast.ClassDef) and self._is_plugin(node):
            yield from self._handlers(node)
        elif isinstance(node, ast.Await):
            yield from self._await(node)

    def _imports(
        self, node: ast.Import | ast.ImportFrom
    ) -> "Iterator[tuple[int, str, str | None]]":
        if isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                return
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            names = [alias.name for alias in node.names]
        for name in names:
            brought = name.partition(".")[0] in self._own
            if name in MODULES and not (brought and NATIVE in MODULES[name]):
                yield node.lineno, f"{name} does not work in the sandbox", MODULES[name]
                return
        for name in names[:1] if isinstance(node, ast.ImportFrom) else names:
            top = name.partition(".")[0]
            if top in self._own or top in IMPORTABLE or top.startswith("_"):
                continue
            if top in MODULES:
                yield node.lineno, f"{top} does not work in the sandbox", MODULES[top]
            elif top in sys.stdlib_module_names:
                yield node.lineno, f"the sandbox's Python has no module {top}", None
            else:
                yield (
                    node.lineno,
                    f"there is no module {top} in the package or in the sandbox's library",
                    f"a pure Python library is added with: yoi plugin add {shell_word(top)}",
                )

    def _call(self, node: ast.Call) -> "Iterator[tuple[int, str, str | None]]":
        name = self._dotted(node.func)
        if name is None:
            return
        if name == "zoneinfo.ZoneInfo" and "tzdata" in self._own:
            return
        if name in CALLS and (name != "open" or "open" not in self._names):
            yield node.lineno, f"{name}() cannot work in the sandbox", CALLS[name]
        elif name.startswith("yoi_pdk."):
            yield from self._command(node, name.removeprefix("yoi_pdk."))

    def _command(self, node: ast.Call, name: str) -> "Iterator[tuple[int, str, str | None]]":
        declared = self._declared
        if name in _CONNECTION_COMMANDS:
            wanted = (_argument(node, 0, "connection"), declared.connections, "[[connections]]")
        elif name == "Send":
            wanted = (_argument(node, None, "connection"), declared.connections, "[[connections]]")
        elif name == "Request":
            wanted = (_argument(node, 0, "target"), declared.targets, "[[request]]")
        elif name == "Notify":
            wanted = (
                _argument(node, 0, "worker"),
                declared.workers,
                'permissions with kind = "notify"',
            )
        elif name == "insert_secret":
            wanted = (_argument(node, 1, "name"), declared.secrets, "[[secrets]]")
        else:
            return
        used, known, where = wanted
        if used is not None and used not in known:
            near = difflib.get_close_matches(used, known, 1)
            said = ", ".join(sorted(known)) or "none"
            yield (
                node.lineno,
                f'{name} names "{used}", which is not among {where} of plugin.toml ({said})',
                f'did you mean "{near[0]}"?' if near else f"declare it under {where}",
            )

    def _await(self, node: ast.Await) -> "Iterator[tuple[int, str, str | None]]":
        if not isinstance(node.value, ast.Call):
            return
        name = self._dotted(node.value.func) or ""
        if name.startswith("yoi_pdk."):
            short = name.removeprefix("yoi_pdk.")
            yield node.lineno, f"{short} is returned, not awaited", f"return {short}(...)"
        elif isinstance(node.value.func, ast.Attribute) and ast.unparse(node.value.func).startswith(
            "ctx."
        ):
            called = ast.unparse(node.value.func)
            yield node.lineno, f"{called}() answers at once", f"write {called}(...) without await"

    def _is_plugin(self, node: ast.ClassDef) -> bool:
        return any(self._dotted(base) == "yoi_pdk.Plugin" for base in node.bases)

    def _handlers(self, cls: ast.ClassDef) -> "Iterator[tuple[int, str, str | None]]":
        for node in cls.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            marks = {
                self._dotted(one.func if isinstance(one, ast.Call) else one)
                for one in node.decorator_list
            }
            if "yoi_pdk.on" in marks:
                yield from _signature(node, ("event", "ctx"))
            elif marks or node.name.startswith("_"):
                continue
            elif node.name in HANDLERS:
                if node.name in ("status", "stop") and isinstance(node, ast.AsyncFunctionDef):
                    yield node.lineno, f"{node.name} is a plain function", f"def {node.name}(self)"
                yield from _signature(node, HANDLERS[node.name])
            elif node.name.startswith("on_"):
                near = difflib.get_close_matches(node.name, HANDLERS, 1)
                meant = _INSTEAD.get(node.name) or (near[0] if near else None)
                yield (
                    node.lineno,
                    f"{node.name} is never called: there is no such handler",
                    f"did you mean {meant}?" if meant else f"handlers: {', '.join(HANDLERS)}",
                )

    def _dotted(self, node: ast.AST) -> str | None:
        """Return what a name or attribute stands for, imports resolved, or None."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        return ".".join([self._names.get(node.id, node.id), *reversed(parts)])


def _optional(tree: ast.Module) -> set[ast.AST]:
    """Return the nodes that may fail: in a `try` that catches ImportError, or for type checkers."""
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        if _may_fail(node):
            for statement in node.body:
                found.update(ast.walk(statement))
    return found


def _may_fail(node: ast.AST) -> "TypeGuard[ast.Try | ast.If]":
    if isinstance(node, ast.Try):
        return any(_catches(one.type) for one in node.handlers)
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _catches(kind: ast.expr | None) -> bool:
    if kind is None:
        return True
    names = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    known = ("ImportError", "ModuleNotFoundError", "Exception", "BaseException")
    return any(isinstance(one, ast.Name) and one.id in known for one in names)


def _signature(
    node: ast.FunctionDef | ast.AsyncFunctionDef, takes: tuple[str, ...]
) -> "Iterator[tuple[int, str, str | None]]":
    arguments = node.args
    most = len(arguments.posonlyargs) + len(arguments.args) - 1
    least = most - len(arguments.defaults)
    missing = [
        one.arg
        for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    ]
    too_few = arguments.vararg is None and most < len(takes)
    if too_few or least > len(takes) or missing:
        right = f"def {node.name}({', '.join(('self', *takes))})"
        yield node.lineno, f"{node.name} is called with {_words(takes)}", f"write {right}"


def _words(takes: tuple[str, ...]) -> str:
    return " and ".join(takes) if takes else "no arguments"


def _argument(node: ast.Call, position: int | None, name: str) -> str | None:
    """Return the literal text of an argument, or None where it is absent or not a literal."""
    value: ast.expr | None = None
    if position is not None and position < len(node.args):
        value = node.args[position]
    for keyword in node.keywords:
        if keyword.arg == name:
            value = keyword.value
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
