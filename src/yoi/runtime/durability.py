"""Brings a durable service back from its log, marks it alive, opens it again after a fault.

open ──▶ recover ──▶ (runs; a fault of the log ──▶ `log_failed` ──▶ open again) ──▶ close
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from yoi.core.budget import Spent
from yoi.core.effects import Refused
from yoi.core.ingress_queue import IngressQueue
from yoi.core.repeats import Repeats
from yoi.core.service_fold import ServicePicture
from yoi.core.service_recovery import Recovery, changed_state, recover
from yoi.protocol.commands import OutputCommand
from yoi.protocol.ingress import EventKind, IngressEvent, QueuedEvent
from yoi.protocol.service_log import Alive, Command, Declared, Effected, Handled, Settles
from yoi.runtime.current_version import CurrentVersion
from yoi.runtime.dead_letters import DeadLetter, DeadLetters
from yoi.runtime.executor import RECOVERED, EffectExecutor
from yoi.runtime.host_events import HostEvents
from yoi.runtime.intake import DurableIntake
from yoi.runtime.kept_dials import KeptDials
from yoi.runtime.ledger import Ledger
from yoi.runtime.log_writer import LogWriter
from yoi.runtime.outbox import DurableOutbox, Judged
from yoi.runtime.service_connections import ServiceConnections
from yoi.runtime.service_spec import HostContext
from yoi.types import SessionId, rfc3339_ms

_UNKNOWN = "service.effect_unknown"


class Durability(Protocol):
    """What a service does so that its events outlive the host."""

    async def open(self) -> None:
        """Be ready for the plugin: what the log holds is in its place. Raises JournalError."""
        ...

    @property
    def takes_records(self) -> bool:
        """Return whether what a person decides about dead letters can be kept now."""
        ...

    async def settled(self) -> None:
        """Wait, for a bounded time, until every answer so far is written."""
        ...

    def after(self, then: Callable[[], None]) -> None:
        """Run `then` once every answer so far is written; never where that fails."""
        ...

    def keeps(self, event: QueuedEvent) -> bool:
        """Return whether `event` is still there after a restart of the host."""
        ...

    async def close(self) -> None:
        """Write what is left and let the log go."""
        ...


class LoggedDurability:
    """See the module docstring. `judge` asks the command gate."""

    def __init__(
        self,
        current: CurrentVersion,
        context: HostContext,
        queue: IngressQueue,
        repeats: Repeats,
        writer: LogWriter,
        intake: DurableIntake,
        outbox: DurableOutbox,
        executor: EffectExecutor,
        connections: ServiceConnections,
        events: HostEvents,
        dead_letters: DeadLetters,
        ledger: Ledger,
        judge: Callable[[Sequence[OutputCommand], QueuedEvent], list[Judged]],
    ) -> None:
        self._current = current
        self._queue = queue
        self._repeats = repeats
        self._writer = writer
        self._intake = intake
        self._outbox = outbox
        self._executor = executor
        self._connections = connections
        self._events = events
        self._dead_letters = dead_letters
        self._ledger = ledger
        self._judge = judge
        self._state = context.state
        self._shared = context.ownership.shared
        self._dials = KeptDials(context.state, current.spec.name)
        self._clock = context.clock
        self._loop, self._mailbox = context.loop, context.mailbox
        self._limits = context.limits
        self._recovered = False
        self._behind = False
        """Whether the log is open, and what follows from that not done yet."""
        self._taken_back: list[str] = []
        self._alive: asyncio.TimerHandle | None = None
        dead_letters.record = writer.put
        current.spec.calls.keep_changes()

    async def open(self) -> None:
        """Open the log and put back what stands in it; nothing where it is open."""
        if self._writer.picture is None:
            if self._recovered:
                self._taken_back += await self._writer.reopen()
            else:
                await self._writer.open()
            self._behind = True
        picture = self._writer.picture
        if not self._behind or picture is None:
            return
        # What fails from here on is done at the next call.
        if self._recovered:
            self._current.spec.calls.revert()
        if not picture.fresh:
            self._restore_state(picture)
        if self._shared:
            self._follow_dials(picture)
        if self._recovered:
            self._go_on(picture)
        else:
            self._recover(picture)
        self._recovered, self._behind = True, False
        if self._alive is None:
            self._mark_alive()

    @property
    def takes_records(self) -> bool:
        """Return whether the log is open and what it holds is in its place."""
        return self._writer.picture is not None and not self._behind

    async def settled(self) -> None:
        """Wait until no answer waits for its commit; at most as long as a drain."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.drain_ms / 1000):
                while self._outbox.pending and self._writer.picture is not None:
                    await self._writer.turned()

    def after(self, then: Callable[[], None]) -> None:
        """Run `then` once the log has taken what was put before."""
        self._writer.after(then)

    def keeps(self, event: QueuedEvent) -> bool:
        """Return whether the log has `event`."""
        return self._intake.keeps(event)

    async def close(self) -> None:
        """Write until when nothing is missing and what is left, and let the log go."""
        if self._alive is not None:
            self._alive.cancel()
            self._alive = None
        self._dials.listen(None)
        await self._writer.drain()
        # Also of what was carried out just now.
        self._outbox.write_ends()
        await self._writer.close()
        self._outbox.forget()
        self._taken_back.clear()
        self._recovered = self._behind = False

    # -- inside -------------------------------------------------------------------------------

    def _recover(self, picture: ServicePicture) -> None:
        name, now_ms = self._current.spec.name, self._clock.wall_ms()
        plan = recover(picture, self._current.spec.rules, now_ms, self._limits.in_hand_events)
        kept = dict(self._state.all(name)) if picture.fresh else {}
        if kept:
            # Its first log: what it kept before is where its state begins.
            self._writer.put(Handled("", state=dict(kept), at_ms=now_ms))
        self._keep_decisions(plan)
        self._dead_letters.restore(
            DeadLetter(event, letter.code, letter.message, letter.at_ms)
            for event, letter in plan.letters
        )
        for event, letter in plan.gone:
            self._dead_letters.add(event, letter.code, letter.message)
        unknown = [self._unknown(event_id, command) for event_id, command in plan.unknown]
        told = [one for one in unknown if one is not None]
        # They are about what was handled before the events that wait.
        self._queue.restore([*(event for event, _ in told), *plan.events])
        self._ledger.counters.enqueued += len(told) + len(plan.events)
        for event, settles in told:
            if self._intake.keeps(event):
                self._intake.accept(event, settles=settles)
        tried = {one.event_id for one in plan.tried}
        doubtful = [event for event in plan.events if event.event_id in tried]
        self._intake.forgive(doubtful)
        self._intake.tried(doubtful)
        # After what they follow from: nothing is accepted or passed under them before.
        self._declare(picture)
        self._executor.restore_timers(plan.timers)
        self._close_sessions(plan, picture)
        for event_id, command in plan.repeated:
            self._repeat(event_id, command)
        self._tell_recovered(plan)

    def _keep_decisions(self, plan: Recovery) -> None:
        """Let no request be repeated that today's manifest or grants do not let be."""
        for one in tuple(plan.repeated):
            _, command = one
            if command.kind == "request" and not self._current.spec.requests.may_repeat(
                str(command.payload.get("target"))
            ):
                plan.repeated.remove(one)
                plan.unknown.append(one)

    def _declare(self, picture: ServicePicture) -> None:
        """Write what the manifest says of the ingresses; know the ids that it still asks for."""
        order, dedupe = {}, {}
        for policy in self._current.spec.ingresses:
            if policy.order_key is not None:
                order[policy.name] = str(policy.order_key)
            if policy.dedupe is not None and policy.name in self._current.spec.disk:
                dedupe[policy.name] = place = str(policy.dedupe.at)
                known = picture.seen if picture.declared.dedupe.get(policy.name) == place else {}
                seen = [(key, at) for (name, key), at in known.items() if name == policy.name]
                self._repeats.restore(policy.name, seen)
        if Declared(order, dedupe) != picture.declared:
            self._writer.put(Declared(order, dedupe))

    def _restore_state(self, picture: ServicePicture) -> None:
        name = self._current.spec.name
        for key, value in changed_state(self._state.all(name), picture).items():
            self._state.set(name, key, value)

    def _follow_dials(self, picture: ServicePicture) -> None:
        """Go on with what was spent on any machine; what is spent from now on is written."""
        behind = self._dials.take({name: Spent(*one) for name, one in picture.dials.items()})
        self._dials.listen(partial(self._mailbox.post, self._keep_dials))
        for connection in behind:
            self._keep_dials(connection)

    def _keep_dials(self, connection: str) -> None:
        """Write what `connection` has spent; without a log it is written when there is one."""
        if self._writer.picture is not None:
            spent = self._dials.of(connection)
            self._writer.put(Handled("", dials={connection: (spent.day, spent.dials)}))

    def _close_sessions(self, plan: Recovery, picture: ServicePicture) -> None:
        """Tell the end of sessions that the host has left, and where frames may be missing."""
        settings = {one.settings.name: one.settings for one in self._current.spec.connections}
        for connection, session, since_ms in plan.sessions:
            declared = settings.get(connection)
            if declared is None:
                continue
            payload = {
                "code": 1006,
                "reason": "the host was restarted",
                "clean": False,
                "connection": connection,
                "session": session,
            }
            if EventKind.CLOSE in {kind.event_kind for kind in declared.deliver}:
                self._intake.offer(
                    IngressEvent(
                        kind=EventKind.CLOSE,
                        source=f"websocket:{connection}",
                        ingress_name=declared.ingress,
                        payload=payload,
                        created_at=rfc3339_ms(self._clock.wall_ms()),
                        correlation_id=f"{session}.closed",
                    )
                )
            self._connections.missing_since(connection, SessionId(session), since_ms)
        for closed in plan.closed:
            self._writer.put(closed)
        for name in settings:
            since_ms = picture.missing.get(name, picture.alive_ms)
            if since_ms:
                self._intake.any_session = True
                self._connections.missing_since(name, None, since_ms)

    def _repeat(self, event_id: str, command: Command) -> None:
        """Carry out again what is harmless to repeat, if today's decisions allow it."""
        event = _source(event_id, command)
        asked = OutputCommand(
            correlation_id=event_id,
            source_event_id=event_id,
            command_id=command.id,
            kind=command.kind,
            payload=command.payload,
            requested_at=rfc3339_ms(self._clock.wall_ms()),
        )
        for effect in self._judge([asked], event):
            self._executor.handled(event, [effect])
            if isinstance(effect, Refused):
                self._writer.put(Effected(event_id, command.id, "failed", effect.code))

    def _unknown(self, event_id: str, command: Command) -> tuple[IngressEvent, Settles] | None:
        """Return the event that tells the plugin of a command without a known end, and settles it.

        Where no ingress can hear of it, only the operator is told.
        """
        message = "the host ended while it was carried out; it may have happened, or not"
        refused = Refused("unknown", _UNKNOWN, message, None, event_id, command.id, command.kind)
        self._executor.tell_unknown(refused)
        if command.ingress not in self._current.spec.rules:
            self._writer.put(Effected(event_id, command.id, "unknown"))
            return None
        about = {"command_id": command.id, "source_event_id": event_id}
        error = {"code": _UNKNOWN, "message": message}
        if command.kind == "request":
            target = command.payload.get("target")
            payload = {**about, "target": target, "ok": False, "error": error}
            payload["may_have_arrived"] = True
            kind, source = EventKind.RESPONSE, f"request:{target}"
        else:
            payload = {**about, "command": command.kind, **error}
            kind, source = EventKind.SEND_FAILED, "host"
        event = self._events.made(kind, command.ingress, source, payload)
        if not self._intake.keeps(event):
            self._writer.put(Effected(event_id, command.id, "unknown"))
        return event, Settles(event_id, command.id)

    def _tell_recovered(self, plan: Recovery) -> None:
        if plan.events or plan.repeated or plan.unknown or plan.gone:
            self._ledger.note(
                "notice.recovered",
                f"{self._current.spec.name} goes on where it was: {len(plan.events)} events wait, "
                f"{len(plan.repeated)} commands are repeated, {len(plan.unknown)} are unknown",
                events=len(plan.events),
                repeated=len(plan.repeated),
                unknown=len(plan.unknown),
            )

    def _go_on(self, picture: ServicePicture) -> None:
        """Put back what a fault of the log has interrupted: answers that are not in it."""
        now_ms = self._clock.wall_ms()
        self._executor.restore_timers(
            [(where, name, max(0, due - now_ms)) for (where, name), due in picture.timers.items()]
        )
        events = self._outbox.take_back(self._taken_back)
        self._taken_back.clear()
        for event in events:
            event.attempt += 1
        self._queue.restore(events)
        self._intake.forgive(events, 1)
        self._intake.tried(events)

    def _mark_alive(self) -> None:
        if self._intake.any_session and self._writer.picture is not None:
            until_ms = self._connections.complete_until_ms()
            self._writer.put(Alive(until_ms, self._connections.missing_ms()))
        self._alive = self._loop.call_later(self._limits.alive_ms / 1000, self._mark_alive)


def _source(event_id: str, command: Command) -> IngressEvent:
    """Return what the gate must know of an event that was handled before: its id and ingress."""
    return IngressEvent(
        kind=RECOVERED,
        source="log",
        ingress_name=command.ingress,
        payload={},
        created_at="",
        correlation_id=event_id,
    )
