"""Paths inside a package: relative, plain, and spelled one way on every file system."""

import unicodedata

from yoi.display import printable
from yoi.errors import PackageError
from yoi.limits import LIMITS

_DEVICES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
    + [f"{port}{number}" for port in ("COM", "LPT") for number in "123456789\u00b9\u00b2\u00b3"]
)
"""What Windows opens instead of a file, whatever extension follows."""


def check_path(path: str) -> str:
    """Return `path` if it is a plain relative path below the package's root.

    Raises PackageError: `package.traversal` for anything that could leave the package,
    `package.malformed` for characters that no file name needs, `package.bounds` when too long.
    """
    # Measured before it is quoted: a message never repeats an unbounded name.
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise PackageError("package.malformed", "a path is not valid Unicode") from None
    if size > LIMITS.package_path_bytes:
        raise PackageError(
            "package.bounds",
            f"a path in the package is longer than {LIMITS.package_path_bytes} bytes",
        )
    shown = printable(path, 200)
    if path.startswith(("/", "~")) or "\\" in path or path[1:2] == ":":
        raise PackageError(
            "package.traversal",
            f'the path "{shown}" does not stay inside the package',
            hint="use relative paths with forward slashes, without a drive or home prefix",
        )
    if any(segment in ("", ".", "..") for segment in path.split("/")):
        raise PackageError(
            "package.traversal",
            f'the path "{shown}" has an empty, "." or ".." segment',
            hint="name every file by its plain relative path",
        )
    for segment in path.split("/"):
        if segment.partition(".")[0].rstrip(" ").upper() in _DEVICES or segment[-1] in " .":
            raise PackageError(
                "package.malformed",
                f'the path "{shown}" is not a file on every system: a device\'s name, or a name '
                "that ends with a dot or a space",
                hint="rename the file",
            )
    if printable(path, len(path)) != path:
        raise PackageError(
            "package.malformed",
            f'the path "{shown}" has control or invisible characters',
            hint="rename the file",
        )
    return path


class PathSet:
    """The paths of one package; refuses two that some file system would take for one."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}

    def add_file(self, path: str) -> None:
        """Record a file. Raises PackageError (`package.duplicate`) on any clash."""
        self._add_parents(path)
        key = _fold(path)
        other = self._files.get(key) or self._folders.get(key)
        if other is not None:
            raise _clash(path, other)
        self._files[key] = path

    def add_folder(self, path: str) -> None:
        """Record a folder; naming the same one again is fine, spelling it differently is not."""
        self._add_parents(path + "/")

    def _add_parents(self, path: str) -> None:
        end = path.find("/")
        while end != -1:
            folder = path[:end]
            key = _fold(folder)
            other = self._files.get(key) or self._folders.setdefault(key, folder)
            if other != folder or key in self._files:
                raise _clash(folder, other)
            end = path.find("/", end + 1)


def _fold(path: str) -> str:
    """Return the key under which case-blind and normalising file systems would store `path`."""
    folded = unicodedata.normalize("NFD", path).casefold()
    return unicodedata.normalize("NFC", folded)


def _clash(path: str, other: str) -> PackageError:
    if path == other:
        message = f'the path "{printable(path, 200)}" stands in the package twice'
    else:
        message = (
            f'the paths "{printable(path, 200)}" and "{printable(other, 200)}" are the same file '
            "to some file systems"
        )
    return PackageError("package.duplicate", message, hint="rename or remove one of them")
