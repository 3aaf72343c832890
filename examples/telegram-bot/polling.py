"""Long polling: one question at a time, whose answer holds what people wrote since the last one.

Telegram forgets an update once it is asked for those after it. The number of the last one stands in
the plugin's state, written with what was done about it, so a crash loses none and repeats none.
"""

from random import random
from typing import Any

from yoi_pdk import Command, Context, Request, ResponseEvent, Status, TimerSet, insert_secret

POLL = "poll."
"""How the ids of its requests begin."""
POLL_TIMER = "poll"
TOKEN = insert_secret("/path/0", "bot", prefix="bot")
WAIT_S = 20
"""How long Telegram waits for something to say; the host gives up a request after 30 s."""
AT_ONCE = 50
LONGEST_PAUSE_MS = 60_000


class Polling:
    """Asks for updates and reads the answers."""

    def __init__(self, ctx: Context) -> None:
        self._offset = _whole(ctx.state.get("offset"))
        self._life, self._number = f"{random():.12f}"[2:], 0
        self._asked = ""
        self._failures = 0
        self._heard = False

    def ask(self) -> Request:
        """Return the next question."""
        self._number += 1
        self._asked = f"{POLL}{self._life}.{self._number}"
        wanted = {
            "offset": self._offset,
            "timeout": WAIT_S,
            "limit": AT_ONCE,
            "allowed_updates": ["message"],
        }
        path = "/-/getUpdates"
        return Request("api", "POST", path, json=wanted, insert=[TOKEN], id=self._asked)

    def heard(
        self, event: ResponseEvent, ctx: Context
    ) -> tuple[list[dict[str, Any]], list[Command]]:
        """Return the updates that are new, and what follows: the next question, or a pause."""
        current = event.command_id == self._asked
        body = event.body if isinstance(event.body, dict) else {}
        found = body.get("result")
        if event.ok and isinstance(found, list):
            self._failures = 0
            new = [one for one in found if isinstance(one, dict) and self._is_new(one)]
            if new:
                self._offset = max(_whole(one.get("update_id")) for one in new) + 1
                ctx.state["offset"] = self._offset
            said: list[Command] = [] if self._heard else [Status("connected")]
            self._heard = True
            return new, [*said, *([self.ask()] if current else [])]
        return [], self._failed(event) if current else []

    def refused(self, why: str) -> list[Command]:
        """The host did not ask, say for want of the secret: it is tried again later."""
        return self._pause(LONGEST_PAUSE_MS, why)

    def status(self) -> dict[str, Any]:
        """Return what a person may want to know."""
        return {"offset": self._offset, "failures": self._failures}

    def _is_new(self, update: dict[str, Any]) -> bool:
        return _whole(update.get("update_id")) >= max(self._offset, 1)

    def _failed(self, event: ResponseEvent) -> list[Command]:
        match event.status:
            case 401 | 404:
                why = "the bot token is wrong: yoi secret set telegram-bot"
                return self._pause(LONGEST_PAUSE_MS, why)
            case 409:
                why = "another program asks for this bot's updates, or it has a webhook"
                return self._pause(30_000, why)
            case 429:
                return [TimerSet(POLL_TIMER, wait_ms(event))]
        self._failures += 1
        pause = min(500 * 2 ** min(self._failures, 10), LONGEST_PAUSE_MS)
        if self._failures < 3:
            return [TimerSet(POLL_TIMER, pause)]
        return self._pause(pause, event.error_message or f"Telegram answers {event.status}")

    def _pause(self, pause_ms: int, why: str) -> list[Command]:
        self._heard = False
        return [TimerSet(POLL_TIMER, pause_ms), Status(f"not connected: {why}")]


def wait_ms(event: ResponseEvent) -> int:
    """Return how long Telegram asks to wait."""
    body = event.body if isinstance(event.body, dict) else {}
    parameters = body.get("parameters")
    seconds = _whole(parameters.get("retry_after")) if isinstance(parameters, dict) else 0
    return min(max(event.retry_after_ms or 0, seconds * 1000, 500), 3_600_000)


def _whole(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 2**53 else 0
