"""Fallbacks: the next model is asked, visibly, and each reads only its own thinking."""

import pytest
from tests.workers.worlds import World

from yoi.errors import ModelError, WorkerError
from yoi.protocol import events as ev
from yoi.workers import items as it
from yoi.workers.engine import Answer
from yoi.workers.fallback import REST_S, FallbackEngine
from yoi.workers.profile import WorkerProfile


class Model:
    def __init__(self, name):
        self.name = name
        self.error = None
        self.asked = []

    async def ask(self, request):
        self.asked.append(request)
        if self.error is not None:
            yield ev.TextDelta(ev.TextData(text="half"))
            raise self.error
        replay = {"part": {"signature": self.name}}
        yield Answer([it.Thinking("hm", replay), it.Text(f"by {self.name}")], None)

    async def close(self):
        self.name += " closed"


def world_of(*models):
    world = World(models[0])
    engine = FallbackEngine(models, world.clock.monotonic)
    world.setup = type(world.setup)(
        **{f: getattr(world.setup, f) for f in world.setup.__dataclass_fields__}
        | {"engine": engine, "models": engine.names}
    )
    world.worker = world._made()
    return world


DOWN = ModelError("model.provider", "down", retryable=True, status=503)
NO_KEY = ModelError("model.rejected", "bad key", retryable=False, status=401)


@pytest.mark.parametrize("error", [DOWN, NO_KEY], ids=["down", "key"])
async def test_the_next_model_answers_and_the_first_is_asked_again_later(error):
    first, second = Model("a:1"), Model("b:2")
    async with world_of(first, second) as world:
        await world.run("one")
        first.error = error
        await world.run("two")
        await world.run("three")
        assert (len(first.asked), len(second.asked)) == (2, 2)
        assert "a:1" in next(e.data.error for e in world.heard if isinstance(e, ev.LlmRetry))
        first.error = None
        world.clock.advance(REST_S)
        await world.run("four")
        said = [i.model for i in await world.items() if isinstance(i, it.Assistant)]
        assert said == ["a:1", "b:2", "b:2", "a:1"]
        # Each gets back what it said itself, and the words of the other.
        for model, own in ((first, 1), (second, 1)):
            replays = [
                part.replay["part"]["signature"]
                for message in model.asked[-1].messages
                for part in getattr(message, "parts", ())
                if part.replay
            ]
            assert replays == [model.name] * own
    assert (first.name, second.name) == ("a:1 closed", "b:2 closed")


async def test_where_all_are_down_the_last_error_stands():
    models = Model("a:1"), Model("b:2")
    models[0].error, models[1].error = DOWN, NO_KEY
    async with world_of(*models) as world:
        await world.run("one")
        assert "bad key" in (await world.items())[-1].error


async def test_a_refusal_of_the_request_is_no_reason_for_another_model():
    models = Model("a:1"), Model("b:2")
    models[0].error = ModelError("model.window", "too long", retryable=False)
    async with world_of(*models) as world:
        await world.run("one")
        assert not models[1].asked


def test_fallbacks_are_read_strictly():
    row = {"name": "w", "model": "openai:m", "thinking": "low"}
    profile = WorkerProfile.parse({**row, "fallbacks": [{"model": "openai:n", "api_key": "k"}]})
    (one,) = profile.fallbacks
    assert (one.model, one.api_key, one.thinking) == ("openai:n", "k", "low")
    for wrong in ({"model": "scripted"}, {}, {"model": "openai:n", "what": 1}):
        with pytest.raises(WorkerError):
            WorkerProfile.parse({**row, "fallbacks": [wrong]})
