"""The listener of a runtime or a backend: uvicorn's HTTP/1.1 for an ASGI app, bounded, and
WebSockets that go around it (serving/observer.py), on one port.

uvicorn bounds neither a slow request head nor the number of sockets; `_BoundedHttp` does.
"""

import asyncio
import contextlib
import resource
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import h11
import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from yoi.errors import ServingError
from yoi.limits import LIMITS, Limits
from yoi.protocol.observation import Hop
from yoi.serving.admission import Admit
from yoi.serving.hub import Hub
from yoi.serving.observer import ObserverProtocol
from yoi.types import Clock

ABORT = "yoi.abort"
"""In a request's state: what ends its connection at once, unsent bytes and all."""
_BACKLOG = 512
_BODY = b'{"code":"bad_request","message":"that is not HTTP/1.1"}'
_NOT_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    b"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n%b"
) % (len(_BODY), _BODY)
_log = structlog.get_logger("yoi.serving")

AsgiApp = Callable[..., Any]


class ObservationServer:
    """Serves `app` and, through `admit`, the streams of `hub`, from `start` until `close`.

    `app` answers everything but WebSocket upgrades. `tls` None means plain HTTP.
    """

    def __init__(
        self,
        app: AsgiApp,
        admit: Admit,
        hub: Hub,
        *,
        clock: Clock,
        tls: ssl.SSLContext | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        self.admit = admit
        self.hub = hub
        self.clock = clock
        self.limits = limits
        self.refused: dict[str, int] = {}
        """How many were turned away before they watched, by reason."""
        self.open_sockets = 0
        self.most_sockets = _most_sockets(limits)
        self._tls = tls
        self._observers: set[ObserverProtocol] = set()
        self._deserted = asyncio.Event()
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._config = uvicorn.Config(
            app,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            # Otherwise whoever sends garbage writes a line of the log each time; it is counted.
            log_level="error",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            ws="none",
            h11_max_incomplete_event_size=limits.http_head_bytes,
            timeout_keep_alive=max(1, limits.http_idle_ms // 1000),
        )
        self._config.load()
        # The documented way takes a class; the protocol also needs to know its server.
        self._config.ws_protocol_class = partial(ObserverProtocol, self)  # type: ignore[assignment]

    @property
    def hop(self) -> Hop:
        """Return which of the two servers this is."""
        return self.hub.hop

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port as bound; only while started."""
        assert self._server is not None
        bound = self._server.sockets[0].getsockname()
        return str(bound[0]), int(bound[1])

    async def start(self, sock: socket.socket) -> None:
        """Listen on `sock` (see `bind`), which the server closes."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._http,
            sock=sock,
            ssl=self._tls,
            backlog=_BACKLOG,
            ssl_handshake_timeout=None if self._tls is None else self.limits.http_head_ms / 1000,
        )
        self._ticking = loop.create_task(self.hub.keep_ticking())

    async def close(self) -> None:
        """Stop accepting, tell every observer, let answers under way finish within their bound."""
        server, self._server = self._server, None
        if server is None:
            return
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        server.close()
        self.hub.close()
        for observer in tuple(self._observers):
            observer.shutdown()
        for connection in tuple(self._state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.limits.http_drain_ms / 1000):
                if self._state.tasks:
                    await asyncio.wait(tuple(self._state.tasks))
                if self._observers:
                    self._deserted.clear()
                    await self._deserted.wait()
        for task in tuple(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)
        for connection in tuple(self._state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        for observer in tuple(self._observers):
            observer.abort()
        await server.wait_closed()

    # The protocols tell:

    def upgraded(self, observer: ObserverProtocol) -> None:
        """A request became a WebSocket."""
        self._observers.add(observer)

    def lost(self, observer: ObserverProtocol) -> None:
        """A WebSocket is gone."""
        self._observers.discard(observer)
        self.open_sockets -= 1
        if not self._observers:
            self._deserted.set()

    def count_refused(self, reason: str) -> None:
        """Count somebody who was turned away."""
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def failed(self, what: str) -> None:
        """Log a defect; its traceback goes to the operator and to nobody else."""
        _log.exception("a defect in Yoi", what=what)

    def _http(self) -> "_BoundedHttp":
        return _BoundedHttp(self, self._config, self._state)


class _BoundedHttp(H11Protocol):
    """uvicorn's HTTP/1.1, with a deadline for request heads and a bound on open sockets."""

    def __init__(
        self, server: ObservationServer, config: uvicorn.Config, state: ServerState
    ) -> None:
        super().__init__(config=config, server_state=state, app_state={})
        self._server = server
        self._deadline: asyncio.TimerHandle | None = None
        self._handed_over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or hang up at once where there is no room."""
        super().connection_made(transport)
        self.app_state = {ABORT: transport.abort}
        self._server.open_sockets += 1
        if self._server.open_sockets > self._server.most_sockets:
            self._server.count_refused("connections")
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
        """Answer what is not HTTP, or hang up where an answer is under way already."""
        self._server.count_refused("malformed")
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self._answering:
            self.transport.write(_NOT_HTTP)
        self.transport.close()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the socket out, unless it lives on as a WebSocket."""
        self._disarm()
        self._server.open_sockets -= 1
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """Hand the transport over to an ObserverProtocol."""
        self._handed_over = True
        self._disarm()
        super().handle_websocket_upgrade(event)
        early, _ = self.conn.trailing_data
        if early and not self.transport.is_closing():
            # What came with the request in one piece; without it the rest would be misread.
            cast("ObserverProtocol", self.transport.get_protocol()).data_received(early)

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(
            self._server.limits.http_head_ms / 1000, self._too_slow
        )

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self._server.count_refused("slow")
        self.transport.abort()


def _most_sockets(limits: Limits) -> int:
    """Return how many may be open: half of all files are for journals, gateways and runtimes."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return limits.http_connections
    return min(limits.http_connections, allowed // 2)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to `host`, an IP address, and `port` (0 for any); not yet listening.

    A server's names depend on its port, so it is bound before anything else is made. Raises
    ServingError `serving.listen`.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it. Left alone the kernel holds megabytes for who reads slowly.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LIMITS.socket_send_bytes)
        sock.bind((host, port))
        sock.setblocking(False)
    except OSError as exc:
        sock.close()
        raise ServingError(
            "serving.listen",
            f"cannot listen at {host} port {port}: {exc.strerror or exc}",
            hint="choose another port with `listen` in .yoi/yoi.toml",
        ) from None
    return sock
