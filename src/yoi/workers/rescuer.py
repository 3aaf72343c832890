"""What a worker does by itself when its provider refuses a request.

Too large: it has the oldest messages summed up, in pieces, and goes on with the run. Refused for
its content: it looks for the text, sets it aside and goes on. All of it is committed and told.
"""

from collections.abc import Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from yoi.errors import ModelError, YoiError
from yoi.workers import items as it
from yoi.workers import rescue, steps
from yoi.workers.alerts import Alerts
from yoi.workers.context import ModelInput, conversation
from yoi.workers.engine import Answer
from yoi.workers.history import History
from yoi.workers.modelcall import ModelCaller, usage_items
from yoi.workers.setup import WorkerSetup
from yoi.workers.transcript import Transcript

T = TypeVar("T")
HOST = "host"
INSTRUCTION = (
    "Sum up the conversation so far for yourself: what is wanted, what was done, what is open, and "
    "every name, number and decision needed to go on. The summary replaces what stands before this."
)
_UNLIMITED = 1 << 62


class Interrupted(Exception):
    """The operation under way was ended by cancel or stop."""


class Rescued(Protocol):
    """What the rescuer needs of the worker that it helps: its driver."""

    setup: WorkerSetup
    history: History
    alerts: Alerts
    caller: ModelCaller
    generation: int

    @property
    def transcript(self) -> Transcript:
        """Return what the committed items add up to."""
        ...

    def request(self) -> ModelInput:
        """Return what the model is asked after what is committed now."""
        ...

    def end_call(self, number: int) -> None:
        """Tell that model call `number` came to nothing and the run goes on."""
        ...

    def note_error(self, error: YoiError) -> None:
        """Keep why something failed, and when, for people to see."""
        ...

    async def interruptible(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns, or raise Interrupted when cancel or stop ended it."""
        ...

    async def interrupted(
        self, generation: int, number: int, before: Sequence[it.AnyItem] = ()
    ) -> None:
        """Record that a person cancelled the call."""
        ...

    async def answered(
        self, answer: Answer, generation: int, number: int, before: Sequence[it.AnyItem] = ()
    ) -> None:
        """Record `answer`, after the items `before`."""
        ...

    async def fail(self, error: ModelError, generation: int, number: int) -> None:
        """End the run for `error`."""
        ...

    async def store(self, *items: it.AnyItem) -> list[it.Stored]:
        """Commit `items` under `history.changing`."""
        ...

    async def store_if(self, generation: int, *items: it.AnyItem) -> None:
        """Commit what came of an operation, unless the history was read again meanwhile."""
        ...


class Rescuer:
    """See the module docstring. Belongs to one driver, which calls it between its steps."""

    def __init__(self, driver: Rescued) -> None:
        self._driver = driver
        self._room = _UNLIMITED
        """Bytes of a request that the provider is thought to take; learned from its refusals."""
        self._shortenings = 0

    def begin(self) -> None:
        """Note that a run begins, or that the model has answered."""
        self._shortenings = 0

    def before(self, step: steps.Step) -> it.AnyItem | None:
        """Return the request for a summary that comes before `step` when the window is nearly full.

        Only where a step asks the model, or ends a run because the context is at its bound.
        """
        driver = self._driver
        setup, transcript = driver.setup, driver.transcript
        config, run = transcript.config, transcript.run
        if run is None or config is None or self._shortenings >= setup.limits.run_shortenings:
            return None
        nearly = setup.window is not None and (
            transcript.context_tokens * 100 >= setup.window * setup.compact_at
        )
        going_on = not run.answered and run.turns < config.max_turns
        if not (
            (isinstance(step, steps.AskModel) and nearly)
            or (isinstance(step, steps.FinishRun) and going_on and transcript.full)
        ):
            return None
        heard = conversation(transcript.window)
        if len(heard) - setup.compact_keep < 2:  # a summary of next to nothing helps nothing
            return None
        self._shortenings += 1
        return self._asked(rescue.covers(heard, self._left(), setup.compact_keep))

    async def after(
        self, error: ModelError, request: ModelInput, generation: int, number: int
    ) -> bool:
        """Do what helps against `error`; return False where nothing does and the run must end."""
        if error.code == "model.window":
            return await self._shorten(request, generation, number)
        if error.fields.get("for_content") or error.fields.get("status") == 500:
            return await self._search(error, request, generation, number)
        return False

    async def _shorten(self, request: ModelInput, generation: int, number: int) -> bool:
        driver = self._driver
        self._learn(request)
        heard = conversation(driver.transcript.window)
        count = rescue.covers(heard, self._left(), driver.setup.compact_keep)
        if not count or self._shortenings > driver.setup.limits.run_shortenings:
            return False
        driver.alerts.add(
            "warning",
            "model",
            "the conversation is larger than the model's window; it is summed up",
        )
        driver.end_call(number)
        await driver.store_if(generation, self._asked(count))
        return True

    def after_summary(
        self, error: ModelError, request: ModelInput, asked: it.CompactionAsked
    ) -> list[it.AnyItem]:
        """Return what follows a failed request for a summary: a smaller one, or one text less."""
        driver = self._driver
        transcript = driver.transcript
        if error.code != "model.window":
            return []
        self._learn(request)
        if self._shortenings > driver.setup.limits.run_shortenings:
            return []
        heard = conversation(transcript.window)
        count = rescue.covers(heard, self._left(), driver.setup.compact_keep)
        if 0 < count < (asked.covers or len(heard)):
            return [self._asked(count)]
        place = rescue.largest(heard[:count], transcript.window, transcript.aside)
        if place is None:
            return []
        reason = "larger than the model's window"
        self._tell([place], reason)
        return [it.SetAside(at_ms=self._now(), places=[place], reason=reason, by=HOST)]

    def _learn(self, request: ModelInput) -> None:
        self._shortenings += 1
        self._room = min(self._room, rescue.size(request) // 2)

    def _left(self) -> int:
        """Return how many bytes of messages a request has room for."""
        config = self._driver.transcript.config
        fixed = 0 if config is None else len(it.encode_item(config))
        return max(1, self._room - fixed)

    def _asked(self, covers: int) -> it.CompactionAsked:
        return it.CompactionAsked(at_ms=self._now(), instruction=INSTRUCTION, covers=covers)

    async def _search(
        self, error: ModelError, request: ModelInput, generation: int, number: int
    ) -> bool:
        """Look for the text that is refused; return False where the run must end with `error`."""
        driver = self._driver
        transcript = driver.transcript
        places, fresh = rescue.suspects(
            conversation(transcript.window), transcript.window, transcript.aside
        )
        search = rescue.Search(places, fresh)
        leave_out: tuple[int, ...] = ()
        while True:  # the first time with the very same request: the fault may have passed
            try:
                answer = await driver.interruptible(driver.caller.ask(request, number))
            except Interrupted:
                await driver.interrupted(generation, number, self._restored())
                return True
            except ModelError as exc:
                if not _alike(exc, error):
                    await driver.store_if(generation, *self._restored())
                    await driver.fail(exc, generation, number)
                    return True
                answer = None
            if not leave_out and answer is not None:
                await driver.answered(answer, generation, number)
                return True
            if leave_out:
                search.went(answered=answer is not None)
            if search.over:
                break
            spent = [] if answer is None else usage_items(answer, number, self._now())
            leave_out = search.leave_out
            trial = it.SetAside(
                at_ms=self._now(), places=[*leave_out], reason=str(error), by=HOST, trial=True
            )
            async with driver.history.changing:
                if generation != driver.generation:
                    return True
                await driver.store(*spent, *self._restored(), trial)
                request, number = driver.request(), transcript.llm_calls + 1
        if not search.found:
            return await self._not_found(error, generation, number)
        self._tell(search.found, str(error))
        final = it.SetAside(at_ms=self._now(), places=[*search.found], reason=str(error), by=HOST)
        settled: list[it.AnyItem] = [*self._restored(), final]
        if answer is not None and search.found == leave_out:
            await driver.answered(answer, generation, number, settled)
        else:
            driver.end_call(number)
            await driver.store_if(generation, *settled)
        return True

    async def _not_found(self, error: ModelError, generation: int, number: int) -> bool:
        driver = self._driver
        items = self._restored()
        if not error.fields.get("for_content"):
            await driver.store_if(generation, *items)
            return False  # it was the server after all
        driver.note_error(error)
        driver.end_call(number)
        driver.alerts.add(
            "error", "model", f"{error}; no single text is the cause: the worker waits for a person"
        )
        if driver.transcript.paused_by is None:
            reason = "host: the provider refuses the conversation"
            items.append(it.Paused(at_ms=self._now(), by=reason))
        await driver.store_if(generation, *items)
        return True

    def _restored(self) -> list[it.AnyItem]:
        on_trial = sorted(self._driver.transcript.on_trial)
        if not on_trial:
            return []
        return [it.Restored(at_ms=self._now(), places=on_trial, by=HOST)]

    def _tell(self, places: "list[int] | tuple[int, ...]", reason: str) -> None:
        driver = self._driver
        named = ", ".join(str(place) for place in sorted(places))
        driver.alerts.add(
            "error",
            "model",
            f"item {named} is set aside and not sent any more: {reason}; "
            f"yoi worker restore {driver.setup.name} {min(places)}",
        )

    def _now(self) -> int:
        return self._driver.setup.clock.wall_ms()


def _alike(one: ModelError, other: ModelError) -> bool:
    """Return whether both are refusals of the same kind."""
    return one.code == other.code and one.fields.get("status") == other.fields.get("status")
