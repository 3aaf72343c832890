"""Look at a Python plugin's source without running it: does the entry exist, does it parse?"""

import ast
import keyword
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yoi.errors import PackageError
from yoi.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class PythonEntry:
    """`module:Class`, where the module is a `.py` file of the package."""

    module: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "PythonEntry":
        """Return the entry in `text`. Raises ValueError when it is not `module:Class`."""
        module, colon, name = text.partition(":")
        parts = [*module.split("."), name]
        if not colon or any(
            not part.isidentifier() or not part.isascii() or keyword.iskeyword(part)
            for part in parts
        ):
            raise ValueError('must be "module:Class", for example "plugin:Echo"')
        return cls(module, name)

    @property
    def candidates(self) -> tuple[str, str]:
        """Return the two paths at which the module may be."""
        path = self.module.replace(".", "/")
        return f"{path}.py", f"{path}/__init__.py"

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"


def source_problems(entry: PythonEntry, files: "Mapping[str, bytes]") -> list[PackageError]:
    """Return what a static look finds wrong with the entry module; the source is never executed.

    The host's own Python reads it, so syntax newer than the host's is reported too. A module over
    `python_source_bytes` is not looked at.
    """
    path = next(path for path in entry.candidates if path in files)
    content = files[path]
    if len(content) > LIMITS.python_source_bytes:
        # The sandbox finds out, within its own bounds on time and memory.
        return []
    tree = parse_source(content, path)
    if isinstance(tree, PackageError):
        return [tree]
    names = _top_level_names(tree)
    if entry.name not in names and "*" not in names:
        return [
            PackageError(
                "package.source",
                f"{path} does not define {entry.name}",
                hint=f"define class {entry.name} at the top level of {path}, "
                "or name another class in runtime.entry",
                at=path,
            )
        ]
    return []


def parse_source(content: bytes, path: str) -> ast.Module | PackageError:
    """Return the syntax tree of `content`, or why there is none. Nothing is executed."""
    try:
        # Escapes that Python only warns about are the author's business, not an error here.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(content, filename=path)
    except SyntaxError as exc:
        if "codec can't decode" in str(exc.msg):
            return PackageError(
                "package.source",
                f"{path} is not UTF-8 text, as Python source is",
                hint="save it as UTF-8, or name its encoding in line 1: # coding: latin-1",
                at=path,
            )
        return PackageError(
            "package.source",
            f"{path}, line {exc.lineno or 1}: {exc.msg}",
            hint="correct the syntax; the plugin would fail when it is loaded",
            at=path,
            line=exc.lineno or 1,
        )
    except (RecursionError, MemoryError, ValueError) as exc:
        return PackageError("package.source", f"{path} cannot be read: {exc}", at=path)


def _top_level_names(tree: ast.Module) -> set[str]:
    """Return the names the module itself binds, in any branch; `*` when it imports unknown ones."""
    names: set[str] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(target.id for target in targets if isinstance(target, ast.Name))
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.expr):
            waiting += ast.iter_child_nodes(node)
    return names
