"""Counts in durable state what it has handled: an event that was lost or handled twice shows."""

import json
from typing import Any

from yoi_pdk import Context, Notify, OpenEvent, Plugin, Ready, Send, SendFailedEvent, TextEvent

KEPT = 8


class Counter(Plugin):
    def on_open(self, event: OpenEvent, ctx: Context) -> Any:
        return Send('{"op":"identify"}')

    def on_text(self, event: TextEvent, ctx: Context) -> Any:
        frame = json.loads(event.text)
        if frame["op"] == "welcome":
            return Ready("gateway")
        visit, number = str(frame["visit"]), frame["number"]
        visits = ctx.state.get("visits", {})
        last, wrong = visits.pop(visit, (0, 0))
        visits[visit] = (number, wrong + (number != last + 1))
        ctx.state["visits"] = dict(list(visits.items())[-KEPT:])
        answer = [event.reply(json.dumps({"op": "ack", "visit": frame["visit"], "number": number}))]
        if number % 100 == 0:
            answer.append(Notify("ops", f"{visit}:{number}", id=f"n-{visit}-{number}"))
        return answer

    def on_send_failed(self, event: SendFailedEvent, ctx: Context) -> None:
        ctx.state["failed"] = ctx.state.get("failed", 0) + 1
