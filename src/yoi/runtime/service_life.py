"""The life of one service: its instance starts, is lost, restarts, stops, or is given up.

Everything here runs on the event loop. What an instance is handed and what becomes of its answers
is the work of the parts that this puts together (dispatcher, gate, executor, connections), and
their reports decide what happens next. What the host and people ask is in service.py.
"""

import asyncio

from yoi.core.lifecycle import Lifecycle, Quarantine, ServiceLifecycle
from yoi.errors import GuestTrapped, JournalError, ServiceError, YoiError
from yoi.permissions.connection_settings import GOING_AWAY
from yoi.protocol.diagnostics import Diagnostic
from yoi.runtime.containment import contained_work
from yoi.runtime.draining import Draining
from yoi.runtime.instance_slot import InstanceSlot
from yoi.runtime.life_notes import LifeNotes
from yoi.runtime.replacement import Replacements
from yoi.runtime.restart_timer import RestartTimer
from yoi.runtime.service_parts import ServiceParts
from yoi.runtime.service_spec import HostContext, Instance, ServiceSpec


class ServiceLife:
    """See the module docstring. `Service` is what the rest of the host uses of it."""

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

    # -- what its parts report ----------------------------------------------------------------

    def handled(self, count: int) -> None:
        """Count good events towards forgiving earlier failures, and towards keeping a version."""
        self._life.succeeded(count)
        self._replacements.answered(self._durability.after)

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

    # -- how it starts and stops --------------------------------------------------------------

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
        self._notes.state(self._life.state, "it has started")
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
        # First: what is committed now has its effects, or leaves them to the next host.
        await self._durability.close()
        self._executor.stop()
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
