"""Where workers and services meet: tools one way, notifications the other, nothing else."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from yoi.errors import WorkerError, YoiError
from yoi.journal.log import Journal
from yoi.journal.ownership import Ownership, SoleOwner
from yoi.limits import Limits
from yoi.protocol.diagnostics import Diagnostic, diagnostic
from yoi.runtime.services import Services
from yoi.types import Clock, SecretSource, rfc3339
from yoi.workers.engine import Engine
from yoi.workers.failed import FailedWorker
from yoi.workers.notify import Notification, Notified
from yoi.workers.operations import WorkerOperations
from yoi.workers.profile import WorkerProfile
from yoi.workers.servers import McpTools, NoServers
from yoi.workers.tools import PluginTool, Tool
from yoi.workers.worker import Worker
from yoi.workers.worker_set import WorkerContext, WorkerSet, no_engine, no_tools


class HostTools:
    """The tools of a host's services: a `PluginTools` and, for what it grants, a `Redactor`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def tools(self) -> Sequence[PluginTool]:
        """Return what running services offer and the operator granted."""
        return [
            tool for service in self._services if service.available for tool in service.spec.tools
        ]

    async def call(self, service: str, tool: str, arguments: dict[str, Any]) -> Any:
        """Return the tool's output without the plugin's secrets. Raises YoiError."""
        masker = self._services[service].spec.injector.masker
        try:
            output = await self._services[service].call_tool(tool, arguments)
        except YoiError as exc:
            raise masker().error(exc) from None
        return masker().document(output)

    def redact(self, plugin: str, text: str) -> str:
        """Return `text` without the secrets of `plugin`.

        Raises ServiceError `service.unknown` when the plugin is gone: what cannot be masked is not
        committed.
        """
        return self._services[plugin].spec.injector.masker().text(text)


def _unobserved(running: Sequence[Worker], failed: Sequence[FailedWorker]) -> None:
    """Do nothing: the host's workers are not watched."""


class WorkerManager:
    """The workers of one host. `stop` before the services stop, so that no call is cut off.

    `observer` is told who runs whenever that has changed.
    """

    def __init__(
        self,
        journal: Journal,
        services: Services,
        secrets: SecretSource,
        listen: Callable[[Diagnostic], None],
        clock: Clock,
        limits: Limits,
        observer: Callable[[Sequence[Worker], Sequence[FailedWorker]], None] = _unobserved,
        host_tools: Callable[[WorkerProfile], Sequence[Tool]] = no_tools,
        ownership: Ownership | None = None,
        mcp: McpTools | None = None,
        engine: Callable[[WorkerProfile], Engine | None] = no_engine,
    ) -> None:
        tools = HostTools(services)
        self._listen = listen
        self._clock = clock
        self._limits = limits
        self._observer = observer
        self._open = asyncio.Event()
        self._expected: frozenset[str] = frozenset()
        """Workers that the next `apply` starts, or starts anew."""
        self._arrived = asyncio.Event()
        """Set where none is expected."""
        self._moving: frozenset[str] = frozenset()
        """Workers that leave this machine together with the services that notify them."""
        self._arrived.set()
        self._waiting = 0
        self._stopping = False
        self.worker_set = WorkerSet(
            WorkerContext(
                journal=journal,
                plugins=tools,
                secrets=secrets,
                redactor=tools,
                host_tools=host_tools,
                ownership=SoleOwner() if ownership is None else ownership,
                mcp=NoServers() if mcp is None else mcp,
                engine=engine,
                clock=clock,
                limits=limits,
            )
        )
        self.methods = WorkerOperations(self.worker_set, clock, limits).methods
        """For the control socket."""

    def __iter__(self) -> Iterator[Worker]:
        """Iterate over the workers, ordered by name."""
        return iter(self.worker_set.workers)

    def __len__(self) -> int:
        return len(self.worker_set.workers)

    def __contains__(self, name: object) -> bool:
        return any(worker.name == name for worker in self.worker_set.workers)

    def __getitem__(self, name: str) -> Worker:
        """Return the worker called `name`, or raise WorkerError `worker.unknown`."""
        return self.worker_set.worker(name)

    async def apply(
        self, profiles: Iterable[WorkerProfile], faulty: Iterable[FailedWorker] = ()
    ) -> None:
        """Run exactly `profiles`; one that cannot run is a diagnostic and stops no other.

        `faulty` were diagnosed already; they are shown as failed.
        """
        self._open.clear()
        try:
            change = await self.worker_set.apply(profiles, faulty)
        finally:
            self._observer(self.worker_set.workers, self.worker_set.failed)
            self._open.set()
        hints = {one.name: one.hint for one in self.worker_set.failed}
        for name, reason in change.failed.items():
            self._listen(
                diagnostic(
                    rfc3339(self._clock.wall()),
                    "worker.profile",
                    f"worker:{name}",
                    f"worker {name} does not run: {reason}",
                    severity="error",
                    hint=hints[name],
                )
            )

    @contextlib.contextmanager
    def expecting(self, profiles: Iterable[WorkerProfile]) -> Iterator[None]:
        """Let notifications of workers that are new or changed wait for the end of the block.

        The block starts services, and then calls `apply` with `profiles`: a service may hear its
        first message, or repeat what it told a worker elsewhere, before that worker is here.
        """
        self._expected = frozenset(one.name for one in profiles if not self.worker_set.runs(one))
        self._arrived.clear()
        try:
            yield
        finally:
            self._expected = frozenset()
            self._arrived.set()

    @contextlib.contextmanager
    def moving(self, names: Iterable[str]) -> Iterator[None]:
        """Let notifications of workers that move to another machine fail as those of a host's end.

        The block stops them, then their services. What is refused so has no outcome yet: a service
        with a durable ingress tells it again where it goes on.
        """
        self._moving = frozenset(names)
        try:
            yield
        finally:
            self._moving = frozenset()

    async def notify(self, notification: Notification) -> Notified:
        """Commit `notification`; see `Notifications.notify`. Waits while workers are being started.

        A service may hear its first message before the workers are there. Raises YoiError.
        """
        if not self._open.is_set() or notification.worker in self._expected:
            if self._waiting >= self._limits.worker_inputs:
                raise WorkerError(
                    "worker.queue_full",
                    f"{self._waiting} notifications wait for workers to start already",
                )
            self._waiting += 1
            try:
                if notification.worker in self._expected:
                    await self._arrived.wait()
                await self._open.wait()
            finally:
                self._waiting -= 1
        if self._stopping:
            raise WorkerError("worker.stopped", "the host is stopping")
        if notification.worker in self._moving and notification.worker not in self:
            raise WorkerError("worker.stopped", f"{notification.worker} moves to another machine")
        return await self.worker_set.notifications.notify(notification)

    async def stop(self) -> None:
        """Stop every worker; what was under way is recorded as interrupted."""
        self._stopping = True
        self._arrived.set()
        self._open.set()
        await self.worker_set.stop()
