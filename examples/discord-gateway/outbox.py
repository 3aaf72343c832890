"""Posts on their way to Discord: in order in each channel, within its rate limits, each once.

A post stays in the plugin's state until Discord has it, so that a restart loses none. What may have
arrived is posted again all the same: each carries the id of its question as a `nonce`, and Discord
makes one message of those that have the same.
"""

import json
from random import random
from typing import Any

from yoi_pdk import Command, Context, Request, ResponseEvent, Status, TimerSet, insert_secret

POST = "post."
"""How the ids of its requests begin."""
OUTBOX_TIMER = "outbox"
MOST, MOST_BYTES = 200, 700_000
"""What may wait; beyond it the oldest is given up. A plugin's state has 256 keys and 1 MiB."""
AT_ONCE = 4
TRIES = 50
"""Answers with a status of 500 or more to one post, before it is given up."""
LONGEST_PAUSE_MS = 60_000
_TOKEN = insert_secret("/headers/authorization", "bot", prefix="Bot ")
_EVERYWHERE = ""


class Outbox:
    """Makes requests of posts and reads their answers."""

    def __init__(self, ctx: Context) -> None:
        self._waiting: dict[str, dict[str, Any]] = {}
        """Posts by nonce, oldest first."""
        for nonce in ctx.state.get("outbox", []):
            post = ctx.state.get(POST + nonce)
            if post is not None:
                self._waiting[nonce] = post
        self._bytes = sum(map(_size, self._waiting.values()))
        self._flying: dict[str, str] = {}
        """The nonce of what is on its way, by request id."""
        self._held: dict[str, int] = {}
        """Until when nothing is posted, by channel; `_EVERYWHERE` for all."""
        self._tries: dict[str, int] = {}
        self._life, self._number = f"{random():.12f}"[2:], 0
        self._posted = self._failed = self._limited = 0

    def add(self, nonce: str, channel: str, body: dict[str, Any], ctx: Context) -> None:
        """Keep a post until Discord has it."""
        if nonce in self._waiting:
            return
        post = {"channel": channel, "body": {**body, "nonce": nonce, "enforce_nonce": True}}
        self._bytes += _size(post)
        while self._waiting and (len(self._waiting) >= MOST or self._bytes > MOST_BYTES):
            self._give_up(next(iter(self._waiting)), "too many wait", ctx)
        self._waiting[nonce] = post
        ctx.state[POST + nonce] = post
        ctx.state["outbox"] = list(self._waiting)

    def pump(self, now_ms: int) -> list[Command]:
        """Return the requests that may be sent now, and when to look again."""
        made: list[Command] = []
        flying = set(self._flying.values())
        busy = {self._waiting[nonce]["channel"] for nonce in flying if nonce in self._waiting}
        due = []
        for nonce, post in self._waiting.items():
            channel = post["channel"]
            if nonce in flying or channel in busy:
                continue
            busy.add(channel)  # what follows in the channel waits its turn
            until = max(self._held.get(channel, 0), self._held.get(_EVERYWHERE, 0))
            if until > now_ms:
                due.append(until)
            elif len(self._flying) < AT_ONCE:
                made.append(self._request(nonce, post))
        if due:
            made.append(TimerSet(OUTBOX_TIMER, max(min(due) - now_ms, 50)))
        return made

    def answered(self, event: ResponseEvent, now_ms: int, ctx: Context) -> list[Command]:
        """See what became of a post, and send what may follow."""
        nonce = self._flying.pop(event.command_id, None)
        post = self._waiting.get(nonce or "")
        if nonce is None or post is None:
            return []  # of an earlier life: it was posted again, with its nonce
        channel, found = post["channel"], []
        if event.ok:
            self._posted += 1
            self._forget(nonce, ctx)
            if event.headers.get("x-ratelimit-remaining") == "0":
                self._hold(channel, now_ms + _ms(event.headers.get("x-ratelimit-reset-after")))
        elif event.status == 429 or event.error_code == "request.rate_limited":
            self._limited += 1
            answer = event.body if isinstance(event.body, dict) else {}
            wait_ms = max(event.retry_after_ms or 0, _ms(answer.get("retry_after")), 500)
            everywhere = answer.get("global") is True or event.headers.get("x-ratelimit-global")
            self._hold(_EVERYWHERE if everywhere else channel, now_ms + wait_ms)
        elif event.status == 401:
            self._hold(_EVERYWHERE, now_ms + 600_000)
            found = [
                Status("posts are refused: the bot token is wrong: yoi secret set discord-bot")
            ]
        elif event.status is None or (event.status >= 500 and self._tries.get(nonce, 0) < TRIES):
            self._hold(channel, now_ms + self._pause_ms(nonce))
        else:
            self._give_up(nonce, event.error_message or f"status {event.status}", ctx)
        return [*found, *self.pump(now_ms)]

    def refused(self, command_id: str, now_ms: int) -> list[Command]:
        """The host did not send a post, say for want of the secret: it is asked again later."""
        nonce = self._flying.pop(command_id, None)
        if nonce is not None:
            self._hold(_EVERYWHERE, now_ms + LONGEST_PAUSE_MS)
        return self.pump(now_ms)

    def status(self) -> dict[str, Any]:
        """Return what a person may want to know."""
        counts = {"posted": self._posted, "failed": self._failed, "limited": self._limited}
        return {**counts, "waiting": len(self._waiting)}

    def _request(self, nonce: str, post: dict[str, Any]) -> Request:
        self._number += 1
        request_id = f"{POST}{nonce}.{self._life}.{self._number}"
        self._flying[request_id] = nonce
        path = f"/api/v10/channels/{post['channel']}/messages"
        return Request("channels", "POST", path, json=post["body"], insert=[_TOKEN], id=request_id)

    def _pause_ms(self, nonce: str) -> int:
        self._tries[nonce] = tries = self._tries.get(nonce, 0) + 1
        return min(500 * 2 ** min(tries, 10), LONGEST_PAUSE_MS)

    def _hold(self, channel: str, until_ms: int) -> None:
        self._held = {one: at for one, at in self._held.items() if at > until_ms - 3_600_000}
        self._held[channel] = max(until_ms, self._held.get(channel, 0))

    def _give_up(self, nonce: str, why: str, ctx: Context) -> None:
        self._failed += 1
        ctx.log(f"a post was given up: {why}", "warning")
        self._forget(nonce, ctx)

    def _forget(self, nonce: str, ctx: Context) -> None:
        self._bytes -= _size(self._waiting.pop(nonce))
        self._tries.pop(nonce, None)
        ctx.state[POST + nonce] = None
        ctx.state["outbox"] = list(self._waiting)


def _size(post: dict[str, Any]) -> int:
    return len(json.dumps(post, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _ms(seconds: Any) -> int:
    """Return seconds, a number or a text, as milliseconds; 0 where they are none."""
    try:
        return min(max(int(float(seconds) * 1000) + 1, 0), 86_400_000)
    except (TypeError, ValueError, OverflowError):
        return 0
