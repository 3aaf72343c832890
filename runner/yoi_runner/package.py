"""The plugin's own files and its libraries, importable from memory; read when they are needed."""

import importlib.machinery
import importlib.util
import json
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, ModuleType
from typing import Any

from yoi_pdk.host import HostCall
from yoi_runner.resources import Folder, Resources

OWN = "plugin/"
LIBRARIES = "libs/"

Read = Callable[[str], bytes]
"""Returns one file by its path below `OWN` or `LIBRARIES`, those included."""


def reader(call: HostCall) -> Read:
    """Return the function that asks the host for a file, byte for byte."""

    def read(path: str) -> bytes:
        answer = json.loads(call("package.read", json.dumps([path])))
        if "error" in answer:
            raise FileNotFoundError(f"no file {path!r} in this package")
        content = answer["ok"]
        if "text" in content:
            data: bytes = content["text"].encode()
            return data
        return b64decode(content["base64"])

    return read


class PackageFinder:
    """Finds and loads modules among the files below one root; also serves its data files.

    `pkg/mod.py` is `pkg.mod`; a folder with Python files is a package with or without an
    `__init__.py`. `module.__loader__.get_data(path)` and `importlib.resources.files(...)` read the
    other files, `importlib.metadata` the folders `NAME-VERSION.dist-info`.
    """

    def __init__(self, root: str, paths: Iterable[str], read: Read) -> None:
        self._root = root
        self._read = read
        self._folders = Folder.tree(paths)
        self._modules: dict[str, str | None] = {}
        self._packages: set[str] = set()
        for path in self._folders.files():
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
        loader: Any = self
        spec = importlib.util.spec_from_loader(
            fullname, loader, is_package=fullname in self._packages, origin=self._root + file
        )
        if spec is not None:
            spec.has_location = True
            if spec.submodule_search_locations is not None:
                spec.submodule_search_locations.append(self._root + fullname.replace(".", "/"))
        return spec

    def invalidate_caches(self) -> None:
        """Do nothing: the files do not change."""

    def is_package(self, fullname: str) -> bool:
        return fullname in self._packages

    def get_filename(self, fullname: str) -> str:
        return self._root + (self._modules.get(fullname) or "")

    def get_source(self, fullname: str) -> str:
        """Return the module's source as Python reads it: by its coding line or byte order mark."""
        return importlib.util.decode_source(self._source(fullname))

    def get_code(self, fullname: str) -> CodeType:
        return compile(
            self._source(fullname), self.get_filename(fullname), "exec", dont_inherit=True
        )

    def _source(self, fullname: str) -> bytes:
        if fullname not in self._modules:
            raise ImportError(f"no module {fullname!r} in this package")
        path = self._modules[fullname]
        return b"" if path is None else self._read(self._root + path)

    def get_data(self, path: str) -> bytes:
        """Return a file of the package; `path` is relative, or starts as `__file__` does."""
        return self._read(self._root + path.removeprefix(self._root))

    def get_resource_reader(self, fullname: str) -> Resources | None:
        folder = self._folders.find(fullname.replace(".", "/"))
        return None if folder is None else Resources(folder, self._root, self._read)

    def find_distributions(self, context: Any) -> Iterator[Any]:
        """See importlib.metadata.DistributionFinder: the distributions named `context.name`."""
        from yoi_runner.metadata import distributions

        return distributions(self._folders, context.name, self._root, self._read)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.get_code(module.__name__), module.__dict__)
