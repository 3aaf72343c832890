"""T1, T2: runs, tools, approvals, pause, cancel and restarts of one worker."""

import asyncio

import msgspec
import pytest
from tests.event_names import event_name
from tests.workers.worlds import World, answers, run_ended, texts, tool

from yoi.errors import WorkerError
from yoi.limits import Limits
from yoi.protocol import events as ev
from yoi.workers import items as it
from yoi.workers.approvals import Decision
from yoi.workers.context import ToolOutputs, model_input
from yoi.workers.phases import Phase
from yoi.workers.scripted import CallTool, Say, Think
from yoi.workers.tools import Tool, ToolRegistry
from yoi.workers.view import as_sent

ECHO = CallTool("echo", '{"text":"hi"}')


async def test_a_run_from_message_to_answer():
    async with World(answers([Think("hm"), Say("hello there")])) as world:
        await world.run("hi")
        assert world.names() == [
            "user_message",
            "status",
            "configured",
            "invoke_start",
            "turn_start",
            "llm_call_start",
            "thinking_start",
            "thinking_delta",
            "thinking_done",
            "text_delta",
            "text_delta",
            "text_done",
            "llm_call_end",
            "turn_end",
            "usage",
            "run_end",
        ]
        await world.until_status("idle")
        assert [type(item).__name__ for item in await world.items()] == [
            "UserInput",
            "Configured",
            "RunStart",
            "Assistant",
            "Usage",
            "RunEnd",
        ]


async def test_a_tool_call_is_answered_and_everything_is_in_history():
    script = answers([ECHO], [Say("done")])
    async with World(script, [tool()]) as world:
        await world.run("echo hi")
        items = await world.items()
        assert [type(item).__name__ for item in items[3:]] == [
            "Assistant",
            "Usage",
            "ToolStart",
            "ToolResult",
            "Assistant",
            "Usage",
            "RunEnd",
        ]
        result = items[6]
        assert (result.outcome, result.output) == ("returned", '{"said":"hi"}')
        assert result.origin == it.Origin(kind="builtin")
        outputs = script.asked[1].messages[-1]
        assert isinstance(outputs, ToolOutputs)
        assert outputs.outputs[0].output == '{"said":"hi"}'


async def test_several_calls_of_one_answer_run_in_order_each_once():
    seen = []

    async def note(arguments):
        seen.append(arguments["text"])
        return "ok"

    calls = [CallTool("note", f'{{"text":"{n}"}}') for n in range(3)]
    async with World(answers(calls), [tool("note", function=note)]) as world:
        await world.run("go")
        assert seen == ["0", "1", "2"]
        results = [i for i in await world.items() if isinstance(i, it.ToolResult)]
        assert [r.outcome for r in results] == ["returned"] * 3
        assert world.names().count("turn_end") == 2


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("nothere", "{}", "there is no tool"),
        ("echo", "{nonsense", "not JSON"),
        ("echo", '{"text":3}', "do not fit"),
        ("echo", '{"text":"a","more":1}', "do not fit"),
        ("echo", "[1]", "do not fit"),
        ("echo", "[" * 5000, "JSON values"),
    ],
)
async def test_what_a_model_gets_wrong_is_refused_told_and_survived(name, arguments, said):
    """Bad input: malformed arguments and unknown tools."""
    script = answers([CallTool(name, arguments)], [Say("sorry")])
    async with World(script, [tool()]) as world:
        await world.run("go")
        (result,) = [i for i in await world.items() if isinstance(i, it.ToolResult)]
        assert result.outcome == "refused"
        assert said in result.output
        assert script.asked[1].messages[-1].outputs[0].is_error
        assert any(map(run_ended("finished"), world.heard))


async def test_a_tool_that_raises_fails_its_call_and_not_the_worker():
    async def broken(arguments):
        raise RuntimeError("inside story with a password")

    async with World(answers([ECHO]), [tool(function=broken)]) as world:
        await world.run("go")
        (result,) = [i for i in await world.items() if isinstance(i, it.ToolResult)]
        assert (result.outcome, result.output) == ("failed", "the tool failed: RuntimeError")


async def test_a_tool_that_hangs_runs_out_of_time():
    async def hang(arguments):
        await asyncio.Event().wait()

    async with World(
        answers([ECHO]), [tool(function=hang)], limits=Limits(tool_wait_ms=1)
    ) as world:
        await world.run("go")
        (result,) = [i for i in await world.items() if isinstance(i, it.ToolResult)]
        assert (result.outcome, result.output) == ("failed", "no answer in 1 ms")


async def test_enormous_tool_output_is_cut_and_says_so():
    async def flood(arguments):
        return "ä" * 100_000

    limits = Limits(tool_output_bytes=1001)
    async with World(answers([ECHO]), [tool(function=flood)], limits=limits) as world:
        await world.run("go")
        (result,) = [i for i in await world.items() if isinstance(i, it.ToolResult)]
        assert result.cut
        assert result.output == "ä" * 500


async def test_ask_parks_the_run_until_a_person_approves():
    script = answers([ECHO], [Say("done")])
    async with World(script, [tool(approval="ask")]) as world:
        await world.worker.send("go")
        await world.until_status("paused")
        (waiting,) = world.worker.status().approvals
        assert (waiting.name, waiting.arguments) == ("echo", '{"text":"hi"}')
        assert world.worker.snapshot().data.waiting == [waiting]
        assert any(map(run_ended("paused"), world.heard))
        assert not any(isinstance(i, it.ToolStart) for i in await world.items())

        await world.worker.approve(Decision(question=waiting.item, approved=True), "ann")
        await world.until(run_ended("finished"))
        (result,) = [i for i in await world.items() if isinstance(i, it.ToolResult)]
        assert result.outcome == "returned"
        with pytest.raises(WorkerError, match="ann has decided"):
            await world.worker.approve(Decision(question=waiting.item, approved=True), "ann")


async def test_a_refused_approval_is_a_result_the_model_hears():
    script = answers([ECHO], [Say("all right")])
    async with World(script, [tool(approval="ask")]) as world:
        await world.worker.send("go")
        await world.until_status("paused")
        (waiting,) = world.worker.status().approvals
        await world.worker.approve(Decision(question=waiting.item, approved=False), "ann")
        await world.until(run_ended("finished"))
        (result,) = [i for i in await world.items() if isinstance(i, it.ToolResult)]
        assert (result.outcome, result.output) == ("denied", "a person did not approve this call")


async def test_a_parked_call_survives_a_restart():
    script = answers([ECHO], [Say("done")])
    async with World(script, [tool(approval="ask")]) as world:
        await world.worker.send("go")
        await world.until_status("paused")
        await world.restart()
        await world.until_status("paused")
        (waiting,) = world.worker.status().approvals
        await world.worker.approve(Decision(question=waiting.item, approved=True), "ann")
        await world.until(run_ended("finished"))
        results = [i for i in await world.items() if isinstance(i, it.ToolResult)]
        assert [r.outcome for r in results] == ["returned"]


async def test_denied_tools_are_not_offered_and_not_run():
    script = answers([ECHO])
    async with World(script, [tool(approval="deny")]) as world:
        await world.run("go")
        assert script.asked[0].tools == ()
        (result,) = [i for i in await world.items() if isinstance(i, it.ToolResult)]
        assert result.outcome == "denied"


async def test_one_run_at_a_time_in_the_order_of_the_inputs():
    script = answers([Say("a")], [Say("b")])
    async with World(script) as world:
        await world.worker.send("first")
        await world.worker.send("second")
        await world.until(ev.RunEnd, 2)
        assert texts(script.asked[0]) == ["first"]
        assert texts(script.asked[1]) == ["first", "second"]


async def test_the_queue_is_bounded_and_refuses():
    async with World(limits=Limits(worker_inputs=2)) as world:
        await world.worker.pause("ann")
        await world.worker.send("1")
        await world.worker.send("2")
        with pytest.raises(WorkerError) as caught:
            await world.worker.send("3")
        assert caught.value.code == "worker.queue_full"


@pytest.mark.parametrize("text", ["", "  \n", "x" * 101, "\udc80"])
async def test_inputs_are_bounded_text(text):
    async with World(limits=Limits(input_bytes=100)) as world:
        with pytest.raises(WorkerError) as caught:
            await world.worker.send(text)
        assert caught.value.code == "worker.input"
        assert await world.items() == []


async def test_pause_lets_the_call_finish_and_holds_what_follows():
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(arguments):
        begun.set()
        await go.wait()
        return "ok"

    async with World(answers([ECHO], [Say("done")]), [tool(function=slow)]) as world:
        await world.worker.send("go")
        await begun.wait()
        await world.worker.pause("ann")
        go.set()
        await world.until_status("paused")
        items = await world.items()
        assert isinstance(items[-1], it.ToolResult)
        assert world.worker.status().paused_by == "ann"
        await world.restart()
        await world.until_status("paused")  # a pause outlives the process
        await world.worker.resume("ann")
        await world.until(run_ended("finished"))
        with pytest.raises(WorkerError) as caught:
            await world.worker.resume("ann")
        assert caught.value.code == "worker.not_paused"


async def test_cancel_ends_a_hanging_tool_call_and_records_that_its_effect_is_unknown():
    begun = asyncio.Event()

    async def hang(arguments):
        begun.set()
        await asyncio.Event().wait()

    async with World(answers([ECHO, ECHO]), [tool(function=hang)]) as world:
        with pytest.raises(WorkerError) as caught:
            await world.worker.cancel()
        assert caught.value.code == "worker.not_running"
        await world.worker.send("go")
        await begun.wait()
        await world.worker.cancel()
        await world.until_status("idle")
        await world.until(ev.RunEnd)
        items = await world.items()
        assert [i.outcome for i in items if isinstance(i, it.ToolResult)] == [
            "interrupted",
            "cancelled",
        ]
        assert items[-1].result == "cancelled"


async def test_cancel_in_the_middle_of_an_answer_keeps_what_was_said():
    class Endless:
        name = "endless"

        async def ask(self, request):
            yield ev.TextDelta(ev.TextData(text="so far"))
            await asyncio.Event().wait()

        async def close(self):
            pass

    async with World(Endless()) as world:
        await world.worker.send("go")
        await world.until(ev.TextDelta)
        assert world.worker.snapshot().data.in_flight.blocks == [ev.TextBlock(text="so far")]
        await world.worker.cancel()
        await world.until(ev.RunEnd)
        said = next(i for i in await world.items() if isinstance(i, it.Assistant))
        assert (said.finish, said.parts) == ("interrupted", [it.Text("so far")])
        assert world.worker.snapshot().data.in_flight is None


async def test_turns_are_bounded():
    async with World(lambda request: [ECHO], [tool()], max_turns=3) as world:
        await world.run("go")
        assert (await world.items())[-1].result == "limit_reached"
        assert sum(isinstance(i, it.Assistant) for i in await world.items()) == 3
        assert event_name(world.heard[-2]) == "alert" or "alert" in world.names()


async def test_a_full_context_ends_runs_until_it_is_compacted():
    script = answers([ECHO], [Say("summary")], [Say("fresh")])
    async with World(script, [tool()], limits=Limits(context_items=5)) as world:
        await world.run("go")
        assert (await world.items())[-1].result == "limit_reached"
        await world.worker.compact()
        await world.until(ev.CompactDone)
        await world.run("again")
        (heard,) = texts(script.asked[-1])
        assert heard.startswith("Summary")
        assert heard.endswith("\n\nagain")


async def test_compaction_is_an_item_and_edits_nothing():
    script = answers([Say("a")], [Say("the summary")], [Say("b")])
    async with World(script, [tool()]) as world:
        await world.run("first")
        before = await world.items()
        await world.worker.compact()
        await world.until(ev.CompactDone)
        assert script.asked[1].tools == script.asked[0].tools  # some refuse calls without
        assert not script.asked[1].may_call
        await world.run("second")
        items = await world.items()
        assert items[: len(before)] == before
        assert [m.split("\n")[-1] for m in texts(script.asked[2])] == ["second"]
        # What is kept in memory and what is stored give the model the same input.
        stored = await world.worker.history(0, 1000)
        runs = [n for n, s in enumerate(stored) if isinstance(s.item, it.RunStart)]
        assert as_sent(model_input(stored[: runs[-1] + 1]), "scripted") == script.asked[2]


async def test_a_compaction_without_a_summary_changes_nothing():
    script = answers([Say("a")], [ECHO], [Say("b")])
    async with World(script) as world:
        await world.run("first")
        await world.worker.compact()
        await world.until(ev.CompactFailed)
        await world.run("second")
        assert texts(script.asked[2]) == ["first", "second"]


async def test_a_changed_configuration_is_recorded_before_the_next_run():
    script = answers()
    async with World(script) as world:
        await world.run("a")
        await world.run("b")
        await world.restart(instructions="be loud")
        await world.run("c")
        configured = [i for i in await world.items() if isinstance(i, it.Configured)]
        assert [c.instructions for c in configured] == ["be brief", "be loud"]
        assert [r.instructions for r in script.asked] == ["be brief", "be brief", "be loud"]


async def test_two_workers_of_one_journal_do_not_mix():
    first = World(answers([Say("a")]))
    second = World(answers([Say("b")]), journal=first.journal)
    second.setup = second.setup.__class__(
        **{**{f: getattr(second.setup, f) for f in second.setup.__slots__}, "name": "w2"}
    )
    second.worker = second._made()
    async with first, second:
        await asyncio.gather(first.run("1"), second.run("2"))
        assert (await first.items())[0].text == "1"
        assert (await second.items())[0].text == "2"
    assert await first.journal.logs() == ["worker:w", "worker:w2"]


async def test_a_stopped_worker_says_so_and_takes_nothing():
    world = World()
    async with world:
        pass
    assert world.names()[-1] == "shutdown"
    assert world.worker.phase is Phase.STOPPED
    with pytest.raises(WorkerError) as caught:
        await world.worker.send("x")
    assert caught.value.code == "worker.stopped"


async def test_stopping_in_a_tool_call_records_the_interruption_and_the_run_goes_on_later():
    begun = asyncio.Event()

    async def hang(arguments):
        begun.set()
        await asyncio.Event().wait()

    script = answers([ECHO], [Say("done")])
    async with World(script, [tool(function=hang)]) as world:
        await world.worker.send("go")
        await begun.wait()
        await world.restart()
        await world.until(run_ended("finished"))
        items = await world.items()
        assert [i.outcome for i in items if isinstance(i, it.ToolResult)] == ["interrupted"]
        assert sum(isinstance(i, it.RunResumed) for i in items) == 1
        assert script.asked[1].messages[-1].outputs[0].is_error


async def test_an_approval_does_not_reach_a_tool_that_changed_meanwhile():
    script = answers([ECHO], [Say("done")])
    changed = tool(approval="ask")
    changed = Tool(
        msgspec.structs.replace(
            changed.spec, origin=it.Origin(kind="plugin", service="chat", digest="sha256:new")
        ),
        changed.function,
    )
    async with World(script, [tool(approval="ask")]) as world:
        await world.worker.send("go")
        await world.until_status("paused")
        await world.restart(tools=lambda: ToolRegistry([changed]))
        (waiting,) = world.worker.status().approvals
        await world.worker.approve(Decision(question=waiting.item, approved=True), "ann")
        await world.until(run_ended("finished"))
        (result,) = [i for i in await world.items() if isinstance(i, it.ToolResult)]
        assert (result.outcome, "changed" in result.output) == ("refused", True)


async def test_summaries_of_summaries_are_undone_one_after_the_other():
    script = answers([Say("hi")], [Say("one")], [Say("two")], [Say("three")], [Say("four")])
    async with World(script) as world:
        await world.run("order 17")
        seen = [world.worker.as_sent()]
        for number in (1, 2):
            await world.worker.compact()
            await world.until(ev.CompactDone, number)
            seen.append(world.worker.as_sent())
        for before in (seen[1], seen[0]):
            await world.worker.uncompact("ann")
            assert world.worker.as_sent() == before
            await world.restart()
            assert world.worker.as_sent() == before
        with pytest.raises(WorkerError) as caught:
            await world.worker.uncompact("ann")
        assert caught.value.code == "worker.transition"
        await world.worker.compact()
        await world.until(ev.CompactDone, 3)
        await world.worker.uncompact("ann")
        await world.restart()
        assert world.worker.as_sent() == seen[0]


async def test_a_summary_is_undone_and_made_again_with_other_words():
    script = answers([Say("hi")], [Say("short")], [Say("order 17 is open")], [Say("yes")])
    async with World(script) as world:
        await world.run("order 17")
        await world.worker.compact()
        await world.until(ev.CompactDone)
        await world.worker.uncompact("ann")
        await world.worker.compact("Keep every order number.")
        await world.until(ev.CompactDone, 2)
        asked = script.asked[2].messages[-1].text
        assert asked.endswith("\nKeep every order number.")
        assert "order 17" in script.asked[2].messages[0].text  # what the first had replaced
        with pytest.raises(WorkerError) as caught:
            await world.worker.compact("x" * 4_000)
        assert caught.value.code == "worker.input"
        await world.run("is it?")
        assert "order 17 is open" in texts(script.asked[3])[0]
