"""Tool calls that are answered later: `Defer` from the tool, `Complete` from a handler."""

import json
from collections.abc import Iterable
from typing import Any, ClassVar

from yoi_pdk.commands import Command
from yoi_pdk.host_command import HostCommand, id_of, name_of, whole
from yoi_pdk.limits import DEFERRED_MAX_MS
from yoi_pdk.tools import ToolResult, wired_commands


class Defer:
    """What a tool returns that has no answer yet: the call stays open, and whoever calls waits.

    `id` is yours, one at a time: `ToolCall.id` is one. Within `timeout_ms` some handler returns
    `Complete(id, ...)`; else the host answers the call. `commands` are carried out when the tool
    has returned. Where one of them has the same `id`, the call stands and falls with it: it fails
    at once if that command is refused, and is interrupted if the session goes on which that
    `Send` with `reply_at` waits for its answer.
    """

    __slots__ = ("commands", "id", "timeout_ms")

    def __init__(
        self, id: str, timeout_ms: int, commands: Command | Iterable[Command] = ()
    ) -> None:
        self.id = name_of("id", id)
        self.timeout_ms = whole("timeout_ms", timeout_ms, 1, DEFERRED_MAX_MS)
        self.commands = (commands,) if isinstance(commands, Command) else tuple(commands)

    def also(self, commands: list[Command]) -> "Defer":
        """Return this with `commands` after its own."""
        if not commands:
            return self
        return Defer(self.id, self.timeout_ms, (*self.commands, *commands))

    def wire(self) -> dict[str, Any]:
        """Return the JSON object the host reads."""
        wired: dict[str, Any] = {"defer": {"id": self.id, "timeout_ms": self.timeout_ms}}
        if self.commands:
            wired["output_commands"] = wired_commands(self.commands)
        return wired

    def __await__(self) -> Any:
        """Raise the TypeError that names the fix."""
        raise TypeError("Defer is returned, not awaited: return Defer(...)")

    def __eq__(self, other: object) -> bool:
        """Return whether `other` is the same with the same values."""
        return isinstance(other, Defer) and other.wire() == self.wire()

    def __hash__(self) -> int:
        """Return a hash that agrees with `==`."""
        return hash((self.id, self.timeout_ms, self.commands))

    def __repr__(self) -> str:
        """Return the call that makes this value."""
        shown = f", {list(self.commands)!r}" if self.commands else ""
        return f"Defer({self.id!r}, {self.timeout_ms}{shown})"


class Complete(HostCommand):
    """Answer the deferred call `call`, with `result` as a tool returns one, or with `error`.

    It comes to nothing, with a `SendFailedEvent`, where no call waits under that id: it has been
    answered, its time is over, or whoever called waits no longer.
    """

    __slots__ = ("call", "error", "result")

    kind: ClassVar[str] = "tool_complete"

    def __init__(
        self,
        call: str,
        result: ToolResult | str | dict[str, Any] | None = None,
        *,
        error: str | None = None,
        id: str | None = None,
    ) -> None:
        if (result is None) == (error is None):
            raise TypeError('Complete needs either a result or an error: Complete(id, "done")')
        if error is not None and not isinstance(error, str):
            raise TypeError(f"error must be a str, not {type(error).__name__}")
        self.call = name_of("call", call)
        self.result = None if result is None else _result(result)
        self.error = error
        self.id = id_of(id)

    def payload(self) -> dict[str, Any]:
        """Return the payload as the host reads it."""
        if self.result is None:
            return {"call": self.call, "error": self.error}
        return {"call": self.call, "result": self.result.wire()}


def _result(value: Any) -> ToolResult:
    if isinstance(value, str):
        return ToolResult(value)
    if isinstance(value, dict):
        json.dumps(value)
        return ToolResult("ok", value)
    if not isinstance(value, ToolResult):
        raise TypeError(
            f"result must be a str, a dict or ToolResult(summary, content), "
            f"not {type(value).__name__}"
        )
    if value.commands:
        raise TypeError("return the commands beside Complete(...), not inside its result")
    return value
