"""A file of this account alone: checked when read, replaced in one step, locked to be changed."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from yoi.errors import SecretError, YoiError
from yoi.limits import Limits
from yoi.secrets.files import locked, read_owned, write_private

Fault = Callable[[str, str | None], YoiError]
"""Builds an error of the file's own family from a message and a hint."""
Stamp = tuple[int, int, int]


class PrivateFile:
    """The file at `path`, of at most `most` bytes. Everything here blocks, but not for long."""

    def __init__(self, path: Path, most: int, fault: Fault, limits: Limits) -> None:
        self.path = path
        self.most = most
        self._fault = fault
        self._limits = limits

    def read(self) -> bytes | None:
        """Return the content, None when it is not there; what is not private is refused."""
        try:
            return read_owned(self.path, self.most)
        except SecretError as exc:
            raise self._fault(exc.message, exc.hint) from None

    def replace(self, data: bytes) -> None:
        """Write `data` in one step, mode 0600. The file must be locked."""
        try:
            write_private(self.path, data)
        except SecretError as exc:
            raise self._fault(exc.message, exc.hint) from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the file against other processes; makes its folder where that is missing."""
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(
                    locked(self.path.with_name(self.path.name + ".lock"), self._limits)
                )
            except SecretError as exc:
                words = exc.message
                if exc.code == "secret.busy":
                    words = f"another process is writing {self.path}"
                raise self._fault(words, exc.hint) from None
            yield

    def stamp(self) -> Stamp | None:
        """Return what changes when the file does, None when it is not there. One system call."""
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise self._fault(f"{self.path}: {exc.strerror}", None) from None
        return found.st_ino, found.st_ctime_ns, found.st_size
