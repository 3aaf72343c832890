"""Hands queued work items to the workers that the operator names, and gives them their tools.

Whatever item.md says, an item is queued only as far as a person of this account queued it, as it
stands: a pull that brings `state: queued` starts no worker.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from yoi.core.ticket_states import SETTLED, TicketState
from yoi.decisions.port import QueueDecisions
from yoi.errors import TicketError, YoiError
from yoi.limits import Limits
from yoi.protocol.events import Provenance
from yoi.runtime.ticket_board import TicketBoard
from yoi.runtime.ticket_tools import TicketTools
from yoi.tickets.store import TicketStore
from yoi.tickets.ticket import Ticket
from yoi.types import Clock
from yoi.workers.items import TICKETS, SystemItem
from yoi.workers.profile import WorkerProfile
from yoi.workers.text import clipped
from yoi.workers.tools import Tool
from yoi.workers.worker import Worker

ProfiledWorkers = Callable[[], Iterable[tuple[WorkerProfile, Worker]]]
"""Returns the workers there are now, with their profiles."""


class TicketAssigner:
    """Assigns the work items of one workspace to its workers."""

    def __init__(
        self, workspace: Path, decisions: QueueDecisions, clock: Clock, limits: Limits
    ) -> None:
        self._workspace = workspace
        self._decisions = decisions
        self._clock = clock
        self._limits = limits
        thread_bytes = min(limits.ticket_worker_thread_bytes, limits.ticket_thread_bytes)
        bounds = replace(limits, ticket_thread_bytes=thread_bytes)
        self._store = TicketStore(workspace, clock, bounds)
        # Not the loop's own threads: a lock that somebody holds must not keep others waiting.
        self._threads = ThreadPoolExecutor(3, thread_name_prefix="yoi-tickets")
        self._tools = TicketTools(workspace, self._store, decisions, clock, limits, self._on_thread)
        self.board = TicketBoard(self._store, workspace, decisions, limits, self._on_thread)
        """What observers are shown of the items."""
        self._offered: set[tuple[str, str]] = set()
        self._seen: dict[str, tuple[object, bool]] = {}

    def tools(self, profile: WorkerProfile) -> Sequence[Tool]:
        """Return the tools that `profile` grants."""
        return self._tools.of(profile)

    async def look(self, workers: Iterable[tuple[WorkerProfile, Worker]]) -> int:
        """Hand what is queued to those of `workers` that want it; return how many messages.

        A worker gets one item at each look, so that many queued at once leave room for others.
        What has no room now is handed over at a later look.
        """
        waiting = [
            worker
            for profile, worker in workers
            if profile.tickets is not None and TicketState.QUEUED in profile.tickets.states
        ]
        if not waiting:
            return 0
        queued = await self._on_thread(self._queued)
        self._offered &= {(one.name, _command(item)) for one in waiting for item in queued}
        return sum([await self._offer(worker, queued) for worker in waiting])

    @contextlib.asynccontextmanager
    async def watching(self, workers: ProfiledWorkers) -> AsyncIterator[None]:
        """Look every few seconds while entered."""
        task = asyncio.create_task(self._keep_looking(workers))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        """Begin nothing more; what is under way on a thread ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _keep_looking(self, workers: ProfiledWorkers) -> None:
        while True:
            # What cannot be read now is read at the next look; the commands say what is wrong.
            with contextlib.suppress(YoiError, OSError):
                await self.look(workers())
            await asyncio.sleep(self._limits.ticket_look_ms / 1000)

    async def _offer(self, worker: Worker, queued: Iterable[Ticket]) -> int:
        for ticket in queued:
            command = _command(ticket)
            if (worker.name, command) in self._offered:
                continue
            self._offered.add((worker.name, command))
            if worker.remembered(TICKETS, ticket.id, command) is not None:
                continue
            try:
                await worker.accept(self._message(ticket, command))
            except YoiError:
                self._offered.discard((worker.name, command))
                return 0
            return 1
        return 0

    def _message(self, ticket: Ticket, command: str) -> SystemItem:
        words = f"Work item {ticket.id} is queued: {ticket.title}\n\n{ticket.body.strip()}"
        text, cut = clipped(words, self._limits.notify_text_bytes)
        return SystemItem(
            at_ms=self._clock.wall_ms(),
            text=text,
            provenance=Provenance(
                plugin=TICKETS,
                plugin_id=TICKETS,
                digest=ticket.digest,
                ingress=TicketState.QUEUED.value,
                event_id=ticket.id,
                command_id=command,
                sender=clipped(ticket.text("queued_by"), self._limits.ticket_title_chars)[0],
            ),
            wakes=True,
            cut=cut,
        )

    def _queued(self) -> list[Ticket]:
        """Return the items in force that nothing blocks, oldest first. Blocks."""
        decided = self._decisions.queued(self._workspace)
        if decided is not None:
            found = [one for one in map(self._read, sorted(decided)) if one is not None]
            return self._unblocked([one for one in found if self._in_force(one, decided)])
        names = self._store.names()
        self._seen = {name: self._looked_at(name) for name in names}
        waiting = map(self._read, (name for name in names if self._seen[name][1]))
        found = [one for one in waiting if one is not None]
        return self._unblocked([one for one in found if one.state == TicketState.QUEUED])

    def _unblocked(self, queued: Sequence[Ticket]) -> list[Ticket]:
        """Return those of `queued` whose dependencies are settled, or are not here."""
        if not queued:
            return []
        graph = self._store.graph()
        return [
            one
            for one in queued
            if all(
                state is None or state in SETTLED
                for _, state in self._store.blockers(one.id, graph)
            )
        ]

    def _in_force(self, ticket: Ticket, decided: Mapping[str, str]) -> bool:
        """Return whether the item is what was queued; a decision about another is withdrawn."""
        digest = decided[ticket.id]
        if ticket.state == TicketState.QUEUED and ticket.digest == digest:
            return True
        self._decisions.taken(self._workspace, ticket.id, digest)
        return False

    def _looked_at(self, name: str) -> tuple[object, bool]:
        """Return what tells whether the item changes, and whether it may be queued.

        Only the heads that changed since the last look are read.
        """
        signature = self._store.signature(name)
        known = self._seen.get(name)
        if known is not None and known[0] == signature:
            return known
        return signature, self._store.state(name) == TicketState.QUEUED

    def _read(self, name: str) -> Ticket | None:
        try:
            return self._store.ticket(name)
        except TicketError:
            return None

    async def _on_thread(self, act: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, act)


def _command(ticket: Ticket) -> str:
    return f"{ticket.id}:{ticket.digest}"
