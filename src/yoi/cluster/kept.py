"""What a machine keeps of publications, in the folder of its account: keys, serials, packages."""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from yoi.cluster.publication import PublishedPackage, Seen
from yoi.decisions.folder import check, decisions_folder, prepare, workspace_key
from yoi.display import shell_word
from yoi.errors import ClusterError, SecretError, YoiError
from yoi.packages.digest import package_digest
from yoi.packages.package import SUFFIX, Package, read_package
from yoi.secrets.files import read_owned, write_private

_SEEN_BYTES = 4096


def state_folder() -> Path:
    """Return the account's folder for publications: beside its decisions."""
    return decisions_folder(os.environ, Path.home()).with_name("publications")


class Kept:
    """The newest publication that was seen for a workspace, and its packages. Everything blocks."""

    def __init__(self, workspace: Path, folder: Path | None = None) -> None:
        self._workspace = workspace
        self._folder = state_folder() if folder is None else folder
        name = workspace_key(workspace)
        self._file = self._folder / f"{name}.json"
        self._packages = self._folder / name

    def seen(self) -> Seen | None:
        """Return the newest that was seen; None: none was.

        Raises TrustError `trust.folder`, ClusterError `cluster.publication` for a damaged file.
        """
        if not check(self._folder, self._workspace):
            return None
        try:
            data = read_owned(self._file, _SEEN_BYTES)
            return None if data is None else msgspec.json.decode(data, type=Seen)
        except (SecretError, msgspec.DecodeError) as exc:
            raise ClusterError(
                "cluster.publication",
                f"which publication was seen last cannot be read: {self._file}: {exc}",
                hint="once you know that the present one is the newest: "
                f"rm {shell_word(self._file)}",
            ) from None

    def keep(self, seen: Seen) -> None:
        """Remember `seen`, durably. Raises TrustError, SecretError."""
        prepare(self._folder, self._workspace)
        write_private(self._file, msgspec.json.encode(seen))

    def package(self, wanted: PublishedPackage) -> Package | None:
        """Return the package that is kept under this digest, None where it is not, or is not it."""
        path = self._path(wanted.digest)
        try:
            return checked(read_package(path, wanted.reference.partition(":")[0]), wanted)
        except YoiError:
            return None

    def keep_package(self, wanted: PublishedPackage, data: bytes) -> Package:
        """Keep the archive `data`, and return the package in it.

        Raises ClusterError `cluster.package` where it is another one than was published.
        """
        prepare(self._folder, self._workspace)
        self._packages.mkdir(mode=0o700, exist_ok=True)
        path = self._path(wanted.digest)
        write_private(path, data)
        try:
            return checked(read_package(path, wanted.reference.partition(":")[0]), wanted)
        except YoiError as exc:
            path.unlink(missing_ok=True)
            raise ClusterError(
                "cluster.package",
                f"what the servers hold as {wanted.reference} is not what was published: "
                f"{exc.message}",
                hint="publish again, where a person decides: yoi cluster publish",
            ) from None

    def drop_packages(self, but: Iterable[PublishedPackage]) -> None:
        """Remove the kept packages that are none of `but`."""
        kept = {self._path(one.digest).name for one in but}
        try:
            there = sorted(self._packages.iterdir())
        except OSError:
            return
        for path in there:
            if path.name not in kept:
                path.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._packages / f"{digest.removeprefix('sha256:')[:64]}{SUFFIX}"


def checked(package: Package, wanted: PublishedPackage) -> Package:
    """Return `package` if it is the one that is wanted. Raises ClusterError `cluster.package`."""
    if (package.reference, package_digest(package.files)) != (wanted.reference, wanted.digest):
        raise ClusterError(
            "cluster.package", f"it is {package.reference} with the digest {package.digest}"
        )
    return package
