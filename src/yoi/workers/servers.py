"""What a worker may use of MCP servers: the port that the room `mcp` fills."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from yoi.workers.profile import WorkerProfile
from yoi.workers.tools import Tool


class ServerShown(msgspec.Struct, frozen=True, kw_only=True):
    """An MCP server as the status of a worker shows it: tools are counted."""

    name: str
    state: str
    approved: int = 0
    changed: int = 0
    error: str | None = None


class McpTools(Protocol):
    """The approved tools of MCP servers."""

    def tools(self, profile: WorkerProfile) -> tuple[Sequence[Tool], Sequence[str]]:
        """Return the tools that `profile` may use now, and in words what is missing."""
        ...

    def shown(self, profile: WorkerProfile) -> list[ServerShown]:
        """Return the servers that `profile` names."""
        ...


class NoServers:
    """An `McpTools` without any."""

    def tools(self, profile: WorkerProfile) -> tuple[Sequence[Tool], Sequence[str]]:
        """Return no tools, and nothing that is missing."""
        return (), ()

    def shown(self, profile: WorkerProfile) -> list[ServerShown]:
        """Return nothing."""
        return []
