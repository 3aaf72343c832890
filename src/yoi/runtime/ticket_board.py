"""The stream of a workspace's work items: what their files say, soon after it changes.

Files are changed by editors, by commands and by workers alike, so they are looked at every few
seconds; notification by the operating system only makes that quicker.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from watchfiles import awatch

from yoi.core.observation import BoardView, Stream
from yoi.core.observation.measure import on_one_line
from yoi.core.ticket_states import TicketState
from yoi.decisions.port import QueueDecisions
from yoi.errors import ProtocolMalformed, TicketError
from yoi.limits import Limits
from yoi.protocol.board_events import BoardEvent, encode_board_event
from yoi.protocol.cursors import EPOCH_BYTES
from yoi.protocol.observation import BOARD_NAME, Subject, SubjectKind
from yoi.tickets.board import BoardReader
from yoi.tickets.files import is_folder
from yoi.tickets.reader import TicketReader

if TYPE_CHECKING:
    from yoi.protocol.events import UnknownEvent

_SETTLE_MS = 100
"""Editors and commands change several files in a row; one look is enough."""
_REST = 9
"""How much longer than a look the pause behind it is."""
_log = structlog.get_logger("yoi.runtime")
OnThread = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function that blocks on a thread of its own."""


class TicketBoard:
    """Fills the stream of the items of `store`. Belongs to the event loop, its looks to threads."""

    def __init__(
        self,
        store: TicketReader,
        workspace: Path,
        decisions: QueueDecisions,
        limits: Limits,
        on_thread: OnThread,
    ) -> None:
        self._store = store
        self._reader = BoardReader(store, lambda: decisions.queued(workspace), limits)
        self._limits = limits
        self._on_thread = on_thread
        self._view = BoardView(limits)
        """The stream's own, which folds into it what is published."""
        self._noticed = asyncio.Event()
        self.stream: Stream[BoardEvent | UnknownEvent] = Stream(
            Subject(SubjectKind.BOARD, BOARD_NAME),
            self._view,
            secrets.token_bytes(EPOCH_BYTES),
            limits,
        )

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look once, then again and again while entered."""
        await self.look()
        tasks = [asyncio.create_task(self._keep_looking()), asyncio.create_task(self._listen())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def look(self) -> None:
        """Publish what changed since the last look; very many changes are a new beginning."""
        try:
            found = await self._on_thread(self._reader.look)
        except (TicketError, OSError) as exc:
            # What cannot be read now is read at the next look; `yoi ticket doctor` says what it is.
            _log.warning("the work items cannot be looked at", reason=str(exc))
            return
        if len(found) > self._limits.board_burst:
            self._view = await self._on_thread(lambda: self._folded(found))
            epoch = secrets.token_bytes(EPOCH_BYTES)
            self.stream.restart(self._view, epoch, "upstream_resync")
            return
        for event in found:
            self._publish(event)

    def rows(self) -> list[dict[str, Any]]:
        """Return the board as the inventory lists it; nothing where there is no item."""
        items = self._view.items
        if not items:
            return []
        states = [item.state for item in items]
        return [
            {
                "id": BOARD_NAME,
                "items": len(items),
                "queued": states.count(TicketState.QUEUED),
                "inprogress": states.count(TicketState.INPROGRESS),
                "undecided": sum(item.undecided for item in items),
                "damaged": sum(bool(item.damage or item.thread_damage) for item in items),
            }
        ]

    def _publish(self, event: BoardEvent) -> None:
        """Publish `event`; one that cannot be shown is left out (O10)."""
        try:
            raw = on_one_line(encode_board_event(event), self._limits)
            self.stream.publish(event, raw)
        except ProtocolMalformed as exc:
            _log.warning("a work item cannot be shown", code=exc.code, reason=exc.message)
        except Exception:
            _log.exception("a defect in Yoi", what="observing the work items")

    def _folded(self, found: list[BoardEvent]) -> BoardView:
        view = self._view.copy()
        for event in found:
            with contextlib.suppress(ProtocolMalformed):
                view.apply(event)
        return view

    async def _keep_looking(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.ticket_look_ms / 1000):
                    await self._noticed.wait()
            self._noticed.clear()
            begun = asyncio.get_running_loop().time()
            try:
                await self.look()
            except Exception:
                _log.exception("a defect in Yoi", what="looking at the work items")
            # Files that change all the time take a tenth of one processor, not all of it.
            took = asyncio.get_running_loop().time() - begun
            await asyncio.sleep(min(_REST * took, self._limits.ticket_look_ms / 1000))

    async def _listen(self) -> None:
        """Note what the operating system tells of the items' folders, where it does."""
        while True:
            folders = await self._on_thread(self._folders)
            if folders:
                with contextlib.suppress(OSError, RuntimeError):
                    await self._hear(folders)
                    continue
            await asyncio.sleep(self._limits.ticket_look_ms / 1000)

    async def _hear(self, folders: list[Path]) -> None:
        """Return once there are other folders."""
        # Not recursive: a link in an item's folder must not have the rest of the machine watched.
        changes = awatch(*folders, recursive=False, debounce=_SETTLE_MS, step=_SETTLE_MS // 2)
        async with contextlib.aclosing(changes):
            async for _ in changes:
                self._noticed.set()
                if await self._on_thread(self._folders) != folders:
                    return

    def _folders(self) -> list[Path]:
        """Return the folders to hear of: that of all items, and those of the newest."""
        try:
            names = self._store.names()[-self._limits.board_heard :]
        except TicketError:
            return []
        newest = [self._store.root / name for name in names]
        return [self._store.root, *(one for one in newest if _can_be_heard(one))]


def _can_be_heard(folder: Path) -> bool:
    try:
        return is_folder(folder)
    except TicketError:
        return False
