"""The HTTP half of a Slack-like gateway: token checks, Web API methods, response URLs.

Errors are answered as Slack does: status 200 with `{"ok": false, "error": ...}`, and status 429
with `Retry-After` for `ratelimited`.
"""

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from yoi.testing.http_server import HttpAnswer, HttpRequest

TEAM, TEAM_NAME, BOT_USER, BOT = "T0001TEAM", "Example", "U0001BOT", "B0001BOT"
APP = "A0001APP"
_KEPT = 1000


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call that arrived: `method` is `chat.postMessage` or the path of a response URL."""

    method: str
    token: str | None
    values: dict[str, Any]
    error: str | None
    """The error it was answered with, or None."""


class SlackApi:
    """Answers requests; `ticket()` is asked for a new socket URL."""

    def __init__(
        self,
        app_token: str,
        bot_token: str,
        ticket: Callable[[], str],
        changed: Callable[[], None],
    ) -> None:
        self._tokens = {app_token: "app", bot_token: "bot"}
        self._revoked: dict[str, str] = {}
        self._ticket = ticket
        self._changed = changed
        self._failures: dict[str, deque[HttpAnswer]] = {}
        self._stamps = itertools.count(1)
        self.calls: deque[ApiCall] = deque(maxlen=_KEPT)

    def of(self, method: str) -> list[ApiCall]:
        """Return the calls of `method` that succeeded."""
        return [call for call in self.calls if call.method == method and call.error is None]

    def revoke(self, token: str, error: str = "invalid_auth") -> None:
        """From now on answer `token` with `error`."""
        self._revoked[token] = error

    def restore(self, token: str) -> None:
        """Accept `token` again."""
        self._revoked.pop(token, None)

    def fail_next(self, method: str, error: str, *, retry_after_s: int | None = None) -> None:
        """Answer the next call of `method` with `error`; with `retry_after_s` as status 429."""
        limited = retry_after_s is not None
        answer = HttpAnswer.of_json(
            {"ok": False, "error": error},
            429 if limited else 200,
            {"Retry-After": str(retry_after_s)} if limited else None,
        )
        self._failures.setdefault(method, deque()).append(answer)

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """Return the answer to `request`."""
        path = request.path
        method = path.removeprefix("/api/")
        try:
            values = request.values()
        except ValueError:
            values = {}
        token = self._token(request, values)
        if path.startswith(("/commands/", "/actions/")):
            return self._record(path, None, values, None, HttpAnswer(b"ok"))
        handler = {
            "apps.connections.open": self._connections_open,
            "auth.test": self._auth_test,
            "chat.postMessage": self._post_message,
        }.get(method if path.startswith("/api/") else "")
        if handler is None or request.method != "POST":
            return self._refuse(method, token, values, "unknown_method")
        waiting = self._failures.get(method)
        if waiting:
            failed = waiting.popleft()
            return self._record(method, token, values, "scripted", failed)
        error = self._judge(token, "app" if method == "apps.connections.open" else "bot")
        if error is not None:
            return self._refuse(method, token, values, error)
        made = handler(values)
        if "error" in made:
            return self._refuse(method, token, values, made["error"])
        answer = HttpAnswer.of_json({"ok": True, **made})
        return self._record(method, token, values, None, answer)

    def _token(self, request: HttpRequest, values: dict[str, Any]) -> str | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            return token
        given = values.pop("token", None)
        return given if isinstance(given, str) else None

    def _judge(self, token: str | None, kind: str) -> str | None:
        if token is None:
            return "not_authed"
        if token in self._revoked:
            return self._revoked[token]
        if token not in self._tokens:
            return "invalid_auth"
        return None if self._tokens[token] == kind else "not_allowed_token_type"

    def _connections_open(self, values: dict[str, Any]) -> dict[str, Any]:
        return {"url": self._ticket()}

    def _auth_test(self, values: dict[str, Any]) -> dict[str, Any]:
        return {
            "url": "https://example.slack.com/",
            "team": TEAM_NAME,
            "user": "yoi",
            "team_id": TEAM,
            "user_id": BOT_USER,
            "bot_id": BOT,
        }

    def _post_message(self, values: dict[str, Any]) -> dict[str, Any]:
        if not values.get("channel"):
            return {"error": "channel_not_found"}
        if not values.get("text") and not values.get("blocks"):
            return {"error": "no_text"}
        stamp = f"1700000000.{next(self._stamps):06}"
        message = {"type": "message", "text": values.get("text"), "user": BOT_USER, "ts": stamp}
        return {"channel": values["channel"], "ts": stamp, "message": message}

    def _refuse(
        self, method: str, token: str | None, values: dict[str, Any], error: str
    ) -> HttpAnswer:
        answer = HttpAnswer.of_json({"ok": False, "error": error})
        return self._record(method, token, values, error, answer)

    def _record(
        self,
        method: str,
        token: str | None,
        values: dict[str, Any],
        error: str | None,
        answer: HttpAnswer,
    ) -> HttpAnswer:
        self.calls.append(ApiCall(method, token, values, error))
        self._changed()
        return answer
