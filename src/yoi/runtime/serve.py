"""`yoi serve`: one process that runs the services of a workspace until it is told to stop."""

import asyncio
import contextlib
import os
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from yoi.connections import RequestClient, SystemResolver, default_connector
from yoi.control.server import ControlServer
from yoi.core.captures import HandleTable
from yoi.decisions.port import Decisions
from yoi.defects import defect
from yoi.errors import SandboxError, SecretError, YoiError
from yoi.journal.sqlite import SqliteJournal
from yoi.journal.state import StateStore
from yoi.limits import LIMITS, Limits
from yoi.packages import PythonRuntime, Store
from yoi.protocol.cursors import CursorKeys
from yoi.protocol.diagnostics import Diagnostic, Severity, diagnostic
from yoi.runtime.assembly import Assembler
from yoi.runtime.connection_specs import ConnectionSpecMaker
from yoi.runtime.observing import Observing
from yoi.runtime.paths import cache_dir
from yoi.runtime.pull_sockets import PullDialler
from yoi.runtime.service_manager import Applied, ServiceManager
from yoi.runtime.service_spec import HostContext
from yoi.runtime.thread_bridge import Mailbox, on_worker
from yoi.runtime.worker_manager import WorkerManager
from yoi.runtime.workspace import Plan, WorkspacePlans, operator_file
from yoi.sandbox import Sandbox, Scheduler
from yoi.serving.keys import KeyStore, keys_file
from yoi.serving.process import finished, run, settle_memory, stop_on_signals
from yoi.serving.secrets import WorkspaceSecrets
from yoi.serving.watching import Watch
from yoi.types import Clock, SystemClock, rfc3339

T = TypeVar("T")

_RNG = random.random
_PREPARE = ":prepare"
"""The scheduler's key for work of the host itself; no plugin can have this name."""
Listen = Callable[[Diagnostic], None]
Address = Callable[[], str]
"""Returns where the process can be watched; asked when it is printed, since it may not last."""
Ready = Callable[[ServiceManager, Address | None], None]
Preparing = Callable[[], contextlib.AbstractContextManager[None]]
"""Entered while the Python runner is prepared, which takes seconds on a machine's first run."""
Beside = Callable[["Runtime"], contextlib.AbstractAsyncContextManager[Address | None]]
"""Entered beside the running runtime: its listener, or a backend."""


def serve(
    workspace: Path,
    decisions: Decisions,
    *,
    on_ready: Ready,
    listen: Listen,
    preparing: Preparing,
    beside: Beside,
    limits: Limits = LIMITS,
) -> int:
    """Run the services of `workspace` until SIGTERM or SIGINT; return the exit status.

    What runs is what `decisions` allow of what the workspace says.

    `on_ready` is called once every enabled plugin was started or has failed visibly, with what
    `beside` gave: where it can be watched. `listen` hears each diagnostic. A second signal while
    draining ends the process at once.
    """
    clock = SystemClock()
    workspace = workspace.resolve()
    plans = WorkspacePlans(workspace, clock, decisions)
    runtime = Runtime(
        workspace, plans.read, listen, clock, limits, preparing, decisions, plans.decided
    )
    return run(_serve(workspace, runtime, plans, on_ready, beside))


async def _serve(
    workspace: Path, runtime: "Runtime", plans: WorkspacePlans, on_ready: Ready, beside: Beside
) -> int:
    stop = stop_on_signals()
    async with runtime, beside(runtime) as address, watch(workspace, stop) as changes:
        if await finished(runtime.reload(), stop):
            settle_memory()
            on_ready(runtime.host, address)
            await follow(changes, runtime, plans.due_in)
    return 0


def watch(workspace: Path, stop: asyncio.Event) -> Watch:
    """Return a watch of what an operator changes: yoi.toml, the store, the secrets."""
    ours = (
        operator_file(workspace),
        Store.project(workspace).path,
        workspace / ".yoi" / "secrets.enc",
    )

    def watched(path: Path) -> bool:
        return any(path.is_relative_to(one) for one in ours)

    return Watch(workspace / ".yoi", watched, stop, (operator_file(workspace),))


async def follow(
    changes: Watch, runtime: "Runtime", due_in: Callable[[], float | None] = lambda: None
) -> None:
    """Apply yoi.toml, the store and the secrets again whenever they change, until the watch ends.

    A grant that is taken away in an editor must not stay in force until the next restart. `due_in`
    says when to look again though nothing changes.
    """
    warned = False
    while await changes.changed(due_in()):
        if changes.fault is not None and not warned:
            warned = True
            runtime.tell(changes.fault, "warning")
        try:
            await runtime.reload()
        except Exception as exc:
            # What ran before goes on; the person sees why the change was not taken.
            runtime.tell(defect(exc, "applying the change", str(exc)))


class Runtime:
    """What a serving process needs, opened and closed in order: control socket, sandbox, services.

    `read_plan` says what to run; it is called on a worker thread at each reload.
    """

    def __init__(
        self,
        workspace: Path,
        read_plan: Callable[[], Plan],
        listen: Listen,
        clock: Clock,
        limits: Limits,
        preparing: Preparing = contextlib.nullcontext,
        decisions: Decisions | None = None,
        decided: Callable[[Iterable[str]], None] = lambda names: None,
    ) -> None:
        """`decided` is told which entries a command of Yoi wrote, before the plan is read."""
        self._workspace = workspace
        self._decided, self._decisions = decided, decisions
        self.owner: str | None = None
        """The id that the host's files in the workspace carry, once entered; None accepts any."""
        self._read_plan = read_plan
        self._listen = listen
        self._preparing = preparing
        self._prepared = False
        self._pending: list[Mapping[str, Any]] = []
        self._prepare_once = asyncio.Lock()
        self._later: set[asyncio.Task[Any]] = set()
        self._clock = clock
        self._limits = limits
        self._started_at = rfc3339(clock.wall())
        self.secrets = WorkspaceSecrets(workspace, decisions)
        """The operator's, for what runs beside."""
        self._served = self._methods()
        self._control = ControlServer(workspace, self._served, limits)

    async def __aenter__(self) -> "Runtime":
        # First the socket: it is also the lock that keeps two hosts out of one workspace.
        await self._control.start()
        try:
            loop = asyncio.get_running_loop()
            self._mailbox = Mailbox(loop)
            self._sandbox = await asyncio.to_thread(Sandbox, self._limits, cache_dir())
            self._scheduler = Scheduler(self._limits)
            self.owner = await asyncio.to_thread(self._identity)
            self._state = await asyncio.to_thread(self._open_state)
            self.observing = Observing(
                await asyncio.to_thread(self._cursor_keys),
                lambda: self.host.statuses(),
                self._clock,
                self._limits,
            )
            self._journal = await SqliteJournal.open(
                self._workspace / ".yoi" / "journal.db", limits=self._limits, owner=self.owner
            )
            self.workers = WorkerManager(
                self._journal,
                lambda: self.host,
                self.secrets,
                self._listen,
                self._clock,
                self._limits,
                self.observing.follow_workers,
            )
            self._served.update(self.workers.methods)
            self.host = ServiceManager(
                HostContext(
                    turns=self._scheduler,
                    mailbox=self._mailbox,
                    loop=loop,
                    clock=self._clock,
                    rng=_RNG,
                    listen=self._listen,
                    state=self._state,
                    limits=self._limits,
                    notifier=self.workers,
                    observer=self.observing,
                )
            )
            self.observing.start()
            resolver = SystemResolver(self._limits)
            connector = default_connector(self._limits)
            self._assembler = Assembler(
                sandbox=self._sandbox,
                connections=ConnectionSpecMaker(
                    connector=connector,
                    resolver=resolver,
                    state=self._state,
                    loop=loop,
                    clock=self._clock,
                    limits=self._limits,
                    rng=_RNG,
                ),
                requests=RequestClient(resolver, self._clock, self._limits),
                secrets=self.secrets,
                handles=HandleTable(self._limits),
                state=self._state,
                pull=PullDialler(connector, resolver, self._clock, self._limits, loop.call_later),
                waiting=self._scheduler.waiting,
                loop=loop,
                clock=self._clock,
                limits=self._limits,
            )
        except BaseException:
            await self._control.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.observing.stop()
            try:
                # First: a worker must not see its plugins' tools fail because the host goes.
                await self.workers.stop()
            finally:
                await self.host.stop()
        finally:
            await self._control.close()
            await self._journal.close()
            # Whoever is still at work was left to its deadline; its thread ends with the process.
            await asyncio.to_thread(self._scheduler.close, self._limits.stop_ms / 1000)
            await asyncio.to_thread(self._sandbox.close)
            await asyncio.to_thread(self._state.close)

    async def reload(self) -> Applied:
        """Read the plan again and run exactly what it says."""
        plan = await asyncio.to_thread(self._read_plan)
        self._pending = list(plan.pending)
        try:
            await self.secrets.refresh()
        except SecretError as exc:
            self.tell(exc)
        for problem in plan.diagnostics:
            self._listen(problem)
        if any(isinstance(p.package.manifest.runtime, PythonRuntime) for p in plan.plugins):
            await self._prepare()
        applied = await self.host.apply(self._assembler.spec(p) for p in plan.plugins)
        # After the services: a worker that goes on with a run finds its tools.
        await self.workers.apply(plan.workers)
        self.observing.settled = True
        return applied

    def why_not_ready(self) -> str | None:
        """Return why this process should not be watched yet, or None."""
        return None if self.observing.settled else "what is enabled is being started"

    def tell(self, error: YoiError, severity: Severity = "error") -> None:
        """Let the listener hear of an error that belongs to the host itself."""
        self._listen(
            diagnostic(
                rfc3339(self._clock.wall()),
                error.code,
                "host",
                error.message,
                severity=severity,
                hint=error.hint,
            )
        )

    async def _prepare(self) -> None:
        """Compile the runner before services start, so that none of them pays for it."""
        async with self._prepare_once:
            if self._prepared:
                return
            with self._preparing(), contextlib.suppress(SandboxError):
                # Without a runner every service says so for itself.
                # On a thread that the end of the process need not wait for.
                await on_worker(self._scheduler, self._mailbox, _PREPARE, self._sandbox.warm_up)
            self._prepared = True

    async def _unless_long(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return what `work` returns, or None where it goes on for longer than a client waits."""
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait({task}, timeout=self._limits.control_wait_ms / 1000)
        if done:
            return task.result()
        # The loop knows its tasks only weakly.
        self._later.add(task)
        task.add_done_callback(self._ended_late)
        return None

    def _ended_late(self, task: "asyncio.Task[Any]") -> None:
        self._later.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, YoiError):
            self.tell(error)
        elif error is not None:
            self.tell(defect(error, "a late task", str(error)))

    def offer(self, methods: Mapping[str, Callable[[dict[str, Any]], Awaitable[Any]]]) -> None:
        """Answer these methods, too, on the control socket."""
        self._served.update(methods)

    def _cursor_keys(self) -> CursorKeys:
        return KeyStore(keys_file(self._workspace), owner=self.owner).load_or_create().cursor_keys

    def _open_state(self) -> StateStore:
        folder = self._workspace / ".yoi"
        folder.mkdir(mode=0o700, exist_ok=True)
        return StateStore(folder / "state.db", self._limits, self.owner)

    def _identity(self) -> str | None:
        return None if self._decisions is None else self._decisions.identity(self._workspace)

    def _methods(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[Any]]]:
        return {
            "host.status": self._host_status,
            "host.reload": self._host_reload,
            "service.list": self._list,
            "service.status": self._status,
            "service.restart": self._restart,
            "service.stop": self._stop,
            "service.dead_letters": self._dead_letters,
            "service.replay": self._replay,
            "service.call": self._call,
        }

    async def _host_status(self, params: dict[str, Any]) -> Any:
        return {
            "pid": os.getpid(),
            "workspace": str(self._workspace),
            "started_at": self._started_at,
            "services": len(self.host.services),
            "pending": self._pending,
        }

    async def _host_reload(self, params: dict[str, Any]) -> Any:
        self._decided(params.get("entries", ()))
        applied = await self._unless_long(self.reload())
        if applied is None:
            applied = Applied(started=[], stopped=[], restarted=[], regranted=[])
            return {**msgspec.to_builtins(applied), "pending": True}
        return {**msgspec.to_builtins(applied), "pending": False}

    async def _list(self, params: dict[str, Any]) -> Any:
        return msgspec.to_builtins(list(self.host.statuses().values()))

    async def _status(self, params: dict[str, Any]) -> Any:
        service = self.host.service(params["name"])
        with contextlib.suppress(TimeoutError):
            # A plugin that is busy for longer is shown with the status it gave last.
            async with asyncio.timeout(self._limits.status_ms / 1000):
                await service.ask_status()
        return msgspec.to_builtins(self.host.status(service.name))

    async def _restart(self, params: dict[str, Any]) -> Any:
        service = self.host.service(params["name"])
        await self._unless_long(service.restart())
        return msgspec.to_builtins(self.host.status(service.name))

    async def _stop(self, params: dict[str, Any]) -> Any:
        service = self.host.service(params["name"])
        await self._unless_long(service.stop(reason="stopped by a person"))
        return msgspec.to_builtins(self.host.status(service.name))

    async def _dead_letters(self, params: dict[str, Any]) -> Any:
        return [letter.to_json() for letter in self.host.service(params["name"]).dead_letters]

    async def _replay(self, params: dict[str, Any]) -> Any:
        self.host.service(params["name"]).replay(params["event_id"])
        return {"replayed": params["event_id"]}

    async def _call(self, params: dict[str, Any]) -> Any:
        return await self.host.service(params["name"]).call_tool(
            params["tool"], params.get("input", {})
        )
