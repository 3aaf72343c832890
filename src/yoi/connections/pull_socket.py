"""`PullSocket`: one WebSocket that a plugin opened itself, and reads one message at a time.

What arrives waits here, within bounds: beyond them the socket is not read, so the peer feels it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from yoi.connections.connector import WebSocket
from yoi.connections.timing import CallLater, TimerHandle
from yoi.errors import ConnectionFailure, YoiError
from yoi.limits import Limits
from yoi.permissions import Url
from yoi.protocol.status import PullSocketStatus
from yoi.types import Clock, is_close_code, rfc3339_ms

if TYPE_CHECKING:
    from yoi.core.session_effects import End


class PullState(StrEnum):
    """Where a pull socket is."""

    OPEN = "open"
    CLOSING = "closing"
    """Nothing more is sent or read; the peer's close frame is waited for, within `close_ms`."""
    CLOSED = "closed"


_NEXT = {
    PullState.OPEN: (PullState.CLOSING, PullState.CLOSED),
    PullState.CLOSING: (PullState.CLOSED,),
    PullState.CLOSED: (),
}


@dataclass(frozen=True, slots=True)
class PullClosed:
    """The end of a socket, after its last message. `error` is None when the peer closed it."""

    code: int
    reason: str
    clean: bool
    error: YoiError | None = None


class PullSocket:
    """See the module docstring. It belongs to the event loop; only `receive` waits.

    `freed` is called once, when the socket is gone or on its way: its slot may be used again.
    """

    def __init__(
        self,
        url: Url,
        socket: WebSocket,
        *,
        clock: Clock,
        limits: Limits,
        call_later: CallLater,
        freed: Callable[[], None],
    ) -> None:
        self.url = url
        self._socket = socket
        self._clock = clock
        self._limits = limits
        self._call_later = call_later
        self._freed = freed
        self._state = PullState.OPEN
        self._messages: deque[tuple[str | bytes, int]] = deque()
        self._held = 0
        self._paused = False
        self._end: PullClosed | None = None
        self._why: YoiError | None = None
        self._arrived: asyncio.Future[None] | None = None
        self.gone = asyncio.Event()
        """Set when the socket itself is closed, whatever is still to be read."""
        self._opened_at = rfc3339_ms(clock.wall_ms())
        self._in = self._out = self._bytes_in = self._bytes_out = 0
        self._closer: TimerHandle | None = None
        self._keepalive = call_later(limits.ping_ms / 1000, self._keep_alive)
        self._lifetime = call_later(limits.pull_lifetime_ms / 1000, self._too_old)
        socket.attach(self)
        socket.resume_reading()

    @property
    def state(self) -> PullState:
        """Return the state."""
        return self._state

    @property
    def subprotocol(self) -> str | None:
        """Return what the server selected."""
        return self._socket.subprotocol

    def send(self, message: str | bytes) -> int:
        """Queue one message and return its bytes; never blocks.

        Raises ConnectionFailure: `connection.not_open`, `connection.send_failed`.
        """
        if self._state is not PullState.OPEN:
            raise ConnectionFailure("connection.not_open", f"the socket is {self._state}")
        if isinstance(message, str):
            size = self._socket.send_text(message)
        else:
            size = self._socket.send_binary(message)
        self._out += 1
        self._bytes_out += size
        return size

    async def receive(self, timeout_ms: int) -> str | bytes | PullClosed:
        """Return the next message, or how the socket ended, within `timeout_ms`.

        One receiver at a time; cancelled, it has taken nothing. Raises ConnectionFailure
        (`connection.timeout`); the socket stays open then.
        """
        if not self._messages and self._end is None:
            self._arrived = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(timeout_ms / 1000):
                    await self._arrived
            except TimeoutError:
                raise ConnectionFailure(
                    "connection.timeout", f"no message within {timeout_ms} ms"
                ) from None
            finally:
                self._arrived = None
        if self._messages:
            message, size = self._messages.popleft()
            self._held -= size
            self._read_on()
            return message
        assert self._end is not None, "woken without a message or an end"
        return self._end

    def close(self, code: int = 1000, reason: str = "", why: YoiError | None = None) -> None:
        """Send a close frame and forget what was not read. ValueError for an unusable code.

        Returns at once; `gone` is set within `close_ms`.
        """
        if not is_close_code(code):
            raise ValueError(f"{code} may not stand in a close frame")
        self._messages.clear()
        self._held = 0
        if self._state is not PullState.OPEN:
            return
        self._why = why
        self._transition(PullState.CLOSING)
        self._end = PullClosed(code, reason, False, why)
        self._wake()
        self._closer = self._call_later(self._limits.close_ms / 1000, self._socket.abort)
        self._socket.drop(code, reason)

    def status(self, handle: int, owner: str) -> PullSocketStatus:
        """Return what a person sees of it, under the plugin's `handle`."""
        return PullSocketStatus(
            handle=handle,
            owner=owner,
            url=self.url.display,
            state=self._state,
            address=self._socket.address,
            subprotocol=self._socket.subprotocol,
            opened_at=self._opened_at,
            reading_paused=self._paused,
            waiting_messages=len(self._messages),
            waiting_bytes=self._held,
            frames_in=self._in,
            frames_out=self._out,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
            close_code=None if self._end is None else self._end.code,
        )

    # -- WebSocketOwner ----------------------------------------------------------------------------

    def on_text(self, text: str, size: int) -> None:
        """Keep one text message."""
        self._keep(text, size)

    def on_binary(self, data: bytes) -> None:
        """Keep one binary message."""
        self._keep(data, len(data))

    def on_closing(self) -> None:
        """See to it that the peer's close ends within `close_ms`."""
        if self._closer is None:
            self._closer = self._call_later(self._limits.close_ms / 1000, self._socket.abort)

    def on_ended(self, end: "End") -> None:
        """Note how it ended; what was received before can still be read."""
        for timer in (self._keepalive, self._lifetime, self._closer):
            if timer is not None:
                timer.cancel()
        if self._end is None:
            self._end = PullClosed(end.code, end.reason, end.clean, self._why or end.error)
        self._transition(PullState.CLOSED)
        self.gone.set()
        self._wake()

    # -- inside ------------------------------------------------------------------------------------

    def _transition(self, to: PullState) -> None:
        if to not in _NEXT[self._state]:
            raise RuntimeError(f"a pull socket does not go from {self._state} to {to}")
        was, self._state = self._state, to
        if was is PullState.OPEN:
            self._freed()

    def _keep(self, message: str | bytes, size: int) -> None:
        self._in += 1
        self._bytes_in += size
        self._messages.append((message, size))
        self._held += size
        limits = self._limits
        if (
            len(self._messages) >= limits.pull_queue_messages
            or self._held >= limits.pull_queue_bytes
        ):
            self._paused = True
            self._socket.pause_reading()
        self._wake()

    def _read_on(self) -> None:
        """Read again once half of the room is free: not a pause and a resume per message."""
        limits = self._limits
        if (
            self._paused
            and self._state is PullState.OPEN
            and len(self._messages) <= limits.pull_queue_messages // 2
            and self._held <= limits.pull_queue_bytes // 2
        ):
            self._paused = False
            self._socket.resume_reading()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def _keep_alive(self) -> None:
        if self._state is not PullState.OPEN:
            return
        limits = self._limits
        quiet_ms = (self._clock.monotonic() - self._socket.last_heard) * 1000
        if not self._paused and quiet_ms >= limits.ping_ms + limits.pong_ms:
            self._why = ConnectionFailure("connection.idle", "the peer stopped answering pings")
            self._socket.abort()
            return
        self._socket.ping()
        self._keepalive = self._call_later(limits.ping_ms / 1000, self._keep_alive)

    def _too_old(self) -> None:
        minutes = self._limits.pull_lifetime_ms // 60_000
        self.close(
            1001,
            "lifetime",
            ConnectionFailure(
                "connection.timeout", f"a socket that a plugin opens lives {minutes} minutes"
            ),
        )
