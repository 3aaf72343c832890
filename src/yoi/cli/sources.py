"""From what a person typed to a package: a reference, or a path."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from yoi.display import shell_word
from yoi.errors import PackageError, YoiError

if TYPE_CHECKING:
    from yoi.packages import Package, PackageInventory


def is_path(text: str) -> bool:
    """Return whether `text` names a file or folder rather than a package in a store."""
    from yoi.packages import SUFFIX

    return os.sep in text or text in (".", "..") or text.endswith(SUFFIX)


def as_path(path: Path) -> str:
    """Return `path` as a word of a command that names it and never a package in a store."""
    return shell_word(path if is_path(str(path)) else f".{os.sep}{path}")


def find_package(text: str, inventory: "PackageInventory") -> "Package":
    """Return the package that `text` names; raises PackageError, ManifestError."""
    return locate(text, inventory)[0]


def locate(text: str, inventory: "PackageInventory") -> "tuple[Package, Path | None]":
    """Return the package that `text` names, and its path where it is not in a store.

    A package in a store comes before a folder of the same name. Raises PackageError, ManifestError.
    """
    from yoi.packages import read_package

    if is_path(text):
        return read_package(Path(text)), Path(text)
    try:
        return inventory.find(text), None
    except PackageError as exc:
        if exc.code == "package.missing" and is_plugin_folder(Path(text)):
            return read_package(Path(text)), Path(text)
        raise


def is_plugin_folder(path: Path) -> bool:
    """Return whether `path` is a folder that holds a plugin's source."""
    return (path / "plugin.toml").is_file()


def runs_in(package: "Package") -> str:
    """Return what the package's code would run in, with our runner's exact version."""
    from yoi.packages import PythonRuntime

    runtime = package.manifest.runtime
    if runtime is None:
        return "nothing: it has no code"
    if not isinstance(runtime, PythonRuntime):
        return runtime.label
    from yoi.sandbox import runner_version

    try:
        return runner_version().label
    except YoiError as exc:
        return f"{runtime.label} ({exc.message})"
