"""Servers of tests/mcp/server.py, run as a host runs them."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from yoi.limits import LIMITS
from yoi.mcp.servers import McpServers
from yoi.mcp.settings import EnvironmentSecret, McpSettings, ServerSettings
from yoi.types import Secret, SystemClock

PROGRAM = str(Path(__file__).with_name("server.py"))
QUICK = replace(
    LIMITS,
    mcp_start_ms=60_000,
    mcp_settle_ms=60_000,
    mcp_stop_ms=300,
    mcp_retry_first_ms=50,
    mcp_retry_max_ms=100,
)


class Store(dict[str, str]):
    """Secrets by name."""

    def secret(self, name: str) -> Secret | None:
        return Secret(name, self[name]) if name in self else None


def server(mode: str, *arguments: object, name: str = "files", **more) -> ServerSettings:
    return ServerSettings(name, (sys.executable, PROGRAM, mode, *map(str, arguments)), **more)


def approving(servers: McpServers, settings: ServerSettings) -> ServerSettings:
    """Return `settings` with all that its server lists now approved."""
    listed = servers._servers[settings.name].listed
    return replace(settings, tools={tool.name: tool.digest for tool in listed.values()})


@asynccontextmanager
async def running(folder, *wanted: ServerSettings, limits=QUICK, secrets=None, approved=True):
    """Run `wanted`, with all tools approved that they list."""
    servers = McpServers(folder, Store(secrets or {}), SystemClock(), limits)
    try:
        await servers.apply(McpSettings(wanted))
        if approved:
            await servers.apply(McpSettings(tuple(approving(servers, one) for one in wanted)))
        yield servers
    finally:
        await servers.stop()


async def until(true: Callable[[], bool]) -> None:
    """Wait until `true()`."""
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


__all__ = ["EnvironmentSecret", "Store", "approving", "running", "server", "until"]
