"""What goes out of a service: the answers of its plugin, written down before they are acted on.

`MemoryOutbox` has the effects carried out at once. `DurableOutbox` writes one `handled` record for
an answer: its commands, state and timers together; the effects follow once it is committed, in
handled order, and leave an `effect` record each.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec

from yoi.core.effects import (
    CompleteCall,
    Effect,
    EffectState,
    HttpRequest,
    NotifyWorker,
    Refused,
    SendMessage,
    SetStatus,
    StateChange,
)
from yoi.errors import ServiceError
from yoi.limits import Limits
from yoi.protocol.depth import deeper_than
from yoi.protocol.ingress import QueuedEvent
from yoi.protocol.outcomes import Commands, Reply
from yoi.protocol.service_log import (
    Command,
    Done,
    Effected,
    Entry,
    Handled,
    Outcome,
    TimerAt,
    encode,
)
from yoi.protocol.session_commands import StateSet, TimerClear, TimerSet
from yoi.runtime.executor import EffectExecutor
from yoi.runtime.intake import DurableIntake
from yoi.runtime.log_writer import LogWriter
from yoi.types import Clock

Judged = Effect | Refused


class Outbox(Protocol):
    """Takes the answers of a plugin."""

    @property
    def has_room(self) -> bool:
        """Return whether more events may be handed to the plugin."""
        ...

    @property
    def takes_parts(self) -> bool:
        """Return whether an answer may be handed over in several parts."""
        ...

    def handled(self, event: QueuedEvent, effects: Sequence[Judged], answer: Any) -> None:
        """Carry out what became of `answer` to `event`."""
        ...

    async def answered(
        self, event: QueuedEvent, effects: Sequence[Judged], answer: Commands
    ) -> list[Refused]:
        """Carry out what a tool asked for; return what came to nothing."""
        ...


class MemoryOutbox:
    """Has effects carried out at once; nothing of them outlives the host."""

    has_room = takes_parts = True

    def __init__(self, executor: EffectExecutor) -> None:
        self._executor = executor
        self._start = executor.start

    def handled(self, event: QueuedEvent, effects: Sequence[Judged], answer: Any) -> None:
        """Carry out `effects` now."""
        for effect in effects:
            self._start(effect, event)

    async def answered(
        self, event: QueuedEvent, effects: Sequence[Judged], answer: Commands
    ) -> list[Refused]:
        """Carry out `effects` now and return what came to nothing."""
        return await self._executor.answered(event, effects)


class DurableOutbox:
    """See the module docstring. `changes` returns what the guest set by itself since last asked.

    `may_repeat` says whether a request to the target of that name may be made again.
    """

    takes_parts = False

    def __init__(
        self,
        executor: EffectExecutor,
        writer: LogWriter,
        intake: DurableIntake,
        changes: Callable[[], dict[str, str | None]],
        may_repeat: Callable[[str], bool],
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._executor = executor
        self._writer = writer
        self._intake = intake
        self._changes = changes
        self._may_repeat = may_repeat
        self._clock = clock
        self._limits = limits
        self.pending: dict[str, QueuedEvent] = {}
        """Events whose answers are not committed yet, by id, in handled order."""
        self._writing: set[asyncio.Future[None]] = set()
        """Callers of tools that wait until their answers are written."""
        self._ended: list[Effected] = []
        """Ends of commands, to be written after what this turn of the loop tells of them."""
        self._done: list[tuple[str, str]] = []
        """Those that were carried out well, by event and command."""
        self._done_due: asyncio.TimerHandle | None = None
        """When those are written, if nothing else is before."""
        executor.effects.settled = self.settled
        writer.along = self._take_done

    @property
    def has_room(self) -> bool:
        """Return whether more events may be handed over: their answers have room to wait."""
        return len(self.pending) < self._limits.outbox_events and not self._writer.busy

    def handled(self, event: QueuedEvent, effects: Sequence[Judged], answer: Any) -> None:
        """Write the answer to `event`, then carry out `effects`."""
        event_id = event.event_id
        effects, _, record = self._record(
            event, event_id, effects, _commands(event_id, answer), event.attempt
        )
        if record is None and not self.pending:
            self._executor.handled(event, effects)
            return
        if record is None:
            # An event that the log does not have, behind others that wait for it.
            record = Handled(event_id)
        if not _is_small(answer, record, self._limits.journal_record_bytes):
            effects, record = self._fitted(effects, record)
        self.pending[event_id] = event
        committed = partial(self._committed, event_id, event, effects)
        self._writer.put(record, committed, event.size, accepted=self._intake.keeps(event))

    async def answered(
        self, event: QueuedEvent, effects: Sequence[Judged], answer: Commands
    ) -> list[Refused]:
        """Write the tool's record, then carry out `effects`; return what came to nothing."""
        event_id = event.event_id
        left, refused, record = self._record(
            event, event_id, effects, _commands(event_id, answer), 1
        )
        if record is not None:
            if not _is_small(answer, record, self._limits.journal_record_bytes):
                left, record = self._fitted(left, record)
            written = asyncio.get_running_loop().create_future()
            self._writing.add(written)
            written.add_done_callback(self._writing.discard)
            self._writer.put(record, partial(_resolve, written))
            await written
        return [*refused, *await self._executor.answered(event, left)]

    def _fitted(self, effects: list[Judged], record: Handled) -> tuple[list[Judged], Handled]:
        """Return the same, or without its commands where no record can hold them."""
        deepest, most = self._limits.journal_record_depth, self._limits.journal_record_bytes
        if not (
            any(deeper_than(one.payload, deepest) for one in record.commands)
            or len(encode(record)) > most
        ):
            return effects, record
        refused: list[Judged] = [
            _too_large(one) if isinstance(one, Effect) else one for one in effects
        ]
        return refused, msgspec.structs.replace(record, commands=())

    def settled(self, effect: Effect, code: str) -> None:
        """Write how `effect` has ended, where the log waits for that.

        Of what only the stop of this host has ended, the next one repeats or tells the plugin.
        """
        picture = self._writer.picture
        command = effect.event_id, effect.command_id
        if picture is not None and command not in picture.unsettled:
            return
        if code in _STOPS:
            return
        if effect.state is EffectState.DONE:
            if self._done_due is None:
                self._done_due = asyncio.get_running_loop().call_later(
                    self._limits.effect_record_ms / 1000, self.write_ends
                )
            self._done.append(command)
            return
        if not self._ended:
            asyncio.get_running_loop().call_soon(self.write_ends)
        outcome: Outcome = _OUTCOMES[effect.state]
        self._ended.append(Effected(*command, outcome, code))

    def write_ends(self) -> None:
        """Write the ends of commands; a crash before leaves them unknown, never untold."""
        ended, self._ended = self._ended, []
        entries: list[Entry] = [*self._take_done(), *ended]
        for entry in entries:
            self._writer.put(entry)

    def take_back(self, event_ids: Sequence[str]) -> list[QueuedEvent]:
        """Return those of the events whose answers are pending, and forget all that are."""
        pending, self.pending = self.pending, {}
        return [pending[one] for one in event_ids if one in pending]

    def forget(self) -> None:
        """The log is closed: what was not committed is the next host's."""
        self.pending.clear()
        self._take_done()
        for written in tuple(self._writing):
            if not written.done():
                written.set_exception(ServiceError("service.stopping", "the service is stopping"))

    def _take_done(self) -> list[Done]:
        """Return the records of what was carried out well; they are the writer's then."""
        if self._done_due is not None:
            self._done_due.cancel()
            self._done_due = None
        done, self._done = self._done, []
        most = self._limits.service_part_items
        return [Done(tuple(done[at : at + most])) for at in range(0, len(done), most)]

    def _committed(self, event_id: str, event: QueuedEvent, effects: Sequence[Judged]) -> None:
        self.pending.pop(event_id, None)
        self._intake.ended(event)
        if effects:
            self._executor.handled(event, effects)

    def _record(
        self,
        event: QueuedEvent,
        event_id: str,
        effects: Sequence[Judged],
        commands: dict[str, dict[str, Any]],
        attempt: int,
    ) -> tuple[list[Judged], list[Refused], Handled | None]:
        """Return the effects that remain, refused changes, and the record; None: it says nothing.

        State and timers are the plugin's own and harmless to repeat: they are changed at once, so
        that the next event finds them, and the record has them.
        """
        left: list[Judged] = []
        refused: list[Refused] = []
        recorded: list[Command] = []
        state = self._changes()
        timers: list[TimerAt] = []
        now_ms = self._clock.wall_ms()
        kept = self._intake.keeps(event)
        for effect in effects:
            if isinstance(effect, SendMessage):  # nearly all are
                left.append(effect)
                recorded.append(_command(effect, commands, event.ingress, repeatable=False))
                continue
            if isinstance(effect, StateChange):
                told = self._executor.change(effect, event)
                if told is None:
                    _add_change(effect, state, timers, now_ms)
                else:
                    refused.append(told)
                continue
            left.append(effect)
            if isinstance(effect, Effect):
                repeatable = self._is_repeatable(effect)
                recorded.append(_command(effect, commands, event.ingress, repeatable=repeatable))
        if not kept:
            # Of an event that the log does not have, only a tool's commands are worth a record.
            recorded = recorded if event_id.startswith("tool.") else []
            if not state and not timers and not recorded:
                return left, refused, None
        return (
            left,
            refused,
            Handled(event_id, attempt, tuple(recorded), state, tuple(timers), now_ms),
        )

    def _is_repeatable(self, effect: Effect) -> bool:
        """Return whether carrying `effect` out twice is as good as once."""
        if isinstance(effect, HttpRequest):
            return self._may_repeat(effect.payload.target)
        # A call that waited for a completion is gone with the host: that is told, not repeated.
        return isinstance(effect, _HARMLESS)


def _too_large(effect: Effect) -> Refused:
    """Return that `effect` comes to nothing: no record holds its answer."""
    return Refused(
        "failed",
        "sandbox.answer_too_large",
        "the answer is too large or too deep to be written down, so nothing of it is carried out",
        None,
        effect.event_id,
        effect.command_id,
        effect.kind,
    )


def _resolve(written: "asyncio.Future[None]") -> None:
    if not written.done():
        written.set_result(None)


_HARMLESS = (NotifyWorker, SetStatus, CompleteCall)
_HEAD_BYTES = 4096
"""More than anything of a record takes but the payloads of its commands and its state."""
_STOPS = frozenset({"service.stopping", "worker.stopped"})
_OUTCOMES: dict[EffectState, Outcome] = {
    EffectState.DONE: "done",
    EffectState.FAILED: "failed",
    EffectState.UNKNOWN: "unknown",
}


def _command(
    effect: Effect, commands: dict[str, dict[str, Any]], ingress: str, *, repeatable: bool
) -> Command:
    payload = commands.get(effect.command_id, {})
    return Command(effect.command_id, effect.kind, payload, ingress, repeatable)


def _is_small(answer: Any, record: Handled, most: int) -> bool:
    """Return whether `record` surely fits: one command at most, a flat one, and no state."""
    if isinstance(answer, Reply) and not record.state:
        # Escaped, text grows to six times its size.
        return _HEAD_BYTES + 6 * len(answer.text) <= most
    if not record.commands:
        return True
    if len(record.commands) > 1 or record.state or record.timers:
        return False
    (command,) = record.commands
    chars = len(command.id)
    for key, value in command.payload.items():
        if not isinstance(value, str):
            return False
        chars += len(key) + len(value)
    return _HEAD_BYTES + 6 * chars <= most


def _commands(event_id: str, answer: Any) -> dict[str, dict[str, Any]]:
    """Return the payloads of an answer's commands as the plugin gave them, by command id."""
    if isinstance(answer, Reply):
        return {f"{event_id}:0": {"text": answer.text}}
    return {one.command_id: one.payload for one in answer.commands}


def _add_change(
    effect: StateChange, state: dict[str, str | None], timers: list[TimerAt], now_ms: int
) -> None:
    payload = effect.payload
    if isinstance(payload, TimerSet):
        # A due time of 0 would clear it.
        timers.append(TimerAt(effect.ingress, payload.name, max(1, now_ms + payload.after_ms)))
    elif isinstance(payload, TimerClear):
        timers.append(TimerAt(effect.ingress, payload.name, 0))
    elif isinstance(payload, StateSet):
        value = payload.value
        state[payload.key] = None if value is None else msgspec.json.encode(value).decode()
