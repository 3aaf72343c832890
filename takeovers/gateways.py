"""Gateways that number what they say, and note each answer with the process that gave it.

A `Gateway` says nothing twice. A `SignInGateway` has sessions, as Discord's: a client identifies
once, later resumes from the number that it has handled, and is told again what it has not
acknowledged; answers carry a nonce by which the gateway merges repetitions.
"""

import asyncio
import contextlib
import itertools
import json
import time
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from takeovers.network import Source, Sources
from takeovers.records import Answer, Signing

OUTSTANDING = 8
TOKEN = "a-token-that-only-the-hosts-have"
_PATIENCE_S = 10.0


class Gateway:
    """Listens once entered; numbers what it says."""

    def __init__(self, sources: Sources, pace_s: float) -> None:
        self.port = 0
        self.answers: list[Answer] = []
        self.sent = 0
        self.speaking = True
        self.tells = False
        """Whether its service notifies a worker now and then, and is one unit with it."""
        self._sources, self._pace_s = sources, pace_s
        self._stack = contextlib.AsyncExitStack()

    @property
    def settled(self) -> bool:
        """Return whether nothing is owed that must still be answered."""
        return True

    @property
    def signing(self) -> Signing | None:
        """Return the account of its sessions, where it has any."""
        return None

    async def __aenter__(self) -> "Gateway":
        made = serve(self._serve, "127.0.0.1", 0, ping_interval=None, close_timeout=1)
        server = await self._stack.enter_async_context(made)
        self.port = next(iter(server.sockets)).getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _serve(self, socket: ServerConnection) -> None:
        source = self._sources.get((socket.remote_address[1], self.port))
        if source is not None:
            with contextlib.suppress(ConnectionClosed, TimeoutError):
                await self._talk(socket, source)

    async def _talk(self, socket: ServerConnection, source: Source) -> None:
        unanswered = 0
        while True:
            while self.speaking and unanswered < OUTSTANDING:
                self.sent += 1
                unanswered += 1
                await socket.send(json.dumps({"number": self.sent}))
                await asyncio.sleep(self._pace_s)
            said = await _heard(socket)
            if said is not None:
                unanswered -= 1
                self._note(source, said)

    def _note(self, source: Source, said: dict[str, Any], *, merged: bool = False) -> None:
        at = min(time.time(), source.ended_at)
        self.answers.append(Answer(at, source.pid, said["number"], said["count"], merged))


class SignInGateway(Gateway):
    """See the module docstring. One session at a time, which it never forgets by itself."""

    def __init__(self, sources: Sources, pace_s: float) -> None:
        super().__init__(sources, pace_s)
        self._account = Signing()
        self._ids = itertools.count(1)
        self._session = ""
        self._last = 0
        """The number of the session's last event."""
        self._unacknowledged: dict[int, int] = {}
        """By number in the session, what it says."""
        self._acknowledged = 0
        self._socket: ServerConnection | None = None

    @property
    def settled(self) -> bool:
        """Return whether all that was said within a session was answered."""
        return not self._account.unanswered

    @property
    def signing(self) -> Signing:
        """Return the account of its sessions."""
        return self._account

    async def _talk(self, socket: ServerConnection, source: Source) -> None:
        await socket.send(json.dumps({"op": "hello"}))
        async with asyncio.timeout(_PATIENCE_S):
            asked = json.loads(await socket.recv())
            while asked["op"] not in ("identify", "resume"):  # what waited before it signed in
                self._take(source, asked)
                asked = json.loads(await socket.recv())
        if asked.get("token") != TOKEN:
            self._account.wrong_tokens += 1
            await socket.close(4004)
            return
        previous, self._socket = self._socket, socket
        if previous is not None:
            await previous.close(4000)
        if asked["op"] == "identify":
            await self._identified(socket)
        else:
            await self._resumed(socket, asked)
        while self._socket is socket:
            # A client that has gone on to another socket hears of the session there.
            if self.speaking and len(self._unacknowledged) < OUTSTANDING:
                await self._say(socket)
                await asyncio.sleep(self._pace_s)
            said = await _heard(socket, self._pace_s)
            if said is not None and self._take(source, said):
                await socket.send(json.dumps({"op": "ok", "nonce": said["nonce"]}))

    async def _identified(self, socket: ServerConnection) -> None:
        self._account.began(acknowledged=self._acknowledged > 0)
        self._session = f"s{next(self._ids)}"
        self._unacknowledged.clear()
        self._last, self._acknowledged = 1, 0
        await socket.send(json.dumps({"op": "ready", "s": 1, "session": self._session}))

    async def _resumed(self, socket: ServerConnection, asked: dict[str, Any]) -> None:
        handled = asked["s"]
        self._account.resumes += 1
        if asked["session"] != self._session or not self._acknowledged <= handled <= self._last:
            self._account.resumed_wrongly += 1
            print(f"a resume of {asked} where {self._session} is at {self._acknowledged}")
        self._acknowledge(handled)
        await socket.send(json.dumps({"op": "resumed"}))
        for number in sorted(self._unacknowledged):
            await self._send(socket, number)

    async def _say(self, socket: ServerConnection) -> None:
        self.sent += 1
        self._last += 1
        self._unacknowledged[self._last] = self.sent
        self._account.said(self.sent)
        await self._send(socket, self._last)

    async def _send(self, socket: ServerConnection, number: int) -> None:
        said = {"op": "event", "s": number, "number": self._unacknowledged[number]}
        await socket.send(json.dumps(said))

    def _take(self, source: Source, said: dict[str, Any]) -> bool:
        """Note an answer, of whichever socket; return whether it was one."""
        if said["op"] != "answer":
            return False
        merged = self._account.answered(said["number"], said["nonce"])
        self._note(source, said, merged=merged)
        if said["session"] == self._session:
            self._acknowledge(said["s"])
        return True

    def _acknowledge(self, number: int) -> None:
        self._acknowledged = max(self._acknowledged, number)
        for one in [one for one in self._unacknowledged if one <= number]:
            del self._unacknowledged[one]


async def _heard(socket: ServerConnection, seconds: float = 0.2) -> dict[str, Any] | None:
    try:
        async with asyncio.timeout(seconds):
            said: dict[str, Any] = json.loads(await socket.recv())
            return said
    except TimeoutError:
        return None
