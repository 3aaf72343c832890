"""What `importlib.resources` finds in a package: folders and files, read when they are opened."""

import io
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any


class Folder:
    """One folder of the package: what is in it, by name. A file is None."""

    __slots__ = ("entries", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        """Relative to the package, with a slash at the end; empty for the package itself."""
        self.entries: dict[str, Folder | None] = {}

    @classmethod
    def tree(cls, paths: Iterable[str]) -> "Folder":
        """Return the folder that holds the files at `paths`."""
        root = cls("")
        for path in paths:
            *folders, name = path.split("/")
            here = root
            for folder in folders:
                there = here.entries.get(folder)
                if there is None:
                    there = here.entries[folder] = cls(f"{here.path}{folder}/")
                here = there
            here.entries[name] = None
        return root

    def files(self) -> Iterator[str]:
        """Yield the path of each file in this folder and below it."""
        for name, entry in self.entries.items():
            if entry is None:
                yield self.path + name
            else:
                yield from entry.files()

    def find(self, path: str) -> "Folder | None":
        """Return the folder at `path` below this one, or None."""
        here: Folder | None = self
        for part in path.split("/"):
            if here is None:
                return None
            here = here.entries.get(part)
        return here


class Resources:
    """A resource reader (importlib.resources.abc.TraversableResources)."""

    def __init__(self, folder: Folder, root: str, read: Callable[[str], bytes]) -> None:
        self._files = Resource(folder.path.rstrip("/"), folder, root, read)

    def files(self) -> "Resource":
        return self._files

    def open_resource(self, resource: str) -> IO[bytes]:
        opened: IO[bytes] = self._files.joinpath(resource).open("rb")
        return opened

    def resource_path(self, resource: str) -> str:
        raise FileNotFoundError(f"{resource} is no file on a disk: read it with read_bytes()")

    def is_resource(self, name: str) -> bool:
        return self._files.joinpath(name).is_file()

    def contents(self) -> list[str]:
        return [one.name for one in self._files.iterdir()]


class Resource:
    """One file or folder, present or not (importlib.resources.abc.Traversable)."""

    __slots__ = ("_entry", "_exists", "_path", "_read", "_root")

    def __init__(
        self,
        path: str,
        entry: Folder | None,
        root: str,
        read: Callable[[str], bytes],
        exists: bool = True,
    ) -> None:
        self._path = path
        self._entry = entry
        self._root = root
        self._read = read
        self._exists = exists

    @property
    def name(self) -> str:
        return self._path.rpartition("/")[2]

    def iterdir(self) -> "Iterator[Resource]":
        if self._entry is None:
            raise NotADirectoryError(f"{self} is not a folder")
        for name in sorted(self._entry.entries):
            yield self.joinpath(name)

    def is_dir(self) -> bool:
        return self._entry is not None

    def is_file(self) -> bool:
        return self._exists and self._entry is None

    def joinpath(self, *descendants: Any) -> "Resource":
        here = self
        for part in "/".join(map(str, descendants)).split("/"):
            if part not in ("", "."):
                here = here._child(part)
        return here

    __truediv__ = joinpath

    def _child(self, name: str) -> "Resource":
        path = f"{self._path}/{name}" if self._path else name
        entries = {} if self._entry is None else self._entry.entries
        return Resource(path, entries.get(name), self._root, self._read, name in entries)

    def read_bytes(self) -> bytes:
        if self._entry is not None:
            raise IsADirectoryError(f"{self} is a folder")
        if not self._exists:
            raise FileNotFoundError(f"no file {self} in this package")
        return self._read(self._root + self._path)

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        with self.open("r", encoding=encoding, errors=errors) as file:
            text: str = file.read()
        return text

    def open(self, mode: str = "r", *args: Any, **options: Any) -> Any:
        if mode not in ("r", "rb", "rt", "br", "tr"):
            raise ValueError(f"a file of the package is only read, not opened with {mode!r}")
        content = io.BytesIO(self.read_bytes())
        return content if "b" in mode else io.TextIOWrapper(content, *args, **options)

    def __str__(self) -> str:
        return self._root + self._path

    def __repr__(self) -> str:
        return f"Resource({str(self)!r})"
