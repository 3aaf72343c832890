"""A worker's history: typed items in one log of the journal, checked before they are committed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from yoi.errors import JournalError, WorkerError
from yoi.journal.log import Append, Journal, LogBounds
from yoi.limits import LIMITS, Limits
from yoi.protocol.published import PublicationMark, check_not_older
from yoi.workers import checkpoint
from yoi.workers import items as it
from yoi.workers.checkpoint import Checkpoint
from yoi.workers.items import AnyItem, Stored, decode_item, encode_item
from yoi.workers.transcript import Transcript

T = TypeVar("T")
_log = structlog.get_logger("yoi.workers")
_FENCE_TRIES = 5


class History:
    """The items of one worker. `transcript` is what the committed ones add up to.

    One commit at a time: `changing` is the lock under which a caller looks at the transcript,
    decides what follows from it, and commits that. `committed` is called with each item as it
    becomes part of the transcript, and not for items that `load` finds.
    """

    def __init__(
        self,
        journal: Journal,
        worker: str,
        committed: Callable[[Stored], None],
        limits: Limits = LIMITS,
    ) -> None:
        self.transcript = Transcript(limits)
        self.changing = asyncio.Lock()
        self._journal = journal
        self._committed = committed
        self._log = f"worker:{worker}"
        self._checkpoints = f"summed-up:{worker}"
        self._limits = limits
        self._bounds = LogBounds(records=limits.history_records, size_bytes=limits.history_bytes)

    async def load(self) -> None:
        """Read the log: from the last checkpoint where there is a good one, else from its start.

        Raises WorkerError `worker.history_invalid`.
        """
        base = await self._checkpoint()
        undone: frozenset[int] = frozenset()
        while (found := await self._folded(undone, base)) != undone:
            # A later item undoes a compaction: read again and keep what it had replaced.
            undone = found
            if base is not None and min(found) <= base.head:
                base, undone = None, frozenset()

    async def own(self, epoch: int, at_ms: int, by: PublicationMark | None = None) -> None:
        """Read the log and append the fence of a machine that holds it under `epoch`.

        What an earlier owner still appends is refused from then on: it names a head that is gone.
        `by` is the publication that the machine goes by. Call it under `changing`. Raises as
        `load`, and JournalError `journal.fenced` for a log with a later owner, `cluster.replayed`
        for one whose owner went by a newer publication.
        """
        for _ in range(_FENCE_TRIES):
            await self.load()
            if self.transcript.epoch > epoch:
                raise JournalError(
                    "journal.fenced",
                    f"{self._log} has an owner of epoch {self.transcript.epoch}, after {epoch}",
                    epoch=self.transcript.epoch,
                )
            by_now = check_not_older(by, self.transcript.by, self._log)
            if (self.transcript.epoch, self.transcript.by) == (epoch, by_now):
                return
            try:
                await self.commit([it.Owned(at_ms=at_ms, epoch=epoch, by=by_now)])
            except JournalError as exc:
                if exc.code != "journal.conflict":
                    raise
                continue  # its last owner wrote once more while the log was read
            return
        raise JournalError("journal.conflict", f"another owner writes {self._log} all the time")

    async def _checkpoint(self) -> Checkpoint | None:
        """Return the newest checkpoint, if it fits the log."""
        status = await self._journal.status(self._checkpoints)
        if not status.records:
            return None
        (record,) = await self._journal.read(self._checkpoints, status.head - 1, 1)
        found = checkpoint.decode(record.data)
        if found is None:
            return None
        at = await self._journal.read(self._log, found.head - 1, 1)
        good = at and at[0].seq == found.head and checkpoint.digest(at[0].data) == found.digest
        return found if good else None

    async def _keep(self, newest: bytes) -> None:
        """Keep what the history adds up to; where that fails, a later start reads all of it."""
        made = Checkpoint.of(self.transcript, newest)
        data = b"" if made is None else checkpoint.encode(made)
        if not 0 < len(data) <= self._limits.journal_record_bytes:
            return
        try:
            head = (await self._journal.status(self._checkpoints)).head
            await self._journal.commit([Append(self._checkpoints, head, [data], self._bounds)])
            await self._journal.trim(self._checkpoints, head)
        except JournalError as exc:
            _log.warning("a summary's checkpoint is not kept", worker=self._log, code=exc.code)

    async def _folded(
        self, undone: frozenset[int], base: Checkpoint | None = None
    ) -> frozenset[int]:
        """Read the log once after `base`, keeping what the compactions `undone` replaced.

        Returns the places of the compactions that the log says are undone. From the first that is
        not in `undone` only they are looked for: what follows was said of another state.
        """
        transcript = (
            Transcript(self._limits, undone)
            if base is None
            else base.transcript(self._limits, undone)
        )
        said: set[int] = set()
        head = transcript.head
        while records := await self._journal.read(self._log, head, self._limits.journal_batch):
            for record in records:
                head += 1
                if record.seq != head:
                    raise WorkerError("worker.history_invalid", f"item {head} is missing")
                item = decode_item(record.data)
                if isinstance(item, it.Uncompacted):
                    said.add(item.place)
                if said <= undone:
                    transcript.apply(item, len(record.data))
        self.transcript = transcript
        return frozenset(said)

    async def commit(self, items: Sequence[AnyItem]) -> list[Stored]:
        """Store `items` as one and return them with their places. Call it under `changing`.

        Raises WorkerError (`worker.history_invalid`, `worker.history_full`) or JournalError;
        then nothing is stored, except that after `journal.io` only `load` can tell. A caller that
        is cancelled is cancelled after the items are stored.
        """
        assert self.changing.locked()
        self.transcript.rehearse(items)
        encoded = [encode_item(item) for item in items]
        append = Append(self._log, self.transcript.head, encoded, self._bounds)
        return await finish(self._store(append, items, encoded))

    async def _store(
        self, append: Append, items: Sequence[AnyItem], encoded: Sequence[bytes]
    ) -> list[Stored]:
        try:
            await self._journal.commit([append])
        except JournalError as exc:
            if exc.code == "journal.full":
                raise WorkerError("worker.history_full", exc.message) from None
            raise
        # No await from here on: a reader of the worker sees the item and its event together.
        stored: list[Stored] = []
        for item, data in zip(items, encoded, strict=True):
            entry = Stored(self.transcript.apply(item, len(data)), item)
            self._committed(entry)
            stored.append(entry)
        if isinstance(items[-1], it.Compaction):
            await self._keep(encoded[-1])
        return stored

    async def read(self, after: int, limit: int) -> list[Stored]:
        """Return up to `limit` items that follow place `after`, from the journal."""
        records = await self._journal.read(self._log, after, limit)
        return [Stored(record.seq, decode_item(record.data)) for record in records]


async def finish(work: Awaitable[T]) -> T:
    """Return what `work` returns; a caller cancelled meanwhile is cancelled once it is done."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # looked at: the caller no longer can
        raise cancelled
    return task.result()
