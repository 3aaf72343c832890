"""Carries out what the command gate allowed, in one place: sends, requests, notifications, state.

The dispatcher hands over each handled event with its effects, in handled order, and that order is
kept for each connection and for each worker. Nothing here waits while the next effect could leave:
a request runs beside them, and a worker that takes its time delays only its own notifications.
Every effect settles in the `EffectLedger`; what comes to nothing is told to operator and plugin.
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

import msgspec

from yoi.connections import PreparedRequest
from yoi.core.deferred import DeferredCalls
from yoi.core.effects import (
    CompleteCall,
    ConnectionCommand,
    Effect,
    EffectLedger,
    HttpRequest,
    NotifyWorker,
    Refused,
    SendMessage,
    SetStatus,
    StateChange,
    refusal,
)
from yoi.core.insertion import Layout, value_at
from yoi.core.loop_budget import LoopBudget
from yoi.defects import defect
from yoi.errors import PermissionDenied, RequestFailure, ServiceError, YoiError
from yoi.permissions.signatures import Subject
from yoi.protocol.ingress import FEEDBACK_KINDS, EventKind, QueuedEvent, TextFrame
from yoi.protocol.parts import as_json, joined
from yoi.protocol.service_log import Settles
from yoi.protocol.session_commands import TimerClear, TimerSet
from yoi.runtime.connection_commands import apply
from yoi.runtime.containment import contained, contained_work
from yoi.runtime.current_version import CurrentVersion
from yoi.runtime.host_events import HostEvents
from yoi.runtime.ledger import Ledger
from yoi.runtime.metering import metered
from yoi.runtime.ordered_jobs import OrderedJobs
from yoi.runtime.plugin_status import PluginStatus
from yoi.runtime.secret_injector import Filled
from yoi.runtime.service_connections import ServiceConnections
from yoi.runtime.service_requests import ServiceRequests
from yoi.runtime.service_spec import HostContext
from yoi.runtime.signer import Signable
from yoi.runtime.timers import Timers
from yoi.workers.notify import Notification

RECOVERED = "recovered"
"""The kind of what stands for an event that an earlier host has handled."""
_HOST_MADE = frozenset({EventKind.STARTED, EventKind.TIMER, EventKind.RESPONSE, RECOVERED})


class EffectExecutor:
    """See the module docstring. `failed` hears of a fault of ours outside of any effect."""

    def __init__(
        self,
        current: CurrentVersion,
        context: HostContext,
        connections: ServiceConnections,
        deferred: DeferredCalls,
        events: HostEvents,
        status: PluginStatus,
        ledger: Ledger,
        loop_budget: LoopBudget,
        failed: Callable[[YoiError], None],
    ) -> None:
        self._name = current.spec.name
        self._current = current
        self._connections = connections
        self._deferred = deferred
        self._events = events
        self._status = status
        self._ledger = ledger
        self._loop_budget = loop_budget
        self._now = context.clock.monotonic
        self._state = context.state
        self._limits = context.limits
        self._notifier = context.notifier
        self._loop = context.loop
        self.effects = EffectLedger(ledger.counters, context.clock.wall_ms, context.limits)
        self._timers = Timers(
            context.loop, contained("a timer", self._timer_due, failed), context.limits
        )
        self._broken = failed
        self._notifications: OrderedJobs[Refused | None] = OrderedJobs(context.loop)
        self._requests: set[asyncio.Task[None]] = set()

    def handled(self, event: QueuedEvent, effects: Iterable[Effect | Refused]) -> None:
        """Carry out `effects` of the answer to `event`, in order; each ends for itself."""
        for effect in effects:
            self.start(effect, event)

    async def answered(
        self, event: QueuedEvent, effects: Iterable[Effect | Refused]
    ) -> list[Refused]:
        """Carry out `effects` of a tool's answer, in order; return what came to nothing.

        Notifications are waited for, so that the caller reads what became of them.
        """
        refused: list[Refused] = []
        for effect in effects:
            outcome = self.start(effect, event)
            if isinstance(outcome, asyncio.Future):
                outcome = await self._settled(outcome, effect)
            if outcome is not None:
                refused.append(outcome)
        return refused

    def change(self, effect: StateChange, event: QueuedEvent) -> Refused | None:
        """Change a timer or a piece of state now; return why it came to nothing."""
        outcome = self.start(effect, event)
        return outcome if isinstance(outcome, Refused) else None

    def restore_timers(self, timers: Iterable[tuple[str, str, int]]) -> None:
        """Let exactly these timers be set: ingress, name, and in how many milliseconds."""
        self._timers.clear_all()
        for ingress, name, after_ms in timers:
            self._timers.set(ingress, name, after_ms)

    def pending_timers(self) -> list[dict[str, str]]:
        """Return which timers are set; they outlive an instance."""
        return [{"ingress": ingress, "name": name} for ingress, name in self._timers.pending]

    def stop(self) -> None:
        """Carry out nothing more; what had begun and has no outcome is unknown."""
        self._timers.clear_all()
        self._notifications.cancel()
        for task in tuple(self._requests):
            task.cancel()
        for refused in self.effects.abandon():
            self._note(refused)

    def tell_unknown(self, refused: Refused) -> None:
        """Count and tell the operator of a command that the last host left without an end."""
        self._note(self.effects.refused(refused))

    # -- each kind of effect ----------------------------------------------------------------------

    def start(
        self, effect: Effect | Refused, event: QueuedEvent
    ) -> Refused | asyncio.Future[Refused | None] | None:
        """Begin one effect; return why it came to nothing, or its outcome to come."""
        if isinstance(effect, Refused):
            return self._tell(self.effects.refused(effect), event)
        try:
            if isinstance(effect, SendMessage):  # first: nearly all are
                self.effects.begin(effect)
                self._send(effect)
            elif isinstance(effect, NotifyWorker):
                self.effects.keep(effect)
                job = partial(self._notify, effect, event)
                return self._notifications.put(effect.payload.worker, job)
            elif isinstance(effect, HttpRequest):
                self._request(effect)
                return None
            else:
                self.effects.begin(effect)
                self._act(effect)
        except Exception as raised:
            # Also a defect of ours: it costs one command, never the queue behind it.
            return self._failed(effect, event, raised)
        self.effects.done(effect)
        return None

    def _act(self, effect: Effect) -> None:
        """Carry out what is done at once and is no message."""
        if isinstance(effect, StateChange):
            self._change(effect)
        elif isinstance(effect, ConnectionCommand):
            name = effect.payload.connection
            handle = self._connections.handle(name)
            own_url = self._connections.own_url(name)
            apply(effect.payload, handle, own_url, self._current.spec.injector)
        elif isinstance(effect, SetStatus):
            self._show(effect)
        elif isinstance(effect, CompleteCall):
            answer = effect.payload
            self._deferred.complete(answer.call, answer.result, answer.error)
        else:
            raise YoiError("usage.internal", f"nothing carries out a {effect.kind}")

    def _send(self, effect: SendMessage) -> None:
        handle = self._connections.handle(effect.connection)
        if effect.text is not None:
            handle.send_text(effect.session, effect.text)
        elif effect.data is not None:
            handle.send_binary(effect.session, effect.data)
        else:
            if effect.reply is not None:
                self._connections.require_question(effect.command_id)
                handle.require_question(effect.session, effect.reply.answer)
            filled = self._current.spec.injector.fill(
                effect.document,
                effect.insert,
                Layout.PARTS if effect.parts else Layout.JSON,
                connection=effect.connection,
                values=lambda: handle.values(effect.session),
            )
            if effect.sign is not None:
                filled = self._signed(effect, effect.sign, filled)
            write = joined if effect.parts else as_json
            handle.send_text(effect.session, write(filled.document))
            if effect.reply is not None:
                number = value_at(filled.document, effect.reply.counter)
                session = handle.asked(
                    effect.session, effect.command_id, effect.reply.answer, number
                )
                self._deferred.asked(effect.command_id, session)

    def _signed(self, effect: SendMessage, key: str, filled: Filled) -> Filled:
        signed = self._current.spec.injector.signer.sign(
            key,
            Signable(
                Subject.MESSAGE,
                filled.document,
                Layout.PARTS if effect.parts else Layout.JSON,
                connection=effect.connection,
            ),
        )
        return filled.with_signature(signed)

    def _change(self, effect: StateChange) -> None:
        payload = effect.payload
        if isinstance(payload, TimerSet):
            self._timers.set(effect.ingress, payload.name, payload.after_ms)
        elif isinstance(payload, TimerClear):
            self._timers.clear(effect.ingress, payload.name)
        else:
            value = None if payload.value is None else msgspec.json.encode(payload.value).decode()
            self._state.set(self._name, payload.key, value)

    def _show(self, effect: SetStatus) -> None:
        if effect.update.status is not None:
            self._status.show(effect.update.status)
        if effect.update.message is not None:
            self._ledger.note("notice.status", effect.update.message)

    async def _notify(self, effect: NotifyWorker, event: QueuedEvent) -> Refused | None:
        self.effects.begin(effect)
        spec = self._current.spec
        try:
            sender = self._sender(event)
            await self._notifier.notify(
                Notification(
                    worker=effect.payload.worker,
                    text=effect.payload.text,
                    plugin=self._name,
                    plugin_id=spec.reference,
                    digest=spec.digest,
                    ingress=effect.ingress,
                    event_id=effect.event_id,
                    command_id=effect.command_id,
                    sender=sender,
                    frame=event.text if isinstance(event, TextFrame) else "",
                )
            )
        except Exception as raised:
            return self._failed(effect, event, raised)
        self.effects.done(effect)
        return None

    def _sender(self, event: QueuedEvent) -> str:
        """Return who sent `event`, as the operator's filter reads it; "" where there is no filter.

        Raises PermissionDenied where there is one and the event is of no listed sender.
        """
        senders = self._current.spec.senders
        if not senders:
            return ""
        sender = senders.hear(event.text).sender if isinstance(event, TextFrame) else ""
        if not sender:
            raise PermissionDenied(
                "denied.sender",
                f"plugin {self._name} may notify only about messages of listed senders",
                hint=f"[[plugins.enabled.senders]]   # of {self._name} in .yoi/yoi.toml",
            )
        return sender

    def _request(self, effect: HttpRequest) -> None:
        """Send it beside everything else. Raises YoiError while nothing has left the host."""
        limits = self._limits
        if len(self._requests) >= limits.requests_per_plugin + limits.requests_waiting:
            # Here and not in a task: a plugin that asks again in each answer would make ever more.
            raise RequestFailure(
                "request.busy", f"{limits.requests_waiting} requests of this plugin wait already"
            )
        http = self._current.spec.requests
        prepared = http.prepare(effect.payload, effect.command_id)
        self.effects.keep(effect)
        self.effects.begin(effect)
        work = contained_work("a request", self._exchange(effect, http, prepared), self._broken)
        task = self._loop.create_task(metered(work, self._now, self._loop_budget))
        # The loop knows its tasks only weakly.
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def _exchange(
        self, effect: HttpRequest, http: ServiceRequests, prepared: PreparedRequest
    ) -> None:
        try:
            payload = await http.carry_out(prepared, effect.payload.capture)
        except Exception as raised:
            error = self._as_error(effect, raised)
            payload = {"ok": False, "error": {"code": error.code, "message": error.message}}
        # First: a crash between the two leaves no command with an end and without an answer.
        self._events.answer(
            effect.ingress,
            f"request:{prepared.target}",
            {"command_id": effect.command_id, "target": prepared.target, **payload},
            Settles(effect.event_id, effect.command_id),
        )
        if payload["ok"]:
            self.effects.done(effect)
        else:
            # The plugin reads it in the response; `_tell` would say it twice.
            error = YoiError(payload["error"]["code"], payload["error"]["message"])
            interrupted = payload.get("may_have_arrived", False)
            settle = self.effects.unknown if interrupted else self.effects.failed
            settle(effect, error)

    def _timer_due(self, ingress: str, name: str) -> None:
        self._events.offer(EventKind.TIMER, ingress, "timer", {"name": name})

    # -- what comes to nothing --------------------------------------------------------------------

    async def _settled(
        self, outcome: asyncio.Future[Refused | None], effect: Effect | Refused
    ) -> Refused | None:
        try:
            return await asyncio.shield(outcome)
        except asyncio.CancelledError:
            if isinstance(effect, Refused) or not outcome.cancelled():
                raise  # it is the caller that has gone
            return refusal(effect, ServiceError("service.stopping", "the service is stopping"))

    def _failed(self, effect: Effect, event: QueuedEvent, raised: Exception) -> Refused:
        return self._tell(self.effects.failed(effect, self._as_error(effect, raised)), event)

    def _tell(self, refused: Refused, event: QueuedEvent) -> Refused:
        """Tell the operator, and the plugin unless it answered feedback: that would never end."""
        self._note(refused)
        if event.kind in FEEDBACK_KINDS:
            return refused
        kind = EventKind.DENIED if refused.code.startswith("denied.") else EventKind.SEND_FAILED
        payload = {
            "command_id": refused.command_id,
            "command": refused.kind,
            "code": refused.code,
            "message": refused.message,
        }
        if event.kind in _HOST_MADE:
            # No connection's `deliver` decides. (What a tool asked for, its caller hears.)
            self._events.offer(kind, event.ingress, "host", payload)
        else:
            self._connections.feedback(event, kind, payload)
        return refused

    def _note(self, refused: Refused) -> None:
        unknown = refused.status == "unknown"
        self._ledger.note(
            "notice.effect_unknown" if unknown else refused.code,
            f"{refused.kind}: {refused.message}" if unknown else refused.message,
            severity="error" if refused.status in ("denied", "unsupported") else "warning",
            hint=refused.hint,
            command_id=refused.command_id,
            event_id=refused.event_id,
        )

    def _as_error(self, effect: Effect, raised: Exception) -> YoiError:
        error = defect(raised, f"carrying out {effect.kind}")
        return self._current.spec.injector.masker().error(error)
