"""What a service without a durable ingress keeps where another machine finds it.

Its events are in memory and lost with their host. Its state and the dials that it has spent are not
its host's alone where logs are shared: they follow in its log, at most a second later, and are the
first thing that the next owner reads, also a host by itself after the logs were moved to it. The
plugin never waits for that.

    open: fold ──▶ state file ──▶ (runs; what changes is written, one record at a time) ──▶ close
"""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

from yoi.core.budget import Spent
from yoi.core.service_recovery import changed_state
from yoi.errors import JournalError
from yoi.protocol.ingress import QueuedEvent
from yoi.protocol.service_log import Handled
from yoi.runtime.current_version import CurrentVersion
from yoi.runtime.kept_dials import KeptDials
from yoi.runtime.ledger import Ledger
from yoi.runtime.log_writer import LogWriter
from yoi.runtime.service_spec import HostContext
from yoi.tasks import ended

_EPOCH = "epoch"


class KeptDurability:
    """A `yoi.runtime.durability.Durability`; see the module docstring. Belongs to the loop."""

    takes_records = True

    def __init__(self, current: CurrentVersion, context: HostContext, ledger: Ledger) -> None:
        self._name = current.spec.name
        self._mark = f"{self._name}#log"
        """Where the state file says under which epoch this host last owned the log."""
        self._state = context.state
        self._journal, self._shared = context.journal, context.ownership.shared
        self._dials = KeptDials(context.state, self._name)
        self._ledger = ledger
        self._loop, self._mailbox = context.loop, context.mailbox
        self._clock = context.clock
        self._limits = context.limits
        self._keys: set[str] = set()
        self._connections: set[str] = set()
        """What of the state and of the dials the log does not have yet."""
        self._runs = False
        self._writing = False
        self._due: asyncio.TimerHandle | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._told = False
        self._writer = LogWriter(
            self._name,
            context.journal,
            context.clock,
            context.loop,
            context.limits,
            self._log_failed,
            lambda: None,
            ledger.error,
            {},
            context.ownership,
        )

    async def open(self) -> None:
        """Open the log and make the state what it says; nothing where it is open.

        A host by itself begins no log for it, and goes on with one that is there.

        Raises JournalError: what was spent is not known then, and nothing may be dialled.
        """
        if self._writer.picture is not None or self._reopening is not None:
            return
        if not self._shared and not (await self._journal.status(f"service:{self._name}")).head:
            return
        picture = await self._writer.open()
        changes = changed_state(self._state.all(self._name), picture)
        if picture.fresh or self._owned(picture.earlier_epoch):
            # Nothing was kept elsewhere since: what is here may be newer than what was written.
            self._keys |= changes.keys()
        else:
            for key, value in changes.items():
                self._state.set(self._name, key, value)
        self._state.set(self._mark, _EPOCH, str(picture.epoch))
        logged = {name: Spent(*spent) for name, spent in picture.dials.items()}
        self._connections |= set(self._dials.take(logged))
        # Changes are heard on whichever thread makes them.
        self._state.listen(self._name, partial(self._mailbox.post, self._note, self._keys))
        self._dials.listen(partial(self._mailbox.post, self._note, self._connections))
        self._runs = True
        self._write()

    async def settled(self) -> None:
        """Do nothing: nothing waits for the log."""

    def after(self, then: Callable[[], None]) -> None:
        """Run `then` now."""
        then()

    def keeps(self, event: QueuedEvent) -> bool:
        """Return False."""
        return False

    async def close(self) -> None:
        """Write what is left, as far as the journal takes it, and let the log go."""
        self._runs = False
        self._state.listen(self._name, None)
        self._dials.listen(None)
        if self._due is not None:
            self._due.cancel()
        if self._reopening is not None:
            await ended(self._reopening)
            self._reopening = None
        # First what is under way: of two records the later one has the later state.
        await self._writer.drain()
        self._write()
        await self._writer.close()
        self._writing = False

    # -- inside -------------------------------------------------------------------------------

    def _owned(self, epoch: int) -> bool:
        """Return whether the owner of `epoch` was this host, before it ended or now."""
        return self._state.get(self._mark, _EPOCH) == str(epoch)

    def _note(self, changed: set[str], name: str) -> None:
        changed.add(name)
        if self._due is None:
            self._write()

    def _write(self) -> None:
        """Write what has changed, unless a record is under way."""
        self._due = None
        if self._writing or self._writer.picture is None:
            return
        if not self._keys and not self._connections:
            return
        state = {key: self._state.get(self._name, key) for key in self._keys}
        spent = {name: self._dials.of(name) for name in self._connections}
        dials = {name: (one.day, one.dials) for name, one in spent.items()}
        self._keys.clear()
        self._connections.clear()
        self._writing = True
        entry = Handled("", state=state, dials=dials, at_ms=self._clock.wall_ms())
        self._writer.put(entry, self._written)

    def _written(self) -> None:
        self._writing = self._told = False
        if self._runs:
            # What changes meanwhile goes together.
            self._due = self._loop.call_later(self._limits.kept_state_ms / 1000, self._write)

    def _log_failed(self, error: JournalError) -> None:
        if not self._told:
            self._ledger.error(error)
        self._told = True
        if self._reopening is None and self._runs:
            self._reopening = self._loop.create_task(self._reopen())

    async def _reopen(self) -> None:
        """Open the log again, as often as it takes: the service runs on meanwhile."""
        while True:
            await asyncio.sleep(self._limits.service_log_retry_ms / 1000)
            with contextlib.suppress(JournalError):
                await self._writer.reopen()
                self._reopening = None
                self._write()
                return
