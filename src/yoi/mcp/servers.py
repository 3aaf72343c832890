"""The MCP servers of one host: which run, and what they give to workers and to people."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from yoi.core.alerts import AlertKind, Condition
from yoi.errors import McpError
from yoi.limits import LIMITS, Limits
from yoi.mcp import library
from yoi.mcp.listing import ListedTool, Standing
from yoi.mcp.names import model_name
from yoi.mcp.process import process_streams
from yoi.mcp.server import McpServer, Opening, ServerStatus, State
from yoi.mcp.settings import McpFault, McpSettings, ServerSettings
from yoi.mcp.wire import Wire
from yoi.types import Clock, Secret, SecretSource
from yoi.workers.items import Origin, ToolSpec
from yoi.workers.profile import WorkerProfile
from yoi.workers.rules import McpRule, McpToolRule
from yoi.workers.servers import ServerShown
from yoi.workers.tools import Tool


class McpServers:
    """Runs exactly the servers that `apply` names. Belongs to the event loop."""

    def __init__(
        self,
        folder: Path,
        secrets: SecretSource,
        clock: Clock,
        limits: Limits = LIMITS,
        http: Opening | None = None,
    ) -> None:
        self._folder = folder
        self._secrets = secrets
        self._clock = clock
        self._limits = limits
        self._http = http
        self._servers: dict[str, McpServer] = {}
        self._values: dict[str, tuple[str, ...]] = {}
        self._missing: dict[str, McpError] = {}
        self._named: dict[str, ServerSettings] = {}
        self._faults: dict[str, McpFault] = {}
        """The tables of yoi.toml that are off for a fault in them, by server or by place."""

    @property
    def methods(self) -> Mapping[str, Callable[[dict[str, Any]], Awaitable[Any]]]:
        """Return the methods of the control socket by name."""
        return {"mcp.servers": self._list, "mcp.server": self._show}

    async def apply(self, settings: McpSettings) -> None:
        """Run exactly the servers in `settings`; one that cannot run stops no other.

        Returns when each has listed its tools or failed, or after `mcp_settle_ms`.
        """
        named = {one.name: one for one in settings.servers}
        self._faults = {one.name: one for one in settings.faults}
        for name in [name for name in self._servers if name not in named]:
            await self._end(name)
        self._named, self._missing = named, {}
        for one in named.values():
            await self._have(one)
        if self._servers:
            # Not counted as a server's time: the first load takes a second or more.
            with contextlib.suppress(McpError):
                await library.load()
        begun = [asyncio.ensure_future(one.settled()) for one in self._servers.values()]
        if begun:
            _, late = await asyncio.wait(begun, timeout=self._limits.mcp_settle_ms / 1000)
            for task in late:
                task.cancel()

    async def stop(self) -> None:
        """Stop every server."""
        await asyncio.gather(*(self._end(name) for name in list(self._servers)))

    def statuses(self) -> list[ServerStatus]:
        """Return what is shown of each server, and of each table with a fault, by name."""
        return [self._status(name) for name in sorted({*self._named, *self._faults})]

    def conditions(self) -> list[Condition]:
        """Return what needs a person, for the host's alerts."""
        found = []
        for one in self.statuses():
            fault = self._faults.get(one.name)
            if fault is not None:
                scope = f"mcp:{one.name}"
                found.append(Condition(AlertKind.MCP, scope, fault.words, fault.hint))
                continue
            odd = [
                f"{tool.name} ({tool.standing})"
                for tool in one.tools
                if tool.standing in (Standing.CHANGED, Standing.UNUSABLE)
                and tool.name in self._named[one.name].tools
            ]
            if odd:
                words = (
                    f"MCP server {one.name} says something else than what was approved of: "
                    f"{', '.join(odd[:8])}; these tools are not offered"
                )
                found.append(
                    Condition(
                        AlertKind.MCP, f"mcp:{one.name}", words, f"yoi mcp approve {one.name}"
                    )
                )
            elif one.error is not None:
                words = f"MCP server {one.name} does not run: {one.error}"
                found.append(
                    Condition(
                        AlertKind.MCP, f"mcp:{one.name}", words, one.hint or "yoi mcp servers"
                    )
                )
        return found

    def tools(self, profile: WorkerProfile) -> tuple[Sequence[Tool], Sequence[str]]:
        """Return the tools of servers that `profile` may use now, and why others are not there."""
        found: list[Tool] = []
        problems: list[str] = []
        for rule in profile.mcp:
            server = self._servers.get(rule.server)
            if server is None:
                why = self._why_not(rule.server)
                problems.append(
                    f"MCP server {rule.server} is in no table [[mcp.servers]] that is in force"
                    if why is None
                    else why
                )
                continue
            problems += _problems(server)
            usable = {tool.name: tool for tool in server.usable()}
            found += [self._tool(server, tool, rule) for tool in usable.values()]
            problems += [
                f"MCP server {rule.server} has no approved tool {name} now"
                for name in rule.tools
                if name not in usable
            ]
        return found, problems

    def shown(self, profile: WorkerProfile) -> list[ServerShown]:
        """Return the servers that `profile` names, as the status of its worker shows them."""
        found: list[ServerShown] = []
        for rule in profile.mcp:
            name = rule.server
            if name not in self._named and name not in self._faults:
                words = "no table [[mcp.servers]] of this name is in force"
                found.append(ServerShown(name=name, state="unknown", error=words))
                continue
            status = self._status(name)
            standing = [tool.standing for tool in status.tools]
            found.append(
                ServerShown(
                    name=name,
                    state=status.state,
                    approved=standing.count(Standing.APPROVED),
                    changed=standing.count(Standing.CHANGED),
                    error=status.error,
                )
            )
        return found

    def _tool(self, server: McpServer, listed: ListedTool, rule: McpRule) -> Tool:
        own = rule.tools.get(listed.name, McpToolRule("", rule.approval, None))
        spec = ToolSpec(
            name=own.name or model_name(rule.server, listed.name),
            description=listed.description,
            input_schema=listed.input_schema,
            approval=own.approval,
            after_outside=own.after_outside or rule.after_outside,
            origin=Origin(
                kind="mcp",
                service=f"mcp:{rule.server}",
                digest=listed.digest,
                tool=listed.name,
            ),
        )

        async def call(arguments: dict[str, Any]) -> str:
            now = self._servers.get(rule.server)
            if now is None:
                raise McpError("mcp.unavailable", f"MCP server {rule.server} is gone")
            return await now.call(listed.name, listed.digest, arguments)

        # The server's own bound ends a call first, and says so.
        return Tool(spec, call, self._limits.mcp_call_ms + self._limits.tool_wait_ms)

    async def _have(self, wanted: ServerSettings) -> None:
        """Run `wanted`: as it is, with other tools approved, or started anew."""
        try:
            secrets = self._found(wanted)
        except McpError as exc:
            await self._end(wanted.name)
            self._missing[wanted.name] = exc
            return
        values = tuple(secrets[name].reveal() for name in wanted.secrets)
        known = self._servers.get(wanted.name)
        if known is not None:
            if _same(known.settings, wanted) and values == self._values[wanted.name]:
                known.settings = wanted
                return
            await self._end(wanted.name)
        server = McpServer(wanted, secrets, self._opened, self._clock, self._limits)
        self._servers[wanted.name], self._values[wanted.name] = server, values
        server.start()

    def _found(self, wanted: ServerSettings) -> dict[str, Secret]:
        found: dict[str, Secret] = {}
        for name in wanted.secrets:
            secret = self._secrets.secret(name)
            if secret is None:
                raise McpError(
                    "mcp.secret",
                    f"MCP server {wanted.name} needs the secret {name!r}, which is not there",
                    hint=f"yoi secret set {name}",
                )
            found[name] = secret
        return found

    def _opened(self, settings: ServerSettings, secrets: Mapping[str, Secret], wire: Wire) -> Any:
        if settings.url is not None:
            assert self._http is not None
            return self._http(settings, secrets, wire)
        variables = {one.name: secrets[one.secret].reveal() for one in settings.environment}
        return process_streams(
            settings.command, variables, self._folder, wire, self._clock, self._limits
        )

    async def _end(self, name: str) -> None:
        server = self._servers.pop(name, None)
        self._values.pop(name, None)
        if server is not None:
            await server.stop()

    def _status(self, name: str) -> ServerStatus:
        server = self._servers.get(name)
        if server is not None:
            return server.status()
        off = self._faults.get(name)
        if off is not None:
            return ServerStatus(
                name=name,
                where="",
                state=State.STOPPED.value,
                error=off.words,
                error_code=off.error.code,
                hint=off.hint,
            )
        settings, fault = self._named[name], self._missing.get(name)
        return ServerStatus(
            name=name,
            where=settings.where,
            state=State.STOPPED.value,
            error=None if fault is None else fault.message,
            error_code=None if fault is None else fault.code,
            hint=None if fault is None else fault.hint,
        )

    def _why_not(self, name: str) -> str | None:
        """Return why the server does not run, None where no table is about it."""
        if name in self._faults:
            return self._faults[name].words
        missing = self._missing.get(name)
        return None if missing is None else missing.message

    async def _list(self, params: dict[str, Any]) -> Any:
        return msgspec.to_builtins(self.statuses())

    async def _show(self, params: dict[str, Any]) -> Any:
        """Return one server with all that its tools say, as of now where it runs."""
        name = params["name"]
        if name in self._faults:
            fault = self._faults[name]
            raise McpError("mcp.unavailable", fault.words, hint=fault.hint)
        if name not in self._named:
            raise McpError(
                "mcp.unknown", f"no MCP server is called {name!r} here", hint="yoi mcp servers"
            )
        server = self._servers.get(name)
        listed: list[ListedTool] = []
        if server is not None:
            if server.state is State.RUNNING:
                try:
                    async with asyncio.timeout(self._limits.control_wait_ms / 1000):
                        await server.look()
                except TimeoutError:
                    words = f"MCP server {name} did not list its tools in time"
                    raise McpError("mcp.timeout", words, hint="yoi mcp servers") from None
            listed = list(server.listed.values())
        return {
            "server": msgspec.to_builtins(self._status(name)),
            "tools": msgspec.to_builtins(listed),
        }


def _same(one: ServerSettings, other: ServerSettings) -> bool:
    """Return whether the two are run alike, whatever is approved of them."""
    return replace(one, tools={}) == replace(other, tools={})


def _problems(server: McpServer) -> list[str]:
    name, status = server.settings.name, server.status()
    found = [
        f"tool {tool.name} of MCP server {name} is {tool.standing}, not as it was approved: "
        f"yoi mcp approve {name}"
        for tool in status.tools
        if tool.standing is not Standing.APPROVED and tool.name in server.settings.tools
    ]
    if status.error is not None and server.state is not State.RUNNING:
        found.append(f"MCP server {name} does not run: {status.error}")
    return found
