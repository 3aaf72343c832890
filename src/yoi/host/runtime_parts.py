"""The parts of a runtime, each opened in its turn: sandbox, journal, services, workers."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from yoi.connections import (
    MachineNetwork,
    RequestClient,
    SocketConnector,
    SystemResolver,
    Ways,
)
from yoi.core.captures import HandleTable
from yoi.decisions.nonces import nonce_store
from yoi.decisions.paired import PairedSenders
from yoi.decisions.port import Decisions
from yoi.errors import WorkerError, YoiError
from yoi.host.mcp_events import McpEvents
from yoi.host.opened import Opened
from yoi.host.webhook import webhook
from yoi.journal.log import Journal
from yoi.journal.ownership import Ownership, SoleOwner
from yoi.journal.sqlite import SqliteJournal, Survives
from yoi.journal.state import StateStore
from yoi.limits import Limits
from yoi.mcp.clients import McpClients
from yoi.mcp.http import McpHttp
from yoi.mcp.servers import McpServers
from yoi.protocol.cursors import CursorKeys
from yoi.protocol.diagnostics import Diagnostic, failure
from yoi.protocol.events import AlertLevel
from yoi.runtime.alerting import Alerting
from yoi.runtime.assembly import Assembler
from yoi.runtime.connection_specs import ConnectionSpecMaker
from yoi.runtime.figures import RuntimeFigures
from yoi.runtime.observing import Observing
from yoi.runtime.pairing import KeptHere, PairedStore, Pairings
from yoi.runtime.paths import cache_dir
from yoi.runtime.pull_sockets import PullDialler
from yoi.runtime.service_manager import ServiceManager
from yoi.runtime.service_spec import HostContext
from yoi.runtime.services import Services
from yoi.runtime.thread_bridge import Mailbox
from yoi.runtime.ticket_assigner import TicketAssigner
from yoi.runtime.worker_figures import WorkerFigures
from yoi.runtime.worker_manager import HostTools, WorkerManager
from yoi.sandbox import Sandbox, Scheduler
from yoi.serving.host_settings import HostSettings
from yoi.serving.keys import KeyStore, keys_file
from yoi.serving.secrets import WorkspaceSecrets
from yoi.types import Clock, rfc3339
from yoi.workers.failed import FailedWorker
from yoi.workers.worker import Worker

T = TypeVar("T")
_RNG = random.random


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeParts:
    """An opened runtime: what reloading, the control socket and those who watch it work with."""

    services: Services
    pairings: Pairings
    manager: ServiceManager
    workers: WorkerManager
    tickets: TicketAssigner
    mcp: McpServers
    clients: McpClients
    events: McpEvents
    assembler: Assembler
    observing: Observing
    figures: RuntimeFigures
    secrets: WorkspaceSecrets
    alerting: Alerting
    network: MachineNetwork
    sandbox: Sandbox
    scheduler: Scheduler
    mailbox: Mailbox
    owner: str | None
    """The id that the host's files in the workspace carry; None accepts any."""

    def settled(self) -> bool:
        """Return whether all that is configured was started once."""
        return self.observing.settled

    def why_not_ready(self) -> str | None:
        """Return why this runtime should not be watched yet, or None."""
        return None if self.settled() else "what is enabled is being started"


async def open_parts(
    opened: Opened,
    workspace: Path,
    secrets_of: Path,
    listen: Callable[[Diagnostic], None],
    decisions: Decisions,
    clock: Clock,
    machine: HostSettings,
    shared: Journal | None = None,
    ownership: Ownership | None = None,
    secrets: WorkspaceSecrets | None = None,
    paired: PairedStore | None = None,
) -> RuntimeParts:
    """Open what services and workers need, each part registered in `opened`. Nothing runs yet.

    `machine` are the settings of this machine: its bounds, what a commit survives, the webhook.
    Secrets are `secrets`, and who was paired stands in `paired`; or else they are those of the
    workspace `secrets_of`. The logs are in `shared`,
    where one is given, and written under `ownership`.
    """
    ownership = SoleOwner() if ownership is None else ownership
    limits = machine.limits
    loop = asyncio.get_running_loop()
    owner = await asyncio.to_thread(decisions.identity, workspace)
    mailbox = Mailbox(loop)
    # Closed after everything that a guest's thread may still be in.
    state = await opened.enter("the plugins' state", _state(workspace, limits, owner))
    sandbox = await opened.enter("the sandbox", _sandbox(limits))
    scheduler = await opened.enter("the plugins' threads", _scheduler(limits))
    journal: Journal
    if shared is None:
        survives = Survives[machine.survives.upper()]
        journal = await opened.enter(
            "the workers' journal", _journal(workspace, limits, owner, survives)
        )
    else:
        journal = shared
    services = Services()
    secrets = WorkspaceSecrets(secrets_of, decisions) if secrets is None else secrets
    keys = await asyncio.to_thread(_cursor_keys, workspace, owner)
    worker_figures = WorkerFigures(clock)
    observing = Observing(
        keys, services.statuses, clock, limits, services.ask_status, worker_figures.approval_since
    )
    await opened.enter("the observed streams", _sampled(observing))

    def follow(running: Sequence[Worker], failed: Sequence[FailedWorker]) -> None:
        observing.follow_workers(running, failed)
        worker_figures.follow(running, len(failed))

    tickets = TicketAssigner(workspace, decisions, clock, limits)
    await opened.enter("the work items' threads", closing(tickets.close))
    observing.show_board(tickets.board.stream, tickets.board.rows)
    network = MachineNetwork(machine.ways_out)
    resolver = SystemResolver(limits, clock=clock, network=network)
    ways = Ways(network, resolver, limits)
    # A tool takes longer than a request of a plugin may.
    patient = replace(limits, request_ms=limits.mcp_call_ms)
    http = McpHttp(RequestClient(resolver, clock, patient, ways=ways), clock, limits)
    mcp = McpServers(workspace, secrets, clock, limits, http.streams)
    await opened.enter("the MCP servers", closing(mcp.stop))
    clients = McpClients(HostTools(services), clock, limits)
    await opened.enter("the MCP clients", closing(clients.stop))
    events = McpEvents(observing, limits)
    await opened.enter("what MCP clients watch", closing(events.stop))
    workers = WorkerManager(
        journal,
        services,
        secrets,
        listen,
        clock,
        limits,
        follow,
        tickets.tools,
        ownership,
        mcp,
        clients.engine,
    )
    context = HostContext(
        turns=scheduler,
        mailbox=mailbox,
        loop=loop,
        clock=clock,
        rng=_RNG,
        listen=listen,
        state=state,
        limits=limits,
        notifier=workers,
        journal=journal,
        observer=observing,
        ownership=ownership,
        proven=lambda name, digest: services.proven(name, digest),
    )
    if paired is None:
        paired = KeptHere(PairedSenders.of(secrets_of, limits))
    pairings = await _pairings(paired, workers, listen, clock, limits)
    await opened.enter("what is paired", closing(pairings.close))
    connector = SocketConnector(limits=limits, ways=ways, clock=clock)
    assembler = Assembler(
        sandbox=sandbox,
        connections=ConnectionSpecMaker(
            connector=connector,
            resolver=resolver,
            state=state,
            loop=loop,
            clock=clock,
            limits=limits,
            rng=_RNG,
        ),
        requests=RequestClient(resolver, clock, limits, ways=ways),
        secrets=secrets,
        nonces=nonce_store(secrets_of, limits),
        pairings=pairings,
        handles=HandleTable(limits),
        state=state,
        pull=PullDialler(connector, resolver, clock, limits, loop.call_later),
        waiting=scheduler.waiting,
        loop=loop,
        clock=clock,
        limits=limits,
    )
    alerting = Alerting(
        lambda: services,
        workspace,
        _shown_by(listen, observing),
        clock,
        limits,
        webhook(machine.webhook, assembler.requests),
        mcp.conditions,
    )
    services.alerts_of = alerting.book.of_service
    await opened.enter("the alerts", _alerting(alerting))
    return RuntimeParts(
        services=services,
        pairings=pairings,
        manager=ServiceManager(services, context),
        workers=workers,
        tickets=tickets,
        mcp=mcp,
        clients=clients,
        events=events,
        assembler=assembler,
        observing=observing,
        figures=RuntimeFigures(services, worker_figures, alerting.book),
        secrets=secrets,
        alerting=alerting,
        network=network,
        sandbox=sandbox,
        scheduler=scheduler,
        mailbox=mailbox,
        owner=owner,
    )


def _shown_by(
    listen: Callable[[Diagnostic], None], observing: Observing
) -> Callable[[str, Diagnostic], None]:
    """Return what shows an alert of a scope: in the log, and to who watches the service."""

    def show(scope: str, entry: Diagnostic) -> None:
        listen(entry)
        observing.diagnosed(scope.partition(":")[2].partition("/")[0], entry)

    return show


async def _pairings(
    paired: PairedStore,
    workers: WorkerManager,
    listen: Callable[[Diagnostic], None],
    clock: Clock,
    limits: Limits,
) -> Pairings:
    """Return who was paired; nobody, and it is told, where that cannot be read."""
    try:
        await paired.reload()
    except YoiError as exc:
        listen(failure(rfc3339(clock.wall()), "host", exc))

    def tell(worker: str, level: AlertLevel, words: str) -> None:
        with contextlib.suppress(WorkerError):  # it is gone, and nobody listens for it
            workers[worker].alerts.add(level, "pairing", words)

    return Pairings(paired, clock, limits, tell)


@contextlib.asynccontextmanager
async def closing(close: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Await `close` when left: for what is opened by using it."""
    try:
        yield
    finally:
        await close()


@contextlib.asynccontextmanager
async def _state(workspace: Path, limits: Limits, owner: str | None) -> AsyncIterator[StateStore]:
    state = await _made(lambda: _open_state(workspace, limits, owner), StateStore.close)
    try:
        yield state
    finally:
        await asyncio.to_thread(state.close)


@contextlib.asynccontextmanager
async def _sandbox(limits: Limits) -> AsyncIterator[Sandbox]:
    sandbox = await _made(lambda: Sandbox(limits, cache_dir()), Sandbox.close)
    try:
        yield sandbox
    finally:
        await asyncio.to_thread(sandbox.close)


@contextlib.asynccontextmanager
async def _scheduler(limits: Limits) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(limits)
    try:
        yield scheduler
    finally:
        # A plugin that is still at work is left to its deadline: its thread ends with the process.
        await asyncio.to_thread(scheduler.close, limits.stop_ms / 1000)


@contextlib.asynccontextmanager
async def _journal(
    workspace: Path, limits: Limits, owner: str | None, survives: Survives
) -> AsyncIterator[SqliteJournal]:
    journal = await SqliteJournal.open(
        workspace / ".yoi" / "journal.db", survives, limits=limits, owner=owner
    )
    try:
        yield journal
    finally:
        await journal.close()


@contextlib.asynccontextmanager
async def _sampled(observing: Observing) -> AsyncIterator[None]:
    observing.start()
    try:
        yield
    finally:
        await observing.stop()


@contextlib.asynccontextmanager
async def _alerting(alerting: Alerting) -> AsyncIterator[None]:
    alerting.start()
    try:
        yield
    finally:
        await alerting.stop()


async def _made(make: Callable[[], T], close: Callable[[T], None]) -> T:
    """Return what `make` makes on a thread; where this is cancelled meanwhile, it is closed."""
    making = asyncio.ensure_future(asyncio.to_thread(make))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        await asyncio.wait({making})
        if making.exception() is None:
            await asyncio.to_thread(close, making.result())
        raise


def _cursor_keys(workspace: Path, owner: str | None) -> CursorKeys:
    return KeyStore(keys_file(workspace), owner=owner).load_or_create().cursor_keys


def _open_state(workspace: Path, limits: Limits, owner: str | None) -> StateStore:
    return StateStore(workspace / ".yoi" / "state.db", limits, owner)
