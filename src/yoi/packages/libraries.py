"""The libraries of a package: `libs.zip` holds their files, `plugin.lock` says what they are.

Both are files of the package like any other, so the digest covers them. They belong together: the
lock names the hash of the archive, and one without the other is refused.
"""

import hashlib
import re
import sys
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yoi.display import printable
from yoi.errors import PackageError
from yoi.limits import LIMITS
from yoi.packages.archive import read_archive
from yoi.packages.bounds import LIBRARIES
from yoi.packages.guest_library import IMPORTABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ARCHIVE_NAME = "libs.zip"
LOCK_NAME = "plugin.lock"
_VERSION = 1
_MAX_BYTES = 64 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HINT = "write both anew with: yoi plugin update"
_DIST_INFO = ".dist-info"
_OURS = frozenset({"yoi", "yoi_pdk", "yoi_runner", "wit_world", "componentize_py_types"})
_GONE = frozenset(
    {
        "aifc", "asynchat", "asyncore", "audioop", "binhex", "cgi", "cgitb", "chunk", "crypt",
        "distutils", "formatter", "imghdr", "imp", "lib2to3", "mailcap", "msilib", "nis",
        "nntplib", "ossaudiodev", "parser", "pipes", "smtpd", "sndhdr", "spwd", "sunau",
        "symbol", "telnetlib", "uu", "xdrlib",
    }
)  # fmt: skip
"""Modules that an older host's Python has and the sandbox's has not: a library may bring them."""


@dataclass(frozen=True, slots=True)
class Library:
    """One distribution in the package."""

    name: str
    version: str
    licence: str
    """As its metadata say it; `unknown` where they do not."""
    wheel: str
    """The file name of the wheel it was taken from."""
    sha256: str
    """The hash of that wheel."""

    @property
    def label(self) -> str:
        """Return name, version and licence as a person reads them."""
        return f"{self.name} {self.version} ({self.licence})"

    def to_json(self) -> dict[str, str]:
        """Return what it is as JSON values, escaped: strangers wrote it."""
        return {
            "name": printable(self.name, LIMITS.name_bytes),
            "version": printable(self.version, LIMITS.name_bytes),
            "licence": printable(self.licence, LIMITS.name_bytes),
            "wheel": printable(self.wheel, 256),
            "sha256": self.sha256,
        }


@dataclass(frozen=True, slots=True)
class LibraryLock:
    """What `plugin.lock` says."""

    requested: tuple[str, ...]
    """What the author asked for, as requirements; the other libraries are what these need."""
    archive: str
    """The SHA-256 of `libs.zip`."""
    libraries: tuple[Library, ...]
    """By name."""

    @classmethod
    def parse(cls, data: bytes) -> "LibraryLock":
        """Return the lock in `data`. Raises PackageError (`package.lock`)."""
        if len(data) > _MAX_BYTES:
            raise _unusable(f"it is over {_MAX_BYTES} bytes")
        try:
            table = tomllib.loads(data.decode())
        except (ValueError, RecursionError) as exc:
            raise _unusable(f"it is not TOML: {printable(str(exc), 200)}") from None
        if table.get("version") != _VERSION:
            raise _unusable(f"its version is not {_VERSION}")
        rows = table.get("libraries")
        requested = table.get("requested")
        if not isinstance(rows, list) or not isinstance(requested, list):
            raise _unusable("`requested` and [[libraries]] are missing")
        if not 0 < len(rows) <= LIMITS.libraries or len(requested) > LIMITS.libraries:
            raise _unusable(f"it has no libraries, or more than {LIMITS.libraries}")
        if not all(isinstance(one, str) and len(one) <= 256 for one in requested):
            raise _unusable("`requested` is not a list of requirements")
        libraries = tuple(_library(row) for row in rows)
        if len({one.name for one in libraries}) != len(libraries):
            raise _unusable("a library stands in it twice")
        return cls(tuple(requested), _hash(table, "archive"), libraries)

    def text(self) -> str:
        """Return the lock as the file holds it: the same lock is always the same text."""
        rows = [
            "# Written by `yoi plugin add`, `remove` and `update`; libs.zip belongs to it.",
            f"version = {_VERSION}",
            f"requested = [{', '.join(map(_quoted, self.requested))}]",
            f'archive = "{self.archive}"',
        ]
        for one in self.libraries:
            rows += ["", "[[libraries]]"]
            rows += [f"{key} = {_quoted(getattr(one, key))}" for key in Library.__slots__]
        return "\n".join(rows) + "\n"


@dataclass(frozen=True, slots=True)
class Libraries:
    """The lock of a package and the paths of the files in its archive."""

    lock: LibraryLock
    paths: tuple[str, ...]


def read_libraries(files: "Mapping[str, bytes]") -> Libraries | None:
    """Return the libraries among the package's `files`, or None when it has none.

    Raises PackageError: `package.lock` when lock and archive do not belong together, and what
    `read_archive` raises.
    """
    data, lock_data = files.get(ARCHIVE_NAME), files.get(LOCK_NAME)
    if data is None and lock_data is None:
        return None
    if data is None or lock_data is None:
        missing = ARCHIVE_NAME if data is None else LOCK_NAME
        other = LOCK_NAME if data is None else ARCHIVE_NAME
        raise PackageError(
            "package.lock", f"the package has {other} and no {missing}", hint=_HINT, at=other
        )
    lock = LibraryLock.parse(lock_data)
    if hashlib.sha256(data).hexdigest() != lock.archive:
        raise PackageError(
            "package.lock",
            f"{ARCHIVE_NAME} is not the one that {LOCK_NAME} was written for",
            hint=_HINT,
            at=ARCHIVE_NAME,
        )
    content = read_archive(data, LIBRARIES)
    found = sorted(_distributions(content))
    if found != sorted((one.name, one.version) for one in lock.libraries):
        raise PackageError(
            "package.lock",
            f"{LOCK_NAME} does not name what is in {ARCHIVE_NAME}",
            hint=_HINT,
            at=LOCK_NAME,
        )
    return Libraries(lock, tuple(content))


def canonical(name: str) -> str:
    """Return the name of a distribution as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def top_level(paths: "Iterable[str]") -> set[str]:
    """Return the modules and packages that files at `paths` bring to `import`."""
    names = set()
    for path in paths:
        first, _, rest = path.partition("/")
        if path.endswith(".py"):
            names.add(first if rest else first.removesuffix(".py"))
    return {name for name in names if name.isidentifier()}


def check_names(libraries: "Iterable[str]", own: "Iterable[str]") -> None:
    """Refuse libraries (their paths) that would hide a module of Python, of Yoi or of the package.

    Raises PackageError (`package.library_name`).
    """
    mine = top_level(path for path in own if not path.startswith("tests/"))
    for name in sorted(top_level(libraries)):
        if name in _OURS:
            whose = "Yoi's own"
        elif name in IMPORTABLE or (name in sys.stdlib_module_names and name not in _GONE):
            whose = "a module of Python's standard library"
        elif name in mine:
            whose = "a module of this package"
        else:
            continue
        raise PackageError(
            "package.library_name",
            f"a library brings the module {printable(name, 100)}, which is {whose}",
            hint=f"rename {name} in your package" if name in mine else "use another library",
        )


def _quoted(text: str) -> str:
    """Return a TOML basic string."""
    plain = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(plain)}"'


def _distributions(files: "Iterable[str]") -> set[tuple[str, str]]:
    folders = {path.partition("/")[0] for path in files}
    found = set()
    for folder in folders:
        if folder.endswith(_DIST_INFO):
            name, _, version = folder.removesuffix(_DIST_INFO).partition("-")
            found.add((canonical(name), version))
    return found


def _library(row: Any) -> Library:
    values = {}
    for key in Library.__slots__:
        value = row.get(key) if isinstance(row, dict) else None
        if not isinstance(value, str) or not 0 < len(value) <= 256:
            raise _unusable(f"a library has no {key}")
        values[key] = value
    _hash(values, "sha256")
    return Library(**values)


def _hash(table: dict[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or _SHA256.fullmatch(value) is None:
        raise _unusable(f"{key} is not a SHA-256")
    return value


def _unusable(why: str) -> PackageError:
    return PackageError("package.lock", f"{LOCK_NAME}: {why}", hint=_HINT, at=LOCK_NAME)
