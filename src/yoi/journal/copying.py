"""Copies one journal into another: every log with its positions, then compared record by record."""

import hashlib
from dataclasses import dataclass
from struct import pack

from yoi.errors import JournalError
from yoi.journal.log import Append, CopyTarget, Journal, LogBounds, LogStatus, Record

_AT_ONCE = 256
_PIECE_BYTES = 512 * 1024
"""In one commit, unless one record is larger: a NATS server takes 1 MiB where nobody says more."""
_WHATEVER = LogBounds(records=1 << 62, size_bytes=1 << 62)
"""The bounds of a log are its writer's; what it holds was within them."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What the target holds now, as read back from it."""

    logs: int
    records: int
    size_bytes: int
    digest: str
    """SHA-256 of all names, positions and records: equal for equal journals."""


async def copy(source: Journal, target: CopyTarget) -> Copied:
    """Copy all of `source` into `target` and compare.

    What an interrupted copy left in `target` is gone on with. Neither may be written meanwhile.
    Raises JournalError: `journal.differs`, and what reading and appending raise.
    """
    names = await source.logs()
    for name in names:
        await _copy_log(source, target, name)
    before = await summary(source)
    after = await summary(target)
    if before != after:
        raise JournalError(
            "journal.differs",
            f"the source holds {before.records} records of {before.logs} logs and the target "
            f"{after.records} of {after.logs}, or others: one of them was written to meanwhile",
        )
    return after


async def summary(journal: Journal) -> Copied:
    """Return what `journal` holds, read from its first record to its last."""
    read = hashlib.sha256()
    records = size = 0
    names = await journal.logs()
    for name in names:
        status = await journal.status(name)
        read.update(pack(">I", len(name)) + name.encode())
        read.update(pack(">QQQ", status.head, status.records, status.size_bytes))
        records, size = records + status.records, size + status.size_bytes
        after = status.head - status.records
        while after < status.head:
            for record in await _following(journal, name, after):
                read.update(pack(">QI", record.seq, len(record.data)) + record.data)
                after = record.seq
    return Copied(len(names), records, size, f"sha256:{read.hexdigest()}")


async def _copy_log(source: Journal, target: CopyTarget, name: str) -> None:
    status = await source.status(name)
    there = await target.status(name)
    after = there.head
    if not _begins(there, status):
        after = status.head - status.records
        await target.reset(name, after)
    while after < status.head:
        piece = _piece(await _following(source, name, after))
        await target.commit([Append(name, after, piece, _WHATEVER)])
        after += len(piece)


def _begins(there: LogStatus, status: LogStatus) -> bool:
    """Return whether `there` can be the beginning of a log that holds what `status` says."""
    first = status.head - status.records
    return status.head > 0 and there.head - there.records == first and there.head <= status.head


async def _following(journal: Journal, name: str, after: int) -> list[Record]:
    records = await journal.read(name, after, _AT_ONCE)
    if not records or records[0].seq != after + 1:
        raise JournalError(
            "journal.differs", f"{name} does not hold record {after + 1}, which it says it does"
        )
    return records


def _piece(records: list[Record]) -> list[bytes]:
    piece = [records[0].data]
    size = len(piece[0])
    for record in records[1:]:
        size += len(record.data)
        if size > _PIECE_BYTES:
            break
        piece.append(record.data)
    return piece
