"""What drives a worker: one task that takes the next step, commits what happened, and looks again.

Everything it knows is in the history, so a restart goes on from there.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from yoi.errors import JournalError, ModelError, WorkerError, YoiError
from yoi.protocol import events as ev
from yoi.types import rfc3339_ms
from yoi.workers import items as it
from yoi.workers import records, steps
from yoi.workers.alerts import Alerts
from yoi.workers.announce import announcement
from yoi.workers.budget import DAY_MS, next_day_ms
from yoi.workers.bus import Bus
from yoi.workers.context import ModelInput, model_input
from yoi.workers.engine import Answer
from yoi.workers.history import History
from yoi.workers.inflight import said
from yoi.workers.items import AnyItem, Stored
from yoi.workers.modelcall import ModelCaller, answer_items
from yoi.workers.phases import Phase, PhaseMachine
from yoi.workers.rescuer import Interrupted, Rescuer
from yoi.workers.setup import WorkerSetup
from yoi.workers.tools import ToolOutcome, ToolRegistry
from yoi.workers.transcript import Transcript
from yoi.workers.view import as_sent

T = TypeVar("T")


class Driver:
    """See the module docstring. Belongs to the event loop."""

    def __init__(self, setup: WorkerSetup, bus: Bus, alerts: Alerts) -> None:
        self._phase = PhaseMachine(bus)
        self.fault: YoiError | None = None
        self.last_error: str | None = None
        """Why the last run failed, or the worker stopped trusting its history; gone when a run
        has finished."""
        self.last_error_at: str | None = None
        self.history = History(setup.journal, setup.name, self._announce, setup.limits)
        self.setup = setup
        self.bus = bus
        self.alerts = alerts
        self.caller = ModelCaller(
            setup.engine,
            bus.publish,
            clock=setup.clock,
            sleep=setup.sleep,
            rng=setup.rng,
            limits=setup.limits,
        )
        self._registry = ToolRegistry()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._operation: asyncio.Task[Any] | None = None
        self.cancelling = False
        self._stopping = False
        self.generation = 0
        self._until_ms: int | None = None
        self._told_day = -1
        self._rescue = Rescuer(self)

    @property
    def transcript(self) -> Transcript:
        """Return what the committed items add up to."""
        return self.history.transcript

    @property
    def phase(self) -> Phase:
        """Return the state."""
        return self._phase.state

    @property
    def status(self) -> ev.StatusName:
        """Return the state as the protocol names it."""
        return self._phase.status

    @property
    def in_flight(self) -> ev.InFlight | None:
        """Return what the model is saying now."""
        return self.caller.inflight.snapshot()

    async def start(self) -> None:
        """Recover, then drive."""
        async with self.history.changing:
            await self.recover()
        self._task = asyncio.create_task(self._drive(), name=f"worker {self.setup.name}")

    async def stop(self) -> None:
        """End what is under way, record the interruption, and stop for good; twice is harmless."""
        self._stopping = True
        self._interrupt()
        if self._task is not None:
            await asyncio.wait([self._task])
        if self.phase is not Phase.STOPPED:
            self.caller.inflight.clear()
            self._phase.stop()
            await self.setup.engine.close()

    def wake(self) -> None:
        """Look again: something was committed."""
        self._wake.set()

    def cancel(self) -> None:
        """End the open run as soon as its operation lets go."""
        self.cancelling = True
        self._interrupt()

    async def commit(self, *items: AnyItem) -> list[Stored]:
        """Commit `items` under `history.changing`. Raises WorkerError, JournalError."""
        if self._stopping:
            raise WorkerError("worker.stopped", f"worker {self.setup.name} has stopped")
        return await self.store(*items)

    async def recover(self, loaded: Callable[[], object] = lambda: None) -> None:
        """Read the history, record what was interrupted. Call it under `history.changing`.

        `loaded` is called in between: what follows continues what is there then.
        """
        # What is still under way belongs to the history as it was remembered, not as it is.
        self.generation += 1
        self._interrupt()
        await self._take()
        self.caller.inflight.clear()
        loaded()
        transcript, now = self.transcript, self._now()
        self._registry = self.setup.tools()
        lost = records.recovered(transcript, now, self.setup.limits.run_resumes)
        if any(isinstance(item, it.Paused) for item in lost):
            self.alerts.add("error", "worker", "the run was interrupted too often; it waits")
        if lost:
            await self.store(*lost)

    async def _take(self) -> None:
        """Read the history; of several machines, as the one that owns it from now on."""
        ownership, log = self.setup.ownership, f"worker:{self.setup.name}"
        epoch = ownership.epoch(log)
        if not epoch:
            await self.history.load()
            return
        try:
            await self.history.own(epoch, self._now(), ownership.publication())
        except JournalError as exc:
            if exc.code == "journal.fenced":
                ownership.fenced(log, int(exc.fields["epoch"]))
            raise

    def request(self) -> ModelInput:
        """Return what the model is asked after what is committed now."""
        return as_sent(
            model_input(self.transcript.window), *(self.setup.models or (self.setup.engine.name,))
        )

    def configuration(self) -> list[AnyItem]:
        """Return the item that records a changed configuration, or nothing when it is the same."""
        self._registry = self.setup.tools()
        wanted = it.Configured(
            at_ms=self._now(),
            engine=self.setup.engine.name,
            instructions=self.setup.instructions,
            tools=self._registry.specs,
            max_turns=self.setup.max_turns,
        )
        return records.changed_configuration(self.transcript, wanted)

    # The loop

    async def _drive(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                if not await self._advance():
                    await self._rest()
            except YoiError as exc:
                self._broken(exc)
            except Exception as exc:
                self._broken(WorkerError("worker.transition", f"a defect in Yoi: {exc!r}"))

    async def _rest(self) -> None:
        """Wait until something was committed, or the time has come that a step waits for."""
        if self._until_ms is None:
            await self._wake.wait()
            return
        left_ms = min(max(0, self._until_ms - self._now()), self.setup.limits.worker_rest_ms)
        timer = asyncio.ensure_future(self.setup.sleep(left_ms / 1000))
        woken = asyncio.create_task(self._wake.wait())
        await asyncio.wait([timer, woken], return_when=asyncio.FIRST_COMPLETED)
        timer.cancel()
        woken.cancel()
        await asyncio.gather(timer, woken, return_exceptions=True)

    async def _advance(self) -> bool:
        """Take one step; return whether there may be another."""
        self._until_ms = None
        if self._broke():
            return False
        if self.cancelling:
            await self._end_cancelled()
            return True
        request: ModelInput | None = None
        async with self.history.changing:
            if self._broke():  # it broke while this waited for its turn
                return False
            deadline_ms = self.setup.approval_deadline_ms
            step = steps.next_step(self.transcript, self._now(), deadline_ms)
            if isinstance(step, steps.Wait):
                self._until_ms = step.until_ms
                self._phase.rest(self.transcript.run, paused=step.paused)
                return False
            over = self.over_budget
            if over is not None and isinstance(
                step, steps.BeginRun | steps.AskModel | steps.Summarise
            ):
                self._wait_for_budget(over)
                return False
            self._phase.go_on(self.transcript.run)
            shorter = self._rescue.before(step)
            if shorter is not None:
                await self.store(shorter)
                return True
            await self._record(step)
            if isinstance(step, steps.AskModel | steps.Summarise):
                request = self.request()
        if isinstance(step, steps.RunTool):
            await self._run_tool(step.pending.call)
        elif isinstance(step, steps.AskModel) and request is not None:
            await self._ask_model(request, step.turn)
        elif request is not None:
            await self._summarise(request)
        return True

    @property
    def over_budget(self) -> str | None:
        """Return in words which bound of the day is reached, if one is."""
        return self.setup.budget.exhausted(self.transcript.spent, self._now())

    def _wait_for_budget(self, over: str) -> None:
        """Rest until the next day; what waits goes on waiting."""
        now = self._now()
        self._until_ms = next_day_ms(now)
        if self._told_day != now // DAY_MS:
            self._told_day = now // DAY_MS
            self.alerts.add("error", "budget", f"{over}; the worker goes on tomorrow (UTC)")
        self._phase.rest(self.transcript.run, paused=True)

    async def _record(self, step: steps.Step) -> None:
        """Commit what `step` says before anything is done about it."""
        items = records.step_items(step, self.transcript, self._now())
        match step:
            case steps.BeginRun():
                self._rescue.begin()
                items = [*self.configuration(), *items]
            case steps.Expire():
                name = step.pending.call.name
                self.alerts.add("warning", "approval", f"nobody decided about {name} in time")
            case steps.FinishRun(result="limit_reached"):
                self._tell_limit()
            case _:
                pass
        if items:
            await self.store(*items)
        if isinstance(step, steps.FinishRun) and step.result == "finished":
            self.last_error = self.last_error_at = None

    async def _ask_model(self, request: ModelInput, turn: int) -> None:
        number = self.transcript.llm_calls + 1
        generation = self.generation
        self.bus.publish(ev.TurnStart(ev.TurnStartData(turn=turn)))
        self.bus.publish(
            ev.LlmCallStart(ev.LlmCallData(llm_call=number, model=self.setup.engine.name))
        )
        try:
            answer = await self.interruptible(self.caller.ask(request, number))
        except Interrupted:
            await self.interrupted(generation, number)
            return
        except ModelError as exc:
            if not await self._rescue.after(exc, request, generation, number):
                await self.fail(exc, generation, number)
            return
        await self.answered(answer, generation, number)

    async def interrupted(
        self, generation: int, number: int, before: Sequence[AnyItem] = ()
    ) -> None:
        """Record that a person cancelled the call; a host that stops records it when it returns."""
        if self.cancelling:
            end = it.RunEnd(at_ms=self._now(), result="cancelled")
            await self.break_off(generation, number, "interrupted", end, before)

    def end_call(self, number: int) -> None:
        """Tell that model call `number` came to nothing and the run goes on."""
        self.caller.inflight.clear()
        self.bus.publish(ev.LlmCallEnd(ev.LlmCallData(llm_call=number)))

    async def fail(self, error: ModelError, generation: int, number: int) -> None:
        """End the run for `error`; after a passing fault another takes its inputs up."""
        self.note_error(error)
        again_ms = 0
        if error.fields.get("retryable") and self.transcript.agains < self.setup.agains:
            limits = self.setup.limits
            wait_ms = limits.run_again_first_ms * 2**self.transcript.agains
            again_ms = self._now() + min(wait_ms, limits.run_again_max_ms)
        told = "; its inputs are taken up again later" if again_ms else ""
        self.alerts.add("error", "model", f"the run failed: {error}{told}")
        end = it.RunEnd(at_ms=self._now(), result="failed", error=str(error), again_at_ms=again_ms)
        await self.break_off(generation, number, "failed", end)

    async def answered(
        self, answer: Answer, generation: int, number: int, before: Sequence[AnyItem] = ()
    ) -> None:
        """Record `answer`, after the items `before`."""
        now = self._now
        self._rescue.begin()
        items = [
            *before,
            *answer_items(answer, number, answer.model or self.setup.engine.name, now()),
        ]
        if answer.end == "cut":
            items.append(it.RunEnd(at_ms=now(), result="limit_reached"))
            self.alerts.add("warning", "model", "the model stopped at its own output bound")
        if answer.end == "complete":
            items += self._first_start(answer.parts)
        await self.store_if(generation, *items)

    def _first_start(self, parts: Iterable[it.Part]) -> list[AnyItem]:
        if self._stopping or self.cancelling:
            return []
        return records.first_start(self.transcript, parts, self._now())

    async def break_off(
        self,
        generation: int,
        number: int,
        finish: it.Finish,
        end: it.RunEnd,
        before: Sequence[AnyItem] = (),
    ) -> None:
        """Record an answer that broke off, with what was said so far, and the end of its run."""
        items: list[AnyItem] = [*before]
        spoken = said(self.caller.inflight)
        if spoken:
            items.append(
                it.Assistant(
                    at_ms=self._now(),
                    llm_call=number,
                    model=self.setup.engine.name,
                    parts=spoken,
                    finish=finish,
                )
            )
        else:
            self.end_call(number)
        self.cancelling = False
        await self.store_if(generation, *items, end)

    async def _run_tool(self, call: it.Call) -> None:
        generation = self.generation
        recorded = steps.tool_spec(self.transcript, call.name)
        try:
            if recorded is None or recorded.origin != self._registry.origin(call.name):
                # After a restart: the model and the person who approved saw another tool.
                done = ToolOutcome("the tool has changed since this run began", "refused")
            else:
                done = await self.interruptible(self._registry.carry_out(call))
        except Interrupted:
            result = records.tool_result(call, "interrupted", records.UNKNOWN, self._now())
        else:
            origin = self._registry.origin(call.name)
            result = records.tool_output(call, done, origin, self._now())
        after = records.calls_after(self.transcript, call)
        await self.store_if(generation, result, *self._first_start(after))

    async def _summarise(self, request: ModelInput) -> None:
        number, generation = self.transcript.llm_calls + 1, self.generation
        asked = self.transcript.compacting
        assert asked is not None
        try:
            answer = await self.interruptible(self.caller.ask(request, number))
        except (Interrupted, ModelError) as exc:
            if self._stopping:
                return
            reason = "cancelled" if isinstance(exc, Interrupted) else str(exc)
            failed: list[AnyItem] = [it.CompactionFailed(at_ms=self._now(), error=reason)]
            if isinstance(exc, ModelError):
                failed += self._rescue.after_summary(exc, request, asked)
            else:
                self.cancelling = self.cancelling and self.transcript.run is not None
            await self.store_if(generation, *failed)
            return
        done = records.summary(answer, number, asked, self.transcript, self._now())
        await self.store_if(generation, *done)

    async def _end_cancelled(self) -> None:
        async with self.history.changing:
            self.cancelling = False
            items = records.cancelled(self.transcript, self._now())
            if items:
                await self.store(*items)

    # Parts of the loop

    async def interruptible(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns, or raise Interrupted when cancel or stop ended it."""
        operation = asyncio.create_task(work)
        self._operation = operation
        if self._stopping or self.cancelling:
            operation.cancel()
        try:
            await asyncio.wait([operation])
        finally:
            self._operation = None
        if operation.cancelled():
            raise Interrupted
        return operation.result()

    def _interrupt(self) -> None:
        if self._operation is not None:
            self._operation.cancel()
        self._wake.set()

    async def store(self, *items: AnyItem) -> list[Stored]:
        """Commit `items` under `history.changing`; a journal's fault stops the worker."""
        try:
            return await self.history.commit(items)
        except JournalError as exc:
            self._broken(exc)
            raise

    async def store_if(self, generation: int, *items: AnyItem) -> None:
        """Commit what came of an operation, unless the history was read again meanwhile."""
        async with self.history.changing:
            if generation == self.generation:
                await self.store(*items)

    def _announce(self, stored: Stored) -> None:
        if isinstance(stored.item, it.Assistant | it.RunEnd | it.Compaction | it.CompactionFailed):
            self.caller.inflight.clear()
        for event in announcement(stored, self.transcript):
            self.bus.publish(event)

    def _tell_limit(self) -> None:
        if self.transcript.full:
            self.alerts.add("error", "worker", "the context is at its bound; compact the history")
        else:
            self.alerts.add("warning", "worker", "the run reached its bound on turns")

    def _broken(self, error: YoiError) -> None:
        """Stop trusting what is in memory: a person resumes the worker, which reads it again."""
        if self.fault is not None:
            return
        self.fault = error
        self.note_error(error)
        self.alerts.add("error", "worker", f"{error}; the worker waits until it is resumed")
        if self.phase is not Phase.STOPPED:
            self._phase.rest(self.transcript.run, paused=True)

    def note_error(self, error: YoiError) -> None:
        """Keep why something failed, and when, for people to see."""
        self.last_error = str(error)
        self.last_error_at = rfc3339_ms(self._now())

    def _broke(self) -> bool:
        return self.fault is not None

    def _now(self) -> int:
        return self.setup.clock.wall_ms()
