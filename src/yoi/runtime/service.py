"""One enabled plugin as it runs: its lifecycle, its guest, its queue and its connections.

Everything here runs on the event loop; guest calls go through `on_worker` and the dispatcher.
"""

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import msgspec

from yoi.core.gate import (
    CommandGate,
    ConnectionCommand,
    Effect,
    GatedConnection,
    HttpRequest,
    NotifyWorker,
    SendMessage,
    SetStatus,
    StateChange,
)
from yoi.core.ingress_queue import IngressQueue, Offered
from yoi.core.lifecycle import Lifecycle, Quarantine, ServiceLifecycle
from yoi.defects import defect
from yoi.errors import (
    ConnectionFailure,
    GuestTrapped,
    SandboxError,
    ServiceError,
    YoiError,
)
from yoi.permissions import permission_hash
from yoi.permissions.connection_settings import OnFull
from yoi.protocol.commands import DiagnosticStatusUpdate
from yoi.protocol.depth import deeper_than
from yoi.protocol.diagnostics import Diagnostic
from yoi.protocol.ingress import FEEDBACK_KINDS, EventKind, IngressEvent, QueuedEvent
from yoi.protocol.session_commands import TimerClear, TimerSet
from yoi.protocol.status import ConnectionStatus, ServiceStatus
from yoi.protocol.tool_answer import parse_tool_answer
from yoi.runtime.connection_adapter import ConnectionAdapter
from yoi.runtime.connection_commands import steer
from yoi.runtime.containment import ContainedSink, contained, contained_work
from yoi.runtime.dead_letters import DeadLetter, DeadLetters
from yoi.runtime.dispatcher import Dispatcher
from yoi.runtime.ledger import Ledger
from yoi.runtime.metering import metered
from yoi.runtime.notifying import Settled, notification, settle
from yoi.runtime.service_spec import ConnectionHandle, HostContext, Instance, ServiceSpec
from yoi.runtime.thread_bridge import on_worker
from yoi.runtime.timers import Timers
from yoi.runtime.tool_calls import require_offered, tool_event, with_refused
from yoi.types import rfc3339_ms

_GOING_AWAY = 1001
T = TypeVar("T")
_HOST_MADE = frozenset({EventKind.STARTED, EventKind.TIMER, EventKind.RESPONSE})


class Service:
    """See the module docstring."""

    def __init__(self, spec: ServiceSpec, around: HostContext) -> None:
        self.name = spec.name
        self._print = spec
        self._around = around
        self._limits = around.limits
        self._ledger = Ledger(spec.name, around.clock, self._tell, around.limits)
        self._dead_letters = DeadLetters(spec.name, self._ledger, around.clock, around.limits)
        self._life = ServiceLifecycle(around.rng, around.limits)
        self._queue = IngressQueue(spec.ingresses, around.limits)
        gate = CommandGate(
            {
                o.settings.name: GatedConnection(
                    o.settings.name,
                    frozenset(() if o.settings.url is None else (o.settings.url.href,)),
                    o.authorise,
                )
                for o in spec.connections
            },
            around.clock.monotonic(),
            around.limits,
            spec.may_notify,
        )
        self._dispatcher = Dispatcher(
            spec.name,
            self._queue,
            spec.rules,
            gate,
            self._ledger,
            self._dead_letters,
            self,
            around.turns,
            around.mailbox,
            around.loop,
            around.clock,
            around.limits,
        )
        self._timers = Timers(
            around.loop, contained("a timer", self._timer_due, self.guest_lost), around.limits
        )
        self._close_code = _GOING_AWAY
        self._own_urls = {o.settings.name: o.settings.url for o in spec.connections}
        self._adapters: dict[str, ConnectionAdapter] = {}
        self._links: dict[str, ConnectionHandle] = {}
        self._instance: Instance | None = None
        self._plugin_status: Any = None
        self._restart: asyncio.TimerHandle | None = None
        self._changing = asyncio.Lock()
        """Held by whoever starts, replaces or stops the instance: one at a time."""
        self._retired = False
        self._leaving = False
        self._drained = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing: set[asyncio.Task[None]] = set()

    # -- for the host -------------------------------------------------------------------------

    @property
    def lifecycle(self) -> Lifecycle:
        """Return the state."""
        return self._life.state

    @property
    def available(self) -> bool:
        """Whether there is an instance that could take a tool call."""
        return self._instance is not None and self._life.state is Lifecycle.RUNNING

    @property
    def spec(self) -> ServiceSpec:
        """Return what this service was made of."""
        return self._print

    async def start(self) -> None:
        """Load the plugin, call its start(), then dial. Failures are recorded, never raised.

        Does nothing once the service is retired.
        """
        async with self._changing:
            if not self._retired:
                self._life.start()
                await self._bring_up()

    def regrant(self, spec: ServiceSpec) -> bool:
        """Put the grants of `spec` in force; return whether they are other ones.

        What they no longer allow closes at once (1012) and is not dialled again; what they allow
        now, and did not, is dialled. The instance, its queue and everything else go on.
        """
        granted = spec.authority.granted
        if permission_hash(granted) == permission_hash(self._print.authority.granted):
            return False
        self._print.authority.regrant(granted)
        self._print = replace(self._print, tools=spec.tools)
        refused = [name for name, link in self._links.items() if not link.reauthorise()]
        self._print.calls.reauthorise()
        self._ledger.note(
            "notice.regranted",
            f"{self.name} goes on under other grants"
            + (f"; closed: {', '.join(refused)}" if refused else ""),
            closed=refused,
        )
        for connection in self._print.connections:
            if connection.settings.name not in refused:
                continue
            decision = connection.authorise()
            self._ledger.note(
                decision.code or "denied.not_granted",
                decision.message or f"{connection.settings.name} is no longer allowed where it was",
                severity="error",
                scope=f"connection:{connection.settings.name}",
                hint=decision.hint,
            )
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
        async with self._changing:
            self._cancel_restart()
            if self._life.state is Lifecycle.RUNNING:
                await self._retire_instance()
                self._life.stop()
                self._life.stopped()
            self._note_state("restart asked for by a person")
            self._life.release()
            await self._bring_up()

    async def stop(self, *, reason: str = "stopping") -> None:
        """Drain what is queued (bounded), close the connections, stop the guest."""
        async with self._changing:
            if self._life.state is not Lifecycle.STOPPED:
                await self._stop(reason)

    async def retire(self, *, reason: str, close_code: int = _GOING_AWAY) -> None:
        """Stop for good: nobody can start this service again."""
        self._retired = True
        self._close_code = close_code
        await self.stop(reason=reason)

    async def _stop(self, reason: str) -> None:
        self._cancel_restart()
        self._leaving = True
        if self._life.state is Lifecycle.RUNNING:
            for adapter in self._adapters.values():
                adapter.leave()
            for link in self._links.values():
                link.pause()
            await self._drain()
        self._cancel_restart()
        self._timers.clear_all()
        self._life.stop()
        self._note_state(reason)
        self._close_links()
        await self._closed()
        await self._retire_instance()
        await self._print.calls.gone()
        left = self._queue.clear()
        if left:
            self._ledger.counters.dropped += left
            self._ledger.note(
                "notice.dropped",
                f"{left} events were still queued when the service stopped",
                severity="warning",
                count=left,
            )
        for task in tuple(self._tasks):
            task.cancel()
        self._print.injector.forget()
        self._life.stopped()
        self._note_state(reason)

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Return a tool's output: decoded JSON. Serialized with everything else of the plugin.

        Commands in its answer are carried out when it has returned, each through the gate; those
        that were refused stand in the output. Raises YoiError.
        """
        require_offered(self._print.tools, self.name, name)
        instance = self._running()
        work = msgspec.json.encode(arguments).decode()

        def call() -> str:
            with self._print.calls.tool_call():
                return instance.call_tool(name, work, self._limits.tool_ms)

        try:
            answer = await self._in_guest(call)
        except GuestTrapped as exc:
            self._lost(instance, exc)
            raise
        self.collect_output()
        event = tool_event(name, [one.name for one in self._print.ingresses], self._around.clock)
        parsed = parse_tool_answer(answer, name, event.event_id, event.created_at)
        return with_refused(parsed.output, await self._dispatcher.carry_out(parsed.commands, event))

    async def ask_status(self) -> None:
        """Refresh the plugin's own status, where it is running and not busy."""
        instance = self._instance
        if instance is None or self._life.state is not Lifecycle.RUNNING or self._queue.busy:
            return
        try:
            self._take_status(await self._in_guest(lambda: instance.status(self._limits.stop_ms)))
        except GuestTrapped as exc:
            self._lost(instance, exc)
        except SandboxError as exc:
            self._ledger.error(exc)
        self.collect_output()

    def status(self) -> ServiceStatus:
        """Return what a person sees (S9); no guest is asked."""
        events, size = self._queue.capacity
        error = self._life.last_error
        restart_at = self._life.restart_at
        clock = self._around.clock
        counters = msgspec.structs.replace(self._ledger.counters)
        counters.restarts = self._life.restarts
        counters.loop_ms = round(self._dispatcher.loop_budget.spent * 1000)
        counters.loop_waits = self._dispatcher.loop_budget.waits
        return ServiceStatus(
            name=self.name,
            reference=self._print.reference,
            version=self._print.version,
            digest=self._print.digest,
            runtime=self._print.runtime,
            lifecycle=self._life.state,
            plugin_status=self._plugin_status,
            queue_depth=self._queue.depth,
            queue_capacity=events,
            queue_bytes=self._queue.bytes,
            queue_bytes_capacity=size,
            dead_letters=len(self._dead_letters),
            last_error=None if error is None else error.message,
            last_error_code=None if error is None else error.code,
            restart_at=None
            if restart_at is None
            else rfc3339_ms(clock.wall_ms() + round((restart_at - clock.monotonic()) * 1000)),
            counters=counters,
            commands=self._ledger.results,
            connections=[self._connection_status(name) for name in sorted(self._links)],
            pull_sockets=self._print.calls.status(),
            diagnostics=self._ledger.diagnostics,
        )

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """Return the events that were given up."""
        return self._dead_letters.letters

    def replay(self, event_id: str) -> None:
        """Queue a dead letter again, as its first attempt.

        Raises ServiceError: `service.unknown`, `service.not_running`, or `service.queue_full`; then
        the letter stays where it is.
        """
        self._running()
        self._dead_letters.replay(event_id, self._queue)
        self._dispatcher.wake()

    # -- for the dispatcher -------------------------------------------------------------------

    def send(self, effect: SendMessage) -> None:
        """Write one message; raises ConnectionFailure at once."""
        link = self._links.get(effect.connection)
        if link is None:
            raise ConnectionFailure(
                "connection.not_open", f"{effect.connection} is not open", name=effect.connection
            )
        if effect.text is not None:
            link.send_text(effect.session, effect.text)
        elif effect.data is not None:
            link.send_binary(effect.session, effect.data)
        else:
            filled = self._print.injector.fill(
                effect.document,
                effect.insert,
                connection=effect.connection,
                last=lambda name: link.last(name, effect.session),
            )
            link.send_text(effect.session, msgspec.json.encode(filled.document).decode())

    def act(self, effect: SetStatus | ConnectionCommand | StateChange | HttpRequest) -> None:
        """Do what the gate allowed; raises YoiError at once."""
        if isinstance(effect, SetStatus):
            self._show_status(effect.update)
        elif isinstance(effect, StateChange):
            self._keep(effect)
        elif isinstance(effect, HttpRequest):
            self._ask(effect)
        else:
            self._steer(effect)

    def _steer(self, effect: ConnectionCommand) -> None:
        name = effect.payload.connection
        link = self._links.get(name)
        if link is None:
            raise ConnectionFailure("connection.not_open", f"{name} is not open", name=name)
        steer(effect.payload, link, self._own_urls.get(name), self._print.injector)

    def _ask(self, effect: HttpRequest) -> None:
        requests = self._print.requests
        prepared = requests.prepare(effect.payload, effect.command_id)

        async def carry_out() -> None:
            payload = await requests.carry_out(prepared, effect.payload.capture)
            self._offer(
                EventKind.RESPONSE,
                effect.ingress,
                f"request:{prepared.target}",
                {"command_id": effect.command_id, "target": prepared.target, **payload},
            )

        work = contained_work("a request", carry_out(), self.guest_lost)
        spend = self._dispatcher.loop_budget.spend
        self._spawn(metered(work, self._around.clock.monotonic, spend))

    def _keep(self, effect: StateChange) -> None:
        payload = effect.payload
        if isinstance(payload, TimerSet):
            self._timers.set(effect.ingress, payload.name, payload.after_ms)
        elif isinstance(payload, TimerClear):
            self._timers.clear(effect.ingress, payload.name)
        else:
            value = None if payload.value is None else msgspec.json.encode(payload.value).decode()
            self._around.state.set(self.name, payload.key, value)

    def _timer_due(self, ingress: str, name: str) -> None:
        self._offer(EventKind.TIMER, ingress, "timer", {"name": name})

    def _offer(self, kind: EventKind, ingress: str, source: str, payload: dict[str, Any]) -> None:
        """Queue an event of the host's own making."""
        event = IngressEvent(
            kind=kind,
            source=source,
            ingress_name=ingress,
            payload=payload,
            created_at=rfc3339_ms(self._around.clock.wall_ms()),
            correlation_id=f"host.{secrets.token_hex(8)}",
        )
        # It waits like a frame of a paused connection: accepted, within the overdraft.
        offered = self._queue.offer(event, OnFull.PAUSE)
        if offered in (Offered.ACCEPTED, Offered.PAUSE):
            self._ledger.counters.enqueued += 1
        else:
            self._ledger.counters.rejected += 1
            self._ledger.note(
                "service.queue_full", f"no room for the {kind} event", severity="error"
            )
        self._dispatcher.wake()

    def _show_status(self, update: DiagnosticStatusUpdate) -> None:
        if update.status is not None:
            self._plugin_status = update.status
        if update.message is not None:
            self._ledger.note("notice.status", update.message)

    def notify(self, effect: NotifyWorker, settled: Settled) -> None:
        """Put a text before a worker; `settled` hears, once, whether it was committed."""
        made = notification(effect, self.name, self._print.reference, self._print.digest)
        self._spawn(self._around.notifier.notify(made)).add_done_callback(partial(settle, settled))

    def tell_plugin(self, event: QueuedEvent, effect: Effect, code: str, message: str) -> None:
        """Queue a feedback event; never about feedback, or the two would talk for ever."""
        if event.kind in FEEDBACK_KINDS:
            return
        kind = EventKind.DENIED if code.startswith("denied.") else EventKind.SEND_FAILED
        payload = {
            "command_id": effect.command_id,
            "command": effect.kind,
            "code": code,
            "message": message,
        }
        if event.kind in _HOST_MADE:
            # No connection's `deliver` decides. (What a tool asked for, its caller hears.)
            self._offer(kind, event.ingress, "host", payload)
        elif event.connection in self._adapters:
            self._adapters[event.connection].tell(kind, event.session, payload)

    def handled(self, count: int) -> None:
        """Count good events towards forgiving earlier failures."""
        self._life.succeeded(count)

    def room(self) -> None:
        """Let paused connections read again where their ingress has room."""
        if self._leaving:
            return  # what is read now would only be discarded
        with_room = self._queue.resumable()
        if with_room:
            for connection in self._print.connections:
                if (
                    connection.settings.ingress in with_room
                    and connection.settings.name in self._links
                ):
                    self._links[connection.settings.name].resume()

    def collect_output(self) -> None:
        """Put what the guest printed into the diagnostics."""
        if self._instance is not None:
            self._collect(self._instance)

    def _collect(self, instance: Instance) -> None:
        for line in instance.take_output():
            self._ledger.note(
                "notice.log",
                line.text,
                severity="info" if line.level == "debug" else line.level,
                stream=line.stream,
            )

    def guest_lost(self, error: YoiError) -> None:
        """Discard the instance; restart after a backoff, or quarantine."""
        self.collect_output()
        instance, self._instance = self._instance, None
        self._dispatcher.detach()
        self._drained.set()
        self._print.calls.end()
        if instance is not None:
            self._close_instance(instance)
        self._ledger.error(error)
        if self._life.state not in (Lifecycle.RUNNING, Lifecycle.STARTING):
            return
        now = self._around.clock.monotonic()
        decision = self._life.fail(error, now)
        if isinstance(decision, Quarantine):
            self._quarantine(decision)
            return
        delay = max(0.0, decision.at - now)
        self._ledger.note(
            "notice.restart",
            f"{self.name} will be restarted in {delay:.1f} s",
            severity="warning",
            delay_ms=round(delay * 1000),
        )
        self._restart = self._around.loop.call_later(
            delay, contained("a restart", self._restart_due, self.guest_lost)
        )

    def idle(self) -> None:
        """Nothing is queued or in flight."""
        self._drained.set()

    # -- inside -------------------------------------------------------------------------------

    def _lost(self, instance: Instance, error: GuestTrapped) -> None:
        """`instance` is gone; where it has been replaced already, nobody needs to know."""
        if self._instance is instance:
            self.guest_lost(error)

    async def _bring_up(self) -> None:
        """Load an instance and start it; the lifecycle is STARTING. Raises nothing."""
        if self._print.fault is not None:
            self._ledger.error(self._print.fault)
            self._life.refuse(self._print.fault)
            return
        await contained_work(f"starting {self.name}", self._load_and_start(), self.guest_lost)

    async def _load_and_start(self) -> None:
        self._leaving = False
        config = msgspec.json.encode(self._print.config).decode()
        limits = self._limits
        self._print.calls.begin(self._call_refused)

        def load() -> tuple[Instance, dict[str, Any]]:
            instance = self._print.load()
            try:
                return instance, instance.start(config, limits.start_ms)
            except BaseException:
                instance.close()
                raise

        try:
            self._instance, status = await self._in_guest(load)
        except Exception as exc:
            # A defect of ours must cost this service, not the host that starts the others.
            self.guest_lost(defect(exc, f"loading {self.name}", str(exc)))
            return
        self._take_status(status)
        self.collect_output()
        self._life.started()
        self._note_state("start() returned")
        await self._closed()
        self._open_links()
        for ingress in self._print.told_of_start:
            self._offer(EventKind.STARTED, ingress, "host", {"restarts": self._life.restarts})
        self._dispatcher.attach(self._instance)

    def _open_links(self) -> None:
        for connection in self._print.connections:
            if connection.settings.name in self._links:
                continue
            adapter = ConnectionAdapter(
                connection.settings,
                self._queue,
                self._ledger,
                self._around.clock,
                self._dispatcher.wake,
                self._print.injector.masker,
            )
            link = connection.open(
                ContainedSink(adapter, f"an event of {connection.settings.name}", self.guest_lost)
            )
            adapter.attach(link)
            self._adapters[connection.settings.name] = adapter
            self._links[connection.settings.name] = link
            link.start()

    def _quarantine(self, decision: Quarantine) -> None:
        self._ledger.note(
            "service.quarantined",
            f"{self.name} failed {decision.failures} times in a row and will not be restarted",
            severity="error",
            hint=f"yoi service restart {self.name}",
        )
        self._close_links()

    def _close_links(self) -> None:
        links, self._links = list(self._links.values()), {}
        for link in links:
            task = self._around.loop.create_task(link.close(self._close_code, "going away"))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _closed(self) -> None:
        """Wait until earlier connections are closed: a successor must not overlap them."""
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _restart_due(self) -> None:
        self._restart = None
        self._spawn(contained_work("a restart", self._restart_failed(), self.guest_lost))

    async def _restart_failed(self) -> None:
        async with self._changing:
            # Somebody may have been quicker while this waited.
            if self._life.state is Lifecycle.FAILED:
                self._cancel_restart()
                self._life.start()
                await self._bring_up()

    def _cancel_restart(self) -> None:
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None

    async def _drain(self) -> None:
        if not self._queue.depth:
            return
        self._drained.clear()
        self._dispatcher.wake()
        try:
            async with asyncio.timeout(self._limits.drain_ms / 1000):
                while self._queue.depth and self._life.state is Lifecycle.RUNNING:
                    self._drained.clear()
                    await self._drained.wait()
        except TimeoutError:
            self._ledger.note(
                "notice.dropped", "the queue did not drain in time", severity="warning"
            )

    async def _retire_instance(self) -> None:
        self._dispatcher.detach()
        # First: the turn that stops the guest waits for one that waits in a host call.
        self._print.calls.end()
        instance, self._instance = self._instance, None
        if instance is None:
            return

        def retire() -> None:
            try:
                instance.stop(self._limits.stop_ms)
            finally:
                instance.close()

        try:
            async with asyncio.timeout(self._limits.retire_ms / 1000):
                await self._in_guest(retire)
        except TimeoutError:
            # Its turn cannot be cut short; `retire` follows it on the same thread.
            instance.close()
            self._ledger.note(
                "notice.lifecycle",
                f"{self.name} is still at work and is left to its deadline",
                severity="warning",
            )
        except YoiError as exc:
            self._ledger.error(exc, severity="warning")
        except Exception as exc:
            # It is closed in any case, and what waits for this must go on.
            self._ledger.error(YoiError("usage.internal", f"stop() failed: {exc!r}"))
        self._collect(instance)

    def _take_status(self, status: Any) -> None:
        """Show `status` from now on; one that would break the screens is replaced by a word."""
        limits = self._limits
        if deeper_than(status, limits.status_depth):
            code, bound = "sandbox.answer_malformed", f"{limits.status_depth} levels deep"
        elif len(msgspec.json.encode(status)) > limits.status_bytes:
            code, bound = "sandbox.answer_too_large", f"{limits.status_bytes} bytes long"
        else:
            self._plugin_status = status
            return
        self._plugin_status = {"refused": code}
        self._ledger.note(
            code, f"the status of {self.name} is more than {bound} and is not shown",
            severity="warning", hint="return a small dict from status() and start()",
        )  # fmt: skip

    def _call_refused(self, error: YoiError) -> None:
        self._ledger.error(error, severity="warning")

    def _close_instance(self, instance: Instance) -> None:
        try:
            self._around.turns.submit(self.name, instance.close)
        except Exception as exc:
            # Its memory is lost; that the service fails visibly must not be.
            self._ledger.error(defect(exc, "dropping the instance"))

    async def _in_guest(self, work: Callable[[], Any]) -> Any:
        return await on_worker(self._around.turns, self._around.mailbox, self.name, work)

    def _running(self) -> Instance:
        if self._instance is None or self._life.state is not Lifecycle.RUNNING:
            quarantined = self._life.state is Lifecycle.QUARANTINED
            raise ServiceError(
                "service.quarantined" if quarantined else "service.not_running",
                f"{self.name} is {self._life.state}",
                hint=f"yoi service restart {self.name}",
                state=self._life.state,
            )
        return self._instance

    def _connection_status(self, name: str) -> ConnectionStatus:
        status = self._links[name].status()
        adapter = self._adapters[name]
        status.queue_drops = adapter.drops
        status.binary_ignored = adapter.binary_ignored
        status.gaps = adapter.gaps
        return status

    def _tell(self, entry: Diagnostic) -> None:
        self._around.listen(entry)
        self._around.observer.diagnosed(self.name, entry)

    def _note_state(self, why: str) -> None:
        self._ledger.note(
            "notice.lifecycle", f"{self.name} is {self._life.state}: {why}", state=self._life.state
        )

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._around.loop.create_task(work)
        # The loop knows its tasks only weakly.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
