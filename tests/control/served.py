"""A control socket as a host serves it: claimed, then listening."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from yoi.control.server import ControlServer, Method, claimed
from yoi.limits import LIMITS, Limits


@asynccontextmanager
async def served(
    workspace: Path, methods: Mapping[str, Method], limits: Limits = LIMITS
) -> AsyncIterator[ControlServer]:
    """Serve `methods` in `workspace` while entered."""
    with claimed(workspace):
        async with ControlServer(workspace, methods, limits) as server:
            yield server
