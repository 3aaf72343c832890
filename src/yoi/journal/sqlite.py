"""A journal in one SQLite file: WAL, one writer thread, commits grouped off the event loop.

Which crash it survives is the caller's choice, `Survives`: killing the process never loses or tears
a commit that returned; losing power does not either under `POWER_LOSS`, at the price of an fsync.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from yoi.errors import JournalError, TrustError
from yoi.journal import sqlite_rows as rows
from yoi.journal.log import Append, LogStatus, Record, check_appends, check_name
from yoi.journal.opening import open_database
from yoi.journal.owner import claim, closed, opened
from yoi.journal.sqlite_faults import aside, fault
from yoi.limits import LIMITS, Limits

_WAL_PAGES = 4000
"""Of the write-ahead log, before SQLite moves it into the file: each time it waits for the disk."""
_CACHE_KIB = 8 * 1024
_GROUP = 256  # commits in one transaction; each keeps its own outcome

T = TypeVar("T")


class Survives(Enum):
    """Which end of the machine a commit that returned survives; the value is SQLite's setting."""

    PROCESS_CRASH = "NORMAL"
    POWER_LOSS = "FULL"


@dataclass(slots=True)
class _Job:
    """Work for the thread; `writes` says whether it belongs into a transaction."""

    work: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    writes: bool
    alone: str | None = None
    """The one log that the work appends to: one statement, which needs no transaction around it."""


class SqliteJournal:
    """A `yoi.journal.log.Journal` in the file `path`. Open it with `SqliteJournal.open`."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._known: rows.Known = {}
        """What the thread has written last; another process may have gone on since."""

    @classmethod
    async def open(
        cls,
        path: Path,
        survives: Survives = Survives.PROCESS_CRASH,
        limits: Limits = LIMITS,
        owner: str | None = None,
    ) -> "SqliteJournal":
        """Return the journal in `path`, made there if it does not exist (mode 0600).

        `owner` is the id of the workspace that it must be of; None accepts any. Raises
        JournalError: `journal.io`, or `journal.format` when the file is damaged, another program's
        or a newer Yoi's; TrustError `trust.foreign` when it is another workspace's.
        """
        journal = cls(path, limits)
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = loop.create_future()

        def run() -> None:
            try:
                connection = _connect(path, survives, limits, owner)
            except (JournalError, TrustError) as exc:
                loop.call_soon_threadsafe(_fail, opened, exc)
                return
            except Exception as exc:
                loop.call_soon_threadsafe(_fail, opened, fault(exc, path))
                return
            loop.call_soon_threadsafe(_resolve, opened, None)
            journal._serve(connection)

        journal._thread = threading.Thread(target=run, name="yoi-journal", daemon=True)
        journal._thread.start()
        await opened
        return journal

    async def commit(self, appends: Sequence[Append]) -> None:
        """Append all of `appends` or nothing; returns when it is stored."""
        check_appends(appends, self._limits)
        await self._do(
            lambda connection: rows.commit(connection, appends, self._limits, self._known),
            writes=True,
            alone=appends[0].log if len(appends) == 1 else None,
        )

    async def read(self, log: str, after: int, limit: int) -> list[Record]:
        """Return the records that follow `after`."""
        check_name(log, self._limits)
        return await self._do(
            lambda connection: rows.read(connection, log, after, limit, self._limits), writes=False
        )

    async def status(self, log: str) -> LogStatus:
        """Return how much `log` holds."""
        check_name(log, self._limits)
        return await self._do(lambda connection: rows.status(connection, log)[1], writes=False)

    async def trim(self, log: str, through: int) -> None:
        """Drop the records up to `through`."""
        check_name(log, self._limits)

        def work(connection: sqlite3.Connection) -> None:
            self._known.pop(log, None)
            rows.trim(connection, log, through)

        await self._do(work, writes=True)

    async def reset(self, log: str, head: int) -> None:
        """Make `log` an empty one at position `head`."""
        check_name(log, self._limits)

        def work(connection: sqlite3.Connection) -> None:
            self._known.pop(log, None)
            rows.reset(connection, log, head, self._limits)

        await self._do(work, writes=True)

    async def logs(self) -> list[str]:
        """Return the names of the logs."""
        return await self._do(
            lambda connection: [
                name for (name,) in connection.execute("SELECT name FROM logs ORDER BY name")
            ],
            writes=False,
        )

    async def close(self) -> None:
        """Finish what was accepted, then close the file."""
        thread = self._thread
        if not self._closing:
            self._closing = True
            self._jobs.put(None)
        if thread is not None:
            await asyncio.to_thread(thread.join)

    async def _do(
        self, work: Callable[[sqlite3.Connection], T], *, writes: bool, alone: str | None = None
    ) -> T:
        if self._closing:
            raise JournalError("journal.closed", "the journal is closed")
        if self._jobs.qsize() >= self._limits.journal_waiting:
            raise JournalError(
                "journal.full", f"{self._limits.journal_waiting} commits wait for the disk"
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(work, future, loop, writes, alone))
        return await future

    def _serve(self, connection: sqlite3.Connection) -> None:
        """Run on the thread until closed: take what waits, commit it as one transaction."""
        try:
            while (job := self._jobs.get()) is not None:
                if not job.writes:
                    _settle([job], [_outcome(job, connection, self._path)])
                    continue
                group, following = self._gather(job)
                outcomes = self._write(connection, group)
                _settle(group, outcomes)
                if following is not None:
                    _settle([following], [_outcome(following, connection, self._path)])
        finally:
            closed(connection)
            connection.close()

    def _write(self, connection: sqlite3.Connection, group: list[_Job]) -> list[Any]:
        if len(group) == 1 and group[0].alone in self._known:
            outcomes = [_outcome(group[0], connection, self._path)]
        else:
            outcomes = _transact(connection, group, self._path)
        if any(isinstance(one, JournalError) for one in outcomes):
            self._known.clear()
        return outcomes

    def _gather(self, first: _Job) -> tuple[list[_Job], _Job | None]:
        """Return the writes that wait, and the read that ended the group, if one did."""
        group = [first]
        while len(group) < _GROUP:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                # Nothing is accepted after the end marker: it stands at the end again.
                self._jobs.put(None)
                break
            if not job.writes:
                return group, job
            group.append(job)
        return group, None


def _outcome(job: _Job, connection: sqlite3.Connection, path: Path) -> Any:
    try:
        return job.work(connection)
    except JournalError as exc:
        return exc
    except Exception as exc:
        # Whatever a damaged file holds: the thread goes on, and the caller is told.
        return fault(exc, path)


def _transact(connection: sqlite3.Connection, group: list[_Job], path: Path) -> list[Any]:
    """Return each job's outcome; a refused one leaves the others as they are."""
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as exc:
        return [fault(exc, path)] * len(group)
    try:
        if len(group) == 1:
            # Under a savepoint SQLite writes each page that a trim has freed.
            outcomes = [group[0].work(connection)]
        else:
            outcomes = [_saved(job, connection, path) for job in group]
        connection.execute("COMMIT")
    except JournalError as exc:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        return [exc]
    except Exception as exc:
        # A full disk ends the transaction as a whole: nobody is told that anything was stored.
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        return [fault(exc, path)] * len(group)
    return outcomes


def _saved(job: _Job, connection: sqlite3.Connection, path: Path) -> Any:
    """Return the outcome of one job of several; where it is refused, it has changed nothing."""
    connection.execute("SAVEPOINT job")
    try:
        outcome = job.work(connection)
    except sqlite3.Error:
        raise
    except Exception as exc:
        connection.execute("ROLLBACK TO job")
        outcome = exc if isinstance(exc, JournalError) else fault(exc, path)
    connection.execute("RELEASE job")
    return outcome


def _settle(group: list[_Job], outcomes: list[Any]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for job, outcome in zip(group, outcomes, strict=True):
        by_loop.setdefault(job.loop, []).append((job.future, outcome))
    for loop, settled in by_loop.items():
        # The loop may be gone: its callers with it.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle_all, settled)


def _settle_all(settled: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, outcome in settled:
        if isinstance(outcome, JournalError):
            _fail(future, outcome)
        else:
            _resolve(future, outcome)


def _resolve(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[Any], error: JournalError | TrustError) -> None:
    if not future.done():
        future.set_exception(error)


def _connect(
    path: Path, survives: Survives, limits: Limits, owner: str | None
) -> sqlite3.Connection:
    try:
        connection = open_database(path, owner, limits.journal_busy_ms)
    except (OSError, sqlite3.Error) as exc:
        raise fault(exc, path) from None
    try:
        _prepare(connection, path, survives, owner)
    except sqlite3.Error as exc:
        connection.close()
        raise fault(exc, path) from None
    except (JournalError, TrustError):
        connection.close()
        raise
    return connection


def _prepare(
    connection: sqlite3.Connection, path: Path, survives: Survives, owner: str | None
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables == 0 and application == 0:
        rows.make(connection)
    elif application == rows.APPLICATION_ID and version > rows.FORMAT:
        raise JournalError(
            "journal.format",
            f"{path.name} is of format {version}, which a newer Yoi writes; this one reads formats "
            f"1 to {rows.FORMAT}",
            hint=f"install the version that ran here last; or: {aside(path)}",
        )
    elif application != rows.APPLICATION_ID or version < 1:
        raise JournalError("journal.format", f"{path.name} is no journal", hint=aside(path))
    claim(connection, owner, path, fresh=tables == 0)
    if tables:
        if not rows.are_ours(connection, version):
            raise JournalError(
                "journal.format",
                f"{path.name} does not have the tables of a journal",
                hint=aside(path),
            )
        rows.upgrade(connection, version)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {survives.value}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    # Some builds fill what is trimmed with zeros: each page of it would be written once more.
    connection.execute("PRAGMA secure_delete = OFF")
    rows.fence(connection)
    opened(connection)
