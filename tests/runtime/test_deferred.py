"""Tool calls that wait for an answer, with real parts: a server, the driver, sandboxed plugins."""

import asyncio
import contextlib
import json

import pytest
from tests.runtime.test_frame_path import MANIFEST, Workspace, gateway

from yoi.errors import YoiError
from yoi.limits import LIMITS
from yoi.protocol.events import RunEnd
from yoi.runtime.workspace import operator_file
from yoi.workers.items import ToolResult

ASKER = """
from yoi_pdk import Complete, Defer, Plugin, Send, SendFailedEvent, insert_counter


class Echo(Plugin):
    def start(self, ctx, config):
        self.failures = []

    def on_tool(self, call, ctx):
        question = Send(
            connection="gateway",
            json={"id": None, "ask": call.input["ask"]},
            insert=[insert_counter("/id")],
            reply_at="/id",
            id=call.input.get("as", call.id),
        )
        return Defer(question.id, call.input.get("timeout_ms", 60_000), question)

    def on_text(self, event, ctx):
        message = event.json()
        if "complete" in message:
            return [Complete(one, "by order") for one in message["complete"]]
        if event.in_reply_to is None:
            return event.reply("heard " + message["said"])
        if message["said"] == "no":
            return Complete(event.in_reply_to, error="it said no")
        return Complete(event.in_reply_to, {"said": message["said"]})

    def on_send_failed(self, event, ctx):
        self.failures.append(event.code)

    def status(self):
        return {"failures": self.failures}
"""

TOOLS = """
[[tools]]
name = "ask"
description = "Ask the server"

[tools.input_schema]
type = "object"
required = ["ask"]
properties = {{ ask = {{ type = "string" }} }}
"""
ASKING = MANIFEST.replace('"close", "gap"]', '"close", "gap", "send_failed"]') + TOOLS


@pytest.fixture
def workspace(tmp_path, compiled_runner) -> Workspace:
    return Workspace(tmp_path)


class Desk:
    """One running plugin that asks a server."""

    def __init__(self, workspace, server, host, name="echo"):
        self.workspace, self.server, self.host, self.name = workspace, server, host, name

    @property
    def service(self):
        return self.host.services[self.name]

    @property
    def link(self):
        return self.service.status().connections[0]

    def call(self, ask, **more):
        calling = self.service.call_tool("ask", {"ask": ask, **more})
        return asyncio.get_running_loop().create_task(calling)

    async def asked(self, ask):
        """Return the number of the question, once the server has it."""

        def numbers():
            texts = (json.loads(one) for one in self.server.received if one.startswith("{"))
            return [one["id"] for one in texts if one["ask"] == ask]

        await self.server.until(numbers)
        return numbers()[-1]

    async def answer(self, number, said):
        await self.server.ask(json.dumps({"id": number, "said": said}))

    async def refused(self, code):
        """Wait until a command was refused with `code`."""
        service = self.service
        await self.workspace.diagnostics.until(
            lambda: code in [one.code for one in service.status().commands]
        )


@contextlib.asynccontextmanager
async def asking(workspace):
    """Run a host whose plugin asks; yield its desk."""
    async with gateway() as server:
        workspace.install(server.url, ASKER, manifest=ASKING)
        workspace.enable()
        async with workspace.runtime() as host:
            await server.until(lambda: server.clients)
            yield Desk(workspace, server, host)


async def failure(call):
    """Return the code with which a call failed."""
    with pytest.raises(YoiError) as raised:
        async with asyncio.timeout(30):
            await call
    return raised.value.code


async def test_the_call_stays_open_until_the_answer_comes_and_is_visible(workspace):
    """T2, W4: a result, an error, and answers in another order than the questions."""
    async with asking(workspace) as desk:
        calls = [desk.call(what) for what in ("a", "b", "c")]
        numbers = [await desk.asked(what) for what in ("a", "b", "c")]
        assert sorted(numbers) == [1, 2, 3]
        waiting = desk.service.status().deferred_calls
        assert [one.tool for one in waiting] == ["ask"] * 3
        assert all(one.id.startswith("tool.") for one in waiting)
        for number, said in reversed(list(zip(numbers, ("yes", "no", "well"), strict=True))):
            await desk.answer(number, said)
        assert json.loads((await calls[0])["content"]) == {"said": "yes"}
        assert await failure(calls[1]) == "service.tool_failed"
        assert json.loads((await calls[2])["content"]) == {"said": "well"}
        assert desk.service.status().deferred_calls == []
        assert desk.link.open_questions == 0


async def test_an_answer_after_the_deadline_answers_nothing(workspace):
    async with asking(workspace) as desk:
        call = desk.call("a", timeout_ms=1)
        assert await failure(call) == "service.no_answer"
        await desk.answer(await desk.asked("a"), "late")
        await desk.server.until(lambda: "heard late" in desk.server.received)
        assert (desk.link.answers, desk.link.answers_late) == (0, 1)


async def test_a_caller_that_waits_no_longer_ends_the_call(workspace):
    """Cancelled with its run: what the plugin completes afterwards is refused."""
    async with asking(workspace) as desk:
        call = desk.call("a", **{"as": "q1"})
        number = await desk.asked("a")
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        assert desk.service.status().deferred_calls == []
        await desk.answer(number, "late")
        await desk.server.until(lambda: "heard late" in desk.server.received)
        await desk.server.ask('{"complete": ["q1"]}')
        await desk.refused("service.deferred_ended")


async def test_a_session_that_ends_interrupts_what_waits_on_it(workspace):
    async with asking(workspace) as desk:
        call = desk.call("a")
        number = await desk.asked("a")
        desk.server.clients[-1].transport.abort()
        assert await failure(call) == "service.interrupted"
        await desk.server.until(lambda: len(desk.server.clients) == 2)
        # The new session's server answers a question of the old one's.
        await desk.answer(number, "late")
        await desk.server.until(lambda: "heard late" in desk.server.received)


async def test_a_plugin_that_is_replaced_leaves_no_call_open(workspace):
    async with asking(workspace) as desk:
        call = desk.call("a")
        number = await desk.asked("a")
        await desk.service.restart()
        assert await failure(call) == "service.interrupted"
        assert desk.link.open_questions == 0
        # The connection has stayed; the new instance hears a message that answers nothing.
        await desk.answer(number, "late")
        await desk.server.until(lambda: "heard late" in desk.server.received)
        call = desk.call("b")
        await desk.answer(await desk.asked("b"), "yes")
        assert json.loads((await call)["content"]) == {"said": "yes"}


async def test_a_question_that_cannot_be_asked_ends_its_call_at_once(workspace):
    async with asking(workspace) as desk:
        await desk.server.ask('{"said": "hi"}')
        await desk.server.until(lambda: desk.server.received)
        desk.host.services["echo"]._connections.handle("gateway").stop()
        await desk.server.clients[-1].wait_closed()
        assert (await failure(desk.call("a"))).startswith("connection.")
        assert desk.service.status().deferred_calls == []


async def test_a_call_is_completed_once_and_by_its_own_plugin_only(workspace):
    """P3: an id of another plugin's call is unknown, and a second answer is refused."""
    async with gateway() as server:
        workspace.install(server.url, ASKER, manifest=ASKING)
        workspace.enable("echo")
        workspace.enable("other")
        async with workspace.runtime() as host:
            await server.until(lambda: len(server.clients) == 2)
            desk, other = Desk(workspace, server, host), Desk(workspace, server, host, "other")
            call = desk.call("a", **{"as": "q1"})
            number = await desk.asked("a")
            for client in server.clients:
                await client.send('{"said": "who"}')
            await server.until(lambda: server.received.count("heard who") == 2)
            mine = desk.link.session
            for client in server.clients:
                # Both are told to complete it twice; the one that deferred it succeeds once.
                await client.send('{"complete": ["q1", "q1"]}')
            assert (await call)["summary"] == "by order"
            await desk.refused("service.deferred_ended")
            await other.refused("service.deferred_unknown")
            await desk.answer(number, "late")
            assert desk.link.session == mine


async def test_an_id_that_waits_already_is_refused_before_anything_is_asked(workspace):
    async with asking(workspace) as desk:
        call = desk.call("a", **{"as": "q1"})
        number = await desk.asked("a")
        assert await failure(desk.call("b", **{"as": "q1"})) == "service.deferred_repeated"
        await desk.answer(number, "yes")
        assert json.loads((await call)["content"]) == {"said": "yes"}
        assert len(desk.server.received) == 1


async def test_a_plugin_that_never_completes_is_bounded(workspace):
    """More calls than may wait: the rest is refused at once, and the plugin goes on."""
    async with asking(workspace) as desk:
        more = 6
        calls = [desk.call(f"n{n}") for n in range(LIMITS.deferred_calls + more)]
        refused = [await failure(one) for one in calls[LIMITS.deferred_calls :]]
        assert refused == ["service.deferred_full"] * more
        waiting = desk.service.status().deferred_calls
        assert len(waiting) == LIMITS.deferred_calls
        await desk.server.ask(json.dumps({"complete": [one.id for one in waiting]}))
        outputs = await asyncio.gather(*calls[: LIMITS.deferred_calls])
        assert {one["summary"] for one in outputs} == {"by order"}


async def test_a_stopping_host_leaves_no_call_open(workspace):
    async with asking(workspace) as desk:
        call = desk.call("a")
        await desk.asked("a")
    assert await failure(call) == "service.interrupted"


WORKER = """
[[workers]]
name = "house"
model = "scripted"
tools = [{ plugin = "echo", tool = "ask", approval = "auto" }]
script = [{ when = "ASK", call = "ask", arguments = { ask = "a" } }, { say = "heard" }]
"""


@contextlib.asynccontextmanager
async def asking_worker(workspace, server):
    """Yield the desk and a worker whose run waits for the server's answer, with its number."""
    async with workspace.runtime() as host:
        desk = Desk(workspace, server, host)
        await desk.server.until(lambda: desk.server.clients)
        worker = host.workers["house"]
        ended = asyncio.Event()
        worker.bus.listen(lambda event: ended.set() if isinstance(event, RunEnd) else None)
        await worker.send("please ASK")
        yield desk, worker, await desk.asked("a"), ended


async def results(worker):
    return [one for one in await worker.history(0, 500) if isinstance(one.item, ToolResult)]


@pytest.mark.parametrize("how", ["answer", "cancel", "restart"])
async def test_a_workers_call_waits_and_has_one_result_whatever_happens(workspace, how):
    """T2: the run waits for the plugin's answer; cancelled or replaced, the call is interrupted."""
    async with gateway() as server:
        workspace.install(server.url, ASKER, manifest=ASKING)
        workspace.enable()
        workspace.save(operator_file(workspace.folder).read_text() + WORKER)
        async with asking_worker(workspace, server) as (desk, worker, number, ended):
            assert worker.status().status == "running"
            if how == "answer":
                await desk.answer(number, "yes")
            elif how == "cancel":
                await worker.cancel()
            else:
                await desk.service.restart()
            async with asyncio.timeout(30):
                await ended.wait()
            (result,) = await results(worker)
            assert result.item.outcome == ("returned" if how == "answer" else "interrupted")
            assert desk.service.status().deferred_calls == []
            await desk.answer(number, "late")
            await server.until(lambda: "heard late" in server.received)
            assert len(await results(worker)) == 1


async def test_another_version_takes_the_session_over_and_not_the_call(workspace):
    """What was deferred is the old code's: interrupted, and the new one has the same socket."""
    async with asking(workspace) as desk:
        await desk.server.ask('{"said": "hi"}')
        await desk.server.until(lambda: desk.server.received)
        call = desk.call("a")
        number = await desk.asked("a")
        workspace.install(desk.server.url, ASKER.replace("heard ", "told "), manifest=ASKING)
        workspace.enable()
        await desk.host.reload()
        assert await failure(call) == "service.interrupted"
        await desk.answer(number, "late")
        await desk.server.until(lambda: "told late" in desk.server.received)
        assert len(desk.server.clients) == 1
        call = desk.call("b")
        assert await desk.asked("b") == 2, "the session's numbers go on"
        await desk.answer(2, "yes")
        assert json.loads((await call)["content"]) == {"said": "yes"}
