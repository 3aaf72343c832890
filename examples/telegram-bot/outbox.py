"""Answers on their way to Telegram: one at a time in each chat, within its limits.

An answer stays in the plugin's state until Telegram has it. Telegram cannot tell a message that is
sent again from a second one, so what may have arrived is not sent again: it is counted and logged.
"""

from random import random
from typing import Any

from polling import TOKEN, wait_ms

from yoi_pdk import Command, Context, Request, ResponseEvent, TimerSet

POST = "post."
"""How the ids of its requests begin."""
OUTBOX_TIMER = "outbox"
MOST = 200
"""What may wait; beyond it the oldest is given up. A plugin's state has 256 keys."""
AT_ONCE = 4
PAUSE_MS = 5_000


class Outbox:
    """Makes requests of answers and reads what became of them."""

    def __init__(self, ctx: Context) -> None:
        self._waiting: dict[int, dict[str, Any]] = {}
        """Messages by the number of the update that they answer, oldest first."""
        for number in ctx.state.get("outbox", []):
            message = ctx.state.get(f"{POST}{number}")
            if message is not None:
                self._waiting[number] = message
        self._earlier = set(ctx.state.get("sending", [])) & set(self._waiting)
        """What an earlier life was sending: the host tells its end, or that nobody knows it."""
        self._flying: dict[str, int] = {}
        self._held = 0
        self._life, self._number = f"{random():.12f}"[2:], 0
        self._sent = self._failed = self._unknown = self._limited = 0

    def add(self, number: int, message: dict[str, Any], ctx: Context) -> None:
        """Keep an answer until Telegram has it."""
        while len(self._waiting) >= MOST:
            self._give_up(next(iter(self._waiting)), "too many wait", ctx)
        self._waiting[number] = message
        ctx.state[f"{POST}{number}"] = message
        ctx.state["outbox"] = list(self._waiting)

    def pump(self, now_ms: int, ctx: Context) -> list[Command]:
        """Return the requests that may be sent now, or when to look again."""
        made: list[Command]
        if self._held <= now_ms:
            made = self._next()
        else:
            made = [TimerSet(OUTBOX_TIMER, self._held - now_ms)] if self._waiting else []
        # Written with the requests: after a crash it is known what was on its way.
        ctx.state["sending"] = [*self._flying.values(), *self._earlier]
        return made

    def _next(self) -> list[Command]:
        made: list[Command] = []
        flying = {*self._flying.values(), *self._earlier}
        busy = {self._waiting[one]["chat_id"] for one in flying if one in self._waiting}
        for number, message in self._waiting.items():
            if number in flying or message["chat_id"] in busy:
                continue
            busy.add(message["chat_id"])  # what follows in the chat waits its turn
            if len(self._flying) < AT_ONCE:
                made.append(self._request(number, message))
        return made

    def heard(self, event: ResponseEvent, now_ms: int, ctx: Context) -> list[Command]:
        """See what became of an answer, and send what may follow."""
        self._flying.pop(event.command_id, None)
        number = int(event.command_id.split(".")[1])
        self._earlier.discard(number)
        if number not in self._waiting:
            return self.pump(now_ms, ctx)
        if event.ok:
            self._sent += 1
            self._forget(number, ctx)
        elif event.status == 429 or event.error_code == "request.rate_limited":
            self._limited += 1
            self._held = now_ms + wait_ms(event)
        elif event.status in (401, 404):
            self._held = now_ms + 60_000  # the token is wrong; the polling says so
        elif event.status is None and not event.may_have_arrived:
            self._held = now_ms + PAUSE_MS
        elif event.status is None or event.status >= 500:
            self._unknown += 1
            ctx.log("whether an answer arrived is not known; it is not sent again", "warning")
            self._forget(number, ctx)
        else:
            self._give_up(number, f"status {event.status}", ctx)
        return self.pump(now_ms, ctx)

    def refused(self, command_id: str, now_ms: int, ctx: Context) -> list[Command]:
        """The host did not send it, say for want of the secret: it is tried again later."""
        if self._flying.pop(command_id, None) is not None:
            self._held = now_ms + 60_000
        return self.pump(now_ms, ctx)

    def status(self) -> dict[str, Any]:
        """Return what a person may want to know."""
        counts = {"sent": self._sent, "failed": self._failed, "unknown": self._unknown}
        return {**counts, "limited": self._limited, "waiting": len(self._waiting)}

    def _request(self, number: int, message: dict[str, Any]) -> Request:
        self._number += 1
        request_id = f"{POST}{number}.{self._life}.{self._number}"
        self._flying[request_id] = number
        return Request("api", "POST", "/-/sendMessage", json=message, insert=[TOKEN], id=request_id)

    def _give_up(self, number: int, why: str, ctx: Context) -> None:
        self._failed += 1
        ctx.log(f"an answer was given up: {why}", "warning")
        self._forget(number, ctx)

    def _forget(self, number: int, ctx: Context) -> None:
        self._waiting.pop(number)
        ctx.state[f"{POST}{number}"] = None
        ctx.state["outbox"] = list(self._waiting)
