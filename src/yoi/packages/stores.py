"""Stores: the folders in which packages are looked for, and how one gets in."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from yoi.display import printable
from yoi.durable import replace_file
from yoi.errors import PackageError, YoiError
from yoi.folders import make_folder
from yoi.limits import LIMITS
from yoi.packages.folder import io_error
from yoi.packages.package import SUFFIX, Package, read_file, read_package
from yoi.packages.writer import build_archive

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of `.yoi-plugin` archives under one source name; it need not exist."""

    source: str
    path: Path

    @classmethod
    def project(cls, workspace: Path) -> "Store":
        """Return the store of a workspace: `.yoi/plugins` below it."""
        return cls("project", workspace / ".yoi" / "plugins")

    @classmethod
    def user(cls, environ: "Mapping[str, str]", home: Path) -> "Store":
        """Return the person's own store, below XDG_DATA_HOME or `~/.local/share`.

        A relative XDG_DATA_HOME is ignored, as the XDG specification asks.
        """
        data = Path(environ.get("XDG_DATA_HOME") or "")
        base = data if data.is_absolute() else home / ".local" / "share"
        return cls("user", base / "yoi" / "plugins")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An archive in a store that could not be taken in, and why."""

    source: str
    path: Path
    error: YoiError


@dataclass(frozen=True, slots=True)
class PackageInventory:
    """What the stores hold. Looking reads files; it runs, opens and starts nothing (P2)."""

    packages: tuple[Package, ...]
    unreadable: tuple[Unreadable, ...]

    @classmethod
    def of(cls, *stores: Store) -> "PackageInventory":
        """Return the packages in `stores`, in that order and by file name within one.

        Two archives with the same id in one store are both unreadable (`package.duplicate`): which
        one would run must never depend on their file names.
        """
        packages: list[Package] = []
        unreadable: list[Unreadable] = []
        for store in stores:
            found, faults = _look(store)
            packages += found
            unreadable += faults
        return cls(tuple(packages), tuple(unreadable))

    def find(self, reference: str) -> Package:
        """Return the package named by `project:echo`, or by `echo` where that names only one.

        Raises PackageError: `package.missing`, `package.ambiguous`.
        """
        found = [one for one in self.packages if reference in (one.reference, one.id)]
        shown = printable(reference, LIMITS.name_bytes)
        if not found:
            raise PackageError(
                "package.missing",
                f'no package answers to "{shown}"',
                hint="see what there is with: yoi plugin list",
            )
        if len(found) > 1:
            raise PackageError(
                "package.ambiguous",
                f'"{shown}" is in more than one store',
                hint="name one of: " + ", ".join(one.reference for one in found),
            )
        return found[0]


def package_inventory(workspace: Path) -> PackageInventory:
    """Return the packages in the workspace's store and in the person's own (P2: nothing runs)."""
    return PackageInventory.of(Store.project(workspace), Store.user(os.environ, Path.home()))


def _look(store: Store) -> tuple[list[Package], list[Unreadable]]:
    unreadable: list[Unreadable] = []
    try:
        names = sorted(name for name in os.listdir(store.path) if name.endswith(SUFFIX))
    except FileNotFoundError:
        return [], []
    except OSError as exc:
        return [], [Unreadable(store.source, store.path, io_error(exc, f"the store {store.path}"))]
    names = [name for name in names if not name.startswith(".")]
    if len(names) > LIMITS.store_packages:
        error = PackageError(
            "package.bounds",
            f"the store {store.path} has more than {LIMITS.store_packages} packages; "
            "the rest is not looked at",
        )
        unreadable.append(Unreadable(store.source, store.path, error))
        names = names[: LIMITS.store_packages]
    by_id: dict[str, list[Package]] = {}
    room = LIMITS.store_expanded_bytes
    for name in names:
        path = store.path / name
        try:
            package = _member(store, path)
            room -= sum(map(len, package.files.values()))
            if room < 0:
                raise PackageError(
                    "package.bounds",
                    f"the packages of {store.path} come to more than "
                    f"{LIMITS.store_expanded_bytes} bytes; {name} is not taken in",
                    hint="remove packages that are not used",
                )
        except YoiError as exc:
            unreadable.append(Unreadable(store.source, path, exc))
        else:
            by_id.setdefault(package.id, []).append(package)
    packages = [found[0] for found in by_id.values() if len(found) == 1]
    for found in by_id.values():
        if len(found) > 1:
            unreadable += [_duplicate(package, found) for package in found]
    return packages, unreadable


def _member(store: Store, path: Path) -> Package:
    """Read one archive of a store, which must really be a file in that store."""
    if path.is_symlink() and not path.resolve().is_relative_to(store.path.resolve()):
        raise PackageError(
            "package.traversal",
            f"{path.name} is a link that leaves the store",
            hint="copy the archive itself into the store",
        )
    if path.is_dir():
        raise PackageError("package.unsupported", f"{path.name} is a folder, not an archive")
    return read_package(path, store.source)


def _duplicate(package: Package, found: list[Package]) -> Unreadable:
    names = ", ".join(one.path.name for one in found)
    error = PackageError(
        "package.duplicate",
        f"{package.reference} is in the store more than once: {names}",
        hint="remove all but one",
    )
    return Unreadable(package.source, package.path, error)


def add_to_store(package_path: Path, store: Store) -> Package:
    """Put the archive or folder at `package_path` into `store` and return it as read from there.

    It is checked first and written in one step as `<id>.yoi-plugin`, so an interrupted copy leaves
    nothing; an older version of the same package under that name is replaced (and what was enabled
    by its digest stays disabled until it is reviewed). Raises PackageError, ManifestError.
    """
    return store_package(read_package(package_path), store)


def store_package(package: Package, store: Store) -> Package:
    """Put `package` into `store` as it was read before, and return it; see `add_to_store`."""
    target = store.path / f"{package.id}{SUFFIX}"
    for other in PackageInventory.of(store).packages:
        if (other.id == package.id) != (other.path.name.casefold() == target.name.casefold()):
            raise PackageError(
                "package.duplicate",
                f"the store has {other.reference} as {other.path.name} already",
                hint=f"remove {other.path} first",
            )
    data = build_archive(package.files)
    try:
        make_folder(store.path)
        if not target.exists() or read_file(target, LIMITS.package_bytes) != data:
            replace_file(target, data, 0o644)
    except OSError as exc:
        raise io_error(exc, str(target)) from None
    return read_package(target, store.source)
