"""`pack`: make a `.yoi-plugin` archive from a source folder."""

import os
from dataclasses import dataclass
from pathlib import Path

from yoi.durable import replace_file
from yoi.errors import PackageError
from yoi.packages.archive import read_archive
from yoi.packages.folder import io_error
from yoi.packages.inspection import static_problems
from yoi.packages.package import SUFFIX, Package, read_package
from yoi.packages.writer import build_archive


@dataclass(frozen=True, slots=True)
class PackResult:
    """What was packed. `package.left_out` says what the archive does not contain, and why."""

    path: Path
    package: Package
    size: int


def pack(folder: Path, output: Path | None = None, *, replace: bool = False) -> PackResult:
    """Write the package in `folder` to `output` (default: beside it, `<folder>.yoi-plugin`).

    The same files always give the same bytes. An existing output is only overwritten with
    `replace`. Raises ManifestError and PackageError; then nothing has been written. Nothing of the
    package is executed.
    """
    if not folder.is_dir():
        raise PackageError("package.io", f"{folder} is not a folder", hint="yoi plugin pack DIR")
    source = folder.resolve()
    target = output or source.with_name(source.name + SUFFIX)
    package = read_package(folder)
    for problem in static_problems(package):
        raise problem
    if target.is_dir():
        raise PackageError("package.exists", f"{target} is a folder", hint="name a file")
    if os.path.lexists(target) and not replace:
        raise PackageError(
            "package.exists", f"{target} exists already", hint="write over it with --force"
        )
    data = build_archive(package.files)
    if read_archive(data) != package.files:
        raise PackageError("package.malformed", "the archive does not read back as it was written")
    try:
        replace_file(target, data, 0o644)
    except OSError as exc:
        raise io_error(exc, str(target)) from None
    return PackResult(target, package, len(data))
