"""MCP clients of this account: what they may call here, their calls under way, what came of them.

A client is a process (`yoi mcp`) that speaks MCP to a program of the operator's and asks this host
over the control socket. A client that asks no more has gone, and its calls that wait for a person
go with it.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from yoi.display import printable
from yoi.errors import McpError, WorkerError, YoiError
from yoi.limits import LIMITS, Limits
from yoi.mcp.client_engine import MODEL, Asked, ClientEngine, asking_text
from yoi.mcp.settings import McpSettings, ServedTool
from yoi.protocol import events as ev
from yoi.tasks import ended
from yoi.types import Clock
from yoi.workers import items as it
from yoi.workers.engine import Engine
from yoi.workers.items import Approval
from yoi.workers.profile import ModelChoice, WorkerProfile
from yoi.workers.tools import PluginTools, ToolChoice
from yoi.workers.worker import Worker

WORKERS: Mapping[Approval, str] = {"ask": "mcp-clients", "auto": "mcp-clients-auto"}
"""The workers that carry out what clients call, by who approves: no call waits behind a person who
decides about another tool."""
_WINDOW = 100_000


def clients_profiles(settings: McpSettings) -> list[WorkerProfile]:
    """Return the workers for what `settings` offer to clients."""
    found = []
    for approval, name in WORKERS.items():
        tools = tuple(
            # The operator's word about the tool is the whole word: its own answers are outside
            # text, so the default would ask from the second call on.
            ToolChoice(one.plugin, one.tool, one.name, one.approval, "allow")
            for one in settings.tools
            if one.approval == approval
        )
        if tools:
            found.append(
                WorkerProfile(
                    name=name, model=ModelChoice(MODEL), max_turns=2, window=_WINDOW, tools=tools
                )
            )
    return found


@dataclass(slots=True)
class _Call:
    asked: Asked
    worker: Worker
    started: bool = False
    """Whether the worker has taken it up."""


@dataclass(slots=True)
class _Session:
    """One client: its calls that are under way, and what came of others."""

    client: str
    asked_at: float
    calls: dict[str, _Call] = field(default_factory=dict)
    done: dict[str, dict[str, str]] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)


class McpClients:
    """See the module docstring. Belongs to the event loop."""

    def __init__(self, plugins: PluginTools, clock: Clock, limits: Limits = LIMITS) -> None:
        self._plugins = plugins
        self._clock = clock
        self._limits = limits
        self._settings = McpSettings()
        self._workers: dict[str, tuple[Worker, Callable[[ev.Event], None]]] = {}
        self._sessions: dict[str, _Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def methods(self) -> Mapping[str, Callable[[dict[str, Any]], Awaitable[Any]]]:
        """Return the methods of the control socket by name."""
        return {
            "mcp.open": self._open,
            "mcp.offered": self._offered,
            "mcp.begin": self._begin,
            "mcp.results": self._results,
            "mcp.cancel": self._cancel,
            "mcp.close": self._close,
        }

    def engine(self, profile: WorkerProfile) -> Engine | None:
        """Return the engine for `profile`, None where it is another worker's."""
        return ClientEngine(self._wanted) if profile.model.model == MODEL else None

    async def apply(self, settings: McpSettings, workers: Mapping[str, Worker]) -> None:
        """Offer what `settings` say, through `workers`: call it after the workers were applied."""
        self._settings = settings
        for name in WORKERS.values():
            known, worker = self._workers.get(name), workers.get(name)
            if known is not None and known[0] is not worker:
                del self._workers[name]
                known[0].bus.drop(known[1])
                self._end_all(known[0], "interrupted", "the host's configuration changed")
            if worker is not None and name not in self._workers:
                listener = partial(self._hear, worker)
                self._workers[name] = (worker, listener)
                worker.bus.listen(listener)
                if worker.status().approvals:
                    # Its client went with the host before this one.
                    await _cancelled(worker)

    async def stop(self) -> None:
        """Wait for nothing more; who still asks is answered."""
        for session in self._sessions.values():
            session.news.set()
        await ended(*self._tasks)

    # What clients ask

    async def _open(self, params: dict[str, Any]) -> Any:
        await self._forget_idle()
        if len(self._sessions) >= self._limits.mcp_clients:
            raise McpError("mcp.busy", f"{self._limits.mcp_clients} MCP clients are here already")
        key = secrets.token_urlsafe(12)
        client = printable(str(params.get("client", "")), 64) or "unknown"
        self._sessions[key] = _Session(client, self._clock.monotonic())
        return {"session": key}

    async def _offered(self, params: dict[str, Any]) -> Any:
        offered = {(one.service, one.name): one for one in self._plugins.tools()}
        return [
            {
                "name": one.name,
                "description": offered[one.plugin, one.tool].description,
                "input_schema": offered[one.plugin, one.tool].input_schema,
            }
            for one in self._usable()
            if (one.plugin, one.tool) in offered
        ]

    async def _begin(self, params: dict[str, Any]) -> Any:
        session, name = self._session(params), params["tool"]
        tool = next((one for one in self._usable() if one.name == name), None)
        if tool is None:
            raise McpError(
                "mcp.unknown",
                f"no tool called {printable(str(name), 64)!r} is offered to MCP clients",
            )
        if len(session.calls) >= self._limits.mcp_client_calls:
            raise McpError(
                "mcp.busy", f"{self._limits.mcp_client_calls} calls of this client wait already"
            )
        arguments = msgspec.json.encode(dict(params["arguments"])).decode()
        if len(arguments.encode()) > self._limits.tool_arguments_bytes:
            raise McpError(
                "mcp.too_large",
                f"the arguments have more than {self._limits.tool_arguments_bytes} bytes",
            )
        carrying = WORKERS[tool.approval]
        if carrying not in self._workers:
            raise McpError("mcp.unavailable", f"the worker {carrying} does not run now")
        worker, _ = self._workers[carrying]
        call_id = f"mcp-{secrets.token_hex(12)}"
        session.calls[call_id] = _Call(Asked(name, arguments), worker)
        session.asked_at = self._clock.monotonic()
        try:
            await worker.send(asking_text(session.client, name, call_id))
        except BaseException:
            session.calls.pop(call_id, None)
            raise
        self._expire_later()
        return {"call": call_id}

    async def _results(self, params: dict[str, Any]) -> Any:
        """Return what came of the client's calls, waiting a bounded time for the first."""
        session = self._session(params)
        session.asked_at = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._limits.watch_poll_ms / 1000):
                await session.news.wait()
        except TimeoutError:
            pass
        session.asked_at = self._clock.monotonic()
        session.news.clear()
        done, session.done = session.done, {}
        return {"done": done, "waiting": len(session.calls)}

    async def _cancel(self, params: dict[str, Any]) -> Any:
        await self._give_up(self._session(params), str(params["call"]))

    async def _close(self, params: dict[str, Any]) -> Any:
        session = self._sessions.pop(str(params["session"]), None)
        if session is not None:
            session.news.set()  # who still waits for it is answered
            await self._give_up_all(session)

    # What comes of it

    def _usable(self) -> list[ServedTool]:
        return [one for one in self._settings.tools if one.approval != "deny"]

    def _session(self, params: dict[str, Any]) -> _Session:
        found = self._sessions.get(str(params["session"]))
        if found is None:
            raise McpError("mcp.unknown", "no MCP client is open under that key; open one again")
        return found

    def _wanted(self, call_id: str) -> Asked | None:
        """Return the call that the worker is to make, unless nobody waits for it any more."""
        for session in self._sessions.values():
            call = session.calls.get(call_id)
            if call is not None and call.started:
                # The history was read again meanwhile; a call is made once.
                self._ended(call_id, "interrupted", "whether the call had an effect is unknown")
            elif call is not None:
                call.started = True
                return call.asked
        return None

    def _hear(self, worker: Worker, event: ev.Event) -> None:
        match event:
            case ev.ToolResult(data):
                self._do(self._read(worker, data.id, data.seq or 0))
            case ev.ApprovalRequest(data) if self._owner(data.id) is None:
                # Its client gave up just before: nobody is to decide for nobody.
                self._do(_cancelled(worker))
            case ev.RunEnd(data) if data.result in ("cancelled", "failed"):
                self._end_all(worker, "cancelled", "the run of the call was ended", started=True)
            case _:
                pass

    def _do(self, work: Coroutine[Any, Any, None], name: str | None = None) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, worker: Worker, call_id: str, seq: int) -> None:
        """Take the whole result from the history: events carry it as people read it."""
        if self._owner(call_id) is None:
            return
        try:
            stored = await worker.history(seq - 1, 1)
        except YoiError as exc:
            self._ended(call_id, "failed", str(exc))
            return
        for one in stored:
            if isinstance(one.item, it.ToolResult):
                self._ended(call_id, one.item.outcome, one.item.output)

    def _owner(self, call_id: str) -> _Session | None:
        return next((one for one in self._sessions.values() if call_id in one.calls), None)

    def _end_all(self, worker: Worker, outcome: str, output: str, *, started: bool = False) -> None:
        """Let the calls of `worker` have ended, with `started` only those that it has taken up."""
        for session in self._sessions.values():
            for call_id, call in tuple(session.calls.items()):
                if call.worker is worker and (call.started or not started):
                    self._ended(call_id, outcome, output)

    def _ended(self, call_id: str, outcome: str, output: str) -> None:
        session = self._owner(call_id)
        if session is not None:
            del session.calls[call_id]
            session.done[call_id] = {"outcome": outcome, "output": output}
            session.news.set()

    # Clients that go

    async def _give_up(self, session: _Session, call_id: str) -> None:
        """Forget a call; where it waits for a person, nobody needs to decide any more."""
        call = session.calls.pop(call_id, None)
        if call is not None and any(one.id == call_id for one in call.worker.status().approvals):
            await _cancelled(call.worker)

    async def _give_up_all(self, session: _Session) -> None:
        for call_id in tuple(session.calls):
            await self._give_up(session, call_id)

    async def _forget_idle(self) -> None:
        limit = self._clock.monotonic() - self._limits.watch_idle_ms / 1000
        for key in [key for key, one in self._sessions.items() if one.asked_at < limit]:
            session = self._sessions[key]
            await self._give_up_all(session)
            if not session.calls:
                self._sessions.pop(key, None)

    def _expire_later(self) -> None:
        """Look for clients that have gone, as long as calls are under way."""
        if all(task.get_name() != _EXPIRING for task in self._tasks):
            self._do(self._expire(), _EXPIRING)

    async def _expire(self) -> None:
        while any(session.calls for session in self._sessions.values()):
            await asyncio.sleep(self._limits.watch_idle_ms / 2000)
            await self._forget_idle()


_EXPIRING = "mcp clients expire"


async def _cancelled(worker: Worker) -> None:
    """End the open run of `worker`, if there is one."""
    with contextlib.suppress(WorkerError):  # it ended by itself
        await worker.cancel()
