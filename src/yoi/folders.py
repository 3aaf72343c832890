"""Folders held by their descriptor: what is done in one happens there, wherever its path leads.

Others may write in a workspace while Yoi does: a pull, a build, another account. Below its `.yoi` a
path is therefore only looked up once, and the folder that was opened is asked whether it lies in
the workspace. A folder on the way may be a link, as long as it leads to a place inside.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from yoi.display import shell_word

NAME = ".yoi"
"""The folder of a workspace in which Yoi keeps its files; a path below it is checked."""

_FOLDER = os.O_DIRECTORY | os.O_CLOEXEC
_LOOKED_UP = getattr(os, "O_PATH", os.O_RDONLY) | _FOLDER
_ITSELF = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A file is opened itself: what a link leads to is not, and a planted FIFO does not wait."""
_DEPTH = 256
"""How far above a folder its workspace is looked for."""


class LeadsOut(OSError):
    """A folder below `.yoi` is a link to a place outside of the workspace."""

    def __init__(self, path: Path, link: Path) -> None:
        super().__init__(errno.EXDEV, f"leads out of the workspace, to {os.path.realpath(link)}")
        self.path = path
        self.hint = f"put a folder in its place: rm {shell_word(link)}"


def hint_of(exc: OSError) -> str | None:
    """Return what to do about `exc`, where that is known."""
    return exc.hint if isinstance(exc, LeadsOut) else None


@contextlib.contextmanager
def held(path: Path) -> Iterator[int]:
    """Yield a descriptor of the folder `path`, for `dir_fd`. Raises OSError; `LeadsOut` is one."""
    folder = _opened(path, os.O_RDONLY | _FOLDER)
    try:
        yield folder
    finally:
        os.close(folder)


def open_file(path: Path, flags: int, mode: int = 0o600) -> int:
    """Return a descriptor of the file `path`; a link is not followed, and a FIFO does not wait.

    Raises OSError: ELOOP for a link, `LeadsOut` for a folder on the way.
    """
    if NAME not in path.parent.parts:
        return os.open(path, flags | _ITSELF, mode)
    folder = _opened(path.parent, _LOOKED_UP)
    try:
        return open_in(folder, path.name, flags, mode)
    finally:
        os.close(folder)


def open_in(folder: int, name: str, flags: int, mode: int = 0o600) -> int:
    """Return a descriptor of the file `name` in the held `folder`, as `open_file` does."""
    return os.open(name, flags | _ITSELF, mode, dir_fd=folder)


def mode_of(name: str | Path, otherwise: int, folder: int | None = None) -> int:
    """Return the permissions of the file `name`; `otherwise` where no regular file is there.

    `folder` is the held folder that it lies in; None: by its path. A link is not followed.
    """
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return otherwise
    return stat.S_IMODE(found.st_mode) if stat.S_ISREG(found.st_mode) else otherwise


def others_may_write(found: os.stat_result) -> bool:
    """Return whether the permissions of a file or folder let other accounts write.

    A group of its own for each account (umask 002) is usual, and has no other member.
    """
    others = stat.S_IWOTH | (0 if found.st_gid == os.getegid() else stat.S_IWGRP)
    return bool(found.st_mode & others)


def make_folder(path: Path, mode: int = 0o777) -> None:
    """Make the folder `path` where it is missing, and those above it. Raises OSError.

    Nothing is made outside of the workspace.
    """
    try:
        with held(path):
            return
    except FileNotFoundError:
        pass
    if path.parent == path:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    make_folder(path.parent)
    with held(path.parent) as above:
        try:
            os.mkdir(path.name, mode, dir_fd=above)
        except FileExistsError:
            # Another process was first, or it is a link that leads nowhere.
            if not os.path.isdir(path):
                raise


def remove_file(path: Path) -> None:
    """Remove the file `path`, where it is there. Raises OSError."""
    with contextlib.suppress(FileNotFoundError), held(path.parent) as folder:
        os.unlink(path.name, dir_fd=folder)


def _opened(path: Path, flags: int) -> int:
    folder = os.open(path, flags)
    try:
        _refuse_outside(folder, path)
    except BaseException:
        os.close(folder)
        raise
    return folder


def _refuse_outside(folder: int, path: Path) -> None:
    parts = path.parts
    if NAME not in parts:
        return
    below = len(parts) - parts[::-1].index(NAME)
    workspace = os.stat(os.path.join(*parts[: below - 1]) if below > 1 else ".")
    if not _is_in(folder, workspace):
        ways = [Path(*parts[:count]) for count in range(below, len(parts) + 1)]
        raise LeadsOut(path, next((way for way in ways if way.is_symlink()), path))


def _is_in(folder: int, above: os.stat_result) -> bool:
    """Return whether `folder` lies below the folder `above`, however it was reached."""
    opened: list[int] = []
    found = os.fstat(folder)
    try:
        while not os.path.samestat(found, above):
            if len(opened) == _DEPTH:
                return False
            folder = os.open("..", _LOOKED_UP, dir_fd=folder)
            opened.append(folder)
            here, found = found, os.fstat(folder)
            if os.path.samestat(here, found):
                return False
        return True
    except OSError:
        return False
    finally:
        for one in opened:
            os.close(one)
