"""Writes the records of one service in the order in which they came, one append a loop turn.

    put(record, then) ──▶ this turn's batch ──▶ ServiceLog ──committed──▶ then(), in order
                                                    │
                                                    └─failed──▶ what is open waits; `failed` hears

After a failure nothing is lost and nothing is guessed: `reopen` folds the log again, and each
record that was open is either found there, or written again, or (an answer) taken back. However
long a failure lasts, what waits is bounded: sessions that come and go meanwhile leave nothing.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from yoi.core.service_fold import ServicePicture
from yoi.errors import JournalError, YoiError
from yoi.journal.log import Journal
from yoi.journal.ownership import Ownership
from yoi.limits import Limits
from yoi.permissions.connection_settings import Dedupe
from yoi.protocol.service_log import Accepted, Closed, Entry, Handled, Opened
from yoi.runtime.containment import report
from yoi.runtime.service_log import ServiceLog
from yoi.types import Clock

Then = Callable[[], None]
_BATCH = 256
_BATCH_BYTES = 1 << 20


class _Open(msgspec.Struct, frozen=True):
    """A record that is not known to be committed, and what follows when it is."""

    entry: Entry | None
    then: Then | None
    accepted: bool = False
    """Whether it answers an event that the log has."""


class LogWriter:
    """See the module docstring. `failed` hears of each failure, `written` of each commit.

    `broken` hears of a defect in what follows a record.
    """

    def __init__(
        self,
        service: str,
        journal: Journal,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        failed: Callable[[JournalError], None],
        written: Callable[[], None],
        broken: Callable[[YoiError], None],
        dedupe: Mapping[str, Dedupe],
        ownership: Ownership,
    ) -> None:
        self._service = service
        self._ownership = ownership
        self._journal = journal
        self._clock = clock
        self._loop = loop
        self._limits = limits
        self._busy_bytes = limits.service_log_waiting_bytes // 2
        self._failed = failed
        self._written = written
        self._broken = broken
        self._dedupe = dedupe
        self._log: ServiceLog | None = None
        self._batch: list[_Open] = []
        self._size = 0
        self._scheduled = False
        self._open: list[_Open] = []
        """What a failure has left: it may be in the log, or not."""
        self._later: list[_Open] = []
        """What was put while there was no log."""
        self._under_way: list[list[_Open]] = []
        """What the log was given, in order."""
        self._left: ServiceLog | None = None
        """The log that has failed: what it was given before that may still be committed."""
        self._turn = asyncio.Event()
        self.along: Callable[[], Sequence[Entry]] = tuple
        """Returns what can wait a little, and goes with what is written in any case."""
        self.closed = True
        """Whether the log was let go, or never opened: nothing is kept for it."""

    @property
    def picture(self) -> ServicePicture | None:
        """Return the fold of what is committed; None while the log is not open."""
        return None if self._log is None else self._log.picture

    @property
    def busy(self) -> bool:
        """Return whether records wait for their commit, or half of the room for them is used."""
        log = self._log
        return log is None or log.waiting_bytes + self._size > self._busy_bytes

    async def open(self) -> ServicePicture:
        """Open the log and return its fold. Raises JournalError."""
        name = f"service:{self._service}"
        try:
            log = await ServiceLog.open(
                self._service,
                self._journal,
                self._clock,
                _ignore,
                self._dedupe,
                epoch=self._ownership.epoch(name),
                by=self._ownership.publication(),
                limits=self._limits,
            )
        except JournalError as exc:
            if exc.code == "journal.fenced":
                self._ownership.fenced(name, int(exc.fields["epoch"]))
            raise
        self._log = log
        self.closed = False
        return log.picture

    async def reopen(self) -> list[str]:
        """Open the log after a failure; return the ids of events whose answers are not in it.

        Everything else that was open is committed, or on its way again. Raises JournalError.
        """
        if self._left is not None:
            await self._left.close()
            self._left = None
        while self._under_way:
            await self.turned()
        picture = await self.open()
        left, later, self._open, self._later = self._open, self._later, [], []
        taken_back: list[str] = []
        for index, one in enumerate([*left, *later]):
            entry = one.entry
            may_be_there = index < len(left)
            if entry is None:
                continue  # an automatic reply to a frame of a session that is long over
            if isinstance(entry, Accepted) and may_be_there and entry.event_id in picture.waiting:
                self._run(one.then)
            elif isinstance(entry, Handled) and one.then and entry.event_id in picture.waiting:
                taken_back.append(entry.event_id)
            elif isinstance(entry, Handled) and may_be_there and _is_committed(one, entry, picture):
                self._run(one.then)
            else:
                self.put(entry, one.then, accepted=one.accepted)
        self._written()
        return taken_back

    def put(
        self, entry: Entry, then: Then | None = None, size: int = 0, *, accepted: bool = False
    ) -> None:
        """Write `entry` (of about `size` bytes); `then` runs once it is committed, in order.

        `accepted` says that it answers an event that the log has.
        """
        if self._log is None:
            if not self.closed:
                self._put_later(_Open(entry, then, accepted))
            return
        self._batch.append(_Open(entry, then, accepted))
        self._size += size
        if len(self._batch) >= _BATCH or self._size >= _BATCH_BYTES:
            self._flush()
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._end_turn)

    def after(self, then: Then) -> None:
        """Run `then` once everything that was put before is committed."""
        if self._batch or self._log is None:
            (self._batch if self._log is not None else self._later).append(_Open(None, then))
        elif self._under_way:
            self._batch.append(_Open(None, then))
            self._flush()
        else:
            self._run(then)

    async def drain(self) -> None:
        """Write what was put, as far as the journal takes it."""
        while self._log is not None and (self._batch or self._under_way):
            self._flush()
            await self.turned()

    async def close(self) -> None:
        """Write what was put, as far as the journal takes it, and let the log go."""
        await self.drain()
        self.closed = True
        # What is left without a log was never accepted: the next host tells a gap for it.
        self._open, self._later, self._batch, self._size = [], [], [], 0
        log, self._log = self._log, None
        if log is not None:
            await log.close()

    async def turned(self) -> None:
        """Wait until the next commit has ended, well or not."""
        self._turn.clear()
        await self._turn.wait()

    def _put_later(self, one: _Open) -> None:
        """Keep `one` until there is a log, without what it makes needless."""
        entry = one.entry
        index = None if entry is None else _answered_by(entry, self._later)
        if index is None:
            self._later.append(one)
            return
        earlier = self._later.pop(index)
        if isinstance(entry, Accepted):
            # The event tells more than it did.
            self._later.insert(index, _Open(entry, earlier.then or one.then))
        else:
            # Both have ended, and no log has a record of either.
            self._run(earlier.then)
            self._run(one.then)

    def _end_turn(self) -> None:
        self._scheduled = False
        self._flush()

    def _flush(self) -> None:
        batch, self._batch, self._size = self._batch, [], 0
        if not batch:
            return
        log = self._log
        if log is None:
            self._open += batch
            return
        batch += [_Open(entry, None) for entry in self.along()]
        self._under_way.append(batch)
        done = log.append([one.entry for one in batch if one.entry is not None])
        done.add_done_callback(partial(self._settle, batch))

    def _settle(self, batch: list[_Open], done: "asyncio.Future[None]") -> None:
        self._turn.set()
        index = next((at for at, one in enumerate(self._under_way) if one is batch), None)
        if index is None:
            return  # it failed with one before it
        error = done.exception()
        if error is None:
            del self._under_way[index]
            for one in batch:
                if one.then is not None:
                    self._run(one.then)
            self._written()
            return
        # Those behind it may not be written before it. One that failed later stands before it.
        self._open[:0] = [
            one for failed in (*self._under_way[index:], self._batch) for one in failed
        ]
        del self._under_way[index:]
        self._batch, self._size = [], 0
        if self._log is not None:
            self._log, self._left = None, self._log
            assert isinstance(error, JournalError)
            self._failed(error)

    def _run(self, then: Then | None) -> None:
        """Let `then` follow; a fault in it is the service's, and the others still follow."""
        if then is None:
            return
        try:
            then()
        except Exception as exc:
            report(exc, "acting on a record", self._broken)


def _answered_by(entry: Entry, waiting: list[_Open]) -> int | None:
    """Return where the record stands that `entry` replaces, or takes away with itself."""
    for index in range(len(waiting) - 1, -1, -1):
        earlier = waiting[index].entry
        match entry, earlier:
            case Accepted(), Accepted() if entry.event_id == earlier.event_id:
                return index
            case Closed(), Opened() if entry.session == earlier.session:
                return index
            case Handled(commands=(), timers=()), Accepted() if (
                not entry.state and entry.event_id == earlier.event_id
            ):
                return index
            case _:
                pass
    return None


def _is_committed(one: _Open, entry: Handled, picture: ServicePicture) -> bool:
    """Return whether the log shows the answer to an event that does not wait.

    An accepted event waits until it has its answer, but for a dead letter that is replayed.
    """
    if one.accepted and entry.event_id not in picture.dead:
        return True
    return any((entry.event_id, one.id) in picture.unsettled for one in entry.commands)


def _ignore(error: JournalError) -> None:
    """Each append's own future tells it."""
