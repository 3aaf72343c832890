"""The class a plugin is."""

from collections.abc import Iterable
from typing import Any

from yoi_pdk.commands import Command
from yoi_pdk.context import Context
from yoi_pdk.events import Event, TextEvent
from yoi_pdk.tools import ToolCall, ToolResult

Answer = Command | Iterable[Command] | None
"""What a handler returns: nothing, one command, or several in order."""


class Plugin:
    """Subclass this and name the class in `plugin.toml`: `entry = "plugin:Echo"`.

    Override what you need. The host makes one object and calls it from one place at a time, so
    plain attributes are safe. Handlers must return soon (a second by default): there is no receive
    loop to write, the next event is delivered by the next call.
    """

    def start(self, ctx: Context, config: dict[str, Any]) -> None:
        """Set up, with the operator's configuration. Called once, before anything else."""

    def on_text(self, event: TextEvent, ctx: Context) -> Answer:
        """Handle one text message."""
        return None

    def on_event(self, event: Event, ctx: Context) -> Answer:
        """Handle any other event: started, open, close, gap, binary, error, timer, response,
        send failed, denied.
        """
        return None

    def on_tool(self, call: ToolCall, ctx: Context) -> ToolResult | str | dict[str, Any]:
        """Answer one tool call. A str is the summary; a dict becomes JSON content."""
        raise NotImplementedError(f"{type(self).__name__} has no on_tool() for {call.name}")

    def status(self) -> dict[str, Any]:
        """Return what `yoi service status` shows for this plugin: a small JSON object."""
        return {}

    def stop(self) -> None:
        """Let go. The host does not wait long, and does not call this after a crash."""
