"""Applying the operator's settings to a runtime: read, prepare, services, then workers."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from yoi.errors import SandboxError, SecretError, YoiError
from yoi.host.parts import Plans, Preparing
from yoi.host.runtime_parts import RuntimeParts
from yoi.mcp.clients import WORKER as CLIENTS
from yoi.packages import PythonRuntime
from yoi.protocol.diagnostics import Diagnostic
from yoi.runtime.service_manager import Applied
from yoi.runtime.thread_bridge import on_worker

_PREPARE = ":prepare"
"""The scheduler's key for work of the host itself; no plugin can have this name."""


class PlanApplier:
    """Makes a runtime run what the plan says."""

    def __init__(
        self,
        runtime: RuntimeParts,
        plans: Plans,
        preparing: Preparing,
        listen: Callable[[Diagnostic], None],
        tell: Callable[[YoiError], None],
    ) -> None:
        self._runtime = runtime
        self._plans = plans
        self._preparing = preparing
        self._listen = listen
        self._tell = tell
        self._prepared = False
        self.pending: Sequence[Mapping[str, Any]] = ()
        """What waits for a decision, as of the last plan."""

    def decided(self, names: Iterable[str]) -> None:
        """Take the entries `names` at once at the next `apply`: a command of Yoi wrote them."""
        self._plans.decided(names)

    async def apply(self) -> Applied:
        """Read the plan and run exactly what it says. Not to be called twice at once.

        Raises YoiError where it cannot be read as a whole; what ran before goes on then.
        """
        runtime = self._runtime
        try:
            plan = await asyncio.to_thread(self._plans.read)
        except YoiError as exc:
            runtime.alerting.distrusted = exc
            raise
        runtime.alerting.distrusted = plan.trouble
        self.pending = plan.pending
        changed: frozenset[str] = frozenset()
        try:
            changed = await runtime.secrets.refresh()
        except SecretError as exc:
            self._tell(exc)
        for problem in plan.diagnostics:
            self._listen(problem)
        if any(isinstance(one.package.manifest.runtime, PythonRuntime) for one in plan.plugins):
            await self._prepare()
        applied = await runtime.manager.apply([runtime.assembler.spec(p) for p in plan.plugins])
        if changed:
            for service in runtime.services:
                service.secrets_changed(changed)
        await runtime.mcp.apply(plan.mcp.servers)
        # After the services: a worker that goes on with a run finds its tools.
        await runtime.workers.apply(plan.workers, plan.faulty_workers)
        runtime.events.granted = plan.mcp.events
        workers = runtime.workers
        own = workers[CLIENTS] if CLIENTS in workers and plan.mcp.tools else None
        await runtime.clients.apply(plan.mcp, own)
        runtime.observing.settled = True
        return applied

    async def _prepare(self) -> None:
        """Compile the runner before services start, so that none of them pays for it."""
        if self._prepared:
            return
        runtime = self._runtime
        with self._preparing(), contextlib.suppress(SandboxError):
            # Without a runner every service says so for itself.
            # On a thread that the end of the process need not wait for.
            await on_worker(runtime.scheduler, runtime.mailbox, _PREPARE, runtime.sandbox.warm_up)
        self._prepared = True
