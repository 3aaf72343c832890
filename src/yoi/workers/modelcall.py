"""One model call: bounded, timed, and made again where that may help.

No tool of an answer runs before the answer is whole, so an answer that broke off can be asked for
again; what it said is given up.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import msgspec

from yoi.core.backoff import FullJitter
from yoi.core.observation.inflight import InFlight
from yoi.display import printable
from yoi.errors import ModelError, ProtocolMalformed
from yoi.limits import LIMITS, Limits
from yoi.protocol import events as ev
from yoi.types import Clock
from yoi.workers import items as it
from yoi.workers.context import ModelInput
from yoi.workers.engine import Answer, Engine, Said


class ModelCaller:
    """Asks one worker's engine. What is said goes to `publish` and into `inflight` at once."""

    def __init__(
        self,
        engine: Engine,
        publish: Callable[[ev.Event], None],
        *,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]],
        rng: Callable[[], float],
        limits: Limits = LIMITS,
    ) -> None:
        self.inflight = InFlight(limits.observed_inflight_bytes)
        self._engine = engine
        self._publish = publish
        self._clock = clock
        self._sleep = sleep
        self._rng = rng
        self._limits = limits

    async def ask(self, request: ModelInput, number: int) -> Answer:
        """Return the checked answer to call `number`. Raises ModelError, or is cancelled.

        What was said before that is in `inflight`.
        """
        self.inflight.clear()
        begun = self._clock.monotonic()
        backoff = FullJitter(
            first_ms=self._limits.llm_backoff_first_ms,
            max_ms=self._limits.llm_backoff_max_ms,
            rng=self._rng,
        )
        attempt, named_ms = 1, 0
        while True:
            try:
                async with asyncio.timeout(self._limits.llm_call_ms / 1000):
                    return await self._listen(request)
            except ModelError as exc:
                error = exc
            except TimeoutError:
                error = ModelError(
                    "model.timeout",
                    f"the model was not done after {self._limits.llm_call_ms} ms",
                    retryable=True,
                )
            spoke = self.inflight.snapshot() is not None
            if not error.fields.get("retryable") or (spoke and error.code == "model.timeout"):
                raise error
            wait_ms = max(round(backoff.next_ms()), _named_ms(error))
            failed = attempt
            # A long wait that the provider named is not an attempt that came to nothing.
            if wait_ms > self._limits.llm_backoff_max_ms:
                named_ms += wait_ms
                if named_ms > self._limits.llm_wait_ms:
                    raise error
            else:
                if attempt >= self._limits.llm_attempts:
                    raise error
                attempt += 1
            self._publish(
                ev.LlmRetry(
                    ev.LlmRetryData(
                        llm_call=number,
                        failed_attempt=failed,
                        max_attempts=self._limits.llm_attempts,
                        wait_ms=wait_ms,
                        elapsed_ms=round((self._clock.monotonic() - begun) * 1000),
                        error=error.message,
                        status=error.fields.get("status"),
                    )
                )
            )
            if spoke:
                self.inflight.clear()
                # The call begins again: watchers forget what it had said.
                begins = ev.LlmCallData(llm_call=number, model=self._engine.name)
                self._publish(ev.LlmCallStart(begins))
            await self._sleep(wait_ms / 1000)

    async def _listen(self, request: ModelInput) -> Answer:
        room = self._limits.answer_text_bytes
        async with aclosing(self._engine.ask(request)) as said:  # type: ignore[type-var]
            async for event in said:
                if isinstance(event, ev.TextDelta | ev.ThinkingDelta):
                    room -= _size(event.data.text)
                elif isinstance(event, ev.ToolCallArgsDelta):
                    room -= _size(event.data.json)
                elif isinstance(event, Answer):
                    return self._checked(event)
                if room < 0:
                    raise self._too_large()
                self._hear(event)
        raise ModelError("model.output", "the model's answer has no end")

    def _hear(self, event: Said) -> None:
        try:
            self.inflight.add(event)
        except ProtocolMalformed:
            raise self._too_large() from None
        self._publish(event)

    def _checked(self, answer: Answer) -> Answer:
        """Return `answer` when it fits its bounds and its calls can be told apart."""
        limits = self._limits
        if answer.end == "complete" and all(_silent(part) for part in answer.parts):
            raise ModelError("model.output", "the model's answer is empty", retryable=True)
        calls = [part for part in answer.parts if isinstance(part, it.Call)]
        if len(answer.parts) > limits.answer_parts or len(calls) > limits.tool_calls_per_turn:
            raise ModelError(
                "model.output",
                f"{len(answer.parts)} parts and {len(calls)} tool calls in one answer; the bounds "
                f"are {limits.answer_parts} and {limits.tool_calls_per_turn}",
            )
        if len({call.id for call in calls}) != len(calls) or not all(call.id for call in calls):
            raise ModelError("model.output", "tool calls without an id of their own")
        for call in calls:
            if _size(call.arguments) > limits.tool_arguments_bytes:
                raise ModelError(
                    "model.output",
                    f"arguments of {printable(call.name, 64)} are over"
                    f" {limits.tool_arguments_bytes} bytes",
                )
        text = sum(
            _size(p.id + p.name + p.arguments) if isinstance(p, it.Call) else _size(p.text)
            for p in answer.parts
        )
        if text > limits.answer_text_bytes:
            raise self._too_large()
        if len(msgspec.json.encode([p.replay for p in answer.parts])) > limits.answer_replay_bytes:
            raise ModelError("model.output", "the provider's own data is over its bound")
        return answer

    def _too_large(self) -> ModelError:
        return ModelError(
            "model.output", f"the answer is over {self._limits.answer_text_bytes} bytes"
        )


def _named_ms(error: ModelError) -> int:
    """Return the wait that the provider named, or 0."""
    named = error.fields.get("retry_after")
    return 0 if named is None else math.ceil(float(named) * 1000)


def _silent(part: it.Part) -> bool:
    return not isinstance(part, it.Call) and (
        isinstance(part, it.Thinking) or not part.text.strip()
    )


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def answer_items(answer: Answer, number: int, model: str, at_ms: int) -> list[it.AnyItem]:
    """Return the items that record `answer`: what was said, and what it cost."""
    items: list[it.AnyItem] = [
        it.Assistant(
            at_ms=at_ms, llm_call=number, model=model, parts=answer.parts, finish=answer.end
        )
    ]
    return [*items, *usage_items(answer, number, at_ms)]


def usage_items(answer: Answer, number: int, at_ms: int) -> list[it.AnyItem]:
    """Return the record of what `answer` cost, where its provider said so."""
    if answer.usage is None:
        return []
    counted: dict[str, Any] = msgspec.structs.asdict(answer.usage)
    return [it.Usage(at_ms=at_ms, llm_call=number, **counted)]
