"""Questions go to the worker `triage`; its answers leave through the tool `reply`."""

import json
from typing import Any

from yoi_pdk import (
    Answer,
    Context,
    DeniedEvent,
    Event,
    Notify,
    Plugin,
    Send,
    SendFailedEvent,
    TextEvent,
    ToolCall,
    ToolResult,
)

WORKER = "triage"
MOST_WAITING = 100


class Triage(Plugin):
    def start(self, ctx: Context, config: dict[str, Any]) -> None:
        self.waiting: dict[int, str] = {}
        """Who asked and has no answer yet: the message's id and its channel."""
        self.refused = 0

    def on_text(self, event: TextEvent, ctx: Context) -> Answer:
        message = json.loads(event.text)
        text = str(message.get("text", ""))
        if "?" not in text or len(self.waiting) >= MOST_WAITING:
            return event.reply(answer(message["id"], message.get("channel"), "noted"))
        self.waiting[message["id"]] = message.get("channel")
        # The id is the message's own: delivered twice, it is put before the worker once.
        about = {"message": message["id"], "from": message.get("user"), "text": text}
        return Notify(WORKER, json.dumps(about), id=f"message-{message['id']}")

    def on_event(self, event: Event, ctx: Context) -> Answer:
        if isinstance(event, (DeniedEvent, SendFailedEvent)):
            self.refused += 1
            ctx.log(f"refused: {event.command_id}: {event.message}", "warning")
        return None

    def on_tool(self, call: ToolCall, ctx: Context) -> ToolResult:
        wanted = call.input.get("to")
        found = [number for number in self.waiting if wanted in (None, number)]
        if not found:
            return ToolResult("nobody waits for an answer" if wanted is None else "not waiting")
        # A call belongs to no message, so each send names its connection.
        sends = [
            Send(answer(number, self.waiting.pop(number), call.input["text"]), connection="gateway")
            for number in found
        ]
        return ToolResult(f"sent to {', '.join(map(str, found))}", commands=sends)

    def status(self) -> dict[str, Any]:
        return {"waiting": len(self.waiting), "refused": self.refused}


def answer(number: int, channel: Any, text: str) -> str:
    return json.dumps({"type": "reply", "to": number, "channel": channel, "text": text})
