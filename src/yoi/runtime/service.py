"""One enabled plugin as it runs: when its instance starts, is replaced, stops, or is given up.

Everything here runs on the event loop. What an instance is handed and what becomes of its answers
is the work of the parts that this puts together (dispatcher, gate, executor, connections).
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from yoi.core.halts import Change
from yoi.core.lifecycle import Lifecycle, Quarantine, ServiceLifecycle
from yoi.errors import GuestTrapped, JournalError, SandboxError, ServiceError, YoiError
from yoi.permissions import permission_hash
from yoi.permissions.connection_settings import GOING_AWAY
from yoi.protocol.diagnostics import Diagnostic
from yoi.protocol.status import ServiceStatus
from yoi.runtime.containment import contained_work
from yoi.runtime.dead_letters import DeadLetter
from yoi.runtime.draining import Draining
from yoi.runtime.instance_slot import InstanceSlot
from yoi.runtime.life_notes import LifeNotes
from yoi.runtime.replacement import Refused, Replacements
from yoi.runtime.restart_timer import RestartTimer
from yoi.runtime.service_figures import ServiceFigures, service_figures
from yoi.runtime.service_parts import ServiceParts
from yoi.runtime.service_spec import HostContext, Instance, ServiceSpec
from yoi.runtime.service_status import service_status
from yoi.runtime.tool_calls import require_offered


class Service:
    """See the module docstring."""

    def __init__(self, spec: ServiceSpec, context: HostContext) -> None:
        self.name = spec.name
        self._context = context
        self._life = ServiceLifecycle(context.rng, context.limits)
        self._parts = parts = ServiceParts(spec, context, self)
        self._ledger = parts.ledger
        self._queue = parts.queue
        self._current = parts.current
        self._connections = parts.connections
        self._executor = parts.executor
        self._dispatcher = parts.dispatcher
        self._durability = parts.durability
        self._notes = LifeNotes(self.name, parts.ledger)
        self._draining = Draining(parts.queue, self.wake, context.limits)
        self._restarts = RestartTimer(
            context.loop, self._restart_failed, self.guest_lost, context.limits
        )
        self._replacements = Replacements(
            parts, self._life, self._restarts, self._notes, context, self
        )
        self._close_code = GOING_AWAY
        self._changing = asyncio.Lock()
        """Held by the caller that starts, replaces or stops the instance: one at a time."""
        self._retired = False

    # -- for the host -------------------------------------------------------------------------

    @property
    def lifecycle(self) -> Lifecycle:
        """Return the state."""
        return self._life.state

    @property
    def available(self) -> bool:
        """Whether there is an instance that could take a tool call."""
        return self._slot.instance is not None and self._life.state is Lifecycle.RUNNING

    @property
    def spec(self) -> ServiceSpec:
        """Return what runs now."""
        return self._current.spec

    @property
    def refused(self) -> Refused | None:
        """Return the version that is wanted and could not take over from what runs, and why."""
        return self._replacements.refused

    async def start(self) -> None:
        """Load the plugin, call its start(), then dial. Failures are recorded, never raised.

        Does nothing once the service is retired.
        """
        async with self._changing:
            if not self._retired:
                self._life.start()
                await self._bring_up()

    async def replace(self, spec: ServiceSpec) -> bool:
        """Put the version `spec` in the place of what runs; open sessions go on where they may.

        Return False where that needs a new service. Otherwise what runs is `spec`, or what ran
        before and `refused` says why. Goes on where the caller is cancelled. Raises nothing.
        """
        return await asyncio.shield(self._context.loop.create_task(self._replace(spec)))

    async def _replace(self, spec: ServiceSpec) -> bool:
        async with self._changing:
            lives = self._life.state in (Lifecycle.RUNNING, Lifecycle.FAILED)
            if self._retired or not lives or not self.spec.leads_to(spec):
                return False
            await self._replacements.carry_out(spec)
            return True

    def regrant(self, spec: ServiceSpec) -> bool:
        """Put the grants of `spec` in force; return whether they are other ones.

        What they no longer allow closes at once (1012) and is not dialled again; what they allow
        now, and did not, is dialled. The instance, its queue and everything else go on.
        """
        self._replacements.wanted_again()
        granted = spec.authority.granted
        if permission_hash(granted) == permission_hash(self._spec.authority.granted):
            return False
        # A version that was given other grants is one that the operator has decided to keep.
        self._replacements.keep()
        self._spec.authority.regrant(granted)
        self._current.spec = replace(self._spec, tools=spec.tools)
        refused = self._connections.reauthorise()
        self._spec.calls.reauthorise()
        self._notes.regranted(refused)
        self._connections.tell_refused(refused)
        return True

    async def restart(self) -> None:
        """Replace the instance because a person asked; queue and connections stay.

        Raises ServiceError: `service.not_running` while another change is under way,
        `service.stopping` once the service is retired.
        """
        if self._retired:
            raise ServiceError("service.stopping", f"{self.name} has been disabled or replaced")
        if self._changing.locked():
            raise ServiceError(
                "service.not_running", f"{self.name} is {self._life.state}; try again shortly"
            )
        if self.refused is not None and await self.replace(self.refused.spec):
            self._connections.revive(Change.PERSON)
            return
        async with self._changing:
            self._restarts.cancel()
            self._replacements.keep()
            if self._life.state is Lifecycle.RUNNING:
                await self._retire_instance()
                self._life.stop()
                self._life.stopped()
            self._notes.state(self._life.state, "restart asked for by a person")
            self._life.release()
            await self._bring_up()
            self._connections.revive(Change.PERSON)

    def reconnect(self, connection: str | None) -> list[str]:
        """Dial `connection`, or each, at once because a person asked; return their names.

        Raises ServiceError (`service.not_running`, `service.quarantined`) and ConnectionFailure
        (`connection.unknown`).
        """
        self._running()
        names = self._connections.redial(connection)
        self._notes.reconnecting(names)
        return names

    def secrets_changed(self, names: Collection[str]) -> None:
        """Dial the connections that wait for a changed secret, where it is one of this service."""
        if any(name in names for name in self._spec.authority.granted.secret_names):
            self._connections.revive(Change.SECRET)

    async def stop(self, *, reason: str = "stopping") -> None:
        """Drain what is queued (bounded), close the connections, stop the guest."""
        async with self._changing:
            if self._life.state is not Lifecycle.STOPPED:
                await self._stop(reason)

    async def retire(self, *, reason: str, close_code: int = GOING_AWAY) -> None:
        """Stop for good: this service cannot be started again."""
        self._retired = True
        self._close_code = close_code
        await self.stop(reason=reason)

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Return a tool's output: decoded JSON. Serialized with everything else of the plugin.

        Commands in its answer are carried out when it has returned, each through the gate; those
        that were refused stand in the output. Raises YoiError.
        """
        await self._replacements.calls_may_go()
        require_offered(self._spec.tools, self.name, name)
        output = await self._parts.tools.call(self._running(), name, arguments)
        self._replacements.handled()
        return output

    async def ask_status(self) -> None:
        """Refresh the plugin's own status, where it is running and not busy."""
        instance = self._slot.instance
        if instance is None or self._life.state is not Lifecycle.RUNNING or self._queue.busy:
            return
        stop_ms = self._context.limits.stop_ms
        try:
            self._parts.plugin_status.show(await self._slot.run(lambda: instance.status(stop_ms)))
        except GuestTrapped as exc:
            self.lost_in_call(instance, exc)
        except SandboxError as exc:
            self._ledger.error(exc)
        self._slot.collect_output()

    def status(self) -> ServiceStatus:
        """Return what a person sees (S9); no guest is asked."""
        return service_status(
            self._spec,
            self._life,
            self._parts.plugin_status,
            self._queue,
            self._parts.dead_letters,
            self._executor.effects,
            self._parts.deferred,
            self._connections,
            self._parts.loop_budget,
            self._ledger,
            self._context.clock,
            None if self.refused is None else self.refused.status,
        )

    @property
    def figures(self) -> ServiceFigures:
        """Return what is measured beside the status."""
        limits = self._context.limits
        return service_figures(self._spec, self._dispatcher.times, self._ledger, limits)

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """Return the events that were given up."""
        return self._parts.dead_letters.letters

    def replay(self, event_id: str) -> None:
        """Queue a dead letter again, as its first attempt.

        Where the service has failed or is quarantined it waits for the next instance. Raises
        ServiceError: `service.unknown`, `service.not_running`, `service.ingress_gone`, or
        `service.queue_full`; then the letter stays where it is.
        """
        self._require_letters()
        self._parts.dead_letters.replay(event_id, self._queue)
        self.wake()

    def discard(self, event_id: str) -> None:
        """Throw a dead letter away. Raises ServiceError: `service.unknown`, `.not_running`."""
        self._require_letters()
        self._parts.dead_letters.discard(event_id)

    def _require_letters(self) -> None:
        """Raise ServiceError `service.not_running` where no decision about letters can be kept."""
        resting = self._life.state in (Lifecycle.FAILED, Lifecycle.QUARANTINED)
        if not (resting and self._durability.takes_records):
            self._running()

    # -- for its parts ------------------------------------------------------------------------

    def handled(self, count: int) -> None:
        """Count good events towards forgiving earlier failures, and towards keeping a version."""
        self._life.succeeded(count)
        self._replacements.handled()

    def trial_failed(self, error: YoiError) -> None:
        """The first event of a new version was not handled: the one before it goes on."""
        if isinstance(error, GuestTrapped):
            self._replacements.lost(error)
        else:
            self._replacements.failed(error)

    def room(self) -> None:
        """Tell what found no room, and let paused connections read again where there is some."""
        self._connections.tell_losses()
        with_room = self._queue.resumable()
        if with_room:
            self._connections.resume(with_room)

    def collect_output(self) -> None:
        """Put what the guest printed into the diagnostics."""
        self._slot.collect_output()

    def guest_lost(self, error: YoiError) -> None:
        """Discard the instance; go back to the version before, restart later, or quarantine."""
        if self._replacements.lost(error):
            return
        self._dispatcher.detach()
        self._slot.discard()
        self._spec.calls.revert()
        self._draining.look_again()
        self._ledger.error(error)
        if self._life.state not in (Lifecycle.RUNNING, Lifecycle.STARTING):
            return
        now = self._context.clock.monotonic()
        decision = self._life.fail(error, now)
        if isinstance(decision, Quarantine):
            self._notes.quarantined(decision.failures)
            self._connections.close(self._close_code)
            return
        delay = max(0.0, decision.at - now)
        self._notes.restart_planned(delay)
        self._restarts.after(delay)

    def log_failed(self, error: YoiError) -> None:
        """Read and hand over nothing more until the log takes records and its state is there."""
        self._dispatcher.detach()
        self._replacements.failed(error)
        self._connections.hold(self._queue)
        self._draining.look_again()
        self._ledger.error(error)
        if self._life.state not in (Lifecycle.RUNNING, Lifecycle.STARTING):
            return
        self._life.refuse(error, self._context.clock.monotonic())
        self._restarts.after_log_fault()

    def idle(self) -> None:
        """Nothing is queued or in flight."""
        self._draining.look_again()
        self._replacements.idle()

    def wake(self) -> None:
        """Something was queued."""
        self._dispatcher.wake()

    def lost_in_call(self, instance: Instance, error: GuestTrapped) -> None:
        """`instance` is gone; where it has been replaced already, nothing follows."""
        if self._slot.instance is instance:
            self.guest_lost(error)

    def diagnosed(self, entry: Diagnostic) -> None:
        """Show a diagnostic to the host's log and its observers."""
        self._context.listen(entry)
        self._context.observer.diagnosed(self.name, entry)

    # -- inside -------------------------------------------------------------------------------

    async def _bring_up(self) -> None:
        """Load an instance and start it; the lifecycle is STARTING. Raises nothing."""
        fault = self._spec.fault
        if fault is not None:
            self._ledger.error(fault)
            self._life.refuse(fault, self._context.clock.monotonic())
            return
        await contained_work(f"starting {self.name}", self._load_and_start(), self.guest_lost)

    async def _load_and_start(self) -> None:
        # After a fault of the log, an instance that knows more than the log does is still there.
        await self._replacements.gone_back()
        await self._slot.retire()
        try:
            await self._durability.open()
        except (JournalError, ServiceError) as exc:
            self.log_failed(exc)
            return
        self._restarts.log_opened()
        status = await self._slot.load()
        self._parts.plugin_status.show(status)
        self._slot.collect_output()
        self._life.started()
        self._notes.state(self._life.state, "start() returned")
        self._notes.missing_secrets(self._spec.injector.missing())
        await self._connections.open()
        self._parts.start_events.tell(self._life.restarts)
        if self._slot.instance is not None:
            self._dispatcher.attach(self._slot.instance)
        self.room()

    async def _stop(self, reason: str) -> None:
        self._restarts.cancel()
        self._replacements.keep()
        await self._replacements.gone_back()
        if self._life.state is Lifecycle.RUNNING:
            self._connections.leave()
            if not await self._draining.wait(self._is_running):
                self._notes.not_drained()
            await self._durability.settled()
        self._restarts.cancel()
        self._life.stop()
        self._notes.state(self._life.state, reason)
        self._connections.close(self._close_code)
        await self._connections.closed()
        await self._retire_instance()
        await self._replacements.stop()
        await self._spec.calls.gone()
        self._executor.stop()
        await self._durability.close()
        cleared = [one for one in self._queue.clear() if not self._durability.keeps(one)]
        self._connections.left_behind(cleared)
        self._parts.repeats.lost(cleared)
        self._notes.dropped(len(cleared))
        self._spec.injector.forget()
        self._life.stopped()
        self._notes.state(self._life.state, reason)

    async def _retire_instance(self) -> None:
        self._dispatcher.detach()
        await self._slot.retire()

    async def _restart_failed(self) -> None:
        async with self._changing:
            # A person may have been quicker while this waited.
            if self._life.state is Lifecycle.FAILED:
                self._restarts.cancel()
                self._life.start()
                await self._bring_up()

    @property
    def _spec(self) -> ServiceSpec:
        return self._current.spec

    @property
    def _slot(self) -> InstanceSlot:
        return self._current.slot

    def _is_running(self) -> bool:
        return self._life.state is Lifecycle.RUNNING

    def _running(self) -> Instance:
        instance = self._slot.instance
        if instance is None or self._life.state is not Lifecycle.RUNNING:
            quarantined = self._life.state is Lifecycle.QUARANTINED
            raise ServiceError(
                "service.quarantined" if quarantined else "service.not_running",
                f"{self.name} is {self._life.state}",
                hint=f"yoi service restart {self.name}",
                state=self._life.state,
            )
        return instance
