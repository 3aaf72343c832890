"""Posts on their way to Slack. Only what certainly did not arrive is posted again."""

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any

from yoi_pdk import Command, Context, Request, ResponseEvent, Status, TimerSet, insert_secret

RESEND_TIMER = "resend"
MOST_WAITING = 50
SHORTEST_WAIT_MS = 1_000
WHO = ".who"
"""How the id of the question who we are ends."""

_TOKEN = insert_secret("/headers/authorization", "bot", prefix="Bearer ")


@dataclass
class Post:
    """One HTTP post: the target's name in plugin.toml, a path and a JSON body."""

    target: str
    path: str
    body: dict[str, Any]


class Outbox:
    """Makes requests of posts and reads their answers."""

    def __init__(self) -> None:
        self._on_the_way: OrderedDict[str, Request] = OrderedDict()
        self._limited: deque[Request] = deque(maxlen=MOST_WAITING)
        self._introduced = False
        self._posted = 0
        self._failed = 0
        self._as = ""

    def add(self, post: Post, request_id: str) -> Request:
        """Return the request that sends `post`."""
        request = Request(
            post.target,
            "POST",
            post.path,
            json=post.body,
            insert=[_TOKEN] if post.target == "web" else [],
            id=request_id,
        )
        self._on_the_way[request_id] = request
        if len(self._on_the_way) > MOST_WAITING:
            self._on_the_way.popitem(last=False)
        return request

    def introduce(self, event_id: str) -> list[Command]:
        """Ask Slack once who the bot token belongs to, so that a wrong one shows early."""
        if self._introduced:
            return []
        self._introduced = True
        return [Request("web", "POST", "/api/auth.test", insert=[_TOKEN], id=f"{event_id}{WHO}")]

    def answered(self, event: ResponseEvent, ctx: Context) -> list[Command]:
        """Count the post; keep it for later when Slack asked to wait."""
        try:
            value = event.json()
        except ValueError:
            value = None
        answer: dict[str, Any] = value if isinstance(value, dict) else {}
        error = event.error_code or answer.get("error") or ("" if event.ok else "refused")
        why = str(event.error_message or answer.get("error") or f"status {event.status}")
        if event.command_id.endswith(WHO):
            return self._introduction(answer, why)
        request = self._on_the_way.pop(event.command_id, None)
        if not error:
            self._posted += 1
            return []
        if request is not None and (event.status == 429 or error == "request.rate_limited"):
            self._limited.append(request)
            return [TimerSet(RESEND_TIMER, max(event.retry_after_ms or 0, SHORTEST_WAIT_MS))]
        self._failed += 1
        ctx.log(f"a post was not accepted: {why}", "warning")
        return []

    def _introduction(self, answer: dict[str, Any], why: str) -> list[Command]:
        if not answer.get("ok"):
            self._introduced = False
            return [Status(f"the bot token was not accepted: {why}")]
        self._as = f"{answer.get('user')} in {answer.get('team')}"
        return [Status(f"connected to Slack as {self._as}")]

    def resend(self) -> list[Command]:
        """Send again what Slack had no room for; the next in line waits for this one's answer."""
        if not self._limited:
            return []
        request = self._limited.popleft()
        assert request.id is not None
        self._on_the_way[request.id] = request
        return [request, *([TimerSet(RESEND_TIMER, SHORTEST_WAIT_MS)] if self._limited else [])]

    def status(self) -> dict[str, Any]:
        """Return what a person may want to know."""
        return {"as": self._as, "posted": self._posted, "failed": self._failed}
