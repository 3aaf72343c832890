"""A file of this account alone: checked when read, replaced in one step, locked to be changed."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from yoi.errors import SecretError, YoiError
from yoi.limits import Limits
from yoi.secrets.files import create_private, locked, read_owned, write_private

Fault = Callable[[str, str | None], YoiError]
"""Builds an error of the file's own family from a message and a hint."""
_MARK = b"# workspace "
_MARK_BYTES = 64
Stamp = tuple[int, int, int]


class PrivateFile:
    """The file at `path`, of at most `most` bytes. Everything here blocks, but not for long."""

    def __init__(
        self, path: Path, most: int, fault: Fault, limits: Limits, owner: str | None = None
    ) -> None:
        """`owner` is the id of the workspace that the file must carry; None accepts any."""
        self.path = path
        self._owner = owner
        self.most = most
        self._fault = fault
        self._limits = limits

    def read(self) -> bytes | None:
        """Return the content, or None where there is no file; one open to others is refused.

        So is the file of another workspace.
        """
        try:
            data = read_owned(self.path, self.most + (_MARK_BYTES if self._owner else 0))
        except SecretError as exc:
            raise self._fault(exc.message, exc.hint) from None
        if data is None:
            return None
        head, _, rest = data.partition(b"\n")
        marked = head.startswith(_MARK)
        if self._owner is not None and head != _MARK + self._owner.encode():
            raise self._fault(
                f"{self.path} was not written for this workspace by this account",
                "if you know where it comes from: yoi trust --adopt",
            )
        return rest if marked else data

    def create(self, data: bytes) -> bool:
        """Write `data` unless something is there; return whether it was written."""
        try:
            return create_private(self.path, self._marked(data))
        except SecretError as exc:
            raise self._fault(exc.message, exc.hint) from None

    def adopt(self, owner: str) -> None:
        """Let the file carry `owner` from now on, whatever it carried before."""
        self._owner = None
        data = self.read()
        self._owner = owner
        if data is not None:
            self.replace(data)

    def replace(self, data: bytes) -> None:
        """Write `data` in one step, mode 0600. The file must be locked."""
        try:
            write_private(self.path, self._marked(data))
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

    def _marked(self, data: bytes) -> bytes:
        return data if self._owner is None else _MARK + self._owner.encode() + b"\n" + data
