"""Read a source folder as a package: what `pack` would put into the archive, and what it would not.

The walk holds directory descriptors and never follows a link, so nothing outside the folder can be
read even while somebody changes it.
"""

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from yoi.display import printable
from yoi.errors import PackageError
from yoi.folders import hint_of, open_in
from yoi.limits import LIMITS
from yoi.packages.paths import PathSet, check_path

if TYPE_CHECKING:
    from pathlib import Path

_VCS = frozenset({"CVS", "_darcs"})
_CACHES = frozenset({"__pycache__", "node_modules", "venv", "htmlcov"})
_BUILD = frozenset({"build", "dist", "target"})
_CACHE_ENDS = (".pyc", ".pyo", ".swp", "~", ".orig")
_BUILD_ENDS = (".egg-info", ".yoi-plugin", ".whl")
_DEPTH = 32


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One path that a package does not contain, and why. Folders end with a slash."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class FolderContent:
    """The files of a folder that belong to its package, and what was left out (bounded)."""

    files: dict[str, bytes]
    left_out: tuple[LeftOut, ...]
    left_out_count: int


def exclusion(path: str, is_folder: bool) -> str | None:
    """Return why the last segment of `path` keeps it out of a package, or None if it stays."""
    name = path.rpartition("/")[2]
    if name in _VCS:
        return "version control"
    if name.startswith("."):
        return "version control" if name in (".git", ".hg", ".svn", ".jj") else "dotfile"
    if (name in _CACHES and is_folder) or name.endswith(_CACHE_ENDS):
        return "cache"
    if (name in _BUILD and is_folder) or name.endswith(_BUILD_ENDS):
        return "build output"
    if path == "tests" and is_folder:
        return "tests are not run by the host"
    return None


def read_folder(root: "Path") -> FolderContent:
    """Return the package content of the folder `root` (which itself may be a link to a folder).

    Raises PackageError: `package.traversal` for a symbolic link inside, `package.bounds`,
    `package.duplicate` and `package.malformed` as for archives, `package.io`.
    """
    walk = _Walk()
    try:
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise io_error(exc, f"the folder {root}") from None
    try:
        walk.folder(fd, "", 0)
    finally:
        os.close(fd)
    return FolderContent(walk.files, tuple(walk.left_out), walk.left_out_count)


def io_error(exc: OSError, what: str) -> PackageError:
    """Return `exc` as a PackageError that says what could not be read or written, and why."""
    why = exc.strerror or "i/o error"
    return PackageError("package.io", f"{what}: {why[:1].lower()}{why[1:]}", hint=hint_of(exc))


def read_open_file(fd: int, max_bytes: int, what: str) -> bytes:
    """Return the content of the regular file behind `fd`, at most `max_bytes`, and close it."""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise PackageError("package.unsupported", f"{what} is not a regular file")
        with os.fdopen(fd, "rb", closefd=False) as file:
            content = file.read(max_bytes + 1)
    finally:
        os.close(fd)
    if len(content) > max_bytes:
        raise PackageError("package.bounds", f"{what} is over {max_bytes} bytes")
    return content


@dataclass(slots=True)
class _Walk:
    files: dict[str, bytes] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    left_out_count: int = 0
    total: int = 0
    paths: PathSet = field(default_factory=PathSet)

    def folder(self, fd: int, prefix: str, depth: int) -> None:
        if depth > _DEPTH:
            raise PackageError("package.bounds", f"folders are nested deeper than {_DEPTH}")
        with os.scandir(fd) as listing:
            found = sorted(listing, key=lambda entry: entry.name)
        for entry in found:
            path = prefix + entry.name
            shown = f'"{printable(path, 200)}"'
            try:
                self._entry(fd, entry, path, shown, depth)
            except OSError as exc:
                raise io_error(exc, shown) from None

    def _entry(self, fd: int, entry: "os.DirEntry[str]", path: str, shown: str, depth: int) -> None:
        is_folder = entry.is_dir(follow_symlinks=False)
        reason = exclusion(path, is_folder)
        if reason is not None:
            self._leave_out(path + "/" if is_folder else path, reason)
        elif entry.is_symlink():
            raise PackageError(
                "package.traversal",
                f"{shown} is a symbolic link",
                hint="put the file itself into the folder",
            )
        elif is_folder:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            child = os.open(entry.name, flags, dir_fd=fd)
            try:
                self.folder(child, path + "/", depth + 1)
            finally:
                os.close(child)
        elif entry.is_file(follow_symlinks=False):
            self._file(fd, entry.name, path, shown)
        else:
            self._leave_out(path, "not a regular file")

    def _file(self, fd: int, name: str, path: str, shown: str) -> None:
        self.paths.add_file(check_path(path))
        if len(self.files) >= LIMITS.package_entries:
            raise PackageError(
                "package.bounds",
                f"the folder has more than {LIMITS.package_entries} files",
                hint="leave out what the plugin does not need at run time",
            )
        opened = open_in(fd, name, os.O_RDONLY)
        content = read_open_file(opened, LIMITS.package_file_bytes, shown)
        self.total += len(content)
        if self.total > LIMITS.package_bytes:
            raise PackageError(
                "package.bounds",
                f"the folder's files come to more than {LIMITS.package_bytes} bytes",
                hint="leave out what the plugin does not need at run time",
            )
        self.files[path] = content

    def _leave_out(self, path: str, reason: str) -> None:
        self.left_out_count += 1
        if len(self.left_out) < LIMITS.package_entries:
            self.left_out.append(LeftOut(printable(path, 200), reason))
