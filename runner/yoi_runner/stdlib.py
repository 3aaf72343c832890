"""Every module of the guest, importable from memory: the library, the PDK, the runner itself.

The sandbox has no files. Pages of modules that a plugin never imports are never touched.
"""

import marshal
from _frozen_importlib import ModuleSpec  # importlib itself comes out of here
from types import CodeType, ModuleType


class StdlibFinder:
    """Finds and loads modules by name, out of what library.compile_modules returned."""

    def __init__(self, index: bytes, code: bytes) -> None:
        self._where: dict[str, tuple[int, int]]
        self._packages: set[str]
        self._where, self._packages = marshal.loads(index)
        self._code = memoryview(code)

    def __contains__(self, name: str) -> bool:
        return name in self._where

    def __len__(self) -> int:
        return len(self._where)

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._where:
            return None
        is_package = fullname in self._packages
        return ModuleSpec(fullname, self, origin="yoi runner", is_package=is_package)

    def is_package(self, fullname: str) -> bool:
        return fullname in self._packages

    def get_code(self, fullname: str) -> CodeType:
        try:
            start, end = self._where[fullname]
        except KeyError:
            raise ImportError(f"no module {fullname!r} in the standard library") from None
        code: CodeType = marshal.loads(self._code[start:end])
        return code

    def get_source(self, fullname: str) -> str | None:
        return None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.get_code(module.__name__), module.__dict__)
