"""What a journal is: named, append-only, bounded logs of bytes, committed all or nothing.

Three engines implement it, `memory`, `sqlite` and `jetstream`, and one conformance suite judges
them (tests/journal/test_journals.py). Positions start at 1 and are contiguous; nothing is ever
edited. Old records leave only by an explicit `trim`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from yoi.errors import JournalError
from yoi.limits import LIMITS, Limits

_KIND_CHARS = 32
"""Room before a thing's own name for what it is, as in `worker:NAME`."""
_NAME = re.compile(r"[A-Za-z0-9_-]([A-Za-z0-9._:-]*[A-Za-z0-9_-])?")


class Record(NamedTuple):
    """One record: its position in its log, and its bytes."""

    seq: int
    data: bytes


@dataclass(frozen=True, slots=True)
class LogBounds:
    """How much one log may hold. An append beyond either is refused, never made room for."""

    records: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class LogStatus:
    """`head` is the last position used (0 in a new log); `records` and `size_bytes` are held now.

    The oldest record held is `head - records + 1`.
    """

    head: int
    records: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Append:
    """Records for one log, to follow exactly position `after` (its head as the writer knows it).

    A writer whose knowledge is stale is refused (`journal.conflict`): two writers never interleave.
    """

    log: str
    after: int
    records: Sequence[bytes]
    bounds: LogBounds


class Journal(Protocol):
    """The interface. Every method may raise JournalError `journal.closed` or `journal.io`."""

    async def commit(self, appends: Sequence[Append]) -> None:
        """Append to one or several logs as one: all of it is stored when this returns, or none.

        Raises JournalError: `journal.conflict`, `journal.full`, `journal.too_large`,
        `journal.name`. A caller that is cancelled meanwhile does not know whether it was stored:
        shield the call, or read the log again.
        """
        ...

    async def read(self, log: str, after: int, limit: int) -> list[Record]:
        """Return up to `limit` records of `log` that follow position `after`, oldest first.

        An unknown log is an empty one. Trimmed records are skipped. At most `journal_batch`
        records and about `journal_batch_bytes` are returned at once.
        """
        ...

    async def status(self, log: str) -> LogStatus:
        """Return how much `log` holds; an unknown log is an empty one."""
        ...

    async def trim(self, log: str, through: int) -> None:
        """Drop the records of `log` up to and including position `through`; the head stays."""
        ...

    async def logs(self) -> list[str]:
        """Return the names of the logs that exist, sorted."""
        ...

    async def close(self) -> None:
        """Finish what was accepted and close; closing twice is harmless."""
        ...


class CopyTarget(Journal, Protocol):
    """A journal into which another one can be copied, positions and all."""

    async def reset(self, log: str, head: int) -> None:
        """Make `log` an empty one at position `head`; whatever it held is dropped.

        Raises JournalError `journal.full`, `journal.name`.
        """
        ...


def check_appends(appends: Sequence[Append], limits: Limits = LIMITS) -> None:
    """Raise JournalError when `appends` could never be stored, whatever the journal holds."""
    count = size = 0
    seen: set[str] = set()
    for append in appends:
        check_name(append.log, limits)
        if append.log in seen:
            raise JournalError("journal.conflict", f"log {append.log} appears twice in one commit")
        seen.add(append.log)
        sizes = list(map(len, append.records))
        largest = max(sizes, default=0)
        if largest > limits.journal_record_bytes:
            raise JournalError(
                "journal.too_large",
                f"a record of {largest} bytes; the bound is {limits.journal_record_bytes}",
            )
        count, size = count + len(sizes), size + sum(sizes)
    if count > limits.journal_batch or size > limits.journal_batch_bytes:
        raise JournalError(
            "journal.too_large",
            f"{count} records and {size} bytes in one commit; the bounds are "
            f"{limits.journal_batch} and {limits.journal_batch_bytes}",
        )


def check_name(log: str, limits: Limits = LIMITS) -> None:
    """Raise JournalError `journal.name` unless `log` is a safe id, colons allowed inside."""
    most = limits.name_bytes + _KIND_CHARS
    if len(log) > most or _NAME.fullmatch(log) is None:
        raise JournalError(
            "journal.name",
            f"a log's name is 1 to {most} ASCII letters, digits, '-', '_', '.' or ':', not {log!r}",
        )


def check_fit(append: Append, status: LogStatus) -> LogStatus:
    """Return the log's status after `append`, or raise `journal.conflict` or `journal.full`."""
    if append.after != status.head:
        raise JournalError(
            "journal.conflict",
            f"log {append.log} is at {status.head}, not at {append.after}: another writer was here",
            log=append.log,
            head=status.head,
        )
    after = LogStatus(
        head=status.head + len(append.records),
        records=status.records + len(append.records),
        size_bytes=status.size_bytes + sum(map(len, append.records)),
    )
    if after.records > append.bounds.records or after.size_bytes > append.bounds.size_bytes:
        raise JournalError(
            "journal.full",
            f"log {append.log} would hold {after.records} records and {after.size_bytes} bytes; "
            f"its bounds are {append.bounds.records} and {append.bounds.size_bytes}",
            log=append.log,
        )
    return after
