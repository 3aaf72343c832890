"""Applying the operator's settings to a runtime: read, prepare, services, then workers."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from yoi.errors import SandboxError, SecretError, YoiError
from yoi.host.parts import Placing, Plans, Preparing
from yoi.host.runtime_parts import RuntimeParts
from yoi.packages import PythonRuntime
from yoi.protocol.diagnostics import Diagnostic
from yoi.runtime.containment import contained_work
from yoi.runtime.service_manager import Applied
from yoi.runtime.thread_bridge import on_worker
from yoi.runtime.workspace import Plan

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
        placing: Placing | None = None,
    ) -> None:
        """`placing` says what of a plan runs here; without it everything does."""
        self._runtime = runtime
        self._placing = placing
        self._plan: Plan | None = None
        self._plans = plans
        self._preparing = preparing
        self._listen = listen
        self._tell = tell
        self._prepared = False
        self._telling: set[asyncio.Task[None]] = set()
        runtime.services.proven = self._proven
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
            if self._plan is not None and self._placing is not None:
                # What another machine is to run must stop here nevertheless.
                await self._run(self._plan)
            raise
        self._plan = plan
        runtime.alerting.distrusted = plan.trouble
        self.pending = plan.pending
        changed: frozenset[str] = frozenset()
        try:
            changed = await runtime.secrets.refresh()
        except SecretError as exc:
            self._tell(exc)
        for problem in plan.diagnostics:
            self._listen(problem)
        applied = await self._run(plan)
        if changed:
            for service in runtime.services:
                service.secrets_changed(changed)
        runtime.observing.settled = True
        return applied

    def _proven(self, name: str, digest: str) -> None:
        """Have it written that the version before is not needed any more."""
        task = asyncio.ensure_future(
            contained_work(
                "recording that a version is kept",
                asyncio.to_thread(self._plans.proven, name, digest),
                self._tell,
            )
        )
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def close(self) -> None:
        """Wait until what is kept is written."""
        await asyncio.gather(*self._telling)

    async def _run(self, plan: Plan) -> Applied:
        """Run what of `plan` belongs here."""
        runtime = self._runtime
        here = plan if self._placing is None else self._placing.kept(plan)
        # Also what others run: one that takes it over later is then ready for it.
        if any(isinstance(one.package.manifest.runtime, PythonRuntime) for one in plan.plugins):
            await self._prepare()
        staying = {one.name for one in here.workers}
        leaving = [one.name for one in runtime.workers if one.name not in staying]
        moving = set(leaving) & {one.name for one in plan.workers}
        with runtime.workers.moving(moving), runtime.workers.expecting(here.workers):
            if leaving and self._placing is not None:
                # Before the services: no worker sees its plugins' tools fail as its unit moves.
                kept = [one for one in here.workers if one.name in runtime.workers]
                await runtime.workers.apply(kept, plan.faulty_workers)
            applied = await self._run_services(plan, here)
            await runtime.mcp.apply(plan.mcp)
            # After the services: a worker that goes on with a run finds its tools.
            await runtime.workers.apply(here.workers, plan.faulty_workers)
        runtime.events.granted = plan.mcp.events
        await runtime.clients.apply(plan.mcp, {one.name: one for one in runtime.workers})
        return applied

    async def _run_services(self, plan: Plan, here: Plan) -> Applied:
        """Run the services of `here`, the part of `plan` that belongs here."""
        runtime = self._runtime
        names = {one.name for one in plan.plugins} - {one.name for one in here.plugins}
        new = {one.name for one in here.plugins if one.name not in runtime.services}
        if not new.isdisjoint(plan.earlier):
            # What is enabled takes their place next, and goes again where it cannot.
            before = [
                plan.earlier.get(one.name, one) if one.name in new else one for one in here.plugins
            ]
            await runtime.manager.apply([runtime.assembler.spec(one) for one in before], names)
        specs = [runtime.assembler.spec(one) for one in here.plugins]
        applied = await runtime.manager.apply(specs, names)
        for name in applied.restarted:
            # Made anew: there is no way back.
            runtime.services.proven(name, runtime.services[name].spec.digest)
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
