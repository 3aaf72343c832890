"""Compiling every module that the guest may import. Runs in the first half of a build."""

import marshal
import os

INDEX = "library.index"
CODE = "library.code"

# Cannot work here, only serve development, or belong to the build.
_LEFT_OUT = frozenset(
    {
        "__phello__", "_pyrepl", "config", "ctypes", "curses", "dbm", "ensurepip",
        "idlelib", "lib2to3", "library_app", "multiprocessing", "pydoc_data", "runner_app",
        "site-packages", "sqlite3", "test", "tkinter", "turtledemo", "venv", "wsgiref", "xmlrpc",
    }
)  # fmt: skip


def compile_modules(roots: list[str]) -> tuple[bytes, bytes]:
    """Return (index, code) of every module below `roots`; the first root wins.

    The code is marshalled, one module after the other. The index is marshalled too: a dict of
    module name to (start, end), and the set of those that are packages.
    """
    found: dict[str, bytes] = {}
    packages: set[str] = set()
    for root in roots:
        for folder, dirs, files in os.walk(root):
            dirs[:] = sorted(d for d in dirs if d not in _LEFT_OUT and d.isidentifier())
            for file in sorted(files):
                if file.endswith(".py") and file[:-3] not in _LEFT_OUT:
                    _add(root, os.path.join(folder, file), found, packages)
    where: dict[str, tuple[int, int]] = {}
    at = 0
    for name, code in found.items():
        where[name] = at, at + len(code)
        at += len(code)
    return marshal.dumps((where, packages)), b"".join(found.values())


def _add(root: str, path: str, found: dict[str, bytes], packages: set[str]) -> None:
    parts = os.path.relpath(path, root)[:-3].split(os.sep)
    is_package = parts[-1] == "__init__"
    name = ".".join(parts[:-1] if is_package else parts)
    if not name or name in found:
        return
    with open(path, "rb") as file:
        source = file.read()
    code = compile(source, f"<stdlib>/{'/'.join(parts)}.py", "exec", dont_inherit=True, optimize=2)
    found[name] = marshal.dumps(code)
    if is_package:
        packages.add(name)
