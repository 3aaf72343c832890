"""`Host`: the front door. It opens what `yoi serve` opens, offers it, and closes all of it."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from yoi.control.server import ControlServer, Method, claimed
from yoi.decisions.port import AccountDecisions, Decisions
from yoi.defects import defect, described
from yoi.errors import YoiError
from yoi.host.applying import PlanApplier
from yoi.host.commands import COMMAND, worker_commands
from yoi.host.control_methods import HostMethods
from yoi.host.machine_file import MachineFile
from yoi.host.nats_client import needing_nats
from yoi.host.observing import Observation, subject_of
from yoi.host.opened import EnteredOnce, Opened, following, holding
from yoi.host.pairing_methods import PairingMethods
from yoi.host.parts import Parts, Plans, Preparing
from yoi.host.reloading import ReloadQueue
from yoi.host.runtime_parts import RuntimeParts, closing, open_parts
from yoi.host.showing import Shown
from yoi.protocol.diagnostics import Diagnostic, Severity, failure
from yoi.runtime.service_manager import Applied
from yoi.runtime.services import Services
from yoi.runtime.worker_manager import WorkerManager
from yoi.serving.host_settings import HostSettings
from yoi.serving.settings import ServingSettings
from yoi.serving.watching import Watch
from yoi.types import Clock, SystemClock, rfc3339

if TYPE_CHECKING:
    from yoi.host.clustered import Membership
    from yoi.host.published import Published

_log = structlog.get_logger("yoi.host")


class Host(EnteredOnce):
    """Runs the services and workers of a workspace, and a backend to watch them, while entered.

        async with Host("path/to/workspace") as host:
            print(host.url, [service.name for service in host.services])

    When the body begins, everything enabled was started or has failed visibly. Leaving it drains
    and closes all that was opened, last first, whatever fails meanwhile. A host is entered once.

    Entering raises YoiError: `control.in_use` when another host runs in the workspace, what the
    settings and ports make. What runs is what `decisions` (the account's, unless others are given)
    allow of what the workspace says; `machine` are the settings of this machine (its host.toml).
    The backend listens at `port` whatever they say, where one is given; 0 takes any.
    `on_diagnostic` hears what happens, on the event loop; what it raises
    is logged. `parts` says what else it could be made of: `Host.runtime`, `yoi.host.BackendHost`.
    """

    def __init__(
        self,
        workspace: str | Path,
        *,
        decisions: Decisions | None = None,
        machine: HostSettings | None = None,
        port: int | None = None,
        on_diagnostic: Callable[[Diagnostic], object] | None = None,
        preparing: Preparing = contextlib.nullcontext,
        parts: Parts | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.workspace = Path(workspace).resolve()
        self._clock = clock = SystemClock() if clock is None else clock
        self._decisions = AccountDecisions() if decisions is None else decisions
        self._parts = parts or Parts.serving(self.workspace, clock, self._decisions, port)
        self._machine = machine
        self._on_diagnostic = on_diagnostic
        self._preparing = preparing
        self._runtime: RuntimeParts | None = None
        self._reloads: ReloadQueue[Applied] | None = None
        self._shown = Shown()
        self.over = asyncio.Event()
        """Set when the host has to be left: other machines of its `[cluster]` may own all of it."""

    @classmethod
    def runtime(
        cls,
        workspace: str | Path,
        *,
        decisions: Decisions | None = None,
        machine: HostSettings | None = None,
        on_diagnostic: Callable[[Diagnostic], object] | None = None,
        preparing: Preparing = contextlib.nullcontext,
    ) -> "Host":
        """Return the host of `yoi runtime`: without a backend, watched by backends elsewhere."""
        folder, clock = Path(workspace).resolve(), SystemClock()
        decisions = AccountDecisions() if decisions is None else decisions
        return cls(
            folder,
            decisions=decisions,
            machine=machine,
            on_diagnostic=on_diagnostic,
            preparing=preparing,
            parts=Parts.runtime(folder, clock, decisions),
            clock=clock,
        )

    @property
    def services(self) -> Services:
        """Return the services: iterate, or look one up by name. Only while entered."""
        return self._entered.services

    @property
    def workers(self) -> WorkerManager:
        """Return the workers: iterate, or look one up by name. Only while entered."""
        return self._entered.workers

    @property
    def url(self) -> str | None:
        """Return where the host can be watched (the backend's address), or None if nowhere."""
        return self._shown.url

    def new_console_url(self) -> str | None:
        """Return an address of the web console that lets its first visitor in, or None.

        It is a secret for as long as it works; None where no backend runs here.
        """
        backend = self._shown.backend
        return None if backend is None else backend.new_console_url()

    def observe(self, subject: str) -> Observation:
        """Return an iterator over what happens to a subject from now on.

            async with host.observe("service:echo") as events:
                async for event in events:
                    ...

        A subject is `service:NAME`, `worker:NAME` or `board:tickets`. Raises ObserveError:
        `observe.not_found`, `observe.target`. Only while entered.
        """
        return Observation(self._entered.observing, subject_of(subject))

    async def reload(self) -> Applied:
        """Read the settings again, run exactly what they say, and return what changed.

        Reloads run one at a time: all requests that come while one runs share the next one. Raises
        YoiError when the settings cannot be used as a whole; what ran before goes on then. Only
        while entered.
        """
        if self._reloads is None:
            raise RuntimeError("the host is not entered")
        return await self._reloads.reload()

    @property
    def _entered(self) -> RuntimeParts:
        if self._runtime is None:
            raise RuntimeError("the host is not entered")
        return self._runtime

    async def _open(self, opened: Opened) -> None:
        workspace, clock, decisions = self.workspace, self._clock, self._decisions
        machine = self._machine
        if machine is None:
            machine = await asyncio.to_thread(HostSettings.load)
        limits = machine.limits
        # Before any file is made: settings that are not decided, or unreadable, start nothing.
        settings = machine.over(
            await asyncio.to_thread(ServingSettings.load, workspace, limits, decisions)
        )
        # First: it keeps two hosts out of one workspace.
        await opened.enter("the workspace", holding(claimed(workspace)))
        store = self._parts.secrets_of or workspace
        plans, published, cluster = self._parts.plans, None, None
        if settings.clustered:
            published = await self._published(opened, store, machine)
            cluster = await self._join(opened, store, machine)
        if published is not None:
            plans = published.plans
        secrets = None
        if published is not None and cluster is not None:
            secrets = published.secrets(store, cluster.journal)
            cluster.units.obeyed = published.mark
        runtime = await open_parts(
            opened,
            workspace,
            store,
            self._listen,
            decisions,
            clock,
            machine,
            None if cluster is None else cluster.journal,
            None if cluster is None else cluster.units,
            secrets,
            None if cluster is None else cluster.paired,
        )
        applier = PlanApplier(runtime, plans, self._preparing, self._listen, self._tell, cluster)
        reloads = ReloadQueue(applier.apply)
        methods = HostMethods(workspace, runtime, applier, reloads, self._tell, clock, limits)
        pairing = PairingMethods(runtime.pairings, runtime.workers, runtime.services, limits)
        here: Mapping[str, Method] = {
            **methods.methods,
            **runtime.workers.methods,
            **pairing.methods,
            **runtime.mcp.methods,
            **runtime.clients.methods,
            **runtime.events.methods,
        }
        reached = here if cluster is None else cluster.reaching(here)
        control = await opened.enter(
            "the control socket", ControlServer(workspace, reached, limits)
        )
        await opened.enter("the services", closing(runtime.manager.stop))
        # Stops before the services: no worker sees its plugins' tools fail because the host goes.
        await opened.enter("the workers", closing(runtime.workers.stop))
        worker_set = runtime.workers.worker_set
        await opened.enter(
            "the work items", runtime.tickets.watching(lambda: worker_set.with_profiles)
        )
        await opened.enter("the board", runtime.tickets.board.watching())
        await opened.enter("late answers", closing(methods.close))
        await opened.enter("reloads", closing(reloads.close))
        await opened.enter("what is kept of versions", closing(applier.close))
        self._runtime, self._reloads = runtime, reloads
        self._shown = await opened.enter(
            "what is watched", self._parts.showing(workspace, runtime, settings, limits, clock)
        )
        await opened.enter("offered methods", holding(control.offering(self._shown.methods)))
        if machine.source is not None:
            followed = MachineFile(machine, runtime.network, runtime.alerting, self._listen, clock)
            await opened.enter("following host.toml", following(followed.follow))
        # Watched before the plan is read, so that no save falls between.
        changes = await opened.enter("the watched files", self._parts.watch(asyncio.Event()))
        await reloads.reload()
        if cluster is not None:
            await opened.enter("the units", cluster.running(runtime, reloads.reload))
            sent = {**here, COMMAND: worker_commands(runtime.workers)}
            await opened.enter("commands of other machines", cluster.answering(sent))
            await self._register(opened, cluster, settings)
        await opened.enter("following changes", following(partial(self._follow, changes, plans)))
        if published is not None:
            follow = partial(published.follow, self.reload, self._tell, self.over, secrets)
            await opened.enter("following what is published", following(follow))

    async def _published(
        self, opened: Opened, store: Path, machine: HostSettings
    ) -> "Published | None":
        """Return what the machine's operator published; None where this account decides."""
        if machine.publisher is None:
            return None
        with needing_nats():
            from yoi.host.published import Published
        return await Published.open(
            opened, self.workspace, store, self._decisions, machine, self._clock, self._listen
        )

    async def _join(self, opened: Opened, store: Path, machine: HostSettings) -> "Membership":
        """Be one of the machines of the workspace's `[cluster]`."""
        with needing_nats():
            from yoi.host.clustered import joined

        made = await joined(
            opened, self.workspace, store, self._decisions, machine, self._listen, self._clock
        )
        self.over = made.over
        return made

    async def _register(
        self, opened: Opened, cluster: "Membership", settings: ServingSettings
    ) -> None:
        """Let backends of the deployment find this runtime, where one listens for them."""
        url, key = self._shown.url, settings.deployment_key
        if url is None or key is None or self._shown.backend is not None:
            return
        from yoi.host.cluster_backend import registration

        part = registration(cluster, key, url, settings.runtime.listener.tls)
        await opened.enter("its address", part)

    async def _follow(self, changes: Watch, plans: Plans) -> None:
        """Reload whenever the operator's files have changed."""
        warned = False
        try:
            while await changes.changed(plans.due_in()):
                if changes.fault is not None and not warned:
                    warned = True
                    self._tell(changes.fault, "warning")
                try:
                    await self.reload()
                except Exception as exc:
                    # What ran before goes on; the person sees why the change was not taken.
                    self._tell(defect(exc, "applying the change", str(exc)))
        except Exception as exc:
            self._tell(defect(exc, "watching the operator's files", str(exc)))

    def _listen(self, entry: Diagnostic) -> None:
        """Let the listener hear of `entry`. What it raises is its own fault, not a service's."""
        if self._on_diagnostic is None:
            return
        try:
            self._on_diagnostic(entry)
        except Exception as exc:
            _log.error("on_diagnostic raised", error=described(exc), code=entry.code)

    def _tell(self, error: YoiError, severity: Severity = "error") -> None:
        """Let the listener hear of an error that belongs to the host itself."""
        self._listen(failure(rfc3339(self._clock.wall()), "host", error, severity))
