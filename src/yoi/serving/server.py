"""The listener of a runtime or a backend: HTTP/1.1 for an ASGI app, and WebSockets, on one port.

uvicorn serves the app within our bounds (serving/http.py); WebSockets go past it
(serving/observer.py).
"""

import asyncio
import contextlib
import errno
import socket
import ssl
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from yoi.errors import ServingError
from yoi.limits import LIMITS, Limits
from yoi.serving.admission import Admit
from yoi.serving.http import BoundedHttp
from yoi.serving.hub import Hub
from yoi.serving.observer import ObserverContext, ObserverProtocol
from yoi.serving.sockets import OpenSockets
from yoi.types import Clock

_BACKLOG = 512

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
        self.sockets = OpenSockets(limits)
        self._hub = hub
        self._limits = limits
        self._tls = tls
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._config = uvicorn.Config(
            app,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            # Otherwise a client that sends garbage writes a line of the log each time; it is
            # counted instead.
            log_level="error",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            ws="none",
            timeout_keep_alive=max(1, limits.http_idle_ms // 1000),
        )
        self._config.load()
        # The documented way takes a class; the protocol also needs what it serves.
        self._config.ws_protocol_class = partial(  # type: ignore[assignment]
            ObserverProtocol, ObserverContext(admit, hub, self.sockets, clock, limits)
        )

    @property
    def refused(self) -> Mapping[str, int]:
        """Return how many were turned away before they watched, by reason."""
        return self.sockets.refused

    @property
    def open_sockets(self) -> int:
        """Return how many sockets are open."""
        return self.sockets.open

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port as bound; only while started."""
        assert self._server is not None
        bound = self._server.sockets[0].getsockname()
        return str(bound[0]), int(bound[1])

    async def start(self, sock: socket.socket) -> None:
        """Listen on `sock` (see `bind`), which this server closes."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            partial(BoundedHttp, self._config, self._state, self.sockets, self._limits),
            sock=sock,
            ssl=self._tls,
            backlog=_BACKLOG,
            ssl_handshake_timeout=None if self._tls is None else self._limits.http_head_ms / 1000,
        )
        self._ticking = loop.create_task(self._hub.keep_ticking())

    async def close(self) -> None:
        """Stop accepting, tell every observer, let answers under way finish within their bound."""
        server, self._server = self._server, None
        if server is None:
            return
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        server.close()
        self._hub.close()
        for observer in self.sockets.observers:
            observer.shutdown()
        for connection in tuple(self._state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.http_drain_ms / 1000):
                if self._state.tasks:
                    await asyncio.wait(tuple(self._state.tasks))
                await self.sockets.deserted()
        for task in tuple(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)
        for connection in tuple(self._state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        for observer in self.sockets.observers:
            observer.abort()
        await server.wait_closed()


def bind(host: str, port: int, table: str = "observation") -> socket.socket:
    """Return a socket bound to `host`, an IP address, and `port` (0 for any); not yet listening.

    `table` is the table of yoi.toml that says where.

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
        raise _cannot_listen(host, port, table, exc) from None
    return sock


def _cannot_listen(host: str, port: int, table: str, exc: OSError) -> ServingError:
    beside = port + 1 if port < 65535 else port - 1
    words = f"cannot listen at {host} port {port}: {exc.strerror or exc}"
    shown = f"[{host}]" if ":" in host else host
    hint = (
        f'choose another address: [{table}] listen = "{shown}:{beside}"\n'
        "in host.toml for this machine, or in .yoi/yoi.toml (then: yoi trust)"
    )
    if exc.errno == errno.EADDRINUSE:
        words = f"port {port} of {host} is taken, by another Yoi or another program"
        who = f"ss -ltnp 'sport = :{port}'"
        if sys.platform == "darwin":
            who = f"lsof -nP -iTCP:{port} -sTCP:LISTEN"
        hint = f"see who has it: {who}\n{hint}"
        if table == "observation":
            hint += "\nor take any free port for once: yoi serve --port 0"
    return ServingError("serving.listen", words, hint=hint)
