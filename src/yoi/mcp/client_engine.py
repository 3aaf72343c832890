"""The engine of the worker through which MCP clients call tools: a client decides, as models do.

So a client's call is a call like any other: in the history, approved by a person where the operator
says so, carried out once, seen by who watches.
"""

import re
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import msgspec

from yoi.protocol import events as ev
from yoi.workers import items as it
from yoi.workers.context import ModelInput, UserText
from yoi.workers.engine import Answer, Said, TokenUsage

MODEL = "mcp-clients"
_CALL = re.compile(r"\((mcp-[0-9a-f]{24})\)\Z")
_BYTES_PER_TOKEN = 4


class Asked(NamedTuple):
    """A call that a client wants made; `arguments` is JSON text."""

    tool: str
    arguments: str


def asking_text(client: str, tool: str, call_id: str) -> str:
    """Return the message that asks for the call `call_id`."""
    return f"The MCP client {client} calls {tool} ({call_id})"


class ClientEngine:
    """A `yoi.workers.engine.Engine`; `asked` gives a call that is still wanted, by its id."""

    name = MODEL

    def __init__(self, asked: Callable[[str], Asked | None]) -> None:
        self._asked = asked

    async def ask(self, request: ModelInput) -> AsyncIterator[Said | Answer]:
        """Answer with the call that the last message asks for, or with words."""
        last = request.messages[-1]
        found = _CALL.search(last.text) if isinstance(last, UserText) else None
        call_id = found[1] if found is not None else ""
        wanted = self._asked(call_id) if request.may_call and call_id else None
        part: it.Part
        if wanted is None:
            part = it.Text(_words(request, call_id))
        else:
            part = it.Call(call_id, wanted.tool, wanted.arguments)
            yield ev.ToolCallStart(ev.ToolCallStartData(id=call_id, name=wanted.tool))
            yield ev.ToolCallDone(
                ev.ToolCallDoneData(id=call_id, name=wanted.tool, arguments=wanted.arguments)
            )
        read = len(msgspec.json.encode(request.messages)) // _BYTES_PER_TOKEN
        yield Answer([part], TokenUsage(read, 1))

    async def close(self) -> None:
        """Hold nothing."""


def _words(request: ModelInput, call_id: str) -> str:
    if not request.may_call:
        return "Calls of MCP clients; the history has each of them."
    return "the client of this call waits for it no longer" if call_id else "done"
