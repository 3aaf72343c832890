"""Takes the events of one service from its queue, has the guest handle them, judges the answers.

All of it runs on the event loop but for `_turn`, which runs on a worker thread and touches only
the guest and its own arguments. One batch is out at a time: dispatch is serial (S3).
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from yoi.core.attempts import attempt_delay_ms
from yoi.core.effects import Effect, Refused
from yoi.core.gate import CommandGate
from yoi.core.histogram import Histogram
from yoi.core.ingress_queue import IngressQueue
from yoi.core.loop_budget import LoopBudget
from yoi.errors import GuestTrapped, SandboxError, YoiError
from yoi.limits import Limits
from yoi.packages.unavailable import explained
from yoi.protocol.commands import OutputCommand
from yoi.protocol.ingress import QueuedEvent
from yoi.protocol.outcomes import AnswerRefused, Commands, HandlerFailed, Outcome, Reply
from yoi.runtime.containment import contained, report
from yoi.runtime.dead_letters import DeadLetters
from yoi.runtime.handler_faults import HandlerFaults
from yoi.runtime.intake import Intake
from yoi.runtime.ledger import Ledger
from yoi.runtime.outbox import Outbox
from yoi.runtime.service_spec import IngressRules
from yoi.runtime.thread_bridge import Mailbox, Turns
from yoi.types import Clock

Judged = Effect | Refused

_REST_S = 0.001
"""Between two slices of an answer while other plugins are at work; less is none to uvloop."""


class Handler(Protocol):
    """The part of a sandbox guest that the dispatcher uses; blocking, worker threads only."""

    def dispatch(self, events: Sequence[QueuedEvent], budget_ms: int) -> list[Outcome]:
        """Return the outcomes of a prefix of `events`, at least one."""
        ...


class DispatchOwner(Protocol):
    """What the dispatcher reports to: the service."""

    def handled(self, count: int) -> None:
        """`count` events were handled well."""
        ...

    def room(self) -> None:
        """Events left the queue: paused connections may read again."""
        ...

    def collect_output(self) -> None:
        """Fetch what the guest printed during the last call."""
        ...

    def guest_lost(self, error: YoiError) -> None:
        """The instance is gone; the dispatcher stands still until `attach`."""
        ...

    def idle(self) -> None:
        """Nothing is queued or in flight."""
        ...

    def trial_failed(self, error: YoiError) -> None:
        """The first event of an instance on trial, which waits again, was not handled."""
        ...


class Dispatcher:
    """See the module docstring."""

    def __init__(
        self,
        key: str,
        queue: IngressQueue,
        rules: Mapping[str, IngressRules],
        gate: CommandGate,
        intake: Intake,
        outbox: Outbox,
        loop_budget: LoopBudget,
        ledger: Ledger,
        dead_letters: DeadLetters,
        owner: DispatchOwner,
        turns: Turns,
        mailbox: Mailbox,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        rng: Callable[[], float],
        limits: Limits,
    ) -> None:
        self._key = key
        self._queue = queue
        self._rules = rules
        self._gate = gate
        self._intake = intake
        self._outbox = outbox
        self._loop_budget = loop_budget
        self._ledger = ledger
        self._faults = HandlerFaults(ledger, clock)
        self._dead_letters = dead_letters
        self._owner = owner
        self._turns = turns
        self._mailbox = mailbox
        self._loop = loop
        self._clock = clock
        self._rng = rng
        self._limits = limits
        self.times = Histogram()
        """How long the calls of the guest took."""
        self._handler: Handler | None = None
        self._on_trial = False
        """Whether the next event is the first of a version that is not kept yet."""
        self._waiting: list[asyncio.Future[None]] = []
        self._scheduled = False
        self._memory_errors = 0  # in a row

    def attach(self, handler: Handler, *, trial: bool = False) -> None:
        """Use `handler` from now on; on `trial` its first event goes alone, and decides."""
        self._handler = handler
        self._on_trial = trial
        self._memory_errors = 0
        self.wake()

    def detach(self) -> None:
        """Hand nothing more to the guest; what is out settles when it comes back."""
        self._handler = None
        self._on_trial = False

    def use(self, rules: Mapping[str, IngressRules], gate: CommandGate) -> None:
        """Go by these from now on. Not while anything is out."""
        self._rules = rules
        self._gate = gate

    async def quiet(self) -> None:
        """Return once nothing is out; while it is detached, nothing goes out again."""
        if self._queue.busy:
            settled = self._loop.create_future()
            self._waiting.append(settled)
            await settled

    def wake(self) -> None:
        """Look at the queue in this loop turn, after everything already read has been queued."""
        if self._scheduled or self._handler is None or self._queue.busy:
            return
        self._scheduled = True
        self._loop.call_soon(self._begin)

    def judged(self, commands: Iterable[OutputCommand], event: QueuedEvent) -> list[Judged]:
        """Return what the gate makes of each command that answers `event`."""
        return [self._judge(command, event) for command in commands]

    def _begin(self) -> None:
        self._scheduled = False
        handler = self._handler
        if handler is None or self._queue.busy or not self._outbox.has_room:
            return
        wait = self._must_wait()
        if wait:
            self._scheduled = True
            self._loop.call_later(wait, self._begin)
            return
        try:
            most = 1 if self._on_trial else self._limits.batch_events
            events = self._queue.take(most, self._limits.batch_bytes)
            if not events:
                self._owner.idle()
                return
            budget_ms = self._rules[events[0].ingress].deadline_ms
            self._turns.submit(self._key, lambda: self._turn(handler, events, budget_ms))
        except Exception as exc:
            report(exc, "handing events over", self._broken)

    def _must_wait(self) -> float:
        """Return how long this plugin must leave the loop to others; often 0."""
        now = self._clock.monotonic()
        wait = self._loop_budget.wait(now)
        if wait and self._loop_budget.should_tell(now):
            self._ledger.note(
                "service.loop_time",
                f"{self._key} takes more than {self._limits.loop_share_percent} % of the host's "
                "time with its answers, and is slowed down",
                severity="warning",
                hint="answer with fewer or smaller commands",
            )
        return wait

    def _turn(self, handler: Handler, events: list[QueuedEvent], budget_ms: int) -> None:
        result: list[Outcome] | YoiError
        begun = self._clock.monotonic()
        try:
            result = handler.dispatch(events, budget_ms)
        except YoiError as exc:
            result = exc
        except BaseException as exc:
            # A defect of ours, or a thread being torn down: never let a batch vanish.
            result = GuestTrapped("sandbox.trap", f"dispatch failed: {type(exc).__name__}: {exc}")
        took = self._clock.monotonic() - begun
        self._mailbox.post(self._returned, handler, events, result, took)

    def _returned(
        self,
        handler: Handler,
        events: list[QueuedEvent],
        result: list[Outcome] | YoiError,
        took: float,
    ) -> None:
        self.times.add(took)
        self._settle(handler, events, result)

    def _settle(
        self, handler: Handler, events: list[QueuedEvent], result: list[Outcome] | YoiError
    ) -> None:
        begun = self._clock.monotonic()
        try:
            self._take_result(handler, events, result)
        except Exception as exc:
            report(exc, "acting on an answer", self._broken)
        finally:
            now = self._clock.monotonic()
            self._loop_budget.spend(now - begun, now)
            if self._waiting and not self._queue.busy:
                self._tell_quiet()

    def _tell_quiet(self) -> None:
        waiting, self._waiting = self._waiting, []
        for settled in waiting:
            if not settled.done():
                settled.set_result(None)

    def _broken(self, error: YoiError) -> None:
        """Give up what is in hand: how much of it was acted on is not known. Replace the guest."""
        self._handler = None
        given_up = self._queue.abandon()
        self._owner.guest_lost(error)
        for event in given_up:
            self._dead_letters.add(event, error.code, error.message)

    def _take_result(
        self, handler: Handler, events: list[QueuedEvent], result: list[Outcome] | YoiError
    ) -> None:
        self._owner.collect_output()
        if not self._queue.busy:
            return  # a stop did not wait for this batch, and has accounted for it
        if self._on_trial and handler is self._handler:
            self._on_trial = False
            fault = _fault(result)
            if fault is not None:
                self._given_up_on(events, fault)
                return
        if isinstance(result, YoiError):
            self._failed(handler, events, result)
        else:
            acted = self._answered(events, result)
            if acted < len(result):
                # Other plugins have their turn in between, and their threads the interpreter,
                # which a loop that never waits keeps from them for up to 5 ms each time.
                go_on = partial(self._settle, handler, events[acted:], result[acted:])
                rest = self._loop_budget.wait(self._clock.monotonic())
                if rest or self._turns.busy:
                    self._loop.call_later(max(rest, _REST_S), go_on)
                else:
                    self._loop.call_soon(go_on)
                return
            if self._memory_errors >= self._limits.memory_errors:
                # It would fail with every event: what it keeps leaves no memory for the next one.
                message = "the plugin ran out of memory twice in a row"
                self._lost(handler, GuestTrapped("sandbox.memory", message))
        self._owner.room()
        self.wake()

    def _answered(self, events: list[QueuedEvent], outcomes: list[Outcome]) -> int:
        """Act on `outcomes` for at most a slice of time; return on how many."""
        counters, monotonic = self._ledger.counters, self._clock.monotonic
        judge_reply, handled = self._gate.judge_reply, self._outbox.handled
        ends = monotonic() + self._limits.loop_slice_us / 1e6
        good = settled = acted = 0
        memory_errors = self._memory_errors
        again: QueuedEvent | None = None
        for event, outcome in zip(events, outcomes, strict=False):
            acted += 1
            if isinstance(outcome, Reply):
                good += 1
                memory_errors = 0
                handled(event, (judge_reply(outcome, event),), outcome)
            elif isinstance(outcome, Commands):
                memory_errors = 0
                left = self._act_on(outcome, event, ends)
                if left is not None:
                    acted -= 1
                    outcomes[acted] = left
                    break
                good += 1
            elif isinstance(outcome, HandlerFailed):
                counters.failed += 1
                memory_errors = memory_errors + 1 if outcome.kind == "MemoryError" else 0
                words = explained(outcome.kind, outcome.message, outcome.trace)
                self._faults.tell(event, outcome, words)
                if self._may_retry(event):
                    # Only the last outcome of an answer can be retried in order.
                    if settled == len(outcomes) - 1:
                        again = event
                        break
                    self._dead_letters.add(event, outcome.code, words.message)
                else:
                    self._dead_letters.add(event, outcome.code, words.message)
            else:
                self._refused(event, outcome)
            settled += 1
            if monotonic() > ends:
                break
        counters.dispatched += acted
        self._queue.settle(settled)
        self._memory_errors = memory_errors
        if acted == len(outcomes):
            self._queue.give_back()
        if again is not None:
            self._retry(again)
        if good:
            counters.succeeded += good
            self._owner.handled(good)
        return acted

    def _act_on(self, answer: Commands, event: QueuedEvent, ends: float) -> Commands | None:
        """Act on the commands of `answer` until the time `ends`; return what is left of it.

        An answer that is written down before it is acted on is one record, and never divided.
        """
        commands, at_once = answer.commands, self._limits.commands_at_once
        while len(commands) > at_once and self._outbox.takes_parts:
            part, commands = commands[:at_once], commands[at_once:]
            self._outbox.handled(event, self.judged(part, event), Commands(part))
            if self._clock.monotonic() > ends:
                return Commands(commands)
        self._outbox.handled(event, self.judged(commands, event), answer)
        return None

    def _given_up_on(self, events: list[QueuedEvent], fault: YoiError) -> None:
        """Have the version before handle `events`: the one on trial could not."""
        self._queue.give_back()
        if fault.code != "sandbox.gone":
            # Otherwise it went in an earlier turn, through a tool call: no event was tried.
            for event in events:
                event.attempt += 1
            self._intake.tried(events)
        self._handler = None
        self._owner.trial_failed(fault)

    def _refused(self, event: QueuedEvent, outcome: AnswerRefused) -> None:
        self._ledger.counters.failed += 1
        self._dead_letters.add(event, outcome.code, outcome.message)

    def _failed(self, handler: Handler, events: list[QueuedEvent], error: YoiError) -> None:
        if error.code == "sandbox.gone":
            # The instance went in an earlier turn, through a tool call: no event was tried.
            self._queue.give_back()
            self._lost(handler, error)
            return
        counters = self._ledger.counters
        counters.dispatched += len(events)
        counters.failed += 1
        if error.code == "sandbox.deadline":
            counters.timed_out += 1
        if len(events) > 1:
            # Which event it was is not known: each is delivered again, alone.
            for event in events:
                event.attempt += 1
            counters.retried += len(events)
            self._queue.give_back()
            self._intake.tried(events)
        elif isinstance(error, GuestTrapped) and self._may_retry(events[0]):
            self._queue.give_back()
            self._retry(events[0])
        else:
            self._dead_letters.add(events[0], error.code, error.message)
            self._queue.settle(1)
        if isinstance(error, GuestTrapped):
            self._lost(handler, error)
        elif isinstance(error, SandboxError):
            self._ledger.error(error)

    def _lost(self, handler: Handler, error: YoiError) -> None:
        if self._handler is handler:
            self._handler = None
            self._owner.guest_lost(error)

    def _may_retry(self, event: QueuedEvent) -> bool:
        return self._intake.attempts(event) < self._rules[event.ingress].attempts

    def _retry(self, event: QueuedEvent) -> None:
        """Deliver `event`, which was given back, once more; what may not pass it waits too."""
        event.attempt += 1
        self._intake.tried([event])
        wait_ms = attempt_delay_ms(event.attempt, self._rng(), self._limits)
        if wait_ms:
            self._queue.hold(event)
            release = contained("a further attempt", self._release, self._broken)
            self._loop.call_later(wait_ms / 1000, release, event)
        self._ledger.counters.retried += 1
        self._ledger.note(
            "notice.retry",
            f"event {event.event_id} will be delivered again, attempt {event.attempt} of "
            f"{self._rules[event.ingress].attempts}",
            severity="warning",
            event_id=event.event_id,
        )

    def _release(self, event: QueuedEvent) -> None:
        self._queue.release(event)
        self.wake()

    def _judge(self, command: OutputCommand, event: QueuedEvent) -> Judged:
        try:
            return self._gate.judge(command, event)
        except Exception as exc:
            # A defect of ours costs one command, never the queue behind it.
            return Refused(
                "failed",
                "usage.internal",
                f"judging {command.kind} failed: {exc!r}",
                None,
                event.event_id,
                command.command_id,
                command.kind,
            )


def _fault(result: list[Outcome] | YoiError) -> YoiError | None:
    """Return why the first event was not handled; None: it was."""
    if isinstance(result, YoiError):
        return result
    first = result[0]
    if isinstance(first, HandlerFailed):
        words = explained(first.kind, first.message, first.trace)
        return SandboxError(first.code, words.message, hint=words.hint)
    if isinstance(first, AnswerRefused):
        return SandboxError(first.code, first.message)
    return None
