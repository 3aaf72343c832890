"""`Decisions`: what a host asks about a workspace, and the ways to answer."""

import contextlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from yoi.decisions.compare import Verdict, compare
from yoi.decisions.entries import Content, Entries, digest, document_of
from yoi.decisions.store import DecisionStore
from yoi.errors import TrustError


class QueueDecisions(Protocol):
    """Which work items a person of this account queued. Every method blocks, but not for long."""

    def queued(self, workspace: Path) -> Mapping[str, str] | None:
        """Return their ids, each with the digest of what it said; None: whatever says so is."""
        ...

    def taken(self, workspace: Path, ticket: str, digest: str) -> bool:
        """Withdraw the decision that `ticket` is queued as `digest` says; return whether it was."""
        ...


@dataclass(frozen=True, slots=True)
class InForce:
    """What of a yoi.toml is in force, and how each entry compares with what was decided."""

    entries: Entries
    verdicts: tuple[Verdict, ...]
    decided: Mapping[str, Content]
    """What it was compared with."""

    @property
    def document(self) -> dict[str, Any]:
        """The decoded yoi.toml that is in force."""
        return document_of(self.entries)

    @property
    def pending(self) -> tuple[Verdict, ...]:
        """The entries that wait for a decision, wholly or partly."""
        return tuple(verdict for verdict in self.verdicts if verdict.pending)

    @property
    def kept(self) -> dict[str, Content | None]:
        """What stays decided of the entries of which something is missing in the file."""
        return {one.entry: one.keep for one in self.verdicts if one.narrowed}


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """What is decided about one workspace, while no command of Yoi changes it or yoi.toml."""

    in_force: Callable[[Entries], InForce]
    """Returns what of the entries of the file is in force. Raises TrustError."""
    narrow: Callable[[InForce], None]
    """Records what the file does not say any more, so that it asks when it returns.

    Raises TrustError where it cannot be recorded.
    """
    earlier: Mapping[str, Content] = field(default_factory=dict)
    """What was decided of plugins before what is decided now, while that has handled nothing."""
    keep_earlier: Callable[[Mapping[str, Content | None]], None] | None = None
    """Changes `earlier`; None forgets one. Raises TrustError. None: nothing is recorded here."""


class Decisions(QueueDecisions, Protocol):
    """What the operator decided. Every method blocks, but not for long."""

    def in_force(self, workspace: Path, file: Entries) -> InForce:
        """Return what of the entries of the file is in force. Raises TrustError."""
        ...

    def undisturbed(self, workspace: Path) -> AbstractContextManager["Undisturbed"]:
        """Yield the decisions while no command has yet to record what it wrote to yoi.toml."""
        ...

    def identity(self, workspace: Path) -> str | None:
        """Return the random id that the host's own files carry; None accepts every id."""
        ...

    def signature(self, workspace: Path) -> Hashable:
        """Return a text that changes with the decisions, or when they cannot be read any more."""
        ...


def judge(decided: Mapping[str, Content], file: Mapping[str, Content]) -> InForce:
    """Return what is decided and stands in the file, entry by entry."""
    names = [*file, *(name for name in decided if name not in file)]
    verdicts = tuple(compare(name, decided.get(name), file.get(name)) for name in names)
    entries = {one.entry: one.in_force for one in verdicts if one.in_force is not None}
    return InForce(entries, verdicts, decided)


class _AccountQueue:
    """The work items that were queued, as the account's store keeps them."""

    def __init__(self, store: DecisionStore | None) -> None:
        self.store = store or DecisionStore.of_account()

    def queued(self, workspace: Path) -> Mapping[str, str]:
        """Return the queued work items' ids and digests."""
        return self.store.queued(workspace)

    def taken(self, workspace: Path, ticket: str, digest: str) -> bool:
        """Withdraw the decision about `ticket`; return whether there was this one."""
        return self.store.unqueue(workspace, ticket, digest)


class AccountDecisions(_AccountQueue):
    """The decisions of this account, as its store keeps them."""

    def __init__(self, store: DecisionStore | None = None) -> None:
        super().__init__(store)

    def in_force(self, workspace: Path, file: Entries) -> InForce:
        """Return what was decided and stands in `file`."""
        return judge(self.store.entries(workspace), file)

    @contextlib.contextmanager
    def undisturbed(self, workspace: Path) -> Iterator[Undisturbed]:
        """Yield what the store says, holding its lock where it can be taken in time."""
        with self.store.undisturbed(workspace) as found:

            def narrow(one: InForce) -> None:
                if one.kept:
                    found.narrow(one.kept)

            yield Undisturbed(
                partial(judge, found.entries), narrow, found.earlier, found.keep_earlier
            )

    def identity(self, workspace: Path) -> str | None:
        """Return the id in the store."""
        return self.store.identity(workspace)

    def signature(self, workspace: Path) -> Hashable:
        """Return a digest of the decided entries, or why they cannot be read."""
        try:
            return digest(self.store.entries(workspace))
        except TrustError as exc:
            return exc.message


class GivenDigest(_AccountQueue):
    """The file whose digest came with the command line is decided, until the process ends."""

    def __init__(self, expected: str, store: DecisionStore | None = None) -> None:
        super().__init__(store)
        self._expected = expected
        self._decided: Entries | None = None

    def in_force(self, workspace: Path, file: Entries) -> InForce:
        """Return what was given and stands in `file`. Raises TrustError (`trust.changed`)."""
        if self._decided is None:
            found = digest(file)
            if self._expected != found:
                raise TrustError(
                    "trust.changed",
                    f"this workspace is not the one that was decided: its digest is {found}",
                    hint="read what it says: yoi trust --show",
                    expected=self._expected,
                    found=found,
                )
            self._decided = dict(file)
        return judge(self._decided, file)

    @contextlib.contextmanager
    def undisturbed(self, workspace: Path) -> Iterator[Undisturbed]:
        """Yield what was given; what is missing is remembered until the process ends."""
        yield Undisturbed(partial(self.in_force, workspace), self._narrow)

    def _narrow(self, found: InForce) -> None:
        left = {**found.decided, **found.kept}
        self._decided = {name: one for name, one in left.items() if one is not None}

    def identity(self, workspace: Path) -> str | None:
        """Return the id in the store."""
        return self.store.identity(workspace)

    def signature(self, workspace: Path) -> None:
        """Return None: what was given does not change while the process runs."""


class WholeWorkspace:
    """Whatever the workspace says is decided: who can write there grants."""

    def queued(self, workspace: Path) -> None:
        """Return None: an item that says so is queued."""

    def taken(self, workspace: Path, ticket: str, digest: str) -> bool:
        """Return True."""
        return True

    def in_force(self, workspace: Path, file: Entries) -> InForce:
        """Return all of `file`."""
        return judge(file, file)

    @contextlib.contextmanager
    def undisturbed(self, workspace: Path) -> Iterator[Undisturbed]:
        """Yield all of the file; nothing is recorded."""
        yield Undisturbed(partial(self.in_force, workspace), _nothing)

    def identity(self, workspace: Path) -> str | None:
        """Return None."""
        return None

    def signature(self, workspace: Path) -> None:
        """Return None: nothing is kept anywhere else."""


def _nothing(found: InForce) -> None:
    """Record nothing."""
