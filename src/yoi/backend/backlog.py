"""What streams held, on disk, so that clients keep their positions when the backend restarts.

Writing is behind: what is heard is passed on at once and written a little later, in groups. A log
holds a snapshot, then events in batches; after as many as a ring holds, another snapshot, and what
is older than the one before it is dropped. What is on disk is always a true beginning of what
clients were given, never more; the runtime replays the rest, which gets the same numbers again.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import msgspec
import structlog

from yoi.errors import JournalError
from yoi.journal.log import Append, Journal, LogBounds
from yoi.limits import LIMITS, Limits
from yoi.protocol.cursors import Position
from yoi.protocol.observation import Subject

_FORMAT = 2
_log = structlog.get_logger("yoi.backend")


@dataclass(frozen=True, slots=True)
class Kept:
    """What a log holds: a snapshot as of `start`, the events after it, and the runtime's cursor."""

    start: Position
    base: bytes
    events: list[bytes]
    cursor: str
    """Of the position after the last event."""

    @property
    def end(self) -> Position:
        """Return the position after the last event."""
        return Position(self.start.epoch, self.start.seq + len(self.events))


class _Base(msgspec.Struct, array_like=True, tag="base"):
    format: int
    epoch: bytes
    seq: int
    cursor: str
    snapshot: bytes
    fresh: bool
    """Whether nothing before it belongs to it."""


class _Events(msgspec.Struct, array_like=True, tag="events"):
    first: int
    cursor: str
    raw: list[bytes]


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[_Base | _Events] = msgspec.msgpack.Decoder(_Base | _Events)


class Backlog:
    """The logs of a backend in `journal`. `start` it, and `close` it before the journal."""

    def __init__(self, journal: Journal, limits: Limits = LIMITS) -> None:
        self.journal = journal
        self.limits = limits
        self._logs: WeakValueDictionary[Subject, StreamLog] = WeakValueDictionary()
        """Those in use or with something to write. Others are dropped: clients choose names."""
        self._dirty: dict[StreamLog, None] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def log(self, subject: Subject) -> "StreamLog":
        """Return the log of `subject`: always the same one, so that nothing is written twice."""
        found = self._logs.get(subject)
        if found is None:
            found = self._logs[subject] = StreamLog(self, subject)
        return found

    async def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Write what waits, and stop."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
            self._task = None
        await self.flush()

    async def flush(self) -> None:
        """Write what waits."""
        dirty, self._dirty = list(self._dirty), {}
        if dirty:
            await asyncio.gather(*(log.flush() for log in dirty))

    def wants(self, log: "StreamLog") -> None:
        """Note that `log` has something to write."""
        self._dirty[log] = None
        self._wake.set()

    async def _run(self) -> None:
        while not self._closing:
            await self._wake.wait()
            self._wake.clear()
            if not self._closing:
                await asyncio.sleep(self.limits.backlog_flush_ms / 1000)
            await self.flush()


@dataclass(slots=True)
class _Pending:
    """What waits to be written, oldest first."""

    records: list[_Base | _Events] = field(default_factory=list)
    size: int = 0
    last_size: int = 0
    """Of the events in the last record."""

    def add(self, seq: int, cursor: str, raw: bytes, most: int) -> None:
        self.size += len(raw)
        last = self.records[-1] if self.records else None
        if isinstance(last, _Events) and self.last_size + len(raw) <= most:
            self.last_size += len(raw)
            last.raw.append(raw)
            last.cursor = cursor
        else:
            self.last_size = len(raw)
            self.records.append(_Events(seq, cursor, [raw]))


class StreamLog:
    """The log of one stream. `load` it first; then nothing here waits for the disk."""

    def __init__(self, backlog: Backlog, subject: Subject) -> None:
        self._backlog = backlog
        self._journal = backlog.journal
        self._limits = backlog.limits
        digest = hashlib.sha256(
            "\0".join((subject.kind, subject.runtime_id, subject.name)).encode()
        )
        self._name = f"observed:{digest.hexdigest()[:40]}"
        self._bounds = LogBounds(self._limits.backlog_log_records, self._limits.backlog_log_bytes)
        self._head = 0
        self._bases: list[int] = []
        """Where in the log its snapshots are, the oldest first."""
        self._pending = _Pending()
        self._writing = asyncio.Lock()
        self._epoch = b""
        self._events = self._bytes = 0
        """Since the last snapshot."""
        self._hole = True
        """Whether events since the last record were not written: it takes a snapshot to go on."""
        self._forgotten = False

    async def load(self) -> Kept | None:
        """Return what is held; None when it is nothing that can be used."""
        await self.flush()
        try:
            self._head = (await self._journal.status(self._name)).head
            kept = await self._read()
        except JournalError as exc:
            _log.warning("the backlog cannot be read", code=exc.code, reason=exc.message)
            return None
        if kept is None:
            self.forget()
        else:
            self._epoch, self._hole = kept.start.epoch, False
        return kept

    def begin(self, at: Position, base: bytes, cursor: str) -> None:
        """Start anew with `base`, the snapshot as of `at`."""
        self._epoch = at.epoch
        self._pending = _Pending()
        self._hole = self._forgotten = False
        self._add_base(at.seq, base, cursor, fresh=True)

    def append(self, seq: int, cursor: str, raw: bytes, snapshot: Callable[[], bytes]) -> None:
        """Take down an event; `snapshot` returns the state after it, and is seldom asked."""
        self._events += 1
        self._bytes += len(raw)
        if not self._hole:
            self._pending.add(seq, cursor, raw, self._limits.backlog_record_bytes)
        if (
            self._events > self._limits.observed_ring_events
            or self._bytes > self._limits.observed_ring_bytes
        ):
            fresh, self._hole = self._hole, False
            self._add_base(seq, snapshot(), cursor, fresh=fresh)
        if self._pending.size > self._limits.backlog_pending_bytes:
            self._give_up("the disk does not keep up")
        elif not self._hole:
            self._backlog.wants(self)

    def forget(self) -> None:
        """Drop all of it: it is of no use any more."""
        self._pending = _Pending()
        self._hole = self._forgotten = True
        self._backlog.wants(self)

    async def flush(self) -> None:
        """Write what waits; a failure leaves the log as it was and is not raised."""
        async with self._writing:
            pending, self._pending = self._pending, _Pending()
            try:
                if self._forgotten:
                    self._forgotten = False
                    self._bases = []
                    await self._journal.trim(self._name, self._head)
                for record in pending.records:
                    await self._write(record)
            except JournalError as exc:
                self._give_up(exc.message, exc.code)

    async def _write(self, record: _Base | _Events) -> None:
        # One record at a time: the journal puts what is committed at once into one transaction.
        data = _encoder.encode(record)
        await self._journal.commit([Append(self._name, self._head, [data], self._bounds)])
        self._head += 1
        if not isinstance(record, _Base):
            return
        if record.fresh:
            self._bases = []
        self._bases.append(self._head)
        useless = self._bases[-1] if len(self._bases) == 1 else self._bases[-2]
        self._bases = [position for position in self._bases if position >= useless]
        await self._journal.trim(self._name, useless - 1)

    def _add_base(self, seq: int, base: bytes, cursor: str, *, fresh: bool) -> None:
        self._events = self._bytes = 0
        self._pending.size += len(base)
        self._pending.records.append(_Base(_FORMAT, self._epoch, seq, cursor, base, fresh))
        self._backlog.wants(self)

    def _give_up(self, why: str, code: str = "journal.full") -> None:
        """Leave a hole: what is on disk stays true, and a later snapshot makes a new beginning."""
        if not self._hole:
            _log.warning("a stream's backlog is not written for a while", code=code, reason=why)
        self._pending = _Pending()
        self._hole = True

    async def _read(self) -> Kept | None:
        base: _Base | None = None
        events: list[bytes] = []
        cursor, position = "", 0
        self._bases = []
        while records := await self._journal.read(self._name, position, self._limits.journal_batch):
            for position, data in records:
                try:
                    record = _decoder.decode(data)
                except (msgspec.DecodeError, RecursionError):
                    return None
                if isinstance(record, _Base):
                    if record.format != _FORMAT:
                        return None
                    if base is None or record.fresh:
                        base, events, self._bases = record, [], []
                    elif record.seq != base.seq + len(events) or record.epoch != base.epoch:
                        return None
                    self._bases.append(position)
                    self._events = self._bytes = 0
                elif base is None or record.first != base.seq + len(events) + 1:
                    return None
                else:
                    events += record.raw
                    self._events += len(record.raw)
                    self._bytes += sum(map(len, record.raw))
                cursor = record.cursor
        if base is None:
            return None
        return Kept(Position(base.epoch, base.seq), base.snapshot, events, cursor)
