"""A server over HTTP: one made with the SDK, by the checked dialler; and ones that misbehave."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from tests.mcp.conftest import QUICK, Store, approving

from yoi.connections import RequestClient, SystemResolver
from yoi.errors import McpError
from yoi.mcp.http import McpHttp
from yoi.mcp.servers import McpServers
from yoi.mcp.settings import McpSettings
from yoi.testing.http_server import HttpAnswer, HttpServer
from yoi.types import SystemClock

TOKEN = "a-token-of-some-length-0123456789"


@asynccontextmanager
async def official(seen, json_response):
    """The SDK's own server on a free port; `seen` has the headers of each request."""
    made = MCPServer("official")

    @made.tool()
    def shout(text: str) -> str:
        """Say it louder"""
        return text.upper()

    @made.tool()
    async def slow(text: str, ctx: Context) -> str:
        """Say it with progress"""
        await ctx.report_progress(1, 2)
        return text

    app = made.streamable_http_app(json_response=json_response)

    async def watched(scope, receive, send):
        if scope["type"] == "http":
            seen.append({k.decode(): v.decode() for k, v in scope["headers"]})
        await app(scope, receive, send)

    config = uvicorn.Config(watched, port=0, log_config=None, lifespan="on", ws="none")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(60):
        while not server.started:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def using(url, limits=QUICK):
    table = {
        "name": "far",
        "url": url,
        "headers": [{"name": "Authorization", "secret": "token", "prefix": "Bearer "}],
    }
    settings = McpSettings.read({"mcp": {"servers": [table]}}).servers[0]
    clock = SystemClock()
    client = RequestClient(SystemResolver(limits), clock, replace(limits, request_ms=60_000))
    http = McpHttp(client, clock, limits)
    servers = McpServers(None, Store({"token": TOKEN}), clock, limits, http.streams)
    try:
        await servers.apply(McpSettings((settings,)))
        await servers.apply(McpSettings((approving(servers, settings),)))
        yield servers._servers["far"]
    finally:
        await servers.stop()


@asynccontextmanager
async def answering(answer):
    async with HttpServer(answer) as http, using(http.url + "/mcp") as server:
        yield server


@pytest.mark.parametrize("json_response", [True, False])
async def test_tools_of_the_sdks_own_server(json_response):
    seen = []
    async with official(seen, json_response) as url, using(url) as server:
        assert server.status().error is None
        tools = {tool.name: tool for tool in server.usable()}
        assert await server.call("shout", tools["shout"].digest, {"text": "hey"}) == "HEY"
        both = [server.call("slow", tools["slow"].digest, {"text": str(n)}) for n in range(4)]
        assert await asyncio.gather(*both) == ["0", "1", "2", "3"]
        with pytest.raises(McpError) as failed:
            await server.call("shout", tools["shout"].digest, {})
        assert failed.value.code == "mcp.tool_failed"
    assert {one["authorization"] for one in seen} == {f"Bearer {TOKEN}"}


def begun(request):
    """Answer as a server that has one tool; None for what comes after."""
    if request.method == "DELETE":
        return HttpAnswer(status=200)
    asked = json.loads(request.body)
    if "id" not in asked:
        return HttpAnswer(status=202)
    results = {
        "initialize": {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "far", "version": "1"},
        },
        "tools/list": {"tools": [{"name": "t", "inputSchema": {"type": "object"}}]},
    }
    result = results.get(asked["method"])
    if result is None:
        return None
    return HttpAnswer.of_json({"jsonrpc": "2.0", "id": asked["id"], "result": result})


BAD = {
    "an error": (HttpAnswer(status=500), "mcp.lost"),
    "a redirect elsewhere": (
        HttpAnswer(status=307, headers={"location": "http://169.254.169.254/"}),
        "mcp.lost",
    ),
    "too much": (
        HttpAnswer(b'"' + b"x" * QUICK.mcp_message_bytes + b'"', headers={"content-type": "a/b"}),
        "mcp.too_large",
    ),
    "many values": (
        HttpAnswer(b"[" + b"[]," * 300_000 + b"[]]", headers={"content-type": "application/json"}),
        "mcp.too_large",
    ),
    "nothing": (HttpAnswer(status=202), "mcp.protocol"),
    "what was not asked": (
        HttpAnswer(
            b'data: {"jsonrpc": "2.0", "id": 987654, "result": {}}\n\n',
            headers={"content-type": "text/event-stream"},
        ),
        "mcp.protocol",
    ),
    "a page": (HttpAnswer(b"<html>", headers={"content-type": "text/html"}), "mcp.protocol"),
    "a flood": (
        HttpAnswer(
            b'data: {"jsonrpc": "2.0", "method": "notifications/message"}\n\n' * 2_000,
            headers={"content-type": "text/event-stream"},
        ),
        "mcp.flood",
    ),
}


@pytest.mark.parametrize("how", BAD)
async def test_a_bad_answer_fails_the_call_and_nothing_else(how):
    bad, code = BAD[how]
    async with answering(lambda request: begun(request) or bad) as server:
        (tool,) = server.usable()
        with pytest.raises(McpError) as failed:
            await server.call("t", tool.digest, {})
        assert failed.value.code == code
        assert TOKEN not in str(failed.value)


WORDS = "one\u2028two\u2029three\u0085four"


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
async def test_what_stands_in_an_event_streams_text_ends_no_line(line_end):
    def answer(request):
        known = begun(request)
        if known is not None:
            return known
        content = [{"type": "text", "text": WORDS}]
        said = {"jsonrpc": "2.0", "id": json.loads(request.body)["id"]}
        said["result"] = {"content": content}
        text = json.dumps(said, ensure_ascii=False)
        body = f"\ufeffdata: {text}{line_end}{line_end}".encode()
        return HttpAnswer(body, headers={"content-type": "text/event-stream"})

    async with answering(answer) as server:
        (tool,) = server.usable()
        assert await server.call("t", tool.digest, {}) == WORDS


async def test_a_token_that_is_refused_is_told_and_shown_nowhere():
    body = f"no such token: {TOKEN}".encode()
    async with answering(lambda request: HttpAnswer(body, status=401)) as server:
        status = server.status()
        assert (status.error, status.error_code) == ("the server answered 401", "mcp.lost")
