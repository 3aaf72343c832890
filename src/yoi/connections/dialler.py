"""`SocketConnector`: connects to addresses that were judged, does TLS, and upgrades."""

import socket
import ssl
from collections.abc import Callable, Sequence

from yoi.connections import sockets
from yoi.connections.connector import WebSocket
from yoi.connections.handshake import new_protocol
from yoi.connections.reach import Reach
from yoi.connections.sockets import default_tls
from yoi.connections.target import DialTarget
from yoi.connections.tls_failures import tls_failure
from yoi.connections.ways import Ways
from yoi.connections.websocket import AsyncioWebSocket
from yoi.limits import LIMITS, Limits
from yoi.permissions import Decision
from yoi.permissions.connection_settings import Handshake
from yoi.permissions.ways_out import Destination
from yoi.types import Clock, SystemClock


class SocketConnector:
    """A `yoi.connections.Connector` over TCP and TLS; one serves all connections of a host.

    `ways` are those of the host; without them everything is dialled directly, and `tls` makes the
    context once, when a wss URL is first dialled.
    """

    def __init__(
        self,
        *,
        limits: Limits = LIMITS,
        tls: Callable[[], ssl.SSLContext] = default_tls,
        ways: Ways | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._limits = limits
        self._ways = ways or Ways(limits=limits, tls=tls)
        self._clock = clock or SystemClock()
        self._reach = Reach(limits, self._clock, self._ways.network)

    async def dial(
        self,
        handshake: Handshake,
        target: DialTarget,
        decision: Decision,
        addresses: Sequence[Destination],
    ) -> WebSocket:
        """Return an open WebSocket to `target` at one of `addresses`.

        Raises ConnectionFailure: `connection.refused`, `connection.tls`, `connection.handshake`,
        `connection.redirect`, `connection.timeout`, `connection.proxy` and its kin.
        """
        url, limits = target.url, self._limits
        size = decision.max_message_bytes or limits.message_bytes

        async def upgrade(sock: socket.socket, address: str) -> WebSocket:
            protocol = new_protocol(handshake, target, size, self._ways.network.user_agent)
            made = AsyncioWebSocket(protocol, address, limits=limits, clock=self._clock)
            try:
                await sockets.attach(
                    lambda: made, sock, url, self._ways.contexts, limits, target.certificate
                )
                await made.upgraded
            except ssl.SSLError as exc:
                made.abort()
                raise tls_failure(url, exc, target.certificate) from None
            except BaseException:
                made.abort()
                raise
            return made

        return await self._reach(
            url,
            addresses,
            upgrade,
            attempt_ms=limits.handshake_ms,
            what=f"{url.display} did not finish the handshake",
            open_one=self._ways.open,
        )
