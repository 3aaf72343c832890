"""`SocketConnector`: connects to addresses that were judged, does TLS, and upgrades.

The one way a socket leaves this machine for a plugin. Nothing here looks a name up: the address
that was judged is the address that is connected, and the name that was authorised is the name that
SNI and the certificate are held to.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence

from yoi.connections.connector import Connector, Wire
from yoi.connections.handshake import new_protocol
from yoi.connections.plan import ConnectionPlan
from yoi.connections.wire import SocketWire
from yoi.connections.within import within
from yoi.errors import ConnectionFailure
from yoi.limits import LIMITS, Limits
from yoi.permissions import Decision, IPAddress, Url
from yoi.types import Clock, SystemClock


def default_tls() -> ssl.SSLContext:
    """Return a context that verifies certificate and name against the system's authorities."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def default_connector(limits: Limits = LIMITS) -> Connector:
    """Return the connector of a real host: TCP, and TLS verified by the system's authorities."""
    return SocketConnector(limits=limits)


class SocketConnector:
    """A `yoi.connections.Connector` over TCP and TLS; one serves all connections of a host.

    `tls` makes the context once, when a wss URL is first dialled.
    """

    def __init__(
        self,
        *,
        limits: Limits = LIMITS,
        tls: Callable[[], ssl.SSLContext] = default_tls,
        clock: Clock | None = None,
    ) -> None:
        self._limits = limits
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None
        self._clock = clock or SystemClock()

    async def dial(
        self, plan: ConnectionPlan, decision: Decision, addresses: Sequence[IPAddress]
    ) -> Wire:
        """Return an open wire to `plan.url` at one of `addresses`.

        Raises ConnectionFailure: `connection.refused`, `connection.tls`, `connection.handshake`,
        `connection.redirect`, `connection.timeout`.
        """
        url, limits = plan.url, self._limits
        async with within(limits.connect_ms, f"{url.display} could not be connected"):
            sock, address = await self._connect(url, addresses)
            protocol = new_protocol(plan, decision.max_message_bytes or limits.message_bytes)
            wire = SocketWire(protocol, address, limits=limits, clock=self._clock)
            await self._attach(wire, sock, url)
        try:
            async with within(limits.handshake_ms, f"{url.display} did not finish the handshake"):
                await wire.upgraded
        except BaseException:
            wire.abort()
            raise
        return wire

    async def _connect(self, url: Url, addresses: Sequence[IPAddress]) -> tuple[socket.socket, str]:
        """Return a connected socket, trying one address after another in equal shares of time."""
        loop = asyncio.get_running_loop()
        share = self._limits.connect_ms / 1000 / max(1, len(addresses))
        problems: list[str] = []
        for ip in addresses:
            family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                async with asyncio.timeout(share):
                    await loop.sock_connect(sock, (str(ip), url.port))
            except OSError as exc:  # TimeoutError is one
                sock.close()
                problems.append(f"{ip}: {exc.strerror or exc or 'no answer in time'}")
            except BaseException:
                sock.close()
                raise
            else:
                return sock, f"[{ip}]:{url.port}" if ip.version == 6 else f"{ip}:{url.port}"
        raise ConnectionFailure(
            "connection.refused",
            f"{url.display}: no address answered ({'; '.join(problems[:4])})",
            host=url.host,
        )

    async def _attach(self, wire: SocketWire, sock: socket.socket, url: Url) -> None:
        """Put `wire` on the connected socket, behind TLS where the scheme says so."""
        loop = asyncio.get_running_loop()
        try:
            if not url.secure:
                await loop.create_connection(lambda: wire, sock=sock)
                return
            if self._tls is None:
                self._tls = self._make_tls()
            await loop.create_connection(
                lambda: wire,
                sock=sock,
                ssl=self._tls,
                server_hostname=url.server_name or url.host,
                ssl_handshake_timeout=self._limits.connect_ms / 1000,
            )
        except OSError as exc:  # ssl.SSLError is one
            sock.close()
            if not url.secure:
                raise ConnectionFailure("connection.refused", f"{url.display}: {exc}") from None
            why = getattr(exc, "verify_message", "") or exc
            raise ConnectionFailure(
                "connection.tls", f"TLS with {url.host} failed: {why}", host=url.host
            ) from None
        except BaseException:
            wire.abort()
            sock.close()
            raise
