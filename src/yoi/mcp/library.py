"""The one place where the SDK is loaded: an extra that takes a second, so not on the event loop."""

import asyncio
import importlib
import logging
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
    for name in ("client", "mcp"):
        # It logs what servers say; what matters of it is told by us, escaped and bounded.
        logger = logging.getLogger(name)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    return module
