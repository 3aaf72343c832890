"""One model call is bounded: whatever an engine brings, history stays small and says so."""

import asyncio

import pytest
from tests.workers.worlds import World, answers, tool

from yoi.errors import ModelError
from yoi.limits import Limits
from yoi.protocol import events as ev
from yoi.workers import items as it
from yoi.workers.engine import Answer
from yoi.workers.scripted import CallTool, Fail, Say, Think

LIMITS = Limits(
    answer_parts=3,
    tool_calls_per_turn=2,
    tool_arguments_bytes=20,
    answer_text_bytes=50,
    answer_replay_bytes=60,
)


class Fixed:
    """An engine that says `events` and nothing else."""

    name = "fixed"

    def __init__(self, *events):
        self.events = events

    async def ask(self, request):
        for event in self.events:
            yield event

    async def close(self):
        pass


def calls(*ids):
    return Answer([it.Call(call_id, "echo", "{}") for call_id in ids], None)


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (Fixed(), "no end"),
        (Fixed(Answer([it.Text("a")] * 4, None)), "4 parts"),
        (Fixed(calls("1", "2", "3")), "3 tool calls"),
        (Fixed(calls("1", "1")), "id of their own"),
        (Fixed(calls("")), "id of their own"),
        (Fixed(Answer([it.Call("1", "echo", "x" * 21)], None)), "arguments of echo"),
        (Fixed(Answer([it.Text("ä" * 26)], None)), "over 50 bytes"),
        (Fixed(Answer([it.Call("x" * 51, "echo", "{}")], None)), "over 50 bytes"),
        (Fixed(Answer([it.Text("a", {"part": {"signature": "s" * 60}})], None)), "own data"),
        (Fixed(ev.TextDelta(ev.TextData(text="x" * 51))), "over 50 bytes"),
        (
            Fixed(
                ev.ToolCallStart(ev.ToolCallStartData(id="1", name="echo")),
                ev.ToolCallArgsDelta(ev.ToolArgsDeltaData(id="1", json="x" * 51)),
            ),
            "over 50 bytes",
        ),
    ],
)
async def test_an_answer_out_of_bounds_fails_the_run(engine, said):
    async with World(engine, [tool()], limits=LIMITS) as world:
        await world.run("go")
        items = await world.items()
        assert items[-1].result == "failed"
        assert said in items[-1].error
        assert not any(isinstance(i, it.ToolStart) for i in items)
        assert "llm_call_end" in world.names()


async def test_what_a_provider_needs_back_is_kept_and_not_shown():
    replay = {"part": {"signature": "sig"}}
    asked = []

    class Signed(Fixed):
        async def ask(self, request):
            asked.append(request)
            yield Answer([it.Thinking("hm", replay), it.Text("ok")], None)

    async with World(Signed()) as world:
        await world.run("1")
        await world.run("2")
        assert asked[1].messages[1].parts[0].replay == replay
        assert "sig" not in repr(world.heard)
        assert "signature" not in repr(world.worker.snapshot())


async def test_an_error_before_anything_was_said_is_tried_again():
    script = answers([Fail("busy", retryable=True)], [Say("ok")])
    async with World(script) as world:
        await world.run("go")
        assert world.slept == [0.25]  # full jitter: half of the first 500 ms
        assert (await world.items())[-1].result == "finished"
        assert script.asked[0] == script.asked[1]


async def test_an_error_after_something_was_said_is_tried_again_too():
    script = answers([Say("so"), Fail("gone", retryable=True)], [Say("ok")])
    async with World(script) as world:
        await world.run("go")
        assert world.slept == [0.25]
        said = [i.parts for i in await world.items() if isinstance(i, it.Assistant)]
        assert said == [[it.Text("ok")]]


@pytest.mark.parametrize("empty", [[], [Say(" ")], [Think("hm")]], ids=["", "blank", "thought"])
async def test_an_empty_answer_is_asked_again_and_in_the_end_fails_with_an_alert(empty):
    async with World(answers(empty, [Say("ok")])) as world:
        await world.run("go")
        assert (await world.items())[-1].result == "finished"
    async with World(answers(*[empty] * 4)) as world:
        await world.run("go")
        assert (await world.items())[-1].result == "failed"
        assert "empty" in world.worker.status().alerts[-1].message


class Busy(Fixed):
    """Names a wait each time, `times` times."""

    def __init__(self, seconds, times):
        self.seconds, self.left = seconds, times

    async def ask(self, request):
        if self.left:
            self.left -= 1
            raise ModelError("model.provider", "busy", retryable=True, retry_after=self.seconds)
        yield Answer([it.Text("ok")], None)


async def test_a_wait_that_the_provider_names_is_waited_out_and_burns_no_attempt():
    async with World(Busy(36.2, 10)) as world:
        await world.run("go")
        assert world.slept == [36.2] * 10
        assert (await world.items())[-1].result == "finished"


@pytest.mark.parametrize(("seconds", "requests"), [(36, 25), (86_400, 0), (1, 3)])
async def test_named_waits_have_a_bound(seconds, requests):
    async with World(Busy(seconds, 100)) as world:
        await world.run("go")
        assert len(world.slept) == requests
        assert (await world.items())[-1].result == "failed"


async def test_a_cancelled_compaction_changes_nothing():
    class Endless(Fixed):
        async def ask(self, request):
            if not request.may_call:
                yield ev.TextDelta(ev.TextData(text="a"))
                await asyncio.Event().wait()
            yield Answer([it.Text("ok")], None)

    async with World(Endless(), [tool()]) as world:
        await world.run("one")
        await world.worker.compact()
        await world.until(ev.TextDelta)
        await world.worker.cancel()
        await world.until(ev.CompactFailed)
        await world.run("two")
        assert (await world.items())[-1].result == "finished"


async def test_a_compaction_that_stops_with_the_host_is_recorded_as_failed():
    class Endless(Fixed):
        async def ask(self, request):
            yield ev.TextDelta(ev.TextData(text="a"))
            await asyncio.Event().wait()

    async with World(Endless()) as world:
        await world.worker.compact()
        await world.until(ev.TextDelta)
        await world.restart(engine=Fixed(Answer([it.Text("ok")], None)))
        assert any(isinstance(i, it.CompactionFailed) for i in await world.items())


async def test_a_sender_that_gives_up_does_not_tear_the_history():
    """A cancelled caller is cancelled after its commit, so memory and journal agree."""
    async with World() as world:
        await world.worker.pause("ann")
        sending = asyncio.create_task(world.worker.send("kept"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await world.worker.send("next")
        texts = [i.text for i in await world.items() if isinstance(i, it.UserInput)]
        assert texts[-1] == "next"
        assert world.worker.status().waiting == len(texts)


async def test_no_more_than_one_call_of_a_tool_is_under_way():
    running = most = 0

    async def count(arguments):
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1

    lines = [CallTool("echo", '{"text":"a"}')] * 3
    async with World(answers(lines), [tool(function=count)]) as world:
        await world.run("go")
        assert most == 1
