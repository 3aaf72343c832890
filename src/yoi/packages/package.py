"""`Package`: a read archive or folder. Reading is inventory only; nothing in it is executed."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from yoi.errors import ManifestError
from yoi.limits import LIMITS
from yoi.packages.archive import read_archive
from yoi.packages.bounds import LIBRARIES
from yoi.packages.declarations import PythonRuntime
from yoi.packages.digest import package_digest
from yoi.packages.folder import LeftOut, io_error, read_folder, read_open_file
from yoi.packages.libraries import (
    ARCHIVE_NAME,
    LOCK_NAME,
    Libraries,
    Library,
    read_libraries,
)
from yoi.packages.manifest import MANIFEST_NAME, Manifest
from yoi.types import Digest

SUFFIX = ".yoi-plugin"
_NOT_THE_CODES = frozenset({MANIFEST_NAME, LOCK_NAME, ARCHIVE_NAME})
SOURCES = ("project", "user", "dir")


@dataclass(frozen=True, slots=True)
class Package:
    """One package as it was read: its manifest, its files, its digest."""

    source: str
    """`project`, `user`, or `dir` for a package named by its path."""
    path: Path
    manifest: Manifest
    digest: Digest
    files: dict[str, bytes] = field(repr=False)
    left_out: tuple[LeftOut, ...] = ()
    """What of a folder is not part of the package; empty for archives."""
    libraries: Libraries | None = field(default=None, repr=False)
    """What its libs.zip holds, or None when it has no libraries."""

    @property
    def id(self) -> str:
        """Return the local id, unique within one source."""
        return self.manifest.id

    @property
    def reference(self) -> str:
        """Return the source-qualified id, as `project:echo`."""
        return f"{self.source}:{self.manifest.id}"

    @property
    def own_files(self) -> dict[str, bytes]:
        """Return the files that the plugin's code may read: not the manifest, not the lock."""
        return {path: data for path, data in self.files.items() if path not in _NOT_THE_CODES}

    @property
    def library_paths(self) -> tuple[str, ...]:
        """Return the paths of its libraries' files, below the folder that `import` looks in."""
        return () if self.libraries is None else self.libraries.paths

    def library_files(self) -> dict[str, bytes]:
        """Read the libraries' files out of the archive."""
        return {} if self.libraries is None else read_archive(self.files[ARCHIVE_NAME], LIBRARIES)

    @property
    def library_list(self) -> tuple[Library, ...]:
        """Return its libraries, by name."""
        return () if self.libraries is None else self.libraries.lock.libraries


def read_package(path: Path, source: str = "dir") -> Package:
    """Return the package at `path`, an archive or a folder holding plugin.toml.

    A folder counts as what `pack` would put into its archive, so both have the same digest. Raises
    PackageError when the container is not acceptable, ManifestError when plugin.toml is not.
    """
    left_out: tuple[LeftOut, ...] = ()
    if path.is_dir():
        content = read_folder(path)
        files, left_out = content.files, content.left_out
    else:
        files = read_archive(read_file(path, LIMITS.package_bytes))
    toml = files.get(MANIFEST_NAME)
    if toml is None:
        raise ManifestError(
            "manifest.missing",
            f"{path.name or path} has no {MANIFEST_NAME} at its root",
            hint="start one with: yoi plugin new",
            at="",
        )
    manifest = Manifest.parse(toml)
    manifest.check_files(files)
    python = isinstance(manifest.runtime, PythonRuntime)
    libraries = read_libraries(files) if python else None
    return Package(source, path, manifest, package_digest(files), files, left_out, libraries)


def read_file(path: Path, max_bytes: int) -> bytes:
    """Return the content of the regular file at `path`. Raises PackageError; never waits."""
    try:
        # Not blocking: opening a FIFO must not hold the reader.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        return read_open_file(fd, max_bytes, str(path))
    except OSError as exc:
        raise io_error(exc, str(path)) from None
