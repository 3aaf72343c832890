"""Private files: read without following links, replaced in one step, locked between processes."""

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from yoi.display import shell_word
from yoi.durable import discard, replace_file, write_beside
from yoi.errors import SecretError
from yoi.folders import held, hint_of, make_folder, open_file
from yoi.limits import Limits

_PRIVATE = 0o600
_PRIVATE_FOLDER = 0o700
_RETRY_SECONDS = 0.01


def read_private(path: Path, most: int) -> bytes | None:
    """Return the content of the regular file at `path`, None when it is not there.

    Raises SecretError (`secret.io`) for links, other kinds of file and more than `most` bytes.
    """
    return _read(path, most, _regular)


def read_owned(path: Path, most: int) -> bytes | None:
    """Return the same; a file of another account, or that others can read, is refused too."""
    return _read(path, most, _owned)


def read_authority(path: Path, most: int) -> bytes | None:
    """Return the content of a file that decides what is allowed, None when it is not there.

    Links are followed. Raises SecretError (`secret.io`) where another account than this one and
    root owns the file or its folder, or where others may write either.
    """
    real = Path(os.path.realpath(path))
    try:
        _unforgeable(os.stat(real.parent), real.parent)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise failed(exc, real.parent) from None
    return _read(real, most, _decides)


def _decides(found: os.stat_result, path: Path) -> None:
    _regular(found, path)
    _unforgeable(found, path)


def _unforgeable(found: os.stat_result, path: Path) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise SecretError(
            "secret.io",
            f"{path} belongs to another account",
            hint=f"chown $USER {shell_word(path)}",
        )
    if found.st_mode & 0o022 and not (stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX):
        raise SecretError(
            "secret.io",
            f"{path} can be written by other accounts",
            hint=f"chmod go-w {shell_word(path)}",
        )


def _read(path: Path, most: int, check: Callable[[os.stat_result, Path], None]) -> bytes | None:
    try:
        handle = open_file(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise failed(exc, path) from None
    try:
        check(os.fstat(handle), path)
        data = _read_up_to(handle, most + 1)
    except OSError as exc:
        raise failed(exc, path) from None
    finally:
        os.close(handle)
    if len(data) > most:
        raise SecretError(
            "secret.io",
            f"{path} is over {most} bytes",
            hint=f"that is no file of Yoi's: put a good copy in its place, or move it away: {path}",
        )
    return data


def _regular(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise SecretError("secret.io", f"{path} is not a regular file")


def _owned(found: os.stat_result, path: Path) -> None:
    _regular(found, path)
    if found.st_uid != os.geteuid():
        raise SecretError("secret.io", f"{path} belongs to another account")
    if found.st_mode & 0o077:
        raise SecretError(
            "secret.io", f"{path} is open to other accounts", hint=f"chmod 600 {shell_word(path)}"
        )


def write_private(path: Path, data: bytes) -> None:
    """Replace the file at `path` by `data` in one step that survives a power cut; mode 0600."""
    try:
        replace_file(path, data, _PRIVATE)
    except OSError as exc:
        raise failed(exc, path) from None


def create_private(path: Path, data: bytes) -> bool:
    """Write `data` to `path`, whole, unless something is there; return whether it was written."""
    try:
        make_folder(path.parent, _PRIVATE_FOLDER)
        with held(path.parent) as folder:
            beside = write_beside(folder, data, _PRIVATE)
            try:
                # A link, not a rename: it fails where another process was first.
                os.link(beside, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            except FileExistsError:
                return False
            finally:
                discard(folder, beside)
            os.fsync(folder)
    except OSError as exc:
        raise failed(exc, path) from None
    return True


@contextlib.contextmanager
def locked(path: Path, limits: Limits) -> Iterator[None]:
    """Hold the lock file at `path` against other processes and threads.

    Raises SecretError (`secret.busy`) when `secret_lock_ms` pass.
    """
    try:
        make_folder(path.parent, _PRIVATE_FOLDER)
        handle = open_file(path, os.O_RDWR | os.O_CREAT, _PRIVATE)
    except OSError as exc:
        raise failed(exc, path) from None
    try:
        until = time.monotonic() + limits.secret_lock_ms / 1000
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise SecretError(
                        "secret.busy",
                        "another process is writing the secret store",
                        hint="try again when it is done",
                    ) from None
            time.sleep(_RETRY_SECONDS)
        yield
    finally:
        os.close(handle)


def failed(exc: OSError, path: Path) -> SecretError:
    """Return what the operating system said about `path`."""
    why = exc.strerror or type(exc).__name__
    return SecretError("secret.io", f"{path}: {why}", hint=hint_of(exc))


def _read_up_to(handle: int, most: int) -> bytes:
    data = bytearray()
    while len(data) < most:
        part = os.read(handle, most - len(data))
        if not part:
            break
        data += part
    return bytes(data)
