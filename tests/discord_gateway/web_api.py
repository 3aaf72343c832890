"""The HTTP half of a Discord-like gateway: the bot's token, sessions left, channel messages.

Messages of a channel share a bucket of `bucket` posts each `bucket_seconds`, told in headers as
Discord does; beyond it the answer is 429. A message with `enforce_nonce` is made once for
its nonce.
"""

import itertools
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from yoi.testing.http_server import HttpAnswer, HttpRequest

BOT_USER = {
    "id": "1000000000000000001",
    "username": "yoi",
    "discriminator": "0000",
    "global_name": None,
    "avatar": None,
    "bot": True,
    "flags": 0,
}
APPLICATION = {
    "id": "1000000000000000001", "name": "yoi", "icon": None, "description": "",
    "rpc_origins": [], "bot_public": True, "bot_require_code_grant": False, "owner": BOT_USER,
    "terms_of_service_url": "", "privacy_policy_url": "", "summary": "", "verify_key": "x",
    "team": None, "flags": 0,
}  # fmt: skip
_MESSAGES = re.compile(r"/api/v10/channels/([0-9]+)/messages")
_KEPT = 1000


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call that arrived, and the status it was answered with."""

    path: str
    token: str | None
    values: dict[str, Any]
    status: int


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> HttpAnswer:
    """Return an answer as Discord labels it: its clients look for exactly this type."""
    return HttpAnswer.of_json(
        value, status, {"content-type": "application/json", **(headers or {})}
    )


class DiscordApi:
    """Answers requests; `where()` is the gateway's address, `left()` the IDENTIFYs of the day."""

    def __init__(
        self,
        token: str,
        where: Callable[[], str],
        left: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        self.token = token
        self.bucket, self.bucket_seconds = 1000, 1.0
        self.reset_after_ms = 14_400_000
        self.calls: deque[ApiCall] = deque(maxlen=_KEPT)
        self.messages: list[dict[str, Any]] = []
        """What was made, each once."""
        self._where, self._left, self._changed = where, left, changed
        self._ids = itertools.count(2000000000000000001)
        self._spent: dict[str, deque[float]] = {}
        self._failures: deque[HttpAnswer] = deque()

    def of(self, part: str, status: int = 200) -> list[ApiCall]:
        """Return the calls whose path holds `part` and that were answered so."""
        return [call for call in self.calls if part in call.path and call.status == status]

    @property
    def said(self) -> list[str]:
        """Return the texts of the messages that were made, in order."""
        return [message["content"] for message in self.messages]

    def fail_next(self, status: int, values: Any = None, headers: Any = None) -> None:
        """Answer the next post so, and make no message of it."""
        self._failures.append(_json(values or {"message": "no"}, status, headers))

    def limit_next(self, seconds: float, *, everywhere: bool = False) -> None:
        """Answer the next post with 429."""
        values = {"message": "slow down", "retry_after": seconds, "global": everywhere}
        headers = {"Retry-After": str(int(seconds) + 1), "Via": "1.1 google"}
        self.fail_next(429, values, headers | self._headers(0, seconds))

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """Return the answer to `request`."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            values = request.values()
        except ValueError:
            values = {}
        answer = self._answer(request, values, token if scheme == "Bot" else None)
        self.calls.append(ApiCall(request.path, token or None, values, answer.status))
        self._changed()
        return answer

    def _answer(
        self, request: HttpRequest, values: dict[str, Any], token: str | None
    ) -> HttpAnswer:
        if token != self.token:
            return _json({"message": "401: Unauthorized", "code": 0}, 401)
        match request.method, request.path:
            case "GET", "/api/v10/gateway/bot":
                limit = {
                    "total": 1000,
                    "remaining": self._left(),
                    "reset_after": self.reset_after_ms,
                    "max_concurrency": 1,
                }
                answer = {"url": self._where(), "shards": 1, "session_start_limit": limit}
                return _json(answer)
            case "GET", "/api/v10/users/@me":
                return _json(BOT_USER)
            case "GET", "/api/v10/oauth2/applications/@me" | "/api/v10/applications/@me":
                return _json(APPLICATION)
        found = _MESSAGES.fullmatch(request.path)
        if request.method == "POST" and found:
            return self._post(found[1], values)
        return _json({"message": "404: Not Found", "code": 0}, 404)

    def _post(self, channel: str, values: dict[str, Any]) -> HttpAnswer:
        if self._failures:
            return self._failures.popleft()
        if not values.get("content"):
            return _json({"message": "Cannot send an empty message"}, 400)
        now, spent = time.monotonic(), self._spent.setdefault(channel, deque())
        while spent and now - spent[0] > self.bucket_seconds:
            spent.popleft()
        if len(spent) >= self.bucket:
            wait = spent[0] + self.bucket_seconds - now
            body = {"message": "slow down", "retry_after": wait, "global": False}
            headers = {"Retry-After": str(int(wait) + 1), "Via": "1.1 google"}
            return _json(body, 429, headers | self._headers(0, wait))
        spent.append(now)
        rest = self.bucket - len(spent)
        headers = self._headers(rest, spent[0] + self.bucket_seconds - now)
        nonce = values.get("nonce")
        made = None
        if values.get("enforce_nonce") and nonce is not None:
            made = next((one for one in self.messages if one.get("nonce") == nonce), None)
        if made is None:
            made = {
                "id": str(next(self._ids)), "channel_id": channel, "author": BOT_USER,
                "content": values["content"], "nonce": nonce, "type": 0, "tts": False,
                "timestamp": "2026-01-01T00:00:00+00:00", "edited_timestamp": None,
                "mention_everyone": False, "mentions": [], "mention_roles": [],
                "attachments": [], "embeds": [], "pinned": False, "flags": 0, "components": [],
                "reference": values.get("message_reference"),
            }  # fmt: skip
            self.messages.append(made)
        return _json(made, 200, headers)

    def _headers(self, remaining: int, reset_after: float) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.bucket),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset-After": f"{reset_after:.3f}",
            "X-RateLimit-Reset": f"{time.time() + reset_after:.3f}",
            "X-RateLimit-Bucket": "abcd1234",
        }
