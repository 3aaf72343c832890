"""The class a plugin is."""

from collections.abc import Iterable
from typing import Any

from yoi_pdk.commands import Command
from yoi_pdk.context import Context
from yoi_pdk.deferral import Defer
from yoi_pdk.events import (
    BinaryEvent,
    CloseEvent,
    DeniedEvent,
    ErrorEvent,
    Event,
    GapEvent,
    OpenEvent,
    ResponseEvent,
    SendFailedEvent,
    StartedEvent,
    TextEvent,
    TimerEvent,
)
from yoi_pdk.tools import ToolCall, ToolResult

Answer = Command | Iterable[Command] | None
"""What a handler returns: nothing, one command, or several in order."""


class Plugin:
    """Subclass this and name the class in `plugin.toml`: `entry = "plugin:Echo"`.

    Override what you need; `@on` and `@tool` mark further methods. The host makes one object and
    calls it from one place at a time, so plain attributes are safe. Handlers must return soon (a
    second by default): there is no receive loop to write, the next event is delivered by the next
    call. A handler may be an `async def`; it runs to its end within the call.
    """

    def start(self, ctx: Context, config: dict[str, Any]) -> None:
        """Set up, with the operator's configuration. Called once, before anything else."""

    def on_text(self, event: TextEvent, ctx: Context) -> Answer:
        """Handle one text message that no `@on` took."""
        return self.on_event(event, ctx)

    def on_event(self, event: Event, ctx: Context) -> Answer:
        """Handle any event that has no handler of its own."""
        return None

    def on_started(self, event: StartedEvent, ctx: Context) -> Answer:
        """Handle: the plugin was started; also after each restart."""
        return self.on_event(event, ctx)

    def on_open(self, event: OpenEvent, ctx: Context) -> Answer:
        """Handle: a session has begun."""
        return self.on_event(event, ctx)

    def on_close(self, event: CloseEvent, ctx: Context) -> Answer:
        """Handle: a session has ended."""
        return self.on_event(event, ctx)

    def on_gap(self, event: GapEvent, ctx: Context) -> Answer:
        """Handle: messages may be missing."""
        return self.on_event(event, ctx)

    def on_binary(self, event: BinaryEvent, ctx: Context) -> Answer:
        """Handle: one binary message."""
        return self.on_event(event, ctx)

    def on_timer(self, event: TimerEvent, ctx: Context) -> Answer:
        """Handle: a timer is due."""
        return self.on_event(event, ctx)

    def on_response(self, event: ResponseEvent, ctx: Context) -> Answer:
        """Handle: the answer to a `Request`, or why there is none."""
        return self.on_event(event, ctx)

    def on_error(self, event: ErrorEvent, ctx: Context) -> Answer:
        """Handle: a connection could not be opened, or broke."""
        return self.on_event(event, ctx)

    def on_send_failed(self, event: SendFailedEvent, ctx: Context) -> Answer:
        """Handle: an allowed send could not be carried out."""
        return self.on_event(event, ctx)

    def on_denied(self, event: DeniedEvent, ctx: Context) -> Answer:
        """Handle: the host refused a command."""
        return self.on_event(event, ctx)

    def on_tool(self, call: ToolCall, ctx: Context) -> ToolResult | Defer | str | dict[str, Any]:
        """Answer one tool call that no `@tool` takes. A str is the summary, a dict JSON content.

        What needs an answer from outside first returns `Defer`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no on_tool() for {call.name}")

    def status(self) -> dict[str, Any]:
        """Return what `yoi service status` shows for this plugin: a small JSON object."""
        return {}

    def stop(self) -> None:
        """Let go. The host does not wait long, and does not call this after a crash."""
