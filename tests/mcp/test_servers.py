"""A6: workers use tools of MCP servers as they were approved; no server can do more than fail."""

import asyncio
import json
import os
import sys
import time
from dataclasses import replace

import pytest
from tests.mcp.conftest import QUICK, EnvironmentSecret, approving, running, server, until
from tests.peers import interpreter

from yoi.errors import McpError
from yoi.limits import LIMITS
from yoi.mcp.listing import Standing
from yoi.mcp.server import State
from yoi.mcp.settings import McpSettings, ServerSettings
from yoi.packages import foreign_schema
from yoi.packages.foreign_schema import foreign_value_problems
from yoi.workers import items as it
from yoi.workers.profile import WorkerProfile
from yoi.workers.rules import McpRule, McpToolRule
from yoi.workers.tools import ToolRegistry, read_arguments


def profile(**tools: McpToolRule) -> WorkerProfile:
    made = {"name": "w", "model": "scripted", "script": [{"say": "x"}]}
    rule = McpRule("files", "ask", "ask", tools)
    return replace(WorkerProfile.parse(made), mcp=(rule,))


def offered(servers, **tools: McpToolRule):
    found, problems = servers.tools(profile(**tools))
    return {tool.spec.origin.tool: tool for tool in found}, list(problems)


async def failing(servers, tool: str = "echo", **arguments) -> McpError:
    tools, _ = offered(servers)
    with pytest.raises(McpError) as caught:
        await tools[tool].function(arguments or {"text": "x"})
    return caught.value


async def test_a_tool_is_offered_as_it_was_approved_and_called(tmp_path):
    settings = server(
        "good",
        tmp_path / "calls",
        environment=(EnvironmentSecret("API_KEY", "key"),),
    )
    async with running(
        tmp_path, settings, secrets={"key": "a-secret-of-some-length"}, approved=False
    ) as servers:
        assert offered(servers) == ({}, [])  # nobody approved anything
        standing = {one.name: one.standing for one in servers.statuses()[0].tools}
        assert set(standing.values()) == {Standing.NEW}
        await servers.apply(McpSettings((approving(servers, settings),)))
        rule = McpToolRule("say", "auto", "allow")
        tools, problems = offered(servers, echo=rule)
        assert problems == []
        assert {name: tool.spec.name for name, tool in tools.items()} == {
            "echo": "say",
            "env": "files_env",
            "fail": "files_fail",
            "odd name/1": tools["odd name/1"].spec.name,
        }
        ToolRegistry(tools.values())  # every name and schema is one that providers take
        assert (tools["echo"].spec.approval, tools["echo"].spec.after_outside) == ("auto", "allow")
        assert (tools["env"].spec.approval, tools["env"].spec.after_outside) == ("ask", "ask")
        assert tools["echo"].spec.origin.service == "mcp:files"
        assert await tools["echo"].function({"text": "hello"}) == "hello"
        # Nothing of this process's environment, and the secret is masked in what comes back.
        environment = json.loads(await tools["env"].function({"text": ""}))
        assert set(environment) - {"LC_CTYPE"} == {"PATH", "LANG", "API_KEY"}
        assert environment["API_KEY"] == "[masked]"
        failed = await failing(servers, "fail")
        assert (failed.code, failed.message) == ("mcp.tool_failed", "I could not")
        status = servers.statuses()[0]
        assert (status.state, status.calls, status.failed_calls) == ("running", 3, 1)
        assert status.starts == 1  # approving does not start a server anew


async def test_a_server_made_by_others_is_used_as_it_is(tmp_path):
    theirs = ServerSettings("files", (interpreter(), "-m", "mcp_server_time"))
    async with running(tmp_path, theirs) as servers:
        tools, problems = offered(servers)
        assert problems == []
        asked = {"source_timezone": "UTC", "target_timezone": "Asia/Tokyo", "time": "12:00"}
        spec = tools["convert_time"].spec
        assert read_arguments(it.Call("1", spec.name, json.dumps(asked)), spec) == asked
        assert "21:00" in await tools["convert_time"].function(asked)
        assert "is required" in str(read_arguments(it.Call("1", spec.name, "{}"), spec))


@pytest.mark.parametrize("told", ["told", "silent"])
async def test_a_tool_that_changes_is_refused_before_it_is_called_again(tmp_path, told):
    calls = tmp_path / f"calls.{told}"
    async with running(tmp_path, server("changing", calls)) as servers:
        tools, _ = offered(servers)
        assert await tools["echo"].function({"text": "one"}) == "one"
        if told == "told":
            await until(lambda: servers._servers["files"]._stale)
        else:
            servers._servers["files"]._listed_at -= QUICK.mcp_listing_ms / 1000
        with pytest.raises(McpError) as caught:
            await tools["echo"].function({"text": "two"})
        assert caught.value.code == "mcp.changed"
        assert len(calls.read_text().splitlines()) == 1
        # It is not offered any more, to nobody, until a person approves it as it is now.
        assert offered(servers)[0] == {}
        assert "yoi mcp approve files" in offered(servers)[1][0]
        (alert,) = servers.conditions()
        assert (alert.scope, alert.hint) == ("mcp:files", "yoi mcp approve files")
        now = approving(servers, servers._servers["files"].settings)
        await servers.apply(McpSettings((now,)))
        assert servers.conditions() == []
        assert await offered(servers)[0]["echo"].function({"text": "three"}) == "three"


async def test_a_table_with_a_fault_is_shown_and_alerted_and_stops_no_other_server(tmp_path):
    async with running(tmp_path, server("good", tmp_path / "calls")) as servers:
        written = McpSettings.read({"mcp": {"servers": [{"name": "off"}]}})
        await servers.apply(replace(written, servers=(servers._servers["files"].settings,)))
        states = {one.name: (one.state, one.error_code) for one in servers.statuses()}
        assert states == {"files": ("running", None), "off": ("stopped", "enablement.malformed")}
        (alert,) = servers.conditions()
        assert (alert.scope, alert.hint) == (
            "mcp:off",
            "mend its table mcp.servers[0] of .yoi/yoi.toml, then: yoi trust",
        )
        with pytest.raises(McpError) as caught:
            await servers.methods["mcp.server"]({"name": "off"})
        assert "mcp.servers[0].command" in caught.value.message


HOSTILE = {
    "huge": "mcp.too_large",
    "endless": "mcp.too_large",
    "flood": "mcp.flood",
    "bogus": "mcp.flood",
    "blank": "mcp.flood",
    "garbage": "mcp.protocol",
    "wrong": "mcp.protocol",
    "crash": "mcp.lost",
    "orphan": "mcp.lost",
    "hang-call": "mcp.timeout",
}


@pytest.mark.parametrize("mode", HOSTILE)
async def test_a_server_that_misbehaves_in_a_call_fails_that_call_only(tmp_path, mode):
    limits = replace(QUICK, mcp_call_ms=400 if mode == "hang-call" else 60_000)
    other = server("good", name="other")
    async with running(tmp_path, server(mode), other, limits=limits) as servers:
        failed = await failing(servers)
        assert failed.code == HOSTILE[mode]
        assert "\x1b" not in failed.message
        if mode == "crash":
            assert "out of order" in failed.message
        # The other one never noticed, and this one is there again.
        other_rule = McpRule("other", "auto", "allow", {})
        found, _ = servers.tools(replace(profile(), mcp=(other_rule,)))
        echo = next(tool for tool in found if tool.spec.origin.tool == "echo")
        assert await echo.function({"text": "still here"}) == "still here"
        await until(lambda: servers._servers["files"].state is State.RUNNING)


@pytest.mark.parametrize(
    ("mode", "code"),
    [("deaf", "mcp.timeout"), ("exits", "mcp.lost"), ("pages", "mcp.too_large")],
)
async def test_a_server_that_does_not_begin_says_why_and_offers_nothing(tmp_path, mode, code):
    limits = replace(QUICK, mcp_start_ms=300 if mode == "deaf" else 60_000)
    async with running(tmp_path, server(mode), limits=limits, approved=False) as servers:
        status = servers.statuses()[0]
        assert status.error_code == code
        if mode == "exits":
            assert "no such folder" in (status.error or "")
        assert servers.conditions()[0].scope == "mcp:files"
        assert "does not run" in offered(servers)[1][0]


async def test_a_program_that_is_not_there_and_a_secret_that_is_not_there(tmp_path):
    absent = replace(server("good"), command=("/no/such/program",))
    locked = server("good", name="locked", environment=(EnvironmentSecret("K", "key"),))
    # The system's Python, say, in place of the one that has the server's libraries.
    bare = ServerSettings("bare", (sys.executable, "-c", "import no_such_library_of_mine"))
    async with running(tmp_path, absent, locked, bare, approved=False) as servers:
        codes = {one.name: one.error_code for one in servers.statuses()}
        assert codes == {"files": "mcp.start", "locked": "mcp.secret", "bare": "mcp.lost"}
        hints = {one.name: one.hint or "" for one in servers.statuses()}
        assert "by its whole path" in hints["files"]
        assert hints["bare"] == hints["files"]


async def test_a_server_that_gives_its_secret_back_is_masked_wherever_it_is_shown(tmp_path):
    value = "a-secret-of-some-length"
    settings = server("leaks", environment=(EnvironmentSecret("API_KEY", "key"),))
    async with running(tmp_path, settings, secrets={"key": value}) as servers:
        tools, _ = offered(servers)
        shown = [tools["echo"].spec, servers.statuses(), await servers._show({"name": "files"})]
        shown.append(str(await failing(servers)))
        await until(lambda: servers.statuses()[0].starts > 1)
        shown += [servers.statuses(), servers.conditions(), offered(servers)[1]]
        told = repr(shown)
        assert value not in told
        assert "the key is [masked]" in told
        assert "no: [masked]" in told
        assert "died of [masked]" in told


async def test_without_the_library_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    async with running(tmp_path, server("good"), approved=False) as servers:
        status = servers.statuses()[0]
        assert status.error_code == "mcp.extra"
        assert "pip install 'yoi[mcp]'" in (status.hint or "")


async def test_schemas_that_lie_cost_no_time_and_are_not_followed_elsewhere(tmp_path, monkeypatch):
    async with running(tmp_path, server("lying")) as servers:
        standing = {one.name: (one.standing, one.problem) for one in servers.statuses()[0].tools}
        bad = {name for name, (how, _) in standing.items() if how is Standing.UNUSABLE}
        assert {"twice", "elsewhere", "long"} < bad
        tools, _ = offered(servers)
        assert set(tools) == {"echo", "maze"}
        with monkeypatch.context() as patch:
            # They were checked when they were listed; a run that begins does not do it again.
            patch.setattr(foreign_schema, "_walk", lambda schema: pytest.fail("checked again"))
            assert len(ToolRegistry(tools.values()).specs) == 2
        # A pattern is the server's business; an answer is not judged by the schema it chose.
        assert await tools["echo"].function({"text": "a" * 40 + "!"}) == "a" * 40 + "!"
        begun = time.process_time()
        problems = foreign_value_problems(tools["maze"].spec.input_schema, {})
        assert "too many steps" in problems[0].message
        assert time.process_time() - begun < 30  # 3**40 otherwise


async def test_the_whole_group_of_a_server_ends_with_it(tmp_path):
    where = tmp_path / "pid"
    async with running(tmp_path, server("children", where), approved=False):
        group = int(where.read_text())
        os.killpg(group, 0)

    def gone() -> bool:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        return False

    await until(gone)


async def test_a_call_that_nobody_waits_for_any_more_is_given_up(tmp_path):
    async with running(tmp_path, server("hang-call")) as servers:
        tools, _ = offered(servers)
        calls = [asyncio.create_task(tools["echo"].function({"text": "x"})) for _ in range(20)]
        await until(lambda: servers.statuses()[0].calls == 20)
        for task in calls:
            task.cancel()
        await asyncio.wait(calls)
        assert servers._servers["files"]._room._value == LIMITS.mcp_calls
