"""Makes the parts of one service and hands each the other parts that it needs."""

from typing import Protocol

from yoi.core.deferred import DeferredCalls
from yoi.core.gate import CommandGate, GatedConnection
from yoi.core.ingress_queue import IngressQueue
from yoi.core.loop_budget import LoopBudget
from yoi.core.redaction import Masker
from yoi.core.repeats import Repeats
from yoi.errors import GuestTrapped, JournalError
from yoi.protocol.diagnostics import Diagnostic
from yoi.protocol.ingress import QueuedEvent
from yoi.runtime.current_version import CurrentVersion
from yoi.runtime.dead_letters import DeadLetters
from yoi.runtime.dispatcher import Dispatcher, DispatchOwner
from yoi.runtime.durability import Durability, LoggedDurability
from yoi.runtime.executor import EffectExecutor
from yoi.runtime.host_events import HostEvents
from yoi.runtime.instance_slot import InstanceSlot
from yoi.runtime.intake import DurableIntake, Intake, MemoryIntake
from yoi.runtime.kept_durability import KeptDurability
from yoi.runtime.ledger import Ledger
from yoi.runtime.log_writer import LogWriter
from yoi.runtime.outbox import DurableOutbox, MemoryOutbox, Outbox
from yoi.runtime.plugin_status import PluginStatus
from yoi.runtime.request_watch import report_to
from yoi.runtime.service_connections import ServiceConnections
from yoi.runtime.service_spec import HostContext, Instance, ServiceSpec
from yoi.runtime.shown_permissions import ShownPermissions
from yoi.runtime.start_events import StartEvents
from yoi.runtime.tool_calls import ToolCalls


class PartsOwner(DispatchOwner, Protocol):
    """What the parts report to: the service."""

    def diagnosed(self, entry: Diagnostic) -> None:
        """A diagnostic was recorded."""
        ...

    def wake(self) -> None:
        """Something was queued."""
        ...

    def lost_in_call(self, instance: Instance, error: GuestTrapped) -> None:
        """A call beside the queue has ended `instance`."""
        ...

    def log_failed(self, error: JournalError) -> None:
        """The service's log takes nothing more until it is opened again."""
        ...


class ServiceParts:
    """See the module docstring."""

    def __init__(self, spec: ServiceSpec, context: HostContext, owner: PartsOwner) -> None:
        clock, limits = context.clock, context.limits
        self.ledger = Ledger(spec.name, clock, owner.diagnosed, limits, self._masker)
        self.dead_letters = DeadLetters(spec.name, self.ledger, clock, limits)
        self.queue = IngressQueue(spec.ingresses, limits)
        self.current = current = CurrentVersion(spec, InstanceSlot(spec, context, self.ledger))
        current.slot.gone = self.instance_gone
        self.deferred = DeferredCalls(limits)
        self.plugin_status = PluginStatus(spec.name, self.ledger, clock, limits)
        self.permissions = ShownPermissions(limits)
        self.loop_budget = LoopBudget(clock.monotonic(), limits)
        dedupe = {one.name: one.dedupe for one in spec.ingresses if one.dedupe is not None}
        self.repeats = Repeats(dedupe, limits)
        writer: LogWriter | None = None
        intake: Intake = MemoryIntake(self.queue, self.repeats, clock)
        if spec.disk:
            writer = LogWriter(
                spec.name,
                context.journal,
                clock,
                context.loop,
                limits,
                owner.log_failed,
                owner.wake,
                owner.guest_lost,
                dedupe,
                context.ownership,
            )
            intake = DurableIntake(self.queue, self.repeats, writer, spec.disk, clock, limits)
        events = HostEvents(self.queue, intake, self.ledger, clock, owner.wake)
        self.connections = ServiceConnections(
            spec.connections,
            self.queue,
            intake,
            self.ledger,
            clock,
            owner.wake,
            spec.injector.masker,
            spec.requests.background,
            context.loop,
            owner.guest_lost,
            self.deferred,
            limits,
            spec.senders,
        )
        self.executor = EffectExecutor(
            current,
            context,
            self.connections,
            self.deferred,
            events,
            self.plugin_status,
            self.ledger,
            self.loop_budget,
            owner.guest_lost,
        )
        outbox: Outbox = MemoryOutbox(self.executor)
        if writer is not None and isinstance(intake, DurableIntake):
            outbox = DurableOutbox(
                self.executor,
                writer,
                intake,
                lambda: current.spec.calls.take_changes(),
                lambda target: current.spec.requests.may_repeat(target),
                clock,
                limits,
            )
        self.dispatcher = Dispatcher(
            spec.name,
            self.queue,
            spec.rules,
            _gate(spec),
            intake,
            outbox,
            self.loop_budget,
            self.ledger,
            self.dead_letters,
            owner,
            context.turns,
            context.mailbox,
            context.loop,
            clock,
            context.rng,
            limits,
        )
        # Messages come by the ten thousand: they wake the dispatcher without passing the owner.
        self.connections.wake = self.dispatcher.wake
        self.tools = ToolCalls(
            current,
            self.dispatcher,
            outbox,
            self.connections,
            self.deferred,
            context,
            owner.lost_in_call,
        )
        self.durability: Durability = KeptDurability(current, context, self.ledger)
        if (
            writer is not None
            and isinstance(intake, DurableIntake)
            and isinstance(outbox, DurableOutbox)
        ):
            self.durability = LoggedDurability(
                current,
                context,
                self.queue,
                self.repeats,
                writer,
                intake,
                outbox,
                self.executor,
                self.connections,
                events,
                self.dead_letters,
                self.ledger,
                self.dispatcher.judged,
            )
        self.start_events = StartEvents(
            current, self.connections, self.executor, events, context.ownership
        )
        spec.requests.watch.tell = report_to(self.ledger)

    def use(self, spec: ServiceSpec, slot: InstanceSlot) -> list[QueuedEvent]:
        """Run this version from now on; return what waited for ingresses that it does not have.

        Not while events are with a guest. What is declared as before goes on: see `connections`.
        """
        gone = self.queue.reshape(spec.ingresses)
        self.dispatcher.use(spec.rules, _gate(spec))
        earlier = self.current.spec
        self.current.spec, self.current.slot = spec, slot
        # What the version before has put into place, a heartbeat for one, is judged as of now.
        earlier.injector.hand_over(spec.injector)
        self.connections.use(spec.connections, spec.injector.masker, spec.senders)
        return gone

    def _masker(self) -> Masker:
        return self.current.spec.injector.masker()

    def instance_gone(self) -> None:
        """What the instance waited for, and what waited for it, ends with it."""
        self.deferred.instance_gone()
        self.connections.give_up(None)


def _gate(spec: ServiceSpec) -> CommandGate:
    connections = {
        one.settings.name: GatedConnection(
            one.settings.name,
            frozenset(() if one.settings.url is None else (one.settings.url.href,)),
            one.authorise,
        )
        for one in spec.connections
    }
    return CommandGate(connections, spec.may_notify)
