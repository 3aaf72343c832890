"""The plugin's own files, importable from memory."""

import importlib.abc
import importlib.machinery
import importlib.util
import io
from types import CodeType, ModuleType
from typing import IO

_ROOT = "plugin/"


class PackageFinder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads modules among `files`; also serves the package's data files.

    `pkg/mod.py` is `pkg.mod`; a folder with Python files is a package with or without an
    `__init__.py`. `module.__loader__.get_data(path)` and `importlib.resources.files(...)` read the
    other files.
    """

    def __init__(self, files: dict[str, str]) -> None:
        self._files = files
        self._modules: dict[str, str | None] = {}
        self._packages: set[str] = set()
        for path in files:
            if path.endswith(".py"):
                self._add(path)

    def _add(self, path: str) -> None:
        parts = path[:-3].split("/")
        if not all(part.isidentifier() for part in parts):
            return
        if parts[-1] == "__init__":
            parts.pop()
            self._packages.add(".".join(parts))
        if not parts:
            return
        self._modules[".".join(parts)] = path
        for end in range(1, len(parts)):
            parent = ".".join(parts[:end])
            self._modules.setdefault(parent, None)
            self._packages.add(parent)

    @property
    def top_level(self) -> set[str]:
        """The names this package brings to `import`."""
        return {name for name in self._modules if "." not in name}

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._modules:
            return None
        file = self._modules[fullname] or fullname.replace(".", "/") + "/__init__.py"
        spec = importlib.util.spec_from_loader(
            fullname, self, is_package=fullname in self._packages, origin=_ROOT + file
        )
        if spec is not None:
            spec.has_location = True
            if spec.submodule_search_locations is not None:
                spec.submodule_search_locations.append(_ROOT + fullname.replace(".", "/"))
        return spec

    def is_package(self, fullname: str) -> bool:
        return fullname in self._packages

    def get_filename(self, fullname: str) -> str:
        return _ROOT + (self._modules.get(fullname) or "")

    def get_source(self, fullname: str) -> str:
        if fullname not in self._modules:
            raise ImportError(f"no module {fullname!r} in this package")
        path = self._modules[fullname]
        return "" if path is None else self._files[path]

    def get_code(self, fullname: str) -> CodeType:
        return compile(
            self.get_source(fullname), self.get_filename(fullname), "exec", dont_inherit=True
        )

    def get_data(self, path: str) -> bytes:
        """Return a file of the package; `path` is relative, or starts as `__file__` does."""
        try:
            return self._files[path.removeprefix(_ROOT)].encode()
        except KeyError:
            raise FileNotFoundError(f"no file {path!r} in this package") from None

    def get_resource_reader(self, fullname: str) -> "_Resources":
        return _Resources(self._files, fullname.replace(".", "/") + "/")

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.get_code(module.__name__), module.__dict__)


class _Resources:
    """What `importlib.resources` needs to read data files of one package."""

    def __init__(self, files: dict[str, str], folder: str) -> None:
        self._files = files
        self._folder = folder

    def open_resource(self, resource: str) -> IO[bytes]:
        try:
            return io.BytesIO(self._files[self._folder + resource].encode())
        except KeyError:
            raise FileNotFoundError(resource) from None

    def resource_path(self, resource: str) -> str:
        raise FileNotFoundError(resource)

    def is_resource(self, name: str) -> bool:
        return self._folder + name in self._files

    def contents(self) -> list[str]:
        start = len(self._folder)
        return sorted(
            {path[start:].split("/")[0] for path in self._files if path.startswith(self._folder)}
        )
