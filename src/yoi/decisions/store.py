"""`DecisionStore`: what the operator of this account decided, one file for each workspace."""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from yoi.decisions.entries import Content, Entries
from yoi.decisions.folder import check, decisions_folder, prepare, workspace_key
from yoi.errors import SecretError, TrustError
from yoi.limits import LIMITS, Limits
from yoi.secrets.files import locked, read_owned, write_private

_FORMAT = 1
_ID_BYTES = 16


class Decided(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What was decided for one workspace."""

    format: int = _FORMAT
    workspace: str
    id: str
    """Random; the files that the host writes into the workspace carry it."""
    entries: dict[str, dict[str, Any]] = {}
    queued: dict[str, str] = {}
    """The work items that a person of this account queued: id, and digest of what it said."""
    earlier: dict[str, dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET
    """What was decided of plugins before what is decided now, while that has handled nothing."""
    reviewed: bool = False
    """Whether a person has decided anything here yet."""


class DecisionStore:
    """The decisions in `folder`. Everything blocks, but not for long."""

    def __init__(self, folder: Path, limits: Limits = LIMITS) -> None:
        self.folder = folder
        self._limits = limits

    @classmethod
    def of_account(cls, limits: Limits = LIMITS) -> "DecisionStore":
        """Return the store of the account that this process runs as."""
        return cls(decisions_folder(os.environ, Path.home()), limits)

    def read(self, workspace: Path) -> Decided | None:
        """Return what was decided for `workspace`, None where nothing ever was.

        Raises TrustError: `trust.folder`, `trust.damaged`.
        """
        if not check(self.folder, workspace):
            return None
        return self._read(_real(workspace))

    def entries(self, workspace: Path) -> Entries:
        """Return the decided entries of `workspace`."""
        found = self.read(workspace)
        return {} if found is None else found.entries

    def identity(self, workspace: Path) -> str:
        """Return the workspace's random id, made where it has none yet."""
        found = self.read(workspace)
        if found is not None:
            return found.id
        with self._changing(workspace) as decided:
            return decided.id

    def record(
        self,
        workspace: Path,
        changes: Mapping[str, Content | None],
        writing: Callable[[], object] | None = None,
    ) -> None:
        """Decide the entries in `changes` as they stand there; None forgets one.

        `writing` writes them into yoi.toml first; what it raises is raised, and nothing is decided.
        A host that reads `undisturbed` finds both or neither.
        """
        with self._changing(workspace) as decided:
            if writing is not None:
                writing()
            for entry, content in changes.items():
                before = decided.entries.get(entry)
                if content is None or (before and before.get("digest") == content.get("digest")):
                    # What ran before has had no decision since.
                    _change_earlier(decided, {entry: None})
            _change(decided, changes)
            decided.reviewed = True

    @contextlib.contextmanager
    def undisturbed(self, workspace: Path) -> Iterator["HeldDecisions"]:
        """Yield the decisions while no command has yet to record what it wrote to yoi.toml.

        Where the lock cannot be taken in time, the decisions are yielded all the same and nothing
        can be narrowed: a process that hangs must not keep a host from seeing what was withdrawn.
        Raises TrustError as `read`.
        """
        if not check(self.folder, workspace):
            yield HeldDecisions(self, None, None)
            return
        fault: TrustError | None = None
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(self._locked())
            except TrustError as exc:
                fault = exc
            yield HeldDecisions(self, self._read(_real(workspace)), fault)

    def queued(self, workspace: Path) -> Mapping[str, str]:
        """Return the work items that were queued: id, and digest of item.md. Raises TrustError."""
        found = self.read(workspace)
        return {} if found is None else found.queued

    def queue(self, workspace: Path, ticket: str, digest: str) -> None:
        """Decide that the work item `ticket` is queued as `digest` says. Raises TrustError."""
        with self._changing(workspace) as decided:
            if len(decided.queued) >= self._limits.tickets and ticket not in decided.queued:
                raise TrustError(
                    "trust.full", f"{self._limits.tickets} work items are queued already"
                )
            decided.queued[ticket] = digest

    def unqueue(self, workspace: Path, ticket: str, digest: str) -> bool:
        """Withdraw that `ticket` is queued as `digest` says; return whether it was."""
        if self.queued(workspace).get(ticket) != digest:
            return False
        with self._changing(workspace) as decided:
            if decided.queued.get(ticket) != digest:
                return False
            del decided.queued[ticket]
            return True

    def forget(self, workspace: Path) -> bool:
        """Forget everything about `workspace`; return whether there was anything."""
        if not check(self.folder, workspace):
            return False
        with self._locked():
            path = self._path(_real(workspace))
            try:
                path.unlink()
            except FileNotFoundError:
                return False
            except OSError as exc:
                raise _damaged(path, exc.strerror or type(exc).__name__) from None
            return True

    @contextlib.contextmanager
    def _changing(self, workspace: Path) -> Iterator[Decided]:
        """Yield what is decided, to be changed; it is written when the block ends well."""
        prepare(self.folder, workspace)
        real = _real(workspace)
        with self._locked(self._limits.decisions_lock_ms):
            found = self._read(real)
            if found is None:
                self._make_room()
                found = Decided(workspace=real, id=secrets.token_hex(_ID_BYTES))
                before = b""
            else:
                before = _encoded(found)
            yield found
            self._write(found, before)

    def _write(self, decided: Decided, before: bytes) -> None:
        """Replace what is decided, where that is not `before`. The lock is held."""
        data = _encoded(decided)
        if len(data) > self._limits.decisions_bytes:
            raise TrustError(
                "trust.full", f"the decisions are over {self._limits.decisions_bytes} bytes"
            )
        if data != before:
            try:
                write_private(self._path(decided.workspace), data)
            except SecretError as exc:
                raise TrustError("trust.folder", exc.message, hint=exc.hint) from None

    @contextlib.contextmanager
    def _locked(self, patience_ms: int | None = None) -> Iterator[None]:
        limits = self._limits
        if patience_ms is not None:
            limits = replace(limits, secret_lock_ms=patience_ms)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(locked(self.folder / ".lock", limits))
            except SecretError as exc:
                if exc.code == "secret.busy":
                    raise TrustError(
                        "trust.busy",
                        "another process is recording a decision",
                        hint="try again when it is done",
                    ) from None
                raise TrustError("trust.folder", exc.message, hint=exc.hint) from None
            yield

    def _read(self, real: str) -> Decided | None:
        path = self._path(real)
        try:
            data = read_owned(path, self._limits.decisions_bytes)
        except SecretError as exc:
            raise _damaged(path, exc.message, exc.hint) from None
        if data is None:
            return None
        try:
            found = msgspec.json.decode(data, type=Decided)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise _damaged(path, "it is not what Yoi writes") from None
        if found.format != _FORMAT:
            raise _damaged(path, "it was written by another version of Yoi")
        if found.workspace != real or len(found.id) != 2 * _ID_BYTES:
            raise _damaged(path, "it is about another workspace")
        return found

    def _path(self, real: str) -> Path:
        return self.folder / f"{workspace_key(real)}.json"

    def _make_room(self) -> None:
        """Forget workspaces whose folder is gone, where there are too many."""
        files = sorted(self.folder.glob("*.json"))
        if len(files) < self._limits.decided_workspaces:
            return
        for path in files:
            with contextlib.suppress(SecretError, msgspec.DecodeError, OSError):
                data = read_owned(path, self._limits.decisions_bytes)
                if data and not os.path.isdir(msgspec.json.decode(data, type=Decided).workspace):
                    path.unlink()
                    continue
        if len(list(self.folder.glob("*.json"))) >= self._limits.decided_workspaces:
            raise TrustError(
                "trust.full",
                f"there are decisions for {self._limits.decided_workspaces} workspaces",
                hint="forget those of one: yoi trust --forget --workspace DIR",
            )


class HeldDecisions:
    """What is decided for one workspace, as long as `DecisionStore.undisturbed` lasts."""

    def __init__(
        self, store: DecisionStore, decided: Decided | None, fault: TrustError | None
    ) -> None:
        self._store, self._decided, self._fault = store, decided, fault

    @property
    def entries(self) -> Entries:
        """The decided entries."""
        return {} if self._decided is None else dict(self._decided.entries)

    def narrow(self, kept: Mapping[str, Content | None]) -> None:
        """Keep only what `kept` says of the entries in it; None forgets one. Raises TrustError."""
        if self._fault is not None:
            raise self._fault
        decided = self._decided
        if decided is None:
            return
        before = _encoded(decided)
        _change(decided, kept)
        # What ran before may do no more than what is left now: that is not known.
        _change_earlier(decided, dict.fromkeys(kept))
        self._store._write(decided, before)

    @property
    def earlier(self) -> Entries:
        """What was decided of plugins before; see `Decided`."""
        return {} if self._decided is None else dict(_earlier(self._decided))

    def keep_earlier(self, changes: Mapping[str, Content | None]) -> None:
        """Keep what was decided before, or (None) forget it. Raises TrustError."""
        if self._fault is not None:
            raise self._fault
        if self._decided is not None:
            before = _encoded(self._decided)
            _change_earlier(self._decided, changes)
            self._store._write(self._decided, before)


def _earlier(decided: Decided) -> dict[str, dict[str, Any]]:
    return {} if decided.earlier is msgspec.UNSET else decided.earlier


def _change(decided: Decided, changes: Mapping[str, Content | None]) -> None:
    decided.entries = _changed(decided.entries, changes)


def _change_earlier(decided: Decided, changes: Mapping[str, Content | None]) -> None:
    decided.earlier = _changed(_earlier(decided), changes) or msgspec.UNSET


def _changed(
    entries: Mapping[str, Content], changes: Mapping[str, Content | None]
) -> dict[str, Content]:
    made = {**entries, **changes}
    return {entry: content for entry, content in made.items() if content is not None}


def _real(workspace: Path) -> str:
    return os.path.realpath(workspace)


def _encoded(decided: Decided) -> bytes:
    return msgspec.json.format(msgspec.json.encode(decided, order="deterministic")) + b"\n"


def _damaged(path: Path, why: str, hint: str | None = None) -> TrustError:
    return TrustError(
        "trust.damaged",
        f"what was decided for this workspace cannot be read: {path}: {why}; nothing is in force",
        hint=hint or "decide again: yoi trust --forget, then yoi trust",
    )
