"""A gateway that behaves like Discord's (version 10, JSON, plain or zlib-stream), for tests.

    async with DiscordGateway() as discord:
        ...  # a client asks discord.api_url, and dials
        await discord.ready()
        discord.message("hi")
        await discord.until(lambda: discord.api.said == ["You said: hi"])

`test_gateway.py` runs discord.py against it, unmodified. A session lives on when its socket is
lost, and is over when the client closes it with 1000 or 1001, as Discord has it.
"""

import asyncio
import contextlib
import itertools
import json
import secrets
import zlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.changing import Changing
from tests.discord_gateway.web_api import APPLICATION, BOT_USER, DiscordApi
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from yoi.testing.http_server import HttpServer

USER = {"id": "3000000000000000001", "username": "ada", "discriminator": "0000", "avatar": None}
CHANNEL = "4000000000000000001"


@dataclass(eq=False)
class Socket:
    """The gateway's end of one socket."""

    number: int
    """Counts sockets from 1."""
    path: str
    _socket: ServerConnection
    _deflate: Any = None
    session: "Session | None" = None
    received: deque[Any] = field(default_factory=lambda: deque(maxlen=1000))
    """What the client sent, parsed, in order."""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _tasks: set["asyncio.Future[None]"] = field(default_factory=set)

    def send(self, op: int, d: Any = None, s: int | None = None, t: str | None = None) -> None:
        """Send one message, or nothing where the socket is gone."""
        self.send_text(json.dumps({"op": op, "d": d, "s": s, "t": t}))

    def send_text(self, text: str) -> None:
        """Send one text."""
        task = asyncio.ensure_future(self._send(text))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, code: int, reason: str = "") -> None:
        """Do the closing handshake once everything is written."""
        await asyncio.gather(*self._tasks)
        await self._socket.close(code, reason)

    def kill(self) -> None:
        """End the TCP connection with a reset."""
        self._socket.transport.abort()

    def ops(self) -> list[int]:
        """Return the opcodes that the client sent."""
        return [one.get("op") for one in self.received]

    async def _send(self, text: str) -> None:
        with contextlib.suppress(ConnectionClosed):
            async with self._lock:  # in the order of the calls
                if self._deflate is None:
                    await self._socket.send(text)
                else:
                    data = self._deflate.compress(text.encode())
                    await self._socket.send(data + self._deflate.flush(zlib.Z_SYNC_FLUSH))


@dataclass(eq=False)
class Session:
    """What outlives sockets: numbered events, of which a client may ask again."""

    id: str
    events: list[tuple[int, str, Any]] = field(default_factory=list)
    socket: Socket | None = None

    @property
    def seq(self) -> int:
        """Return the number of the last event."""
        return len(self.events)

    def add(self, kind: str, data: Any, *, lost: bool = False) -> None:
        """Make an event; a lost one is numbered and not sent, as a fault would have it."""
        self.events.append((self.seq + 1, kind, data))
        if self.socket is not None and not lost:
            self.send(self.seq)

    def send(self, number: int) -> None:
        """Send the event `number`."""
        assert self.socket is not None
        seq, kind, data = self.events[number - 1]
        self.socket.send(0, data, seq, kind)


class DiscordGateway(Changing):
    """See the module docstring. Listens on free ports of 127.0.0.1."""

    wait_seconds = 120.0

    def __init__(
        self, *, token: str = "MTAw.Yoi.aaaaaaaaaaaaaaaaaaaaaaaa", interval_ms: int = 41_250
    ) -> None:
        super().__init__()
        self.interval_ms = interval_ms
        self.left = 1000
        """IDENTIFYs of the day."""
        self.identify_seconds = 5.0
        self.api = DiscordApi(token, lambda: self.url, lambda: self.left, self._changed)
        self._http = HttpServer(self.api.answer)
        self._server: Server | None = None
        self.ws_port = 0
        self.sockets: list[Socket] = []
        """All there ever were, oldest first."""
        self.sessions: dict[str, Session] = {}
        self.identified: list[float] = []
        """When each IDENTIFY came, in the loop's time."""
        self.resumed: list[int] = []
        """The number that each accepted RESUME named."""
        self.over: list[tuple[int, int | None]] = []
        """Each socket that ended, with the client's close code."""
        self._ids = itertools.count(5000000000000000001)

    @property
    def url(self) -> str:
        """Return where a session begins."""
        return f"ws://127.0.0.1:{self.ws_port}"

    @property
    def http_port(self) -> int:
        """Return the port of the HTTP half."""
        return self._http.port

    @property
    def socket(self) -> Socket:
        """Return the newest socket."""
        return self.sockets[-1]

    async def answered(self, count: int) -> None:
        """Wait until `count` messages were made."""
        await self.until(lambda: len(self.api.messages) >= count)

    def ended_by(self, socket: Socket) -> bool:
        """Return whether `socket` is gone."""
        return any(number == socket.number for number, _ in self.over)

    async def ended(self, count: int) -> None:
        """Wait until `count` sockets are gone."""
        await self.until(lambda: len(self.over) >= count)

    async def ready(self, number: int = 1) -> Session:
        """Wait until the client has a session on socket `number` or a later one; return it."""
        await self.until(lambda: any(s.session for s in self.sockets[number - 1 :]))
        return next(s.session for s in self.sockets[number - 1 :] if s.session)

    def message(self, text: str, *, channel: str = CHANNEL, **about: Any) -> str:
        """Let `ada` write a direct message; return its id."""
        lost = bool(about.pop("lost", False))
        message_id = str(next(self._ids))
        data = {
            "id": message_id, "channel_id": channel, "author": USER, "content": text, "type": 0,
            "timestamp": "2026-01-01T00:00:00+00:00", "edited_timestamp": None, "tts": False,
            "mention_everyone": False, "mentions": [], "mention_roles": [], "attachments": [],
            "embeds": [], "pinned": False, "flags": 0, "components": [], **about,
        }  # fmt: skip
        for session in self.sessions.values():
            session.add("MESSAGE_CREATE", data, lost=lost)
        return message_id

    def forget(self) -> None:
        """Let no session be resumed any more."""
        self.sessions.clear()

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        self._server = await serve(
            self._serve, "127.0.0.1", self.ws_port, ping_interval=None, close_timeout=1
        )
        self.ws_port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()
        await self._http.__aexit__(kind, value, trace)

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        parts = urlsplit(socket.request.path)
        asked = parse_qs(parts.query)
        deflate = zlib.compressobj() if asked.get("compress") == ["zlib-stream"] else None
        made = Socket(len(self.sockets) + 1, parts.path, socket, deflate)
        self.sockets.append(made)
        if asked.get("v") != ["10"] or asked.get("encoding") != ["json"]:
            await made.close(4012, "Invalid API version")
        made.send(10, {"heartbeat_interval": self.interval_ms})
        self._changed()
        try:
            async for message in socket:
                await self._received(made, message)
        except ConnectionClosed:
            pass
        finally:
            self._ended(made, socket)

    def _ended(self, made: Socket, socket: ServerConnection) -> None:
        rcvd = socket.protocol.close_rcvd
        code = None if rcvd is None else rcvd.code
        ours = (
            socket.protocol.close_sent is not None and socket.protocol.close_rcvd_then_sent is False
        )
        self.over.append((made.number, code))
        session, made.session = made.session, None
        if session is not None:
            session.socket = None
            if code in (1000, 1001) and not ours:
                self.sessions.pop(session.id, None)
        self._changed()

    async def _received(self, made: Socket, message: str | bytes) -> None:
        try:
            value = json.loads(message)
            op, d = value["op"], value.get("d")
        except (ValueError, KeyError, TypeError):
            return await made.close(4002, "Error while decoding payload.")
        made.received.append(value)
        if op == 1:
            made.send(11)
        elif op == 2:
            await self._identify(made, d)
        elif op == 6:
            await self._resume(made, d)
        elif made.session is None:
            await made.close(4003, "Not authenticated.")
        self._changed()
        return None

    async def _identify(self, made: Socket, d: dict[str, Any]) -> None:
        now = asyncio.get_running_loop().time()
        if made.session is not None:
            return await made.close(4005, "Already authenticated.")
        if d.get("token") != self.api.token:
            return await made.close(4004, "Authentication failed.")
        too_soon = any(now - at < self.identify_seconds for at in self.identified[-1:])
        self.identified.append(now)
        self.left -= 1
        if too_soon or self.left < 0:
            return made.send(9, False)
        session = Session(secrets.token_hex(8))
        self.sessions[session.id] = session
        self._attach(made, session)
        session.add(
            "READY",
            {
                "v": 10, "user": BOT_USER, "guilds": [], "session_id": session.id,
                "resume_gateway_url": f"{self.url}/resume", "session_type": "normal",
                "application": {"id": APPLICATION["id"], "flags": 0}, "shard": [0, 1],
                "private_channels": [], "relationships": [], "presences": [],
                "user_settings": {}, "geo_ordered_rtc_regions": [], "_trace": [],
            },
        )  # fmt: skip
        return None

    async def _resume(self, made: Socket, d: dict[str, Any]) -> None:
        if d.get("token") != self.api.token:
            return await made.close(4004, "Authentication failed.")
        session = self.sessions.get(str(d.get("session_id")))
        if session is None:
            return made.send(9, False)
        seq = d.get("seq")
        if not isinstance(seq, int) or seq > session.seq:
            return await made.close(4007, "Invalid seq")
        self.resumed.append(seq)
        self._attach(made, session)
        for number in range(seq + 1, session.seq + 1):
            session.send(number)
        session.add("RESUMED", {"_trace": []})
        return None

    def _attach(self, made: Socket, session: Session) -> None:
        session.socket, made.session = made, session
        self._changed()


def sent(sockets: Iterable[Socket], op: int) -> list[Any]:
    """Return the data of all messages with this opcode that clients sent, in order."""
    return [one.get("d") for socket in sockets for one in socket.received if one.get("op") == op]
