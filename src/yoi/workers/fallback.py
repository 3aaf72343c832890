"""Several models for one worker: the first that is not known to be down is asked."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing

from yoi.errors import ModelError
from yoi.workers.context import ModelInput
from yoi.workers.engine import Answer, Engine, Said
from yoi.workers.view import as_sent

REST_S = 300.0
"""How long a model that failed is passed over while another may be asked."""


class FallbackEngine:
    """A `yoi.workers.engine.Engine` over several, in the operator's order.

    Each call asks one of them. An error that may not concern another model is marked as one to try
    again, and the next attempt asks the next model. A refusal of the request itself is passed on
    unchanged.
    """

    def __init__(self, engines: Sequence[Engine], monotonic: Callable[[], float]) -> None:
        self.name = engines[0].name
        self._engines = tuple(engines)
        self._monotonic = monotonic
        self._down_until = [0.0] * len(engines)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the models' names, in order."""
        return tuple(engine.name for engine in self._engines)

    async def ask(self, request: ModelInput) -> AsyncIterator[Said | Answer]:
        """Ask the first model that is not known to be down, with its own view of `request`."""
        chosen = self._chosen()
        engine = self._engines[chosen]
        try:
            # `as_sent` gives each model back only the thinking that it wrote itself.
            async with aclosing(engine.ask(as_sent(request, engine.name))) as said:  # type: ignore[type-var]
                async for event in said:
                    if isinstance(event, Answer):
                        self._down_until[chosen] = 0.0
                        yield Answer(event.parts, event.usage, event.end, engine.name)
                    else:
                        yield event
        except ModelError as exc:
            if exc.code == "model.window" or exc.fields.get("for_content"):
                raise
            now = self._monotonic()
            self._down_until[chosen] = now + REST_S
            if all(until > now for until in self._down_until):
                raise
            raise ModelError(
                exc.code,
                f"{engine.name}: {exc.message}; the next model is asked",
                retryable=True,
                status=exc.fields.get("status"),
            ) from exc

    async def close(self) -> None:
        """Close what the models hold open."""
        for engine in self._engines:
            await engine.close()

    def _chosen(self) -> int:
        now = self._monotonic()
        for index, until in enumerate(self._down_until):
            if until <= now:
                return index
        return min(range(len(self._engines)), key=self._down_until.__getitem__)
