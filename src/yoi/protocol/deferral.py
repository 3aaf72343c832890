"""Tool calls that are answered later: how a plugin says so, and how it answers.

{"defer": {"id": "q1", "timeout_ms": 5000}, "output_commands": [...]}       instead of an output
tool_complete  {"call": "q1", "result": {"summary": "..."}}                 or "error": "why"
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yoi.limits import LIMITS
from yoi.protocol.fields import MISSING, Fields

TOOL_COMPLETE = "tool_complete"


@dataclass(frozen=True, slots=True)
class Deferral:
    """The call is answered later, as `id`, within `timeout_ms`."""

    id: str
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class ToolComplete:
    """Answer the deferred call `call`, with `result`, or with `error` in words."""

    call: str
    result: Any
    error: str | None


def parse_deferral(payload: Mapping[str, Any]) -> Deferral:
    """Return what a tool said under `defer`. Raises GuestRefused `service.command_malformed`."""
    fields = Fields("defer", payload)
    made = Deferral(_id(fields, "id"), fields.whole("timeout_ms", 1, LIMITS.deferred_max_ms))
    fields.done()
    return made


def parse_tool_complete(payload: Mapping[str, Any]) -> ToolComplete:
    """Return the payload of a `tool_complete`. Raises GuestRefused `service.command_malformed`."""
    fields = Fields(TOOL_COMPLETE, payload)
    call = _id(fields, "call")
    result = fields.value("result")
    error = fields.optional_text("error", LIMITS.command_payload_bytes)
    if (result is MISSING) == (error is None):
        raise fields.malformed("needs either result or error")
    fields.done()
    return ToolComplete(call, None if result is MISSING else result, error)


def _id(fields: Fields, key: str) -> str:
    found = fields.text(key)
    if len(found.encode()) > LIMITS.name_bytes or not found.isprintable():
        raise fields.malformed(
            f"{key} must be 1 to {LIMITS.name_bytes} bytes without control characters"
        )
    return found
