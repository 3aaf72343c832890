"""Files that appear in one step and survive a power cut, for every room that keeps some.

The folder is opened once: one that takes its place meanwhile gets no part of the file.
"""

import contextlib
import os
import secrets
from pathlib import Path

from yoi.folders import held


def replace_file(path: Path, data: bytes, mode: int) -> None:
    """Replace `path` by a file with `data` in one step, durable before it is visible.

    A link at `path` is replaced, never written through. Raises OSError; then nothing has changed.
    """
    with held(path.parent) as folder:
        beside = write_beside(folder, data, mode)
        try:
            os.replace(beside, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            discard(folder, beside)
            raise
        os.fsync(folder)


def write_beside(folder: int, data: bytes, mode: int) -> str:
    """Write `data` to a new hidden file in the held `folder` and return its name.

    It is on the disk when this returns. Raises OSError; then no file is left.
    """
    beside = f".{secrets.token_hex(8)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(beside, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        discard(folder, beside)
        raise
    return beside


def discard(folder: int, name: str) -> None:
    """Remove the file `name` from the held `folder`, where it can be."""
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)


def rename_file(path: Path, to: str) -> None:
    """Give the file `path` the name `to` in its folder, in one step. Raises OSError."""
    with held(path.parent) as folder:
        os.replace(path.name, to, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
