"""Write Yoi plugins in Python.

A plugin is a class:

    from yoi_pdk import Context, Plugin, Reply, TextEvent, on

    class Echo(Plugin):
        @on("/type", "message")
        def message(self, event: TextEvent, ctx: Context) -> Reply:
            return event.reply(event.json()["text"])

It decides; the host acts. It has no socket, no file and no network, and needs none: messages are
delivered to it, and what it returns is carried out by the host, within what the operator granted.
What cannot wait for the next event it asks the host for (`ctx.state`, `ctx.request`,
`ctx.websocket`); a connection that lasts belongs into `[[connections]]`, where the host keeps it.
Test it with plain pytest: see `yoi_pdk.testing`.
"""

from yoi_pdk.commands import Command, Reply, Send, Status
from yoi_pdk.context import Context
from yoi_pdk.deferral import Complete, Defer
from yoi_pdk.events import (
    BinaryEvent,
    CloseEvent,
    DeniedEvent,
    ErrorEvent,
    Event,
    GapEvent,
    OpenEvent,
    Response,
    ResponseEvent,
    SendFailedEvent,
    StartedEvent,
    TextEvent,
    TimerEvent,
)
from yoi_pdk.handlers import on, tool
from yoi_pdk.host import HostError
from yoi_pdk.insertions import (
    Insertion,
    insert_captured,
    insert_counter,
    insert_last,
    insert_secret,
)
from yoi_pdk.keeping import StateSet, TimerClear, TimerSet
from yoi_pdk.match import Match
from yoi_pdk.notify import Notify
from yoi_pdk.plugin import Answer, Plugin
from yoi_pdk.pull import PullSocket, SocketClosed
from yoi_pdk.requests import Request
from yoi_pdk.sessions import Autoreply, Close, Heartbeat, Open, Ready, Reconnect, StopConnection
from yoi_pdk.tools import ToolCall, ToolResult

__all__ = [
    "Answer",
    "Autoreply",
    "BinaryEvent",
    "Close",
    "CloseEvent",
    "Command",
    "Complete",
    "Context",
    "Defer",
    "DeniedEvent",
    "ErrorEvent",
    "Event",
    "GapEvent",
    "Heartbeat",
    "HostError",
    "Insertion",
    "Match",
    "Notify",
    "Open",
    "OpenEvent",
    "Plugin",
    "PullSocket",
    "Ready",
    "Reconnect",
    "Reply",
    "Request",
    "Response",
    "ResponseEvent",
    "Send",
    "SendFailedEvent",
    "SocketClosed",
    "StartedEvent",
    "StateSet",
    "Status",
    "StopConnection",
    "TextEvent",
    "TimerClear",
    "TimerEvent",
    "TimerSet",
    "ToolCall",
    "ToolResult",
    "insert_captured",
    "insert_counter",
    "insert_last",
    "insert_secret",
    "on",
    "tool",
]
