"""One MCP server as its host sees it: started, listed, asked, started again when it ends."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

from yoi.core.backoff import EqualJitter
from yoi.core.redaction import Masker
from yoi.errors import McpError, YoiError
from yoi.limits import LIMITS, Limits
from yoi.mcp import library
from yoi.mcp.listing import ListedTool, Standing, ToolStanding, listed_tools, standings
from yoi.mcp.results import result_text
from yoi.mcp.settings import ServerSettings
from yoi.mcp.wire import Streams, Wire
from yoi.tasks import ended
from yoi.types import Clock, Secret, rfc3339_ms
from yoi.version import __version__

if TYPE_CHECKING:
    from mcp import ClientSession

Opening = Callable[
    [ServerSettings, Mapping[str, Secret], Wire], AbstractAsyncContextManager[Streams]
]
"""Gives the streams of a connection to a server; the secrets are by their names in the store."""


_UNKNOWN = "whether the call had an effect is unknown"


class State(Enum):
    """Where a server is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"
    """It ended or could not be started; it is started again in a while."""
    STOPPED = "stopped"


_MOVES = {
    State.STARTING: {State.RUNNING, State.WAITING, State.STOPPED},
    State.RUNNING: {State.WAITING, State.STOPPED},
    State.WAITING: {State.STARTING, State.STOPPED},
    State.STOPPED: {State.STARTING},
}


class ServerStatus(msgspec.Struct, kw_only=True):
    """One server as people and scripts see it."""

    name: str
    where: str
    state: str
    software: str = ""
    """What the server says it is; text from outside."""
    tools: list[ToolStanding] = []
    error: str | None = None
    error_code: str | None = None
    hint: str | None = None
    error_at: str | None = None
    starts: int = 0
    calls: int = 0
    failed_calls: int = 0


class McpServer:
    """See the module docstring. Belongs to the event loop; `start` and `stop` once each."""

    def __init__(
        self,
        settings: ServerSettings,
        secrets: Mapping[str, Secret],
        opening: Opening,
        clock: Clock,
        limits: Limits = LIMITS,
    ) -> None:
        self.settings = settings
        self.listed: Mapping[str, ListedTool] = {}
        """The tools as the server listed them last; they stay while it is started again."""
        self._secrets = secrets
        self._opening = opening
        self._clock = clock
        self._limits = limits
        self._masker = Masker(secrets.values(), limits)
        self._state = State.STOPPED
        self._session: ClientSession | None = None
        self._wire = Wire()
        self._fault: YoiError | None = None
        self._fault_ms = 0
        self._software = ""
        self._starts = self._calls = self._failed = 0
        self._listed_at = 0.0
        self._stale = False
        self._settled = asyncio.Event()
        self._room = asyncio.Semaphore(limits.mcp_calls)
        self._listing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> State:
        """Return where it is in its life."""
        return self._state

    @property
    def standings(self) -> Mapping[str, ToolStanding]:
        """Return how each of its tools stands to what was approved."""
        return standings(self.listed, self.settings.tools)

    def usable(self) -> list[ListedTool]:
        """Return the tools that are as they were approved."""
        return [
            self.listed[one.name]
            for one in self.standings.values()
            if one.standing is Standing.APPROVED
        ]

    def start(self) -> None:
        """Start it, and again whenever it ends."""
        self._task = asyncio.create_task(self._run(), name=f"mcp {self.settings.name}")

    async def stop(self) -> None:
        """End it and all calls."""
        if self._task is not None:
            self._wire.end(McpError("mcp.lost", "the server was stopped"))
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None
        if self._state is not State.STOPPED:
            self._transition(State.STOPPED)
        self._settled.set()

    async def settled(self) -> None:
        """Return once it has listed its tools, or failed to, for the first time."""
        await self._settled.wait()

    def status(self) -> ServerStatus:
        """Return what is shown of it."""
        fault = self._fault
        return ServerStatus(
            name=self.settings.name,
            where=self._masker.text(self.settings.where),
            state=self._state.value,
            software=self._software,
            tools=list(self.standings.values()),
            error=None if fault is None else fault.message,
            error_code=None if fault is None else fault.code,
            hint=None if fault is None else fault.hint,
            error_at=None if fault is None else rfc3339_ms(self._fault_ms),
            starts=self._starts,
            calls=self._calls,
            failed_calls=self._failed,
        )

    async def call(self, tool: str, digest: str, arguments: dict[str, Any]) -> str:
        """Return what the tool answers, as text. Raises McpError for anything else.

        The tool must be the one whose `digest` was approved: the list is looked at again where it
        is old, or the server said that it has changed.
        """
        self._calls += 1
        try:
            async with asyncio.timeout(self._limits.mcp_call_ms / 1000), self._room:
                await self._check(tool, digest)
                return await self._ask(tool, arguments)
        except TimeoutError:
            self._failed += 1
            raise McpError(
                "mcp.timeout",
                f"MCP server {self.settings.name} did not answer in {self._limits.mcp_call_ms} ms; "
                f"{_UNKNOWN}",
            ) from None
        except McpError as exc:
            self._failed += 1
            raise self._masker.error(exc) from None

    async def look(self) -> None:
        """Ask the server for its list of tools again. Raises McpError."""
        async with self._listing:
            session = self._running()
            self._stale = False
            self.listed = await self._said(session)
            self._listed_at = self._clock.monotonic()

    async def _check(self, tool: str, digest: str) -> None:
        age = self._clock.monotonic() - self._listed_at
        if self._stale or age * 1000 >= self._limits.mcp_listing_ms:
            await self.look()
        self._running()
        listed = self.listed.get(tool)
        if listed is None or listed.problem or listed.digest != digest:
            name = self.settings.name
            raise McpError(
                "mcp.changed",
                f"tool {tool!r} of MCP server {name} is not the one that was approved",
                hint=f"yoi mcp approve {name}",
            )

    async def _ask(self, tool: str, arguments: dict[str, Any]) -> str:
        from mcp_types import CallToolRequest, CallToolRequestParams, CallToolResult

        session = self._running()
        # Not `session.call_tool`: it checks answers with schemas that the server chose.
        request = CallToolRequest(params=CallToolRequestParams(name=tool, arguments=arguments))
        try:
            answer = await self._answer(session, request, CallToolResult)
        except McpError as exc:
            if exc.code == "mcp.refused":
                raise
            raise McpError(exc.code, f"{exc.message}; {_UNKNOWN}", hint=exc.hint) from None
        most = 2 * self._limits.tool_output_bytes
        text = result_text(answer.content, answer.structured_content, most)
        if answer.is_error:
            raise McpError("mcp.tool_failed", text or "the tool failed and does not say why")
        return self._masker.text(text)

    async def _answer(self, session: "ClientSession", request: Any, kind: Any) -> Any:
        """Return the server's answer to `request`. Raises McpError."""
        from mcp import MCPError
        from mcp_types import CONNECTION_CLOSED
        from pydantic import ValidationError

        try:
            return await session.send_request(request, kind)
        except MCPError as exc:
            words = f"the server answered with an error: {exc.error.message}"
            fault = McpError("mcp.refused", words)
            if exc.error.code == CONNECTION_CLOSED and self._wire.fault is not None:
                fault = self._wire.fault
        except (ValidationError, RuntimeError, ValueError) as exc:
            words = f"the server's answer does not fit MCP ({type(exc).__name__})"
            fault = McpError("mcp.protocol", words)
        raise self._masker.error(fault)

    def _running(self) -> "ClientSession":
        if self._session is None:
            raise self._gone()
        return self._session

    def _gone(self) -> McpError:
        why = f": {self._fault.message}" if self._fault is not None else ""
        return McpError(
            "mcp.unavailable", f"MCP server {self.settings.name} is not running now{why}"
        )

    # Its life

    async def _run(self) -> None:
        waits = EqualJitter(
            first_ms=self._limits.mcp_retry_first_ms,
            max_ms=self._limits.mcp_retry_max_ms,
            rng=random.random,
        )
        while True:
            self._transition(State.STARTING)
            self._starts += 1
            begun = self._clock.monotonic()
            fault = await self._live()
            self._fault, self._fault_ms = self._masker.error(fault), self._clock.wall_ms()
            self._transition(State.WAITING)
            self._settled.set()
            if self._clock.monotonic() - begun >= self._limits.mcp_steady_ms / 1000:
                waits.reset()
            await asyncio.sleep(waits.next_ms() / 1000)

    async def _live(self) -> McpError:
        """Run the server until it ends, and return why it did."""
        wire = self._wire = Wire()
        try:
            await library.load()
            async with self._connected(wire) as session:
                await self._begin(session, wire)
                await self._follow(wire)
        except Exception as exc:
            wire.end(self._mapped(exc))
        finally:
            self._session = None
        assert wire.fault is not None
        return wire.fault

    def _mapped(self, exc: BaseException) -> McpError:
        while isinstance(exc, BaseExceptionGroup):  # the SDK's tasks are a group
            exc = exc.exceptions[0]
        if isinstance(exc, McpError):
            return exc
        if isinstance(exc, TimeoutError):
            words = f"the server did not list its tools within {self._limits.mcp_start_ms} ms"
            return McpError("mcp.timeout", words)
        return McpError("mcp.protocol", f"the connection failed: {type(exc).__name__}")

    @asynccontextmanager
    async def _connected(self, wire: Wire) -> "AsyncIterator[ClientSession]":
        from mcp import ClientSession
        from mcp_types import Implementation

        async def heard(message: Any) -> None:
            # Only changes of the list come so far (wire.py); it is looked at when it matters.
            self._stale = True

        async with (
            self._opening(self.settings, self._secrets, wire) as streams,
            ClientSession(
                streams.read,
                streams.write,
                message_handler=heard,
                client_info=Implementation(name="yoi", version=__version__),
            ) as session,
        ):
            yield session

    async def _begin(self, session: "ClientSession", wire: Wire) -> None:
        """Shake hands and list the tools. Raises McpError, TimeoutError."""
        async with asyncio.timeout(self._limits.mcp_start_ms / 1000):
            working = asyncio.ensure_future(self._introduced(session))
            ending = asyncio.ensure_future(wire.ended.wait())
            try:
                await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
                if wire.fault is not None:
                    raise wire.fault
                await working
            finally:
                await ended(working, ending)
        self._session = session
        self._fault = None
        self._transition(State.RUNNING)
        self._settled.set()

    async def _introduced(self, session: "ClientSession") -> None:
        from mcp import MCPError
        from pydantic import ValidationError

        try:
            begun = await session.initialize()
        except MCPError as exc:
            raise McpError(
                "mcp.start", f"the server refused to begin: {exc.error.message}"
            ) from None
        except (ValidationError, RuntimeError, ValueError) as exc:
            raise McpError(
                "mcp.protocol", f"the server's first answer does not fit MCP: {_first_line(exc)}"
            ) from None
        info = begun.server_info
        software = f"{info.name} {info.version}"[: self._limits.name_bytes]
        self._software = self._masker.text(software)
        has_tools = begun.capabilities.tools is not None
        self.listed = await self._said(session) if has_tools else {}
        self._stale = False
        self._listed_at = self._clock.monotonic()

    async def _follow(self, wire: Wire) -> None:
        """Wait for the end; a changed list is looked at once a while, so that it shows."""
        while not wire.ended.is_set():
            try:
                async with asyncio.timeout(self._limits.mcp_listing_ms / 1000):
                    await wire.ended.wait()
            except TimeoutError:
                if self._stale:
                    async with asyncio.timeout(self._limits.mcp_start_ms / 1000):
                        await self.look()

    async def _said(self, session: "ClientSession") -> dict[str, ListedTool]:
        """Return the tools that the server lists, page after page. Raises McpError."""
        from mcp_types import ListToolsRequest, ListToolsResult, PaginatedRequestParams

        said: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(self._limits.mcp_pages):
            params = None if cursor is None else PaginatedRequestParams(cursor=cursor)
            page = await self._answer(session, ListToolsRequest(params=params), ListToolsResult)
            said += [tool.model_dump(by_alias=True, mode="json") for tool in page.tools]
            cursor = page.next_cursor
            if len(said) > self._limits.mcp_server_tools:
                break
            if cursor is None:
                # Checking schemas of many tools takes milliseconds.
                return await asyncio.to_thread(self._listed_of, said)
        raise McpError(
            "mcp.too_large",
            f"the server lists more than {self._limits.mcp_server_tools} tools, or "
            f"{self._limits.mcp_pages} pages",
        )

    def _listed_of(self, said: list[dict[str, Any]]) -> dict[str, ListedTool]:
        """Return the tools in `said`, without the server's secrets. On any thread."""
        return listed_tools(self._masker.document(said) if self._masker else said, self._limits)

    def _transition(self, state: State) -> None:
        if state not in _MOVES[self._state]:
            raise AssertionError(f"{self._state} -> {state}")
        self._state = state


def _first_line(exc: BaseException) -> str:
    return str(exc).partition("\n")[0]
