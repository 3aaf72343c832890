"""The one place where the SDK is loaded: an extra that takes a second, so not on the event loop."""

import asyncio
import importlib
import logging
from pathlib import Path
from types import ModuleType

from yoi.errors import McpError


async def load() -> ModuleType:
    """Return the package `mcp`, loaded on a thread. Raises McpError `mcp.extra`."""
    return await asyncio.to_thread(loaded)


def loaded() -> ModuleType:
    """Return the package `mcp`. Blocks for a second at the first time. Raises McpError."""
    try:
        module = importlib.import_module("mcp")
    except ImportError as exc:
        raise McpError(
            "mcp.extra",
            f"MCP needs a library that is not installed ({exc.name})",
            hint="pip install 'yoi[mcp]'\npipx inject yoi 'mcp>=2.3,<3'",
        ) from None
    _quieten(str(Path(module.__file__ or "").parent))
    return module


def _quieten(folder: str) -> None:
    """Keep the SDK from logging what servers say; what matters of it is told by us, escaped.

    Its client logs under a name that a program around us may use, too.
    """
    quiet = _NotFrom(folder)
    for name in ("client", "mcp", "mcp.shared.jsonrpc_dispatcher"):
        logger = logging.getLogger(name)
        if quiet not in logger.filters:
            logger.addFilter(quiet)


class _NotFrom:
    """A filter without the records that are made below `folder`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _NotFrom) and self._folder == other._folder

    def __hash__(self) -> int:
        return hash(self._folder)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether `record` is logged."""
        return not record.pathname.startswith(self._folder)
