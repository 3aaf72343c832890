"""`yoi mcp`: speaks MCP to one client over standard input and output, and asks the running host.

Nothing is decided here. What a client may call, who approves and what it may watch is the host's.
"""

import contextlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from yoi.display import printable
from yoi.errors import YoiError
from yoi.version import __version__

Ask = Callable[..., Any]
"""Asks the running host: a method and its parameters. Blocks. Raises YoiError."""
_SCHEME = "yoi://services/"
_ANSWERS = "application/json"
_PAUSE_S = 1.0
_THREADS = 64


class McpService:
    """One client. Everything it asks goes to the host over the control socket."""

    def __init__(self, ask: Ask) -> None:
        from mcp.server.subscriptions import InMemorySubscriptionBus

        self._ask = ask
        self._threads = anyio.CapacityLimiter(_THREADS)
        self._session: str | None = None
        self._waiting: dict[str, tuple[anyio.Event, dict[str, str]]] = {}
        self._early: dict[str, dict[str, str]] = {}
        self._more = anyio.Event()
        self._marks: dict[str, str] = {}
        """Where each watched service was, as the client knows it."""
        self._subscribed: dict[str, Any] = {}
        self._listening = 0
        self._bus = InMemorySubscriptionBus()

    async def run(self, read: Any, write: Any) -> None:
        """Serve until the client hangs up."""
        from mcp.server.lowlevel import Server
        from mcp.server.subscriptions import ListenHandler

        listen = ListenHandler(self._bus, max_subscriptions=8)

        async def listening(ctx: Any, params: Any) -> Any:
            self._listening += 1
            await self._mark(await self._told("mcp.resources"))
            try:
                return await listen(ctx, params)
            finally:
                self._listening -= 1

        server: Any = Server(
            "yoi",
            version=__version__,
            instructions="Tools of plugins that run in a sandbox. A call may wait for a person.",
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_read_resource=self._read_resource,
            on_subscribe_resource=self._subscribe,
            on_unsubscribe_resource=self._unsubscribe,
            on_subscriptions_listen=listening,
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._collect)
            tasks.start_soon(self._follow)
            await server.run(read, write, server.create_initialization_options())
            tasks.cancel_scope.cancel()
        if self._session is not None:
            with contextlib.suppress(YoiError):
                self._ask("mcp.close", session=self._session)

    async def _host(self, method: str, **params: Any) -> Any:
        asked = partial(self._ask, method, **params)
        return await anyio.to_thread.run_sync(asked, limiter=self._threads, abandon_on_cancel=True)

    async def _told(self, method: str, **params: Any) -> Any:
        """Return what the host answers; its refusal is an error of the protocol."""
        from mcp import MCPError
        from mcp_types import INTERNAL_ERROR

        try:
            return await self._host(method, **params)
        except YoiError as exc:
            raise MCPError(INTERNAL_ERROR, _in_words(exc)) from None

    # Tools

    async def _list_tools(self, ctx: Any, params: Any) -> Any:
        from mcp_types import ListToolsResult, Tool

        return ListToolsResult(
            tools=[
                Tool(
                    name=one["name"],
                    description=one["description"],
                    input_schema=one["input_schema"],
                )
                for one in await self._told("mcp.offered")
            ]
        )

    async def _call_tool(self, ctx: Any, params: Any) -> Any:
        from mcp_types import CallToolResult, TextContent

        try:
            outcome, output = await self._called(ctx, params.name, params.arguments or {})
        except YoiError as exc:
            outcome, output = "failed", _in_words(exc)
        said = output if outcome == "returned" else f"{outcome}: {output}"
        return CallToolResult(
            content=[TextContent(type="text", text=said)], is_error=outcome != "returned"
        )

    async def _called(self, ctx: Any, tool: str, arguments: dict[str, Any]) -> tuple[str, str]:
        """Return how the call ended, and with what. Raises YoiError."""
        if self._session is None:
            opened = await self._host("mcp.open", client=_client_of(ctx))
            self._session = opened["session"]
        session = self._session
        begun = await self._host("mcp.begin", session=session, tool=tool, arguments=arguments)
        call = begun["call"]
        ended: tuple[anyio.Event, dict[str, str]] = (anyio.Event(), {})
        if call in self._early:  # it ended before this knew its name
            early = self._early.pop(call)
            return early["outcome"], early["output"]
        self._waiting[call] = ended
        self._more.set()
        try:
            await ended[0].wait()
        except BaseException:
            with anyio.CancelScope(shield=True), contextlib.suppress(YoiError):
                await self._host("mcp.cancel", session=session, call=call)
            raise
        finally:
            self._waiting.pop(call, None)
        return ended[1]["outcome"], ended[1]["output"]

    async def _collect(self) -> None:
        """Hand on what came of calls, as long as some are under way."""
        while True:
            await self._more.wait()
            if not self._waiting:
                self._more = anyio.Event()
                continue
            try:
                done = (await self._host("mcp.results", session=self._session))["done"]
            except YoiError as exc:
                # The host stopped, or knows this client no more: what the calls did is unknown.
                self._session = None
                lost = {"outcome": "interrupted", "output": _in_words(exc)}
                done = dict.fromkeys(self._waiting, lost)
            for call, result in done.items():
                if call in self._waiting:
                    event, into = self._waiting[call]
                    into.update(result)
                    event.set()
                else:
                    self._early[call] = result

    # Resources

    async def _list_resources(self, ctx: Any, params: Any) -> Any:
        from mcp_types import ListResourcesResult, Resource

        return ListResourcesResult(
            resources=[
                Resource(
                    uri=_SCHEME + name,
                    name=name,
                    description="the service's status and its recent diagnostics",
                    mime_type=_ANSWERS,
                )
                for name in await self._told("mcp.resources")
            ]
        )

    async def _read_resource(self, ctx: Any, params: Any) -> Any:
        from mcp_types import ReadResourceResult, TextResourceContents

        found = await self._told("mcp.read", plugin=_plugin_of(params.uri))
        text = json.dumps(found)
        return ReadResourceResult(
            contents=[TextResourceContents(uri=params.uri, mime_type=_ANSWERS, text=text)]
        )

    async def _subscribe(self, ctx: Any, params: Any) -> Any:
        from mcp import MCPError
        from mcp_types import INVALID_PARAMS, EmptyResult

        name = _plugin_of(params.uri)
        if name not in await self._told("mcp.resources"):
            raise MCPError(INVALID_PARAMS, "there is no such resource")
        await self._mark([name])
        self._subscribed[name] = ctx.session
        return EmptyResult()

    async def _unsubscribe(self, ctx: Any, params: Any) -> Any:
        from mcp_types import EmptyResult

        self._subscribed.pop(_plugin_of(params.uri), None)
        return EmptyResult()

    async def _follow(self) -> None:
        """Tell of each change of a service that is watched, once a second at most."""
        from mcp.server.subscriptions import ResourceUpdated

        while True:
            await anyio.sleep(_PAUSE_S)
            if not self._subscribed and not self._listening:
                self._marks = {}
                continue
            before = dict(self._marks)
            try:
                now = await self._host("mcp.news", plugins=list(before), marks=before)
            except YoiError:
                continue  # the host is not there now; it is looked for again
            for name, mark in now.items():
                if before.get(name) != mark:
                    self._marks[name] = mark
                    uri = _SCHEME + name
                    if name in self._subscribed:
                        await self._subscribed[name].send_resource_updated(uri)
                    await self._bus.publish(ResourceUpdated(uri))

    async def _mark(self, plugins: list[str]) -> None:
        """Remember where `plugins` are, so that every change from now on is told."""
        new = [name for name in plugins if name not in self._marks]
        if new:
            self._marks |= await self._told("mcp.news", plugins=new, marks={})


def _plugin_of(uri: Any) -> str:
    return str(uri).removeprefix(_SCHEME)


def _client_of(ctx: Any) -> str:
    """Return what the client says it is."""
    try:
        info = ctx.session.client_params.client_info
        return printable(f"{info.name} {info.version}", 64)
    except AttributeError:
        return ""


def _in_words(exc: YoiError) -> str:
    """Return an error for a client; who reads it may be the person who can mend it."""
    return str(exc) if exc.hint is None else f"{exc}; {exc.hint}"


async def serve(ask: Ask) -> None:
    """Serve the client at the other end of standard input and output until it hangs up."""
    from mcp.server.stdio import stdio_server

    async with stdio_server() as (read, write):
        await McpService(ask).run(read, write)
