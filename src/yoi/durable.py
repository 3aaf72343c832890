"""Files that appear in one step and survive a power cut, for every room that keeps some."""

import contextlib
import os
import tempfile
from pathlib import Path


def replace_file(path: Path, data: bytes, mode: int) -> None:
    """Replace `path` by a file with `data` in one step, durable before it is visible.

    A link at `path` is replaced, never written through. Raises OSError; then nothing has changed.
    """
    beside = write_beside(path, data, mode)
    try:
        os.replace(beside, path)
    except BaseException:
        discard(beside)
        raise
    sync_folder(path.parent)


def write_beside(path: Path, data: bytes, mode: int) -> Path:
    """Write `data` to a new hidden file in the folder of `path` and return where it is.

    It is on the disk when this returns. Raises OSError; then no file is left.
    """
    handle, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        discard(beside)
        raise
    return beside


def discard(path: Path) -> None:
    """Remove the file `path`, where it can be."""
    with contextlib.suppress(OSError):
        path.unlink()


def sync_folder(path: Path) -> None:
    """Return when the names in the folder `path` are on the disk. Raises OSError."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
