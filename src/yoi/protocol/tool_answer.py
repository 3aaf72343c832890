"""What a tool answered: output for its caller, and commands for its own service (S7).

What a call's commands answer is not the guest's to say, so they come without an envelope:

    {"summary": "...", "content": "...", "output_commands": [{"command_id", "kind", "payload"}]}

`command_id` may be null or missing: the host makes one. Everything but `output_commands` is output.
Instead of output there may be `defer`: the call is answered later (`yoi.protocol.deferral`).
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from yoi.errors import GuestRefused
from yoi.protocol.commands import OutputCommand, parse_envelopes
from yoi.protocol.deferral import Deferral, parse_deferral

_KEY = "output_commands"
_DEFER = "defer"


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """`output` is decoded JSON; `commands` passed the envelope's rules and are not yet judged."""

    output: Any
    commands: list[OutputCommand]
    deferral: Deferral | None = None
    """The call is answered later, and there is no output yet."""


class _Command(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    payload: dict[str, Any]
    command_id: str | None = None


def parse_tool_answer(text: str, tool: str, call_id: str, requested_at: str) -> ToolAnswer:
    """Return the answer of `tool` to the call `call_id`.

    Raises GuestRefused: `sandbox.answer_malformed` when it is not JSON,
    `service.command_malformed` for its commands; the answer is then refused whole.
    """
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise GuestRefused(
            "sandbox.answer_malformed", f"the tool {tool} did not answer in JSON"
        ) from None
    if not isinstance(value, dict) or not (_KEY in value or _DEFER in value):
        return ToolAnswer(value, [])
    raw = value.pop(_KEY, [])
    try:
        asked = msgspec.convert(raw, list[_Command])
    except msgspec.ValidationError as exc:
        raise GuestRefused(
            "service.command_malformed", f"the tool {tool}: output_commands: {exc}"
        ) from None
    envelopes = [
        {
            "correlation_id": f"{call_id}:{index}",
            "source_event_id": call_id,
            "command_id": one.command_id or f"{call_id}:{index}",
            "kind": one.kind,
            "payload": one.payload,
            "requested_at": requested_at,
        }
        for index, one in enumerate(asked)
    ]
    commands = parse_envelopes(envelopes, call_id)
    if _DEFER not in value:
        return ToolAnswer(value, commands)
    said = value.pop(_DEFER)
    if value or not isinstance(said, dict):
        raise GuestRefused(
            "service.command_malformed",
            f"the tool {tool}: a call that is deferred has no output beside {{id, timeout_ms}}",
        )
    return ToolAnswer(None, commands, parse_deferral(said))
