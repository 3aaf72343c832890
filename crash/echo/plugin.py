"""Echoes each message once: what the gateway sends again is only acknowledged again."""

import json
from typing import Any

from yoi_pdk import Context, Plugin, TextEvent


class Echo(Plugin):
    def on_text(self, event: TextEvent, ctx: Context) -> Any:
        number = json.loads(event.text)["number"]
        seen = ctx.state.get("seen", {"last": 0, "wrong": 0, "marked": 0})
        if event.duplicate:
            seen["marked"] += 1
            seen["wrong"] += number > seen["last"]
        else:
            seen["wrong"] += number != seen["last"] + 1
            seen["last"] = number
        ctx.state["seen"] = seen
        return event.reply(event.text)
