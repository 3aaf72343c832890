"""What `importlib.metadata` finds: the libraries of the package, by their dist-info folders."""

from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, Prepared
from typing import Any

from yoi_runner.resources import Folder, Resource

_SUFFIX = ".dist-info"


class _Library(Distribution):
    """One distribution: its metadata are files of the package."""

    def __init__(self, folder: Resource) -> None:
        self._folder = folder

    def read_text(self, filename: Any) -> str | None:
        file = self._folder.joinpath(filename)
        return file.read_text("utf-8") if file.is_file() else None

    def locate_file(self, path: Any) -> Any:
        raise FileNotFoundError(f"{path} is no file on a disk: use importlib.resources")


def distributions(
    folders: Folder, name: str | None, root: str, read: Callable[[str], bytes]
) -> Iterator[Distribution]:
    """Yield the distributions in `folders`: all of them, or those that are called `name`."""
    wanted = None if name is None else Prepared(name).normalized
    for folder, entry in folders.entries.items():
        if entry is None or not folder.endswith(_SUFFIX):
            continue
        called = folder.removesuffix(_SUFFIX).partition("-")[0]
        if wanted is None or Prepared(called).normalized == wanted:
            yield _Library(Resource(folder, entry, root, read))
