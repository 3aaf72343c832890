"""A connector without sockets: the test is the server."""

import asyncio
from collections.abc import Callable, Sequence

from yoi.connections import DialTarget, WebSocketOwner
from yoi.core.session_effects import End
from yoi.errors import ConnectionFailure, YoiError
from yoi.permissions import Decision
from yoi.permissions.connection_settings import Handshake
from yoi.permissions.ways_out import Destination


class MemoryWebSocket:
    """A `yoi.connections.WebSocket`; the methods named `peer_*` are the server's side."""

    def __init__(self, address: str, subprotocol: str | None, now: Callable[[], float]) -> None:
        self.address = address
        self.subprotocol = subprotocol
        self.last_heard = self.complete_until = now()
        self.sent: list[str | bytes] = []
        self.pings = 0
        self.close_sent: tuple[int, str] | None = None
        self._now = now
        self._owner: WebSocketOwner | None = None
        self._reading = False
        self._deaf = False
        self._ended = False
        self._waiting: list[str | bytes | End] = []

    # -- the server's side -------------------------------------------------------------------------

    def peer_sends(self, message: str | bytes) -> None:
        """Let a message arrive."""
        self._arrive(message)

    def peer_pongs(self) -> None:
        """Let a sign of life arrive that is no message."""
        self.last_heard = self._now()
        if not self._waiting:
            self.complete_until = self.last_heard

    def peer_closes(self, code: int = 1000, reason: str = "") -> None:
        """Let a close frame arrive and the socket end."""
        self._arrive(End(code, reason, True))

    def peer_vanishes(self) -> None:
        """Let the socket end without a close frame."""
        self._arrive(End(1006, "", False, ConnectionFailure("connection.lost", "it vanished")))

    # -- WebSocket ---------------------------------------------------------------------------------

    def attach(self, owner: WebSocketOwner) -> None:
        """Report to `owner` from here on."""
        self._owner = owner

    def send_text(self, text: str) -> int:
        """Keep one text message in `sent`."""
        self._check_open()
        self.sent.append(text)
        return len(text.encode())

    def send_binary(self, data: bytes) -> int:
        """Keep one binary message in `sent`."""
        self._check_open()
        self.sent.append(data)
        return len(data)

    def ping(self) -> None:
        """Count a ping."""
        self.pings += 1

    def pause_reading(self) -> None:
        """Report no further message."""
        self._reading = False

    def resume_reading(self) -> None:
        """Report again, from the loop's next turn."""
        self._reading = True
        asyncio.get_running_loop().call_soon(self._report)

    def close(self, code: int, reason: str) -> None:
        """Remember the close frame; the peer answers with `peer_closes`."""
        if self.close_sent is None:
            self.close_sent = (code, reason)

    def drop(self, code: int, reason: str) -> None:
        """Remember the close frame and report no further message."""
        self.close(code, reason)
        self._go_deaf()

    def abort(self) -> None:
        """End at the loop's next turn, as a socket does."""
        self._go_deaf()
        self._arrive(End(1006, "", False, ConnectionFailure("connection.lost", "it was aborted")))

    # -- inside ------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._ended or self.close_sent is not None:
            raise ConnectionFailure("connection.session_ended", "the session has ended")

    def _go_deaf(self) -> None:
        self._deaf = True
        self._reading = True
        self._waiting = [item for item in self._waiting if isinstance(item, End)]
        asyncio.get_running_loop().call_soon(self._report)

    def _arrive(self, item: str | bytes | End) -> None:
        if self._ended:
            return
        self.last_heard = self._now()
        if isinstance(item, End):
            self._ended = True
        elif self._deaf:
            return
        self._waiting.append(item)
        asyncio.get_running_loop().call_soon(self._report)

    def _report(self) -> None:
        while self._waiting and self._reading and self._owner is not None:
            item = self._waiting.pop(0)
            if isinstance(item, End):
                owner, self._owner = self._owner, None
                owner.on_ended(item)
            elif isinstance(item, str):
                self._owner.on_text(item, len(item.encode()))
            else:
                self._owner.on_binary(item)
        if not self._waiting and self._reading and not self._deaf:
            self.complete_until = self.last_heard


class MemoryDial:
    """One dial that waits for the test: answer it with `accept` or `refuse`."""

    def __init__(
        self,
        handshake: Handshake,
        target: DialTarget,
        decision: Decision,
        addresses: Sequence[Destination],
        now: Callable[[], float],
    ) -> None:
        self.handshake = handshake
        self.target = target
        self.decision = decision
        self.addresses = tuple(addresses)
        self.answer: asyncio.Future[MemoryWebSocket] = asyncio.get_running_loop().create_future()
        self._now = now

    def accept(self, subprotocol: str | None = None) -> MemoryWebSocket:
        """Open the connection and return the test's end of it."""
        socket = MemoryWebSocket(str(self.addresses[0]), subprotocol, self._now)
        self.answer.set_result(socket)
        return socket

    def refuse(self, error: YoiError) -> None:
        """Let the dial fail."""
        self.answer.set_exception(error)


class MemoryConnector:
    """A `yoi.connections.Connector` for tests. `now` returns monotonic seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._dials: asyncio.Queue[MemoryDial] = asyncio.Queue()

    async def dialled(self) -> MemoryDial:
        """Return the next dial."""
        return await self._dials.get()

    async def dial(
        self,
        handshake: Handshake,
        target: DialTarget,
        decision: Decision,
        addresses: Sequence[Destination],
    ) -> MemoryWebSocket:
        """Wait for the test's answer."""
        dial = MemoryDial(handshake, target, decision, addresses, self._now)
        self._dials.put_nowait(dial)
        return await dial.answer
