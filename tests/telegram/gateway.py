"""A bot API like Telegram's: long polling, numbers of updates, tokens in the path, limits.

Errors are answered as Telegram does: `{"ok": false, "error_code", "description"}` with that status,
and `parameters.retry_after` for 429. test_gateway.py holds it to a client made by others.
"""

import asyncio
import itertools
import re
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.changing import Changing

from yoi.testing.http_server import HttpAnswer, HttpRequest, HttpServer

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
_PATH = re.compile(r"/bot([^/]+)/(\w+)")
_ME = {"id": 110201543, "is_bot": True, "first_name": "Yoi", "username": "yoi_bot"}


@dataclass(frozen=True, slots=True)
class Call:
    """One call with the right token."""

    method: str
    values: dict[str, Any]
    status: int


class TelegramGateway(Changing):
    """`async with TelegramGateway() as telegram:` listens on a free port."""

    wait_seconds = 60.0

    def __init__(self) -> None:
        super().__init__()
        self.calls: deque[Call] = deque(maxlen=1000)
        self.token = TOKEN
        """The token that is good now."""
        self.offsets: deque[int] = deque(maxlen=1000)
        """What each question for updates began with, as it arrived."""
        self.strangers = 0
        """How many calls came with another."""
        self._updates: list[dict[str, Any]] = []
        self._numbers = itertools.count(41)
        self._sent = itertools.count(1)
        self._failures: dict[str, deque[HttpAnswer]] = {}
        self._polls = 0
        self._server = HttpServer(self._answer)

    @property
    def port(self) -> int:
        """Return where it listens."""
        return self._server.port

    @property
    def url(self) -> str:
        """Return its address."""
        return self._server.url

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._polls += 1  # ends what waits
        self._changed()
        await self._server.__aexit__(kind, value, trace)

    def says(self, text: str, chat: int = 7) -> None:
        """Have a person write to the bot."""
        number = next(self._numbers)
        message = {
            "message_id": number,
            "date": 1_700_000_000,
            "text": text,
            "chat": {"id": chat, "type": "private", "first_name": "Ann"},
            "from": {"id": chat, "is_bot": False, "first_name": "Ann"},
        }
        self._updates.append({"update_id": number, "message": message})
        self._changed()

    def fail_next(self, method: str, status: int, retry_after: int | None = None) -> None:
        """Answer the next call of `method` with an error."""
        self._failures.setdefault(method, deque()).append(_error(status, retry_after))

    def sent(self) -> list[str]:
        """Return the texts of the messages that were taken."""
        return [
            call.values["text"]
            for call in self.calls
            if call.method == "sendMessage" and call.status == 200
        ]

    async def _answer(self, request: HttpRequest) -> HttpAnswer:
        found = _PATH.fullmatch(request.path)
        if found is None or found[1] != self.token:
            self.strangers += 1
            self._changed()
            return _error(401 if found else 404)
        method = found[2]
        try:
            values = request.values()
        except ValueError:
            values = {}
        answer = await self._judged(method, values)
        self.calls.append(Call(method, values, answer.status))
        self._changed()
        return answer

    async def _judged(self, method: str, values: dict[str, Any]) -> HttpAnswer:
        waiting = self._failures.get(method)
        if waiting:
            return waiting.popleft()
        if method == "getUpdates":
            return await self._poll(values)
        if method == "sendMessage":
            return self._send(values)
        if method == "getMe":
            return _result(_ME)
        if method == "deleteWebhook":
            return _result(True)
        return _error(404)

    async def _poll(self, values: dict[str, Any]) -> HttpAnswer:
        """Answer with what there is, or wait; a later question ends an earlier one."""
        self._polls += 1
        mine, offset = self._polls, int(values.get("offset", 0))
        self.offsets.append(offset)
        self._changed()
        self._updates = [one for one in self._updates if one["update_id"] >= offset]
        try:
            async with asyncio.timeout(int(values.get("timeout", 0))):
                while not self._updates and mine == self._polls:
                    await self._change.wait()
        except TimeoutError:
            pass
        if mine != self._polls:
            return _error(409)
        return _result(self._updates[: int(values.get("limit", 100))])

    def _send(self, values: dict[str, Any]) -> HttpAnswer:
        if not values.get("text") or len(values["text"]) > 4096:
            return _error(400)
        chat = {"id": int(values["chat_id"]), "type": "private", "first_name": "Ann"}
        made = {"message_id": next(self._sent), "date": 1_700_000_001, "from": _ME}
        return _result({**made, "chat": chat, "text": values["text"]})


_WORDS = {
    400: "Bad Request: message text is empty",
    401: "Unauthorized",
    403: "Forbidden: bot was blocked by the user",
    404: "Not Found",
    409: "Conflict: terminated by other getUpdates request",
    429: "Too Many Requests",
    502: "Bad Gateway",
}


def _result(value: Any) -> HttpAnswer:
    return HttpAnswer.of_json({"ok": True, "result": value})


def _error(status: int, retry_after: int | None = None) -> HttpAnswer:
    body: dict[str, Any] = {"ok": False, "error_code": status, "description": _WORDS[status]}
    if retry_after is not None:
        body["description"] += f": retry after {retry_after}"
        body["parameters"] = {"retry_after": retry_after}
    return HttpAnswer.of_json(body, status)
