"""One service's log as the runtime writes it: opened and folded, appended in groups, checkpointed.

Everything belongs to the event loop. Appends that come while a commit is under way go together in
the next one, in order: a busy service pays one commit for many events. After a failed append
nothing more is written, because what the journal holds is not known: the log is opened anew.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from yoi.core.service_fold import ServiceFold, ServicePicture, apply, checkpoint, forget_seen
from yoi.errors import JournalError
from yoi.journal.log import Append, Journal, LogBounds
from yoi.limits import LIMITS, Limits
from yoi.permissions.connection_settings import Dedupe
from yoi.protocol.published import PublicationMark, check_not_older
from yoi.protocol.service_log import Begun, CheckpointEnd, Entry, decode, encode, encode_all
from yoi.types import Clock


@dataclass(slots=True)
class _Waiting:
    """Entries of one append that wait for their commit."""

    entries: Sequence[Entry]
    records: list[bytes]
    size: int
    done: asyncio.Future[None]


class ServiceLog:
    """See the module docstring. Made by `ServiceLog.open`, closed by `close`."""

    def __init__(
        self,
        service: str,
        journal: Journal,
        clock: Clock,
        limits: Limits,
        picture: ServicePicture,
        failed: Callable[[JournalError], None],
        dedupe: Mapping[str, Dedupe],
    ) -> None:
        self.service = service
        self.picture = picture
        """What stands now: the fold of everything committed."""
        self.fault: JournalError | None = None
        """Why nothing more is written, or None."""
        self._log = f"service:{service}"
        self._journal = journal
        self._clock = clock
        self._limits = limits
        self._failed = failed
        self._dedupe = dedupe
        self._bounds = LogBounds(
            records=limits.service_log_records, size_bytes=limits.service_log_bytes
        )
        self._waiting: list[_Waiting] = []
        self.waiting_bytes = 0
        """How many bytes wait for their commit."""
        self._task: asyncio.Task[None] | None = None
        self._since_bytes = 0
        self._closing = False

    @classmethod
    async def open(
        cls,
        service: str,
        journal: Journal,
        clock: Clock,
        failed: Callable[[JournalError], None],
        dedupe: Mapping[str, Dedupe] | None = None,
        *,
        epoch: int = 0,
        by: PublicationMark | None = None,
        limits: Limits = LIMITS,
    ) -> "ServiceLog":
        """Return the log of `service`, folded, and owned from now on.

        The `begun` record that is appended first fences every earlier owner: its appends name a
        head that is gone. It names the head that was folded, so it is refused, and the log folded
        again, where an earlier owner has written once more. `failed` hears once that nothing more
        can be written; what `dedupe` no longer asks to know is left out of checkpoints. Raises
        JournalError, also for a log that cannot be understood, and `journal.fenced` for one whose
        owner has a later epoch than `epoch`, and `cluster.replayed` for one whose owner went by a
        newer publication than `by`; then nothing is appended.
        """
        name = f"service:{service}"
        for _ in range(_FENCE_TRIES):
            picture = await folded(journal, name, service, limits)
            if 0 < epoch < picture.epoch:
                raise JournalError(
                    "journal.fenced",
                    f"the log of {service} has an owner of epoch {picture.epoch}, after {epoch}",
                    epoch=picture.epoch,
                )
            made = cls(service, journal, clock, limits, picture, failed, dedupe or {})
            by_now = check_not_older(by, picture.by, name)
            begun = Begun(service, clock.wall_ms(), max(epoch, picture.epoch), by=by_now)
            try:
                await journal.commit([Append(name, picture.head, [encode(begun)], made._bounds)])
            except JournalError as exc:
                if exc.code != "journal.conflict":
                    raise
                continue  # its last owner wrote once more while the log was read
            picture.earlier_epoch, picture.epoch = picture.epoch, begun.epoch
            picture.by = by_now
            picture.head += 1
            return made
        raise JournalError(
            "journal.conflict", f"another owner writes the log of {service} all the time"
        )

    def append(self, entries: Sequence[Entry]) -> "asyncio.Future[None]":
        """Return a future that is done when `entries` are committed, as one and in order.

        It fails with JournalError: `journal.full` at once where the log is at its bound, or what
        the journal raised; nothing of the append counts then, nor of those that wait behind it.
        `picture` holds the entries when the future's callbacks run.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        # Looked at here: asyncio logs an error of a future that nothing waits for.
        done.add_done_callback(_looked_at)
        records = encode_all(entries)
        sizes = list(map(len, records))
        size = sum(sizes)
        error = self._refusal(size, max(sizes, default=0))
        if error is not None:
            done.set_exception(error)
            return done
        self._waiting.append(_Waiting(entries, records, size, done))
        self.waiting_bytes += size
        if self._task is None:
            # It begins in the next turn of the loop: what this one still appends goes with it.
            self._task = loop.create_task(self._write())
        return done

    async def close(self) -> None:
        """Wait until what was appended is committed or has failed; nothing is taken afterwards.

        A log with much to read gets a checkpoint, for the next owner.
        """
        self._closing = True
        while self._task is not None:
            await asyncio.wait([self._task])
        if (
            self.fault is None
            and self.picture.since_checkpoint >= self._limits.service_close_records
        ):
            with contextlib.suppress(JournalError):
                await self._checkpoint()

    def _refusal(self, size: int, largest: int) -> JournalError | None:
        if self.fault is not None:
            return self.fault
        if self._closing:
            return JournalError("journal.closed", f"the log of {self.service} is closed")
        if self.waiting_bytes + size > self._limits.service_log_waiting_bytes and self._waiting:
            return JournalError("journal.full", f"the log of {self.service} does not keep up")
        if largest > self._limits.journal_record_bytes:
            return JournalError(
                "journal.too_large",
                f"a record of {largest} bytes; the bound is {self._limits.journal_record_bytes}",
            )
        return None

    async def _write(self) -> None:
        """Commit what waits, in groups, until nothing does."""
        try:
            while self._waiting and self.fault is None:
                await self._commit_group()
                if self._is_due():
                    await self._checkpoint()
        except JournalError as exc:
            self._break(exc)
        finally:
            self._task = None

    async def _commit_group(self) -> None:
        group: list[_Waiting] = []
        records: list[bytes] = []
        size = 0
        for one in self._waiting:
            if group and (
                len(records) + len(one.records) > self._limits.journal_batch
                or size + one.size > self._limits.journal_batch_bytes
            ):
                break
            group.append(one)
            records += one.records
            size += one.size
        append = Append(self._log, self.picture.head, records, self._bounds)
        try:
            await self._journal.commit([append])
        except JournalError as exc:
            if exc.code in ("journal.full", "journal.too_large"):
                # Refused before anything was stored. What waits behind it may not come before it.
                waiting, self._waiting, self.waiting_bytes = self._waiting, [], 0
                for one in waiting:
                    _fail(one.done, exc)
                return
            raise
        self._forget(group)
        for one in group:
            for entry in one.entries:
                apply(self.picture, entry)
            self.picture.head += len(one.records)
            self.picture.since_checkpoint += len(one.records)
            if not one.done.done():
                one.done.set_result(None)
        self._since_bytes += size

    def _forget(self, group: list[_Waiting]) -> None:
        del self._waiting[: len(group)]
        self.waiting_bytes -= sum(one.size for one in group)

    def _is_due(self) -> bool:
        return (
            self.picture.since_checkpoint >= self._limits.service_checkpoint_records
            or self._since_bytes >= self._limits.service_checkpoint_bytes
        )

    async def _checkpoint(self) -> None:
        """Write a picture of everything, end it, and trim what lies before it."""
        start = self.picture.head + 1
        self._forget_seen()
        entries: list[bytes] = []
        for entry in checkpoint(self.picture, self._clock.wall_ms(), self._limits):
            entries.append(encode(entry))
            if (
                len(entries) >= self._limits.journal_batch - 1
                or sum(map(len, entries)) >= self._limits.service_part_bytes
            ):
                if not await self._put(entries):
                    return
                entries = []
        if not await self._put([*entries, encode(CheckpointEnd(start))]):
            return
        self.picture.checkpoint, self.picture.since_checkpoint = start, 0
        self._since_bytes = 0
        await self._journal.trim(self._log, start - 1)

    def _forget_seen(self) -> None:
        now_ms = self._clock.wall_ms()
        for ingress in {ingress for ingress, _ in self.picture.seen}:
            rule = self._dedupe.get(ingress)
            before_ms, most = (now_ms, 0) if rule is None else (now_ms - rule.keep_ms, rule.max)
            forget_seen(self.picture, ingress, before_ms=before_ms, most=most)

    async def _put(self, records: list[bytes]) -> bool:
        """Commit a piece of a checkpoint; return False where there is no room for it."""
        try:
            await self._journal.commit(
                [Append(self._log, self.picture.head, records, self._bounds)]
            )
        except JournalError as exc:
            if exc.code != "journal.full":
                raise
            # The log goes on without it; the next attempt comes when as much was written again.
            self.picture.since_checkpoint = 0
            self._since_bytes = 0
            return False
        self.picture.head += len(records)
        return True

    def _break(self, error: JournalError) -> None:
        self.fault = error
        waiting, self._waiting, self.waiting_bytes = self._waiting, [], 0
        for one in waiting:
            _fail(one.done, error)
        self._failed(error)


_FENCE_TRIES = 5


async def folded(
    journal: Journal, name: str, service: str, limits: Limits = LIMITS
) -> ServicePicture:
    """Return what the log `name` of `service` adds up to. Raises JournalError."""
    fold = ServiceFold(service, limits)
    after = 0
    while records := await journal.read(name, after, limits.journal_batch):
        for record in records:
            fold.take(record.seq, decode(record.data, record.seq))
            after = record.seq
    # A trimmed log keeps its head even where nothing follows.
    fold.picture.head = max(fold.picture.head, (await journal.status(name)).head)
    return fold.picture


def _fail(done: "asyncio.Future[None]", error: JournalError) -> None:
    if not done.done():
        done.set_exception(error)


def _looked_at(done: "asyncio.Future[None]") -> None:
    if not done.cancelled():
        done.exception()
