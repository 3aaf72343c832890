"""Messages of an MCP server, bounded before the SDK sees them, whatever carries them.

The SDK takes messages from a memory stream. What is put there has passed `Inbound`: one line at a
time, of a bounded size, few that answer nothing, and only notifications that this host acts on.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yoi.core.token_bucket import TokenBucket
from yoi.errors import McpError
from yoi.limits import Limits
from yoi.protocol.depth import more_values_than
from yoi.types import Clock

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.shared.message import SessionMessage

_ON_THREAD_BYTES = 64 * 1024
_WINDOW_S = 10.0
_COUNTED_BYTES = 16 * 1024
_LISTING_CHANGED = "notifications/tools/list_changed"


@dataclass(frozen=True, slots=True)
class Streams:
    """The two streams that a session of the SDK is made of."""

    read: "MemoryObjectReceiveStream[SessionMessage | Exception]"
    write: "MemoryObjectSendStream[SessionMessage]"


class Wire:
    """What a connection to a server carries. `ended` is set with the first `fault`."""

    def __init__(self) -> None:
        self.fault: McpError | None = None
        self.ended = asyncio.Event()

    def end(self, fault: McpError) -> None:
        """Let the connection end because of `fault`, unless it has ended before."""
        if self.fault is None:
            self.fault = fault
        self.ended.set()


class Inbound:
    """Reads one message after the other; each may raise McpError, which ends the connection."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._asked: set[str | int] = set()
        self._room = TokenBucket(limits.mcp_unasked, clock.monotonic(), period_s=_WINDOW_S)

    def asked(self, message: object) -> None:
        """Take note of a message that is sent: a request has one answer."""
        from mcp_types import JSONRPCRequest

        if isinstance(message, JSONRPCRequest):
            self._asked.add(message.id)

    def check_answered(self, message: object) -> None:
        """Raise McpError where `message` is a request that was asked, and has no answer yet."""
        if getattr(message, "id", None) in self._asked and hasattr(message, "method"):
            raise McpError("mcp.protocol", "the server's answer holds no answer to the request")

    async def message(self, line: bytes) -> "SessionMessage | None":
        """Return the message in `line`, None for one that is not acted on."""
        from mcp.shared.message import SessionMessage
        from mcp_types import JSONRPCNotification

        parsed = None
        if line.strip():
            large = len(line) > _ON_THREAD_BYTES
            parsed = await asyncio.to_thread(self._parsed, line) if large else self._parsed(line)
        number = getattr(parsed, "id", None)
        if number in self._asked and not hasattr(parsed, "method"):
            self._asked.discard(number)
        else:
            self._count(len(line))
        if parsed is None or (
            isinstance(parsed, JSONRPCNotification) and parsed.method != _LISTING_CHANGED
        ):
            return None
        return SessionMessage(parsed)

    def _parsed(self, line: bytes) -> Any:
        from mcp_types import jsonrpc_message_adapter

        most = self._limits.json_values
        if more_values_than(most, line):
            raise McpError("mcp.too_large", f"the server sent more than {most} JSON values at once")
        try:
            return jsonrpc_message_adapter.validate_json(line, by_name=False)
        except (ValueError, RecursionError):
            raise McpError(
                "mcp.protocol", "the server wrote something that is no JSON-RPC message"
            ) from None

    def _count(self, size: int) -> None:
        """Count a message that answers nothing; a large one counts as several."""
        now = self._clock.monotonic()
        if not all(self._room.take(now) for _ in range(1 + size // _COUNTED_BYTES)):
            raise McpError(
                "mcp.flood",
                f"the server sent more than {self._limits.mcp_unasked} messages in "
                f"{_WINDOW_S:.0f} s that answer nothing",
            )
