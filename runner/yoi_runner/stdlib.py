"""The standard library, importable from memory.

The sandbox has no files, so every module of the library is compiled while the component is built
and kept as marshalled code. Pages of modules that a plugin never imports are never touched.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import marshal
import os
from types import CodeType, ModuleType

# Cannot work here, or only serve development.
_LEFT_OUT = frozenset(
    {
        "__phello__", "_pyrepl", "config", "ctypes", "curses", "dbm", "ensurepip",
        "idlelib", "lib2to3", "multiprocessing", "pydoc_data", "site-packages", "sqlite3", "test",
        "tkinter", "turtledemo", "venv", "wsgiref", "xmlrpc",
    }
)  # fmt: skip


class StdlibFinder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads library modules by name."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}
        self._packages: set[str] = set()

    def collect(self, roots: list[str]) -> None:
        """Compile every module below `roots` (build time). The first root wins."""
        for root in roots:
            for folder, dirs, files in os.walk(root):
                dirs[:] = sorted(
                    d for d in dirs if d not in _LEFT_OUT and d.isidentifier() and d[:5] != "__pyc"
                )
                for file in sorted(files):
                    if file.endswith(".py"):
                        self._add(root, os.path.join(folder, file))

    def _add(self, root: str, path: str) -> None:
        parts = os.path.relpath(path, root)[:-3].split(os.sep)
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        if not name or name in self._code:
            return
        with open(path, "rb") as file:
            source = file.read()
        code = compile(
            source, f"<stdlib>/{'/'.join(parts)}.py", "exec", dont_inherit=True, optimize=2
        )
        self._code[name] = marshal.dumps(code)
        if is_package:
            self._packages.add(name)

    def __contains__(self, name: str) -> bool:
        return name in self._code

    def __len__(self) -> int:
        return len(self._code)

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._code:
            return None
        return importlib.util.spec_from_loader(
            fullname, self, is_package=fullname in self._packages, origin="yoi runner"
        )

    def is_package(self, fullname: str) -> bool:
        return fullname in self._packages

    def get_code(self, fullname: str) -> CodeType:
        try:
            return marshal.loads(self._code[fullname])
        except KeyError:
            raise ImportError(f"no module {fullname!r} in the standard library") from None

    def get_source(self, fullname: str) -> str | None:
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.get_code(module.__name__), module.__dict__)
