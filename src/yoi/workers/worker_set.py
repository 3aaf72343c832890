"""The workers of one host: which run, and what changes when the operator's configuration does."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from yoi.errors import WorkerError, YoiError, run_elsewhere
from yoi.journal.log import Journal
from yoi.journal.ownership import Ownership, SoleOwner
from yoi.limits import LIMITS, Limits
from yoi.types import Clock, SecretSource
from yoi.workers.budget import Budget
from yoi.workers.engine import Engine
from yoi.workers.engines import make_engine
from yoi.workers.failed import FailedWorker
from yoi.workers.notify import Notifications, Redactor
from yoi.workers.prices import priced
from yoi.workers.profile import WorkerProfile
from yoi.workers.servers import McpTools, NoServers
from yoi.workers.setup import WorkerSetup
from yoi.workers.tools import PluginTools, Tool, ToolRegistry, chosen_tools
from yoi.workers.worker import Worker, WorkerStatus, failed_status


def no_tools(profile: WorkerProfile) -> Sequence[Tool]:
    """Return no tools."""
    return ()


def no_engine(profile: WorkerProfile) -> Engine | None:
    """Return None."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """What every worker of a host shares; the runtime brings it."""

    journal: Journal
    plugins: PluginTools
    secrets: SecretSource
    redactor: Redactor
    clock: Clock
    host_tools: Callable[[WorkerProfile], Sequence[Tool]] = no_tools
    """The tools of the host itself, as a profile grants them."""
    ownership: Ownership = field(default_factory=SoleOwner)
    mcp: McpTools = field(default_factory=NoServers)
    """Those of MCP servers."""
    engine: Callable[[WorkerProfile], Engine | None] = no_engine
    """The engine of a worker that is the host's own, None for every other."""
    limits: Limits = LIMITS


class WorkerChanges(msgspec.Struct, kw_only=True):
    """What applying a configuration did, as names; `failed` holds each reason."""

    started: list[str]
    stopped: list[str]
    restarted: list[str]
    failed: dict[str, str]


class WorkerSet:
    """Runs workers made from profiles. `notifications` is where plugins' notifications go."""

    def __init__(self, around: WorkerContext) -> None:
        self.notifications = Notifications(around.redactor, around.clock, around.limits)
        self._around = around
        self._running: dict[str, tuple[WorkerProfile, Worker]] = {}
        self._failed: dict[str, FailedWorker] = {}
        self._applying = asyncio.Lock()
        self._stopped = False
        self.machine_of: Callable[[str], str | None] = lambda name: None
        """Return the other machine that runs a worker; set by who knows it. Empty: none does."""

    @property
    def workers(self) -> list[Worker]:
        """Return the workers, by name."""
        return [self._running[name][1] for name in sorted(self._running)]

    @property
    def with_profiles(self) -> list[tuple[WorkerProfile, Worker]]:
        """Return the workers with what they are made from, by name."""
        return [self._running[name] for name in sorted(self._running)]

    @property
    def failed(self) -> list[FailedWorker]:
        """Return those that are configured and cannot run, by name."""
        return [self._failed[name] for name in sorted(self._failed)]

    def status(self, name: str) -> WorkerStatus:
        """Return what is shown of the worker `name`, one that cannot run included.

        Raises WorkerError `worker.unknown`.
        """
        failed = self._failed.get(name)
        if failed is not None:
            return failed_status(failed)
        status = self.worker(name).status()
        status.servers = self._around.mcp.shown(self._running[name][0])
        return status

    def statuses(self) -> list[WorkerStatus]:
        """Return the same of every worker, by name."""
        return [self.status(name) for name in sorted({*self._running, *self._failed})]

    def worker(self, name: str) -> Worker:
        """Return the worker called `name`.

        Raises WorkerError: `worker.unknown`, `worker.failed`, `worker.elsewhere`.
        """
        try:
            return self._running[name][1]
        except KeyError:
            if name in self._failed:
                raise self._failed[name].refusal() from None
            machine = self.machine_of(name)
            if machine is not None:
                raise WorkerError(
                    "worker.elsewhere",
                    run_elsewhere(name, machine),
                    hint="yoi cluster leases",
                    machine=machine,
                ) from None
            raise WorkerError(
                "worker.unknown", f"no worker is called {name!r}", hint="yoi worker list"
            ) from None

    async def apply(
        self, profiles: Iterable[WorkerProfile], faulty: Iterable[FailedWorker] = ()
    ) -> WorkerChanges:
        """Run exactly `profiles`: stop what is gone, restart what changed, start what is new.

        One worker's failure (a missing key, a damaged history) stands in the answer; the others
        run. `faulty` are tables that make no profile; they are shown as
        failed. Raises WorkerError `worker.duplicate`, `worker.stopped`.
        """
        wanted: dict[str, WorkerProfile] = {}
        for profile in profiles:
            if profile.name in wanted:
                raise WorkerError("worker.duplicate", f"two workers are called {profile.name}")
            wanted[profile.name] = profile
        if len(wanted) > self._around.limits.workers:
            raise WorkerError("worker.profile", f"more than {self._around.limits.workers} workers")
        async with self._applying:
            if self._stopped:
                raise WorkerError("worker.stopped", "the host is stopping")
            gone = [name for name in self._running if name not in wanted]
            changed = [
                name
                for name, (profile, _) in self._running.items()
                if name in wanted and wanted[name] != profile
            ]
            new = [name for name in wanted if name not in self._running]
            for name in gone + changed:
                await self._end(name)
            failed: dict[str, str] = {}
            self._failed = {one.name: one for one in faulty if one.name not in wanted}
            for name in changed + new:
                try:
                    await self._begin(wanted[name])
                except YoiError as exc:
                    failed[name] = str(exc)
                    self._failed[name] = FailedWorker.now(
                        name, exc, wanted[name].model.model, self._around.clock
                    )
        return WorkerChanges(
            started=sorted(name for name in new if name not in failed),
            stopped=sorted(gone),
            restarted=sorted(name for name in changed if name not in failed),
            failed=failed,
        )

    def runs(self, profile: WorkerProfile) -> bool:
        """Return whether a worker runs with exactly this profile."""
        running = self._running.get(profile.name)
        return running is not None and running[0] == profile

    async def stop(self) -> None:
        """Stop every worker; what was under way is recorded as interrupted."""
        async with self._applying:
            self._stopped = True
            await asyncio.gather(*(self._end(name) for name in list(self._running)))

    async def _begin(self, profile: WorkerProfile) -> None:
        around = self._around
        # The list of prices takes half a second to load.
        budget = await asyncio.to_thread(priced, profile)
        worker = self._made(
            profile,
            budget,
            around.engine(profile)
            or make_engine(profile, around.secrets, around.limits, around.clock.monotonic),
        )
        try:
            await worker.start()
        except BaseException:
            await worker.stop()
            raise
        self._running[profile.name] = (profile, worker)
        compared = [same.event for tool in profile.tools for same in tool.same]
        self.notifications.open(worker, profile.notify, compared)

    async def _end(self, name: str) -> None:
        self.notifications.close(name)
        _, worker = self._running.pop(name)
        await worker.stop()

    def _made(self, profile: WorkerProfile, budget: Budget, engine: Engine) -> Worker:
        around = self._around
        told: set[str] = set()

        def tools() -> ToolRegistry:
            """Return the tools there are now; what is missing or unusable is told once."""
            registry = ToolRegistry(around.host_tools(profile), around.limits)
            found, missing = chosen_tools(profile.tools, around.plugins)
            problems = [f"plugin {c.service} offers no tool {c.tool} now" for c in missing]
            served, unserved = around.mcp.tools(profile)
            problems += unserved
            for tool in (*found, *served):
                try:
                    registry.add(tool)
                except WorkerError as exc:
                    problems.append(exc.message)
            for problem in problems:
                if problem not in told:
                    told.add(problem)
                    worker.alerts.add("warning", "tools", problem)
            told.intersection_update(problems)
            return registry

        deadline_s = profile.approval_deadline_s
        worker = Worker(
            WorkerSetup(
                name=profile.name,
                instructions=profile.instructions,
                max_turns=profile.max_turns,
                engine=engine,
                tools=tools,
                journal=around.journal,
                ownership=around.ownership,
                clock=around.clock,
                limits=around.limits,
                approval_deadline_ms=None if deadline_s is None else deadline_s * 1000,
                models=(profile.model.model, *(one.model for one in profile.fallbacks)),
                budget=budget,
                window=profile.window,
                compact_at=profile.compact_at,
                compact_keep=profile.compact_keep,
            )
        )
        return worker
