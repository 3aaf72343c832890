"""A6, the other way: an MCP client that knows nothing of Yoi uses a plugin's tools and events."""

import asyncio
import json
import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import (
    Client,
    ClientSession,
    MCPDeprecationWarning,
    MCPError,
    StdioServerParameters,
    stdio_client,
)
from tests.mcp.test_host import eventually, typed  # noqa: F401
from tests.peers import running as peer_running

import yoi
from yoi.cli.main import run
from yoi.control.client import call
from yoi.runtime.workspace import operator_file

PLUGIN = """
from yoi_pdk import Plugin, ToolResult

class Notes(Plugin):
    def on_tool(self, call, ctx):
        if call.name == "count":
            return ToolResult("counted", {"letters": len(call.input["text"])})
        return ToolResult("kept", {"kept": call.input["text"]})
"""
MANIFEST = """
schema_version = 1
id = "notes"
name = "Notes"
version = "0.1.0"

[runtime]
kind = "python"
runner = "1"
entry = "plugin:Notes"

[[services]]
name = "notes"
description = "keeps notes"

[[tools]]
name = "count"
description = "Count letters"
input_schema = { type = "object", required = ["text"], properties = { text = { type = "string" } } }

[[tools]]
name = "keep"
description = "Keep a note"
input_schema = { type = "object", required = ["text"], properties = { text = { type = "string" } } }

[[tools]]
name = "hidden"
description = "No client may have this"
input_schema = { type = "object" }
"""
PAGE = (Path(__file__).parents[2] / "docs/how-to/mcp.md").read_text(encoding="utf-8")
OURS = PAGE.partition("## An MCP client uses plugins")[2]
OFFERED = f"""
[observation]
listen = "127.0.0.1:0"

{re.search(r"```toml(.*?)```", OURS, re.S)[1]}

[[mcp.tools]]
plugin = "notes"
tool = "hidden"
approval = "deny"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A workspace whose plugin is enabled and offered to clients."""
    folder = tmp_path_factory.mktemp("offered")
    source = folder / "notes"
    source.mkdir()
    (source / "plugin.toml").write_text(MANIFEST)
    (source / "plugin.py").write_text(PLUGIN)
    where = ["-w", str(folder)]
    assert run(["plugin", "enable", str(source), "--grant-requested", "--yes", *where]) == 0
    path = operator_file(folder)
    path.write_text(path.read_text() + OFFERED)
    return folder


@asynccontextmanager
async def serving(folder, typed):  # noqa: F811
    shown = await typed(folder, "trust", "--show")
    await typed(folder, "trust", "--digest", shown["digest"])
    async with yoi.Host(folder) as host:
        yield host


def parameters(folder):
    """Return how a client starts `yoi mcp`, as the page says."""
    told = json.loads(re.search(r"```json(.*?)```", OURS, re.S)[1])["mcpServers"]["yoi"]
    assert told["command"] == "yoi"
    words = [str(folder) if word == "/home/me/assistant" else word for word in told["args"]]
    return StdioServerParameters(command=sys.executable, args=["-m", "yoi", *words])


async def parked(folder):
    return (await asyncio.to_thread(call, folder, "worker.status", name="mcp-clients"))["approvals"]


def said(result):
    return result.content[0].text


def content(result):
    return json.loads(json.loads(said(result))["content"])


async def test_clients_of_others_call_and_follow_and_a_person_approves(home, typed):  # noqa: F811
    async with serving(home, typed):
        await by_handshake(home, typed)
        await by_the_newest_protocol(home, typed)
        command = parameters(home)
        theirs = Path(__file__).with_name("their_client.py")
        async with peer_running(theirs, command.command, *command.args) as peer:
            assert await peer.ask("server") == {"ok": "yoi"}
            assert await peer.ask("tools") == {"ok": ["count", "keep_note"]}
            answer = await peer.ask("call", name="count", arguments={"text": "four"})
            assert '\\"letters\\": 4' in answer["ok"][1]


async def by_handshake(home, typed):  # noqa: F811
    updated = asyncio.Event()

    async def heard(message):
        if getattr(message, "method", "") == "notifications/resources/updated":
            updated.set()

    async with (
        stdio_client(parameters(home)) as (read, write),
        ClientSession(read, write, message_handler=heard) as client,
    ):
        begun = await client.initialize()
        assert begun.server_info.name == "yoi"
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"count", "keep_note"}
        assert tools["count"].input_schema["required"] == ["text"]

        counted = await client.call_tool("count", {"text": "four"})
        assert (counted.is_error, content(counted)) == (False, {"letters": 4})
        # Arguments that do not fit are refused before a person is asked.
        wrong = await client.call_tool("keep_note", {"txt": 1})
        assert wrong.is_error
        assert said(wrong).startswith("refused:")
        assert (await client.call_tool("hidden", {})).is_error

        # One waits for a person, where workers' calls do.
        for words, outcome in ((["approve"], "kept"), (["approve", "--deny"], "denied:")):
            calling = asyncio.create_task(client.call_tool("keep_note", {"text": "a note"}))
            (question,) = await eventually(lambda: parked(home), lambda found: len(found) == 1)
            assert question["name"] == "keep_note"
            # Nobody else's call waits behind it.
            assert content(await client.call_tool("count", {"text": "ab"})) == {"letters": 2}
            assert not calling.done()
            shown = await typed(home, "worker", "approvals", "mcp-clients", as_json=False)
            assert "a note" in shown
            await typed(home, "worker", words[0], "mcp-clients", *words[1:])
            result = await calling
            assert outcome in said(result)
            assert result.is_error == (outcome == "denied:")

        # A call that its client gives up asks nobody any more.
        calling = asyncio.create_task(client.call_tool("keep_note", {"text": "never mind"}))
        await eventually(lambda: parked(home), lambda found: len(found) == 1)
        calling.cancel()
        await eventually(lambda: parked(home), lambda found: found == [])

        # All of it is in a history.
        items = await asyncio.to_thread(call, home, "worker.history", name="mcp-clients")
        results = [one["outcome"] for one in items["items"] if one["type"] == "tool_result"]
        assert results == ["refused", "returned", "denied", "cancelled"]

        # Its service is a resource, which can be read and followed.
        (resource,) = (await client.list_resources()).resources
        read_once = await client.read_resource(str(resource.uri))
        assert json.loads(read_once.contents[0].text)["status"]["name"] == "notes"
        with pytest.warns(MCPDeprecationWarning):
            await client.subscribe_resource(str(resource.uri))
        await typed(home, "service", "restart", "notes")
        async with asyncio.timeout(60):
            await updated.wait()
        with pytest.raises(MCPError):
            await client.read_resource("yoi://services/other")


async def by_the_newest_protocol(home, typed):  # noqa: F811
    async with Client(parameters(home)) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == {"count", "keep_note"}
        counted = await client.call_tool("count", {"text": "seven"})
        assert content(counted) == {"letters": 5}
        uri = "yoi://services/notes"
        async with client.listen(resource_subscriptions=[uri]) as events:
            await typed(home, "service", "restart", "notes")
            async with asyncio.timeout(60):
                assert (await anext(aiter(events))).uri == uri
        # The client is gone before a person decides: the call goes with it.
        calling = asyncio.create_task(client.call_tool("keep_note", {"text": "x"}))
        await eventually(lambda: parked(home), lambda found: len(found) == 1)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        await eventually(lambda: parked(home), lambda found: found == [])


def test_without_a_running_host_it_says_what_to_do(tmp_path, capsys):
    operator_file(tmp_path).parent.mkdir()
    assert run(["mcp", "-w", str(tmp_path)]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""  # not a word that a client could take for MCP
    assert "yoi serve" in printed.err
