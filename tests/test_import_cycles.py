"""No module of Yoi imports, in any number of steps, a module that imports it.

Imports under `TYPE_CHECKING` count: two modules that name each other's types are one module in two
files. An import of a package counts as one of its `__init__`, unless it is of a module inside.
"""

import ast
from pathlib import Path

import pytest

import yoi

SOURCE = Path(yoi.__file__).parent
ALLOWED: dict[frozenset[str], str] = {}
"""Cycles that stay, each with its reason."""


def name_of(path: Path, root: Path) -> str:
    parts = [root.name, *path.relative_to(root).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST, modules: set[str]) -> set[str]:
    """Return the modules among `modules` that the code imports anywhere."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inside & modules or {node.module}
    return found & modules


def graph_of(root: Path) -> dict[str, set[str]]:
    paths = {name_of(path, root): path for path in root.rglob("*.py")}
    graph = {}
    for name, path in paths.items():
        graph[name] = imported(ast.parse(path.read_text()), set(paths)) - {name}
    return graph


def cycles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Return the groups of modules each of which is reached from all others of its group."""
    reached = {name: reachable(graph, name) for name in graph}
    groups = (
        frozenset(other for other in others if name in reached[other])
        for name, others in reached.items()
        if name in others
    )
    return set(groups)


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    ahead = [start]
    while ahead:
        for name in graph[ahead.pop()] - found:
            found.add(name)
            ahead.append(name)
    return found


def test_modules_import_in_one_direction() -> None:
    found = cycles(graph_of(SOURCE))
    new = [sorted(cycle) for cycle in found if not any(cycle <= known for known in ALLOWED)]
    assert not new, f"cycles of imports: {new}"
    gone = [sorted(known) for known in ALLOWED if not any(cycle <= known for cycle in found)]
    assert not gone, f"no cycle any more, so no longer allowed: {gone}"


@pytest.mark.parametrize("hidden", ["", "if TYPE_CHECKING:\n    "])
def test_a_cycle_is_found_and_named(tmp_path: Path, hidden: str) -> None:
    root = tmp_path / "room"
    root.mkdir()
    for name, text in {
        "__init__": "",
        "a": "from room.b import B",
        "b": f"from typing import TYPE_CHECKING\n{hidden}from room import c",
        "c": "def late():\n    import room.a",
        "d": "from room.a import A",
    }.items():
        (root / f"{name}.py").write_text(text)
    (found,) = cycles(graph_of(root))
    assert found == {"room.a", "room.b", "room.c"}
