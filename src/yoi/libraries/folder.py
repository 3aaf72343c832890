"""The libraries of a plugin's source folder: what a change would make of them, and making it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yoi.durable import replace_file
from yoi.errors import PackageError
from yoi.libraries.index import Index, Pin
from yoi.libraries.resolution import Wheel, check_newest, requirement, resolve
from yoi.libraries.unpacked import Unpacked, library_files
from yoi.limits import LIMITS
from yoi.packages.bounds import LIBRARIES
from yoi.packages.declarations import PythonRuntime
from yoi.packages.folder import io_error, read_folder
from yoi.packages.libraries import (
    ARCHIVE_NAME,
    LOCK_NAME,
    Library,
    LibraryLock,
    canonical,
    check_names,
    read_libraries,
)
from yoi.packages.manifest import MANIFEST_NAME, Manifest
from yoi.packages.package import read_file
from yoi.packages.writer import build_archive


@dataclass(frozen=True, slots=True)
class Change:
    """What the libraries would be, beside what they are; nothing has been written."""

    before: tuple[Library, ...]
    after: tuple[Library, ...]
    lock: LibraryLock | None
    """None: the plugin has no libraries afterwards."""
    archive: bytes

    @property
    def added(self) -> tuple[Library, ...]:
        """Return the libraries that are new, or have another version or file."""
        return tuple(one for one in self.after if one not in self.before)

    @property
    def removed(self) -> tuple[Library, ...]:
        """Return the libraries that are gone, or had another version or file."""
        return tuple(one for one in self.before if one not in self.after)

    def still_needed(self, names: Sequence[str]) -> list[str]:
        """Return which of `names` are there afterwards all the same."""
        asked = {canonical(requirement(one).name) for one in names}
        return [one.name for one in self.after if one.name in asked]

    @property
    def nothing(self) -> bool:
        """Return whether the libraries stay as they are."""
        return self.before == self.after


class LibraryFolder:
    """The source folder of a Python plugin. A method that raises has changed nothing."""

    def __init__(self, folder: Path) -> None:
        """Raises PackageError or ManifestError when `folder` holds no Python plugin."""
        manifest = Manifest.parse(read_file(folder / MANIFEST_NAME, LIMITS.manifest_bytes))
        if not isinstance(manifest.runtime, PythonRuntime):
            raise PackageError(
                "package.unsupported",
                f"{folder} is not a Python plugin: only those have libraries",
            )
        self._folder = folder
        self.lock: LibraryLock | None = None
        if (folder / LOCK_NAME).exists():
            self.lock = LibraryLock.parse(read_file(folder / LOCK_NAME, LIMITS.package_file_bytes))

    @property
    def libraries(self) -> tuple[Library, ...]:
        """Return what the lock names."""
        return () if self.lock is None else self.lock.libraries

    @property
    def requested(self) -> tuple[str, ...]:
        """Return what the author asked for."""
        return () if self.lock is None else self.lock.requested

    def add(self, index: Index, wanted: Sequence[str]) -> Change:
        """Return the change that brings `wanted` and what it needs; others keep their version."""
        new = {canonical(one.name): str(one) for one in map(requirement, wanted)}
        kept = {canonical(requirement(one).name): one for one in self.requested}
        return self._resolved(index, kept | new, [o for o in self.libraries if o.name not in new])

    def remove(self, index: Index, names: Sequence[str]) -> Change:
        """Return the change that takes `names` out, and what nothing else needs any more."""
        gone = {canonical(requirement(one).name) for one in names}
        asked = {canonical(requirement(one).name): one for one in self.requested}
        unknown = sorted(gone - asked.keys())
        if unknown:
            raise PackageError(
                "package.library_missing",
                f"{', '.join(unknown)} was not added to this plugin",
                hint="added were: " + ", ".join(self.requested)
                if self.requested
                else "add one with: yoi plugin add NAME",
            )
        left = {name: one for name, one in asked.items() if name not in gone}
        return self._resolved(index, left, self.libraries)

    def update(self, index: Index, names: Sequence[str]) -> Change:
        """Return the change to the newest releases, of `names` or of all libraries."""
        chosen = {canonical(requirement(one).name) for one in names}
        unknown = sorted(chosen - {one.name for one in self.libraries})
        if unknown or self.lock is None:
            raise PackageError(
                "package.library_missing",
                f"{', '.join(unknown)} is not among the libraries"
                if unknown
                else "the plugin has no libraries",
                hint="add one with: yoi plugin add NAME",
            )
        asked = {canonical(requirement(one).name): one for one in self.requested}
        return self._resolved(
            index, asked, [o for o in self.libraries if chosen and o.name not in chosen]
        )

    def restore(self, index: Index) -> Change:
        """Return the change that fetches exactly what the lock names."""
        if self.lock is None:
            raise PackageError(
                "package.lock",
                f"{self._folder} has no {LOCK_NAME}: no library was added",
                hint="add one with: yoi plugin add NAME",
            )
        found = Unpacked.all_of(
            index.fetch([Pin(o.name, o.version, o.sha256) for o in self.libraries])
        )
        archive = build_archive(library_files(found), LIBRARIES)
        if hashlib.sha256(archive).hexdigest() != self.lock.archive:
            raise PackageError(
                "package.library_hash",
                f"what was fetched does not make the {ARCHIVE_NAME} that {LOCK_NAME} names",
                hint="write both anew with: yoi plugin update",
            )
        return Change(self.libraries, self.libraries, self.lock, archive)

    def apply(self, change: Change) -> None:
        """Write archive and lock, or remove both. Raises PackageError (`package.io`)."""
        archive, lock = self._folder / ARCHIVE_NAME, self._folder / LOCK_NAME
        try:
            if change.lock is None:
                lock.unlink(missing_ok=True)
                archive.unlink(missing_ok=True)
                return
            # The lock last: an archive without its lock is refused, not taken for another.
            replace_file(archive, change.archive, 0o644)
            replace_file(lock, change.lock.text().encode(), 0o644)
        except OSError as exc:
            raise io_error(exc, str(self._folder)) from None

    def _resolved(self, index: Index, asked: dict[str, str], keep: Sequence[Library]) -> Change:
        requested = tuple(asked[name] for name in sorted(asked))
        if not requested:
            return Change(self.libraries, (), None, b"")
        wheels = resolve(index, requested, keep)
        self._same_files(wheels)
        found = Unpacked.all_of(index.fetch([one.pin for one in wheels]))
        check_newest(index, requested, wheels, found, keep)
        files = library_files(found)
        check_names(files, read_folder(self._folder).files)
        archive = build_archive(files, LIBRARIES)
        libraries = tuple(_library(one, found) for one in wheels)
        lock = LibraryLock(requested, hashlib.sha256(archive).hexdigest(), libraries)
        # What is written is what a reader would accept.
        read_libraries({LOCK_NAME: lock.text().encode(), ARCHIVE_NAME: archive})
        return Change(self.libraries, libraries, lock, archive)

    def _same_files(self, wheels: Sequence[Wheel]) -> None:
        """Refuse a wheel that has the name of a locked one and another hash."""
        locked = {one.wheel: one.sha256 for one in self.libraries}
        for one in wheels:
            if locked.get(one.file, one.sha256) != one.sha256:
                raise PackageError(
                    "package.library_hash",
                    f"{one.file} is not the file that {LOCK_NAME} names: its hash has changed",
                    hint="a released file never changes: find out why; to take it all the same, "
                    f"remove {one.name} and add it again",
                )


def _library(wheel: Wheel, found: dict[str, Unpacked]) -> Library:
    unpacked = found.get(wheel.name)
    if unpacked is None:
        raise PackageError("package.malformed", f"{wheel.file} has no metadata of {wheel.name}")
    return Library(wheel.name, unpacked.version, unpacked.licence, wheel.file, wheel.sha256)
