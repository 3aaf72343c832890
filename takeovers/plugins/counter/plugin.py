"""Answers each frame with its number and how many were handled: a count that jumps back shows."""

import json
from typing import Any

from yoi_pdk import Context, Notify, Plugin, TextEvent

TELLS = "TELLS" == "yes"


class Counter(Plugin):
    def on_text(self, event: TextEvent, ctx: Context) -> Any:
        number = json.loads(event.text)["number"]
        count = ctx.state.get("count", 0) + 1
        ctx.state["count"] = count
        answer = [event.reply(json.dumps({"number": number, "count": count}))]
        if TELLS and number % 20 == 0:
            answer.append(Notify("WORKER", f"{number}", id=f"n-{number}"))
        return answer
