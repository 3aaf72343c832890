"""Clients that flood, lie, vanish and come back: what the worker of MCP clients makes of them."""

import asyncio
from dataclasses import replace

import pytest
from tests.workers.worlds import World, tool

from yoi.errors import McpError
from yoi.limits import LIMITS
from yoi.mcp.client_engine import ClientEngine, asking_text
from yoi.mcp.clients import WORKERS, McpClients
from yoi.mcp.settings import McpSettings, ServedTool
from yoi.protocol import events as ev
from yoi.workers import items as it
from yoi.workers.approvals import Decision

QUICK = replace(LIMITS, watch_poll_ms=20, mcp_client_calls=3, mcp_clients=2)


class Plugins:
    """No plugin offers anything: the tools of the worker are its own here."""

    def tools(self):
        return ()


class Desk:
    """A worker of clients, its calls asked as the control socket asks them."""

    def __init__(self, approval="auto", limits=QUICK):
        self.world = World(tools=[tool("echo", approval)], limits=limits)
        self.clients = McpClients(Plugins(), self.world.clock, limits)
        self.world.setup = replace(self.world.setup, engine=ClientEngine(self.clients._wanted))
        self.world.worker = self.world._made()
        self.settings = McpSettings(tools=(ServedTool("p", "echo", "echo", approval),))

    async def __aenter__(self):
        await self.world.worker.start()
        await self.apply()
        self.session = (await self.ask("open", client="c 1"))["session"]
        return self

    async def apply(self):
        name = WORKERS[self.settings.tools[0].approval]
        await self.clients.apply(self.settings, {name: self.world.worker})

    async def __aexit__(self, *_):
        await self.clients.stop()
        await self.world.worker.stop()

    async def ask(self, method, **params):
        return await self.clients.methods[f"mcp.{method}"](params)

    async def begin(self, arguments=None, tool="echo"):
        arguments = {"text": "hi"} if arguments is None else arguments
        asked = {"session": self.session, "tool": tool, "arguments": arguments}
        return (await self.ask("begin", **asked))["call"]

    async def result(self, call):
        async with asyncio.timeout(30):
            while True:
                done = (await self.ask("results", session=self.session))["done"]
                if call in done:
                    return done[call]

    def texts(self):
        return [
            one.data.segments[0].text for one in self.world.heard if isinstance(one, ev.UserMessage)
        ]


async def test_a_call_is_in_the_history_with_its_client_and_its_result_comes_whole():
    async with Desk() as desk:
        long = "x" * 5_000 + "\x1b"
        done = await desk.result(await desk.begin({"text": long}))
        assert done["outcome"] == "returned"
        assert long.replace("\x1b", "\\u001b") in done["output"]
        assert desk.texts()[0].startswith("The MCP client c 1 calls echo (mcp-")


async def test_a_client_cannot_stand_for_another_by_its_name_or_its_words():
    async with Desk("ask") as desk:
        first = await desk.begin()
        await desk.world.until(ev.ApprovalRequest)
        # Another client whose name ends as a call of the first one does.
        other = (await desk.ask("open", client=f"x ({first})"))["session"]
        asked = {"tool": "echo", "arguments": {"text": asking_text("c", "echo", first)}}
        second = (await desk.ask("begin", session=other, **asked))["call"]
        (question,) = desk.world.worker.status().approvals
        assert question.id == first
        await desk.world.worker.approve(Decision(question=question.item, approved=True), "me")
        await desk.world.until(ev.ApprovalRequest, 2)
        assert [one.id for one in desk.world.worker.status().approvals] == [second]
        assert (await desk.result(first))["outcome"] == "returned"
        # And what came of it is told to its own client only.
        with pytest.raises(McpError):
            await desk.ask("results", session="guessed")
        assert (await desk.ask("results", session=other))["done"] == {}


async def test_clients_and_their_calls_are_bounded_and_what_is_not_offered_is_refused():
    async with Desk("ask") as desk:
        for _ in range(3):
            await desk.begin()
        for refused, code in (
            (desk.begin(), "mcp.busy"),
            (desk.begin(tool="other"), "mcp.unknown"),
        ):
            with pytest.raises(McpError) as caught:
                await refused
            assert caught.value.code == code
        await desk.ask("open", client="two")
        with pytest.raises(McpError) as caught:
            await desk.ask("open", client="three")
        assert caught.value.code == "mcp.busy"
        await desk.ask("close", session=desk.session)
        # Nobody waits for any of the three: none is made, and nobody is asked again.
        await desk.world.until(ev.RunEnd, 3)
        assert desk.world.worker.status().approvals == []
        desk.session = (await desk.ask("open", client="new"))["session"]
        with pytest.raises(McpError) as caught:
            await desk.begin({"text": "x" * LIMITS.tool_arguments_bytes})
        assert caught.value.code == "mcp.too_large"


async def test_a_client_that_asks_no_more_is_forgotten_with_its_calls():
    async with Desk("ask") as desk:
        await desk.begin()
        await desk.world.until(ev.ApprovalRequest)
        desk.world.clock.advance(LIMITS.watch_idle_ms / 1000 + 1)
        await desk.ask("open", client="another")
        await desk.world.until(ev.RunEnd)
        assert desk.world.worker.status().approvals == []
        with pytest.raises(McpError):
            await desk.begin()


async def test_a_call_that_waited_when_the_host_ended_is_not_made_afterwards():
    async with Desk("ask") as desk:
        await desk.begin()
        await desk.begin()
        await desk.world.until(ev.ApprovalRequest)
        desk.clients._sessions.clear()  # the host that knew them is gone
        await desk.world.restart()
        assert len(desk.world.worker.status().approvals) == 1
        await desk.apply()
        await desk.world.until(ev.RunEnd, 2)
        assert desk.world.worker.status().approvals == []
        stored = await desk.world.worker.history(0, 100)
        results = [one.item.outcome for one in stored if isinstance(one.item, it.ToolResult)]
        assert results == ["cancelled"]


async def test_the_history_of_calls_is_summed_up_before_it_is_full():
    async with Desk() as desk:
        desk.world.setup = replace(desk.world.setup, window=2_000, compact_at=80)
        await desk.world.restart()
        await desk.apply()
        for _ in range(8):
            assert (await desk.result(await desk.begin({"text": "x" * 2_000})))["outcome"] == (
                "returned"
            )
        status = desk.world.worker.status()
        assert status.summary_at is not None
        assert status.context_items < status.items / 2
