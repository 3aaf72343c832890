"""Answers each frame; `seen` says which frames were handled and which gaps were told, once."""

import json
from typing import Any

from yoi_pdk import Context, GapEvent, Plugin, TextEvent, tool


class Echo(Plugin):
    def start(self, ctx: Context, config: dict[str, Any]) -> None:
        self.handled: list[int] = []
        self.gaps: list[list[Any]] = []

    def on_text(self, event: TextEvent, ctx: Context) -> Any:
        number = json.loads(event.text)["number"]
        self.handled.append(number)
        return event.reply(json.dumps({"ack": number}))

    def on_event(self, event: Any, ctx: Context) -> Any:
        if isinstance(event, GapEvent):
            said = event.payload
            self.gaps.append([said["since_ms"], said["until_ms"], said["count"]])

    @tool
    def seen(self) -> dict[str, Any]:
        """What was handled and told since the last call."""
        said = {"handled": self.handled, "gaps": self.gaps}
        self.handled, self.gaps = [], []
        return said
