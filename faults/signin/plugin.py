"""Signs in, beats, answers each frame; `seen` says what was handled and told, once."""

import json
from typing import Any

from yoi_pdk import Context, GapEvent, Heartbeat, OpenEvent, Plugin, Ready, Send, TextEvent, tool


class SignIn(Plugin):
    def start(self, ctx: Context, config: dict[str, Any]) -> None:
        self.handled: list[int] = []
        self.gaps: list[list[Any]] = []

    def on_text(self, event: TextEvent, ctx: Context) -> Any:
        message = json.loads(event.text)
        if message["op"] == "welcome":
            beat = Heartbeat("gateway", every_ms=1000, json={"op": "beat"}, ack=("/op", "beaten"))
            return [Ready("gateway"), beat]
        if message["op"] == "beaten":
            return None
        self.handled.append(message["number"])
        return event.reply(json.dumps({"op": "ack", "number": message["number"]}))

    def on_event(self, event: Any, ctx: Context) -> Any:
        if isinstance(event, OpenEvent):
            return Send(json={"op": "identify"}, connection="gateway", session="current")
        if isinstance(event, GapEvent):
            said = event.payload
            self.gaps.append([said["since_ms"], said["until_ms"], said["count"]])
        return None

    @tool
    def seen(self) -> dict[str, Any]:
        """What was handled and told since the last call."""
        said = {"handled": self.handled, "gaps": self.gaps}
        self.handled, self.gaps = [], []
        return said
