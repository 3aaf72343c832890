"""uvicorn's HTTP/1.1 with the bounds that it lacks: on time, on size, on open sockets."""

import asyncio
from typing import Any, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from yoi.limits import Limits
from yoi.serving.sockets import OpenSockets

ABORT = "yoi.abort"
"""In a request's state: what ends its connection at once, unsent bytes and all."""
_ANSWER = (
    "HTTP/1.1 {status} {phrase}\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n"
    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{body}"
)


def _answer(status: int, phrase: str, message: str) -> bytes:
    body = f'{{"code":"bad_request","message":"{message}"}}'
    return _ANSWER.format(status=status, phrase=phrase, size=len(body), body=body).encode()


_NOT_HTTP = _answer(400, "Bad Request", "that is not HTTP/1.1")
_TOO_LARGE = _answer(
    431, "Request Header Fields Too Large", "the head of the request is over its bound"
)


class BoundedConnection(h11.Connection):
    """h11 bounds a head only until it is complete; this refuses a complete one as well."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(h11.SERVER, limits.http_head_bytes)
        self.too_large = False
        """Whether what could not be read was over a bound."""
        self._limits = limits

    def next_event(self) -> Any:
        """Return what h11 returns; RemoteProtocolError for a head that is over its bounds."""
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as exc:
            self.too_large = exc.error_status_hint == 431
            raise
        if isinstance(event, h11.Request | h11.EndOfMessage) and self._beyond(event):
            self.too_large = True
            raise h11.RemoteProtocolError("the head is over its bound", error_status_hint=431)
        return event

    def _beyond(self, event: h11.Request | h11.EndOfMessage) -> bool:
        size = len(event.target) if isinstance(event, h11.Request) else 0
        size += sum(len(name) + len(value) for name, value in event.headers)
        most = self._limits
        return size > most.http_head_bytes or len(event.headers) > most.http_headers


class BoundedHttp(H11Protocol):
    """uvicorn's HTTP/1.1, with a deadline for request heads and a bound on open sockets."""

    def __init__(
        self,
        config: uvicorn.Config,
        state: ServerState,
        sockets: OpenSockets,
        limits: Limits,
    ) -> None:
        super().__init__(config=config, server_state=state, app_state={})
        self.conn: BoundedConnection = BoundedConnection(limits)
        self._sockets = sockets
        self._limits = limits
        self._deadline: asyncio.TimerHandle | None = None
        self._handed_over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or hang up at once where there is no room."""
        super().connection_made(transport)
        self.app_state = {ABORT: transport.abort}
        if not self._sockets.accepted():
            self._sockets.count_refused("connections")
            transport.abort()
            return
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Read on; a request that has begun must be complete in time."""
        if self.transport.is_closing():
            return
        before = self.cycle
        if self._deadline is None and (before is None or before.response_complete):
            self._arm()
        super().data_received(data)
        if self.cycle is not before or self._handed_over:
            self._disarm()

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be read, or hang up where an answer is under way already."""
        self._sockets.count_refused("malformed")
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self._answering:
            self.transport.write(_TOO_LARGE if self.conn.too_large else _NOT_HTTP)
        self.transport.close()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the socket out, unless it lives on as a WebSocket."""
        self._disarm()
        self._sockets.closed()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """Hand the transport over to an ObserverProtocol."""
        self._handed_over = True
        self._disarm()
        super().handle_websocket_upgrade(event)
        early, _ = self.conn.trailing_data
        if early and not self.transport.is_closing():
            # What came with the request in one piece; without it the rest would be misread.
            cast("asyncio.Protocol", self.transport.get_protocol()).data_received(early)

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self._limits.http_head_ms / 1000, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self._sockets.count_refused("slow")
        self.transport.abort()
