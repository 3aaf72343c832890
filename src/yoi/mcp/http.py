"""A server that is reached over HTTP (streamable HTTP), through the host's own checked dialler.

Each message is one request, each answer is read whole within its bound, as JSON or as an event
stream that ends. There is no standing stream: a changed list of tools shows at the next look.
"""

import asyncio
import contextlib
import re
import secrets as tokens
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from yoi.connections import PreparedRequest, RequestClient
from yoi.connections.answers import BodyKind, HttpAnswer
from yoi.connections.requests import Redirects
from yoi.errors import McpError, YoiError
from yoi.limits import Limits
from yoi.mcp.settings import ServerSettings
from yoi.mcp.wire import Inbound, Streams, Wire
from yoi.permissions import Decision, Url
from yoi.tasks import ended
from yoi.types import Clock, Secret

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.shared.message import SessionMessage

_ACCEPT = "application/json, text/event-stream"
_SESSION = "mcp-session-id"
_LINE_END = re.compile(r"\r\n|\n|\r")
_ERRORS = 300
"""From this status on, the server has not taken the message."""


class McpHttp:
    """Makes the streams of servers that have a URL."""

    def __init__(self, client: RequestClient, clock: Clock, limits: Limits) -> None:
        self._client = client
        self._clock = clock
        self._limits = limits

    @asynccontextmanager
    async def streams(
        self, settings: ServerSettings, secrets: Mapping[str, Secret], wire: Wire
    ) -> AsyncIterator[Streams]:
        """Give the streams of a session with the server; leaving ends the session."""
        import anyio

        to_session, read = anyio.create_memory_object_stream["SessionMessage | Exception"](0)
        write, from_session = anyio.create_memory_object_stream["SessionMessage"](0)
        inbound = Inbound(self._clock, self._limits)
        talk = _Conversation(self._client, settings, secrets, inbound, self._limits)
        sending = asyncio.create_task(talk.run(from_session, to_session, wire))
        try:
            yield Streams(read, write)
        finally:
            await ended(sending)
            for stream in (to_session, read, write, from_session):
                stream.close()
            await talk.end()


class _Conversation:
    """One session: what is sent, and what is answered."""

    def __init__(
        self,
        client: RequestClient,
        settings: ServerSettings,
        secrets: Mapping[str, Secret],
        inbound: Inbound,
        limits: Limits,
    ) -> None:
        assert settings.url is not None
        self._client = client
        self._name = settings.name
        self._url: Url = settings.url
        self._given = tuple(
            (one.name, one.prefix + secrets[one.secret].reveal()) for one in settings.headers
        )
        self._inbound = inbound
        self._limits = limits
        self._session = ""
        self._version: dict[str, str] = {}

    async def run(
        self,
        from_session: "MemoryObjectReceiveStream[SessionMessage]",
        to_session: "MemoryObjectSendStream[SessionMessage | Exception]",
        wire: Wire,
    ) -> None:
        """Send each message in a task of its own; the first that fails ends the session."""
        from mcp_types import JSONRPCRequest

        under_way: set[asyncio.Task[None]] = set()
        try:
            async for one in from_session:
                self._version |= dict(getattr(one.metadata, "headers", None) or {})
                task = asyncio.create_task(self._exchange(one, to_session, wire))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                if not isinstance(one.message, JSONRPCRequest):
                    await asyncio.wait({task})  # what follows may depend on it
        finally:
            await ended(*under_way)

    async def end(self) -> None:
        """Tell the server that the session is over; it need not hear it."""
        if self._session:
            with contextlib.suppress(YoiError, TimeoutError):
                async with asyncio.timeout(self._limits.mcp_stop_ms / 1000):
                    await self._ask("DELETE", None)

    async def _exchange(
        self,
        one: "SessionMessage",
        to_session: "MemoryObjectSendStream[SessionMessage | Exception]",
        wire: Wire,
    ) -> None:
        import anyio

        try:
            self._inbound.asked(one.message)
            body = one.message.model_dump_json(by_alias=True, exclude_unset=True).encode()
            answer = await self._ask("POST", body)
            self._session = self._session or dict(answer.headers).get(_SESSION, "")
            for line in _messages(answer):
                message = await self._inbound.message(line)
                if message is not None:
                    await to_session.send(message)
            self._inbound.check_answered(one.message)
        except McpError as exc:
            wire.end(exc)
            to_session.close()
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass  # the session is over

    async def _ask(self, method: str, body: bytes | None) -> HttpAnswer:
        """Return the server's answer. Raises McpError where there is none, or it is a refusal."""
        given = {name.lower() for name, _ in self._given}
        extra = {"Accept": _ACCEPT, "Content-Type": "application/json", **self._version}
        if self._session:
            extra["Mcp-Session-Id"] = self._session
        headers = tuple((name, value) for name, value in extra.items() if name.lower() not in given)
        own = frozenset(name.lower() for name, _ in headers if name != "Accept") | given
        try:
            prepared = PreparedRequest(
                plugin=f"mcp:{self._name}",
                command_id=tokens.token_hex(12),
                target=self._name,
                method=method,
                url=self._url,
                headers=(*headers, *self._given),
                body=body,
                inserted_headers=own,
                redirects=Redirects.RETURN,
                reads_stream=True,
            )
        except YoiError as exc:
            raise McpError("mcp.protocol", f"the request cannot be sent: {exc}") from None
        answer = await self._client.send(prepared, self._authorise)
        if not answer.ok:
            words = answer.error.message.replace(self._url.display, "its URL")
            code = _CODES.get(answer.error.code, "mcp.lost")
            raise McpError(code, f"{words} [{answer.error.code}]", hint=answer.error.hint)
        if answer.status >= _ERRORS and method != "DELETE":
            raise McpError("mcp.lost", f"the server answered {answer.status}")
        return answer

    def _authorise(self, method: str, asked: Url) -> Decision:
        # The operator decided this one URL; it may well be inside the own network.
        if asked.href == self._url.href.partition("?")[0]:
            return Decision(
                allowed=True,
                private_addresses=True,
                max_message_bytes=self._limits.mcp_message_bytes,
            )
        return Decision(allowed=False, message="the server redirects elsewhere")


_CODES = {
    "request.timeout": "mcp.timeout",
    "request.answer_too_large": "mcp.too_large",
    "request.too_large": "mcp.too_large",
    "request.protocol": "mcp.protocol",
}


def _messages(answer: HttpAnswer) -> Iterator[bytes]:
    """Yield the messages of an answer's body, each as JSON. Raises McpError for another body."""
    if answer.body_kind is BodyKind.EMPTY:
        return
    if answer.body_kind is BodyKind.JSON:
        yield msgspec.json.encode(answer.body)
        return
    kind = dict(answer.headers).get("content-type", "").partition(";")[0].strip().lower()
    if answer.body_kind is not BodyKind.TEXT or kind not in ("text/event-stream", _JSON):
        raise McpError("mcp.protocol", "the server's answer is neither JSON nor an event stream")
    if kind == _JSON:  # more than is read as a document for plugins
        yield answer.body.encode()
        return
    data: list[str] = []
    # Not `splitlines`: what else it breaks at may stand in a JSON text.
    for line in [*_LINE_END.split(answer.body.removeprefix("\ufeff")), ""]:
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif not line and data:
            yield "\n".join(data).encode()
            data = []


_JSON = "application/json"
