"""Answers at length and logs a line: what a service's stream and a tool's result show."""

from typing import Any

from yoi_pdk import Context, Plugin, ToolCall, ToolResult


class Notes(Plugin):
    def start(self, ctx: Context, config: dict[str, Any]) -> None:
        self.calls = 0

    def on_tool(self, call: ToolCall, ctx: Context) -> ToolResult:
        self.calls += 1
        ctx.log(f"canary-log {self.calls}: {call.name}")
        said = f"canary-output {call.input['text']}"
        return ToolResult(said, f"{said}\n" * 30)

    def status(self) -> dict[str, Any]:
        return {"calls": self.calls, "words": "canary-status"}
