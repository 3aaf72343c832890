"""What a person is asked and shown of a worker is so."""

from tests.workers.worlds import World, answers, tool

from yoi.protocol import events as ev
from yoi.workers.scripted import CallTool, Say


async def test_nobody_is_asked_about_a_call_whose_arguments_do_not_fit():
    script = answers(
        [CallTool("echo", '{"text":7}')], [CallTool("echo", '{"text":"x"}')], [Say("done")]
    )
    async with World(script, [tool(approval="ask")]) as world:
        await world.worker.send("go")
        await world.until(ev.ApprovalRequest)
        (asked,) = world.worker.status().approvals
        assert asked.arguments == '{"text":"x"}'
        items = [entry.item for entry in await world.worker.history(0, 100)]
        (refused,) = [item for item in items if type(item).__name__ == "ToolResult"]
        assert refused.outcome == "refused"
        assert "do not fit the tool's schema" in refused.output


async def test_an_error_is_gone_after_a_good_run():
    async with World(answers([Say("fine")])) as world:
        world.worker._driver.last_error = "the provider of m answered 503"
        world.worker._driver.last_error_at = "2026-01-01T00:00:00.000Z"
        await world.worker.send("go")
        await world.until(ev.RunEnd)
        await world.until_status("idle")
        status = world.worker.status()
        assert (status.last_error, status.last_error_at) == (None, None)
