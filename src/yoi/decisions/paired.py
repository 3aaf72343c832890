"""The senders that were let in by a pairing code: kept by this account, outside the workspace."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from yoi.decisions.folder import decisions_folder, prepare, workspace_key
from yoi.errors import TrustError, WorkerError, YoiError
from yoi.limits import LIMITS, Limits
from yoi.permissions.senders import Scalar
from yoi.secrets.files import locked, read_owned, write_private


class PairedSender(msgspec.Struct, frozen=True, kw_only=True):
    """One sender of `plugin`, let in for the rule `rule` by a code made for `worker`."""

    plugin: str
    rule: str
    sender: Scalar
    worker: str
    at_ms: int


class PairedSenders:
    """The paired senders of one workspace, in memory as of the last read or write.

    `add` and `remove` write, block for as long as a small file takes, and raise TrustError where
    that fails.
    """

    def __init__(self, path: Path, workspace: Path, limits: Limits = LIMITS) -> None:
        self._path = path
        self._workspace = workspace
        self._limits = limits
        self._paired: tuple[PairedSender, ...] = ()

    @classmethod
    def of(cls, workspace: Path, limits: Limits = LIMITS) -> "PairedSenders":
        """Return those of `workspace`; none before `reload`."""
        folder = decisions_folder(os.environ, Path.home()).parent / "paired"
        file = folder / f"{workspace_key(workspace)}.json"
        return cls(file, Path(os.path.realpath(workspace)), limits)

    def of_plugin(self, plugin: str) -> tuple[PairedSender, ...]:
        """Return the senders of `plugin`, oldest first."""
        return tuple(one for one in self._paired if one.plugin == plugin)

    def reload(self) -> None:
        """Read the file again. Raises TrustError (`trust.damaged`)."""
        with _told(self._path):
            self._paired = self._read()

    def add(self, paired: PairedSender) -> None:
        """Keep `paired`. Raises WorkerError `worker.pairing` where it is one too many."""
        with self._held():
            self._write(with_one(self._read(), paired, self._limits))

    def remove(self, plugin: str, sender: str) -> list[PairedSender]:
        """Forget each `sender` of `plugin` that is written so, and return them."""
        with self._held():
            kept, found = without(self._read(), plugin, sender)
            self._write(kept)
        return found

    def _read(self) -> tuple[PairedSender, ...]:
        data = read_owned(self._path, self._limits.paired_file_bytes)
        if data is None:
            return ()
        try:
            return tuple(msgspec.json.decode(data, type=list[PairedSender]))
        except (msgspec.DecodeError, RecursionError):
            raise TrustError(
                "trust.damaged",
                f"{self._path} is damaged: which senders were paired is not known",
                hint=f"move it away, and pair again: {self._path}",
            ) from None

    def _write(self, paired: list[PairedSender]) -> None:
        write_private(self._path, msgspec.json.encode(paired))
        self._paired = tuple(paired)

    @contextmanager
    def _held(self) -> Iterator[None]:
        prepare(self._path.parent, self._workspace)
        with _told(self._path), locked(self._path.with_suffix(".lock"), self._limits):
            yield


def with_one(
    there: Iterable[PairedSender], paired: PairedSender, limits: Limits
) -> list[PairedSender]:
    """Return `there` and `paired`. Raises WorkerError `worker.pairing` where it is one too many."""
    kept = [one for one in there if not _same(one, paired)]
    if sum(one.plugin == paired.plugin for one in kept) >= limits.paired_senders:
        raise WorkerError(
            "worker.pairing",
            f"{paired.plugin} has {limits.paired_senders} paired senders already",
            hint=f"yoi worker senders {paired.worker}",
        )
    return [*kept, paired]


def without(
    there: Sequence[PairedSender], plugin: str, sender: str
) -> tuple[list[PairedSender], list[PairedSender]]:
    """Return `there` without each `sender` of `plugin` that is written so, and those."""
    found = [one for one in there if one.plugin == plugin and str(one.sender) == sender]
    return [one for one in there if one not in found], found


def _same(one: PairedSender, other: PairedSender) -> bool:
    return (one.plugin, one.rule, one.sender) == (other.plugin, other.rule, other.sender)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (TrustError, WorkerError):
        raise
    except YoiError as exc:
        raise TrustError("trust.damaged", exc.message, hint=exc.hint) from None
    except OSError as exc:
        raise TrustError("trust.damaged", f"{path}: {exc.strerror or exc}") from None
