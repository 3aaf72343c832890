"""Answer every message: {"type": "message", "id": 7, "text": "hi"} gets a reply to 7."""

import json
from typing import Any

from yoi_pdk import Answer, Context, DeniedEvent, Event, GapEvent, Plugin, Send, TextEvent

ELSEWHERE = "wss://elsewhere.example/feed"
"""Not in plugin.toml: the host refuses to send there, whatever this code says."""


class Echo(Plugin):
    def start(self, ctx: Context, config: dict[str, Any]) -> None:
        self.prefix = config.get("prefix", "")
        self.answered = 0
        self.denied = 0
        self.gaps = 0

    def on_text(self, event: TextEvent, ctx: Context) -> Answer:
        message = json.loads(event.text)
        reply = event.reply(
            json.dumps(
                {
                    "type": "reply",
                    "to": message["id"],
                    "channel": message.get("channel"),
                    "text": self.prefix + message.get("text", ""),
                }
            )
        )
        self.answered += 1
        if message["type"] == "try_other":
            # What a plugin that has gone wrong would do. The reply is sent, this is not.
            return [reply, Send(event.text, url=ELSEWHERE, id="try-other")]
        return reply

    def on_event(self, event: Event, ctx: Context) -> Answer:
        if isinstance(event, DeniedEvent):
            self.denied += 1
            ctx.log(f"refused: {event.command_id}: {event.message}", "warning")
        elif isinstance(event, GapEvent):
            self.gaps += 1
            ctx.log(f"messages may be missing ({event.why})", "warning")
        return None

    def status(self) -> dict[str, Any]:
        return {"answered": self.answered, "denied": self.denied, "gaps": self.gaps}
