"""The files of one item: read without following links, replaced in one step, never half written.

A writer holds a lock on the item's folder. An editor knows no lock: what it wrote between our
reading and our replacing is noticed, because the file that is swapped out is compared with what was
read, and the change is made again on top of it.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from yoi.durable import discard, write_beside
from yoi.errors import TicketError
from yoi.folders import held, hint_of, mode_of, open_file, open_in
from yoi.folders import make_folder as make

_RENAME_EXCHANGE = 2
_TRIES = 20
_LOCK_PAUSE_S = 0.02
_MODE = 0o644


def encoded(text: str) -> bytes:
    """Return `text` as UTF-8; raises TicketError (`ticket.value`) where it has no such form."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise TicketError("ticket.value", "the text holds bytes that are not UTF-8") from None


def is_folder(path: Path) -> bool:
    """Return whether `path` is a folder, False where it is not there.

    Raises TicketError (`ticket.file`) for anything else, a link to a folder too.
    """
    try:
        if stat.S_ISDIR(path.lstat().st_mode):
            return True
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise TicketError("ticket.file", f"{path.name}: {exc.strerror}") from None
    raise TicketError("ticket.file", f"{path.name} is not a folder")


def make_folder(path: Path) -> None:
    """Make the folder `path`, where it is not there. Raises TicketError (`ticket.file`)."""
    if not is_folder(path):
        try:
            make(path)
        except OSError as exc:
            raise failed(exc, path) from None


def read_text(path: Path, most: int) -> str | None:
    """Return the UTF-8 text of the regular file `path`, None when it is not there.

    Raises TicketError: `ticket.file` for a link, another kind of file, or one that cannot be read;
    `ticket.too_large`; `ticket.utf8` with `fields["line"]`.
    """
    data = read_bytes(path, most)
    if data is None:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        raise TicketError(
            "ticket.utf8", f"{path.name}, line {line}: is not UTF-8 text", line=line
        ) from None


def read_bytes(path: Path, most: int) -> bytes | None:
    """Return the bytes of the regular file `path`, None when it is not there; see `read_text`."""
    data = read_start(path, most + 1)
    if data is not None and len(data) > most:
        raise TicketError("ticket.too_large", f"{path.name} is over {most} bytes")
    return data


def read_start(path: Path, most: int) -> bytes | None:
    """Return the first `most` bytes of the regular file `path`, None when it is not there.

    Raises TicketError (`ticket.file`) for a link, another kind of file, or one that cannot be read.
    """
    try:
        fd = open_file(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise TicketError("ticket.file", f"{path.name} is a link") from None
        raise failed(exc, path) from None
    return _content(fd, path.name, most)


@contextlib.contextmanager
def locked(folder: Path, wait_ms: int) -> Iterator[None]:
    """Hold `folder` against other commands of Yoi's; no file is left behind.

    Raises TicketError (`ticket.busy`) when it is held by another for `wait_ms`.
    """
    try:
        fd = open_file(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as exc:
        raise failed(exc, folder) from None
    try:
        _lock(fd, folder, wait_ms)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, folder: Path, wait_ms: int) -> None:
    until = time.monotonic() + wait_ms / 1000
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise TicketError(
                    "ticket.busy", f"{folder.name} is held by another process"
                ) from None
            time.sleep(_LOCK_PAUSE_S)


def change(path: Path, most: int, make: Callable[[bytes | None], bytes]) -> bytes:
    """Replace `path` by what `make` returns for its content; return what was written.

    `make` gets None where there is no file. It is called again when somebody else changed the file
    meanwhile, with the new content. The folder must be locked. Raises TicketError; then the file is
    as others left it.
    """
    try:
        with held(path.parent) as folder:
            for _ in range(_TRIES):
                before = read_bytes(path, most)
                after = make(before)
                if len(after) > most:
                    raise TicketError("ticket.too_large", f"{path.name} would be over {most} bytes")
                if after == before or _swapped(folder, path.name, before, after):
                    return after
    except OSError as exc:
        raise failed(exc, path) from None
    raise TicketError("ticket.busy", f"{path.name} is being changed by something else all the time")


def failed(exc: OSError, path: Path) -> TicketError:
    """Return what the operating system said about `path`."""
    return TicketError("ticket.file", f"{path.name}: {exc.strerror}", hint=hint_of(exc))


def _swapped(folder: int, name: str, before: bytes | None, after: bytes) -> bool:
    """Put `after` in place of `before`; return False where something else stood there."""
    new = write_beside(folder, after, mode_of(name, _MODE, folder))
    try:
        if before is None:
            # A link fails where a file has appeared, a rename would replace it.
            os.link(new, name, src_dir_fd=folder, dst_dir_fd=folder)
            return True
        return _exchanged(folder, new, name, before)
    except FileExistsError:
        return False
    finally:
        discard(folder, new)


def _exchanged(folder: int, new: str, name: str, before: bytes) -> bool:
    """Swap the two files; swap back and return False where `name` did not hold `before`."""
    if not _exchange(folder, new, name):
        # Without an exchange a change within these few microseconds would be lost.
        if not _holds(folder, name, before):
            return False
        os.replace(new, name, src_dir_fd=folder, dst_dir_fd=folder)
        return True
    if _holds(folder, new, before):
        return True
    _exchange(folder, new, name)
    return False


def _holds(folder: int, name: str, data: bytes) -> bool:
    """Return whether the file `name`, which something else may have put there, is `data`."""
    try:
        return _content(open_in(folder, name, os.O_RDONLY), name, len(data) + 1) == data
    except (OSError, TicketError):
        return False


def _content(fd: int, name: str, most: int) -> bytes:
    """Return the first `most` bytes of the regular file behind `fd`, and close it."""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise TicketError("ticket.file", f"{name} is not a file")
        with os.fdopen(fd, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(fd)


def _exchange(folder: int, one: str, other: str) -> bool:
    """Swap two names in one step (renameat2); return whether this system can."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    done = renameat2(folder, os.fsencode(one), folder, os.fsencode(other), _RENAME_EXCHANGE)
    if done == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(code, os.strerror(code))
