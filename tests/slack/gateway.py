"""A gateway that behaves like Slack's Socket Mode, for tests.

    async with SlackGateway() as slack:
        ...  # a client calls slack.api_url + "apps.connections.open" and dials the URL it gets
        await slack.connected()
        delivery = slack.send_event({"type": "app_mention", "channel": "C1", "text": "hi"})
        await delivery.acknowledged()

`test_gateway.py` runs Slack's own client against it, unmodified. A retried
envelope has a new `envelope_id` and the old `event_id`, the harder of the two cases for a client.
"""

import asyncio
import json
import secrets
import ssl
import uuid
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.changing import Changing
from tests.slack.web_api import APP, BOT_USER, TEAM, SlackApi
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from yoi.testing.http_server import HttpServer

MAX_CONNECTIONS = 10
MAX_ATTEMPTS = 4
WAIT_SECONDS = 20.0
"""What is waited for comes within this time or never: then TimeoutError."""
_TICKETS = 1000
_KEPT = 1000


@dataclass(eq=False)
class SlackConnection:
    """The gateway's end of one socket."""

    number: int
    """Counts connections from 1."""
    _socket: ServerConnection
    received: deque[Any] = field(default_factory=lambda: deque(maxlen=_KEPT))
    """What the client sent, parsed; in order."""
    _tasks: set["asyncio.Future[None]"] = field(default_factory=set)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def send(self, message: dict[str, Any]) -> None:
        """Send one message, or nothing where the socket is gone."""
        task = asyncio.ensure_future(self._send(json.dumps(message)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def disconnect(self, reason: str) -> None:
        """Say that this socket is about to go: `warning`, `refresh_requested`, `link_disabled`."""
        self.send(
            {"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-yoi"}},
        )

    async def ping(self) -> None:
        """Send a ping and wait for its pong."""
        await (await self._socket.ping("Ping from applink-yoi"))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Do the closing handshake."""
        await self._socket.close(code, reason)

    def kill(self) -> None:
        """End the TCP connection with a reset."""
        self._socket.transport.abort()

    async def closed(self) -> tuple[int | None, str | None]:
        """Wait for the end; return the client's close code and reason."""
        async with asyncio.timeout(WAIT_SECONDS):
            await self._socket.wait_closed()
        return self._socket.close_code, self._socket.close_reason

    async def sent(self) -> None:
        """Wait until everything given to `send` is written."""
        await asyncio.gather(*self._tasks)

    async def _send(self, text: str) -> None:
        with suppress(ConnectionClosed):
            async with self._lock:  # in the order of the calls
                await self._socket.send(text)


@dataclass(eq=False)
class Delivery:
    """One envelope on its way, with its retries."""

    envelope: dict[str, Any]
    attempts: list[tuple[str, int]] = field(default_factory=list)
    """The envelope id and connection number of each attempt."""
    _answer: "asyncio.Future[Any]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    async def acknowledged(self) -> Any:
        """Wait for the acknowledgement; return its payload, or None."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await asyncio.shield(self._answer)

    @property
    def done(self) -> bool:
        """Whether it was acknowledged."""
        return self._answer.done()


class SlackGateway(Changing):
    """See the module docstring. Listens on free ports of 127.0.0.1.

    `tls` makes both halves TLS. An envelope that is not acknowledged within `ack_seconds` is sent
    again, at most three times; one that has no socket waits for the next.
    """

    def __init__(
        self,
        *,
        app_token: str = "xapp-1-A0001APP-0001-aaaaaaaaaaaaaaaa",
        bot_token: str = "xoxb-0001-0001-bbbbbbbbbbbbbbbb",
        tls: ssl.SSLContext | None = None,
        ack_seconds: float = 3.0,
    ) -> None:
        super().__init__()
        self.app_token, self.bot_token = app_token, bot_token
        self._tls = tls
        self._ack_seconds = ack_seconds
        self.tickets: deque[str] = deque(maxlen=_KEPT)
        """Every ticket that was given out."""
        self._unspent: deque[str] = deque(maxlen=_TICKETS)
        self.api = SlackApi(app_token, bot_token, self._new_url, self._changed)
        self._http = HttpServer(self.api.answer, tls=tls)
        self._server: Server | None = None
        self.ws_port = 0
        self.connections: list[SlackConnection] = []
        """The open ones, oldest first."""
        self.opened = 0
        """Connections so far."""
        self.refused: list[HTTPStatus] = []
        """Dials with a wrong or spent ticket."""
        self.misplaced: deque[Any] = deque(maxlen=_KEPT)
        """Acknowledgements of an unknown envelope, or on another socket than the one that asked."""
        self._waiting: deque[Delivery] = deque()
        self._sent: dict[str, tuple[Delivery, SlackConnection]] = {}
        self._timers: set[asyncio.TimerHandle] = set()

    @property
    def api_url(self) -> str:
        """Return the base URL of the Web API, with a slash at its end."""
        return f"{self._http.url}/api/"

    @property
    def http_port(self) -> int:
        """Return the port of the Web API and the response URLs."""
        return self._http.port

    def response_url(self, kind: str = "commands") -> str:
        """Return a URL to answer to: `commands` or `actions`."""
        return f"{self._http.url}/{kind}/{TEAM}/{secrets.token_hex(8)}"

    async def connected(self, number: int = 1) -> SlackConnection:
        """Wait for the connection `number`, counted from 1; return it."""
        await self.until(lambda: self.opened >= number)
        found = [one for one in self.connections if one.number == number]
        if not found:
            raise AssertionError(f"connection {number} is closed already")
        return found[0]

    def send_event(self, event: dict[str, Any], **about: Any) -> Delivery:
        """Send one Events API event; `about` adds to or replaces fields of the payload."""
        payload = {
            "type": "event_callback",
            "team_id": TEAM,
            "api_app_id": APP,
            "event_id": f"Ev{secrets.token_hex(5).upper()}",
            "event_time": 1_700_000_000,
            "event": event,
            "authorizations": [{"team_id": TEAM, "user_id": BOT_USER, "is_bot": True}],
            **about,
        }
        return self._deliver("events_api", payload, accepts_response_payload=False)

    def send_slash(self, command: str, text: str = "", **about: Any) -> Delivery:
        """Send one slash command; its acknowledgement may carry the answer."""
        payload = {
            "command": command,
            "text": text,
            "team_id": TEAM,
            "channel_id": "C0001",
            "user_id": "U0002",
            "user_name": "ada",
            "api_app_id": APP,
            "trigger_id": secrets.token_hex(8),
            "response_url": self.response_url(),
            **about,
        }
        return self._deliver("slash_commands", payload, accepts_response_payload=True)

    def send_interactive(self, payload: dict[str, Any]) -> Delivery:
        """Send one interaction, such as a button that was pressed."""
        made = {
            "type": "block_actions",
            "trigger_id": secrets.token_hex(8),
            "response_url": self.response_url("actions"),
            **payload,
        }
        return self._deliver("interactive", made, accepts_response_payload=True)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.ws_port,
            ssl=self._tls,
            process_request=self._check_ticket,
            ping_interval=None,
            close_timeout=1,
        )
        self.ws_port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for timer in self._timers:
            timer.cancel()
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()
        await self._http.__aexit__(kind, value, trace)

    def _new_url(self) -> str:
        ticket = str(uuid.uuid4())
        self.tickets.append(ticket)
        self._unspent.append(ticket)
        scheme = "wss" if self._tls else "ws"
        return f"{scheme}://127.0.0.1:{self.ws_port}/link/?ticket={ticket}&app_id={APP}"

    def _check_ticket(self, connection: ServerConnection, request: Request) -> Response | None:
        parts = urlsplit(request.path)
        ticket = parse_qs(parts.query).get("ticket", [""])[0]
        if parts.path != "/link/":
            status = HTTPStatus.NOT_FOUND
        elif ticket not in self._unspent:
            status = HTTPStatus.REQUEST_TIMEOUT  # what Slack answers to a spent ticket
        else:
            self._unspent.remove(ticket)
            return None
        self.refused.append(status)
        self._changed()
        return connection.respond(status, "")

    async def _serve(self, socket: ServerConnection) -> None:
        self.opened += 1
        made = SlackConnection(self.opened, socket)
        if len(self.connections) >= MAX_CONNECTIONS:
            made.disconnect("too_many_websockets")
            await made.sent()
            await made.close()
            return
        self.connections.append(made)
        made.send(
            {
                "type": "hello",
                "num_connections": len(self.connections),
                "debug_info": {
                    "host": "applink-yoi",
                    "build_number": 1,
                    "approximate_connection_time": 18060,
                },
                "connection_info": {"app_id": APP},
            }
        )
        while self._waiting:
            self._attempt(self._waiting.popleft(), made)
        self._changed()
        try:
            async for message in socket:
                self._received(made, message)
        except ConnectionClosed:
            pass
        finally:
            self.connections.remove(made)
            self._changed()

    def _received(self, connection: SlackConnection, message: str | bytes) -> None:
        try:
            value = json.loads(message)
        except ValueError:
            value = None
        connection.received.append(value)
        envelope_id = value.get("envelope_id") if isinstance(value, dict) else None
        delivery, asked = self._sent.get(str(envelope_id), (None, None))
        if delivery is None or asked is not connection:
            self.misplaced.append(value)
        elif not delivery.done:
            delivery._answer.set_result(value.get("payload"))
        self._changed()

    def _deliver(
        self, kind: str, payload: dict[str, Any], *, accepts_response_payload: bool
    ) -> Delivery:
        envelope = {
            "type": kind,
            "payload": payload,
            "accepts_response_payload": accepts_response_payload,
        }
        delivery = Delivery(envelope)
        if self.connections:
            self._attempt(delivery, self.connections[-1])
        else:
            self._waiting.append(delivery)
        return delivery

    def _attempt(self, delivery: Delivery, connection: SlackConnection) -> None:
        envelope_id = str(uuid.uuid4())
        retries = len(delivery.attempts)
        message = {"envelope_id": envelope_id, **delivery.envelope}
        if delivery.envelope["type"] == "events_api":
            message |= {
                "retry_attempt": retries,
                "retry_reason": "timeout" if retries else "",
            }
        delivery.attempts.append((envelope_id, connection.number))
        self._sent[envelope_id] = (delivery, connection)
        if len(self._sent) > _KEPT:
            del self._sent[next(iter(self._sent))]
        connection.send(message)
        timer = asyncio.get_running_loop().call_later(self._ack_seconds, self._retry, delivery)
        self._timers = {one for one in self._timers if not one.cancelled()}
        self._timers.add(timer)
        self._changed()

    def _retry(self, delivery: Delivery) -> None:
        if delivery.done or len(delivery.attempts) >= MAX_ATTEMPTS:
            return
        if self.connections:
            self._attempt(delivery, self.connections[-1])
        else:
            self._waiting.append(delivery)
