"""A journal in memory: gone with its process, and the measure of what the interface means."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from yoi.errors import JournalError
from yoi.journal.log import (
    Append,
    LogStatus,
    Record,
    check_appends,
    check_fit,
    check_name,
)
from yoi.limits import LIMITS, Limits

_EMPTY = LogStatus(head=0, records=0, size_bytes=0)


@dataclass(slots=True)
class _Log:
    status: LogStatus = _EMPTY
    records: list[bytes] = field(default_factory=list)


class MemoryJournal:
    """A `yoi.journal.log.Journal` that lives and dies with the process."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._logs: dict[str, _Log] = {}
        self._closed = False

    async def commit(self, appends: Sequence[Append]) -> None:
        """Append all of `appends` or nothing."""
        self._open()
        check_appends(appends, self._limits)
        self._check_room(sum(append.log not in self._logs for append in appends))
        fits = [(append, check_fit(append, self._status(append.log))) for append in appends]
        for append, after in fits:
            log = self._logs.setdefault(append.log, _Log())
            log.records.extend(bytes(record) for record in append.records)
            log.status = after

    async def read(self, log: str, after: int, limit: int) -> list[Record]:
        """Return the records that follow `after`."""
        self._open()
        check_name(log, self._limits)
        held = self._logs.get(log)
        if held is None:
            return []
        first = held.status.head - held.status.records + 1
        start = max(after + 1, first)
        found: list[Record] = []
        size = 0
        stop = start + min(limit, self._limits.journal_batch)
        for seq in range(start, min(held.status.head + 1, stop)):
            data = held.records[seq - first]
            size += len(data)
            if found and size > self._limits.journal_batch_bytes:
                break
            found.append(Record(seq, data))
        return found

    async def status(self, log: str) -> LogStatus:
        """Return how much `log` holds."""
        self._open()
        check_name(log, self._limits)
        return self._status(log)

    async def trim(self, log: str, through: int) -> None:
        """Drop the records up to `through`."""
        self._open()
        check_name(log, self._limits)
        held = self._logs.get(log)
        if held is None:
            return
        first = held.status.head - held.status.records + 1
        count = min(max(0, through - first + 1), held.status.records)
        size = sum(map(len, held.records[:count]))
        del held.records[:count]
        held.status = LogStatus(
            head=held.status.head,
            records=held.status.records - count,
            size_bytes=held.status.size_bytes - size,
        )

    async def reset(self, log: str, head: int) -> None:
        """Make `log` an empty one at position `head`."""
        self._open()
        check_name(log, self._limits)
        self._check_room(log not in self._logs)
        self._logs[log] = _Log(LogStatus(head=head, records=0, size_bytes=0))

    async def logs(self) -> list[str]:
        """Return the names of the logs."""
        self._open()
        return sorted(self._logs)

    async def close(self) -> None:
        """Refuse everything that follows."""
        self._closed = True

    def _check_room(self, new: int) -> None:
        if len(self._logs) + new > self._limits.journal_logs:
            raise JournalError(
                "journal.full", f"the journal holds {self._limits.journal_logs} logs already"
            )

    def _status(self, log: str) -> LogStatus:
        held = self._logs.get(log)
        return _EMPTY if held is None else held.status

    def _open(self) -> None:
        if self._closed:
            raise JournalError("journal.closed", "the journal is closed")
