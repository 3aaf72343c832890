"""Connected sockets to addresses that were judged, and TLS on them.

The one way a socket leaves this machine for a plugin, for WebSockets and requests alike. Nothing
here looks a name up: the address that was judged is the address that is connected, and the name
that was authorised is the name that SNI and the certificate are held to.
"""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from yoi.connections.client_certificate import ClientCertificate
from yoi.connections.tls_failures import tls_failure
from yoi.errors import ConnectionFailure
from yoi.limits import Limits
from yoi.permissions import Url
from yoi.permissions.ways_out import Destination, ProxiedName

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


def default_tls() -> ssl.SSLContext:
    """Return a context that verifies certificate and name against the system's authorities."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


Open = Callable[[Destination, Url], Coroutine[None, None, socket.socket]]
"""Connects a socket to an address, at the URL's port. Raises OSError, ConnectionFailure."""


async def open_direct(ip: Destination, url: Url) -> socket.socket:
    """Return a TCP socket connected to `ip`. Raises OSError; ConnectionFailure for a name."""
    if isinstance(ip, ProxiedName):
        raise ConnectionFailure(
            "connection.proxy", "the proxy that looks names up is gone from host.toml"
        )
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (str(ip), url.port))
    except BaseException:
        sock.close()
        raise
    return sock


class Race:
    """The first of several addresses that is connected (RFC 8305 5).

    The next address is tried after `next_address_ms`, or at once when the one before has failed.
    """

    def __init__(self, url: Url, limits: Limits, open_one: Open) -> None:
        self.failed: dict[Destination, str] = {}
        """Why the addresses failed that have failed so far."""
        self.fault: ConnectionFailure | None = None
        """The first failure that was not the address's own: the proxy's."""
        self._url = url
        self._limits = limits
        self._open = open_one
        self._running: dict[asyncio.Task[socket.socket], Destination] = {}

    async def run(
        self, addresses: Sequence[Destination]
    ) -> tuple[socket.socket, Destination] | None:
        """Return a connected socket and its address, within `connect_ms`; None: none answered."""
        loop = asyncio.get_running_loop()
        waiting = list(addresses)
        until = loop.time() + self._limits.connect_ms / 1000
        try:
            while waiting or self._running:
                if waiting:
                    ip = waiting.pop(0)
                    self._running[loop.create_task(self._open(ip, self._url))] = ip
                left = until - loop.time()
                pause = min(left, self._limits.next_address_ms / 1000) if waiting else left
                await asyncio.wait(
                    self._running, timeout=max(0.0, pause), return_when=asyncio.FIRST_COMPLETED
                )
                found = self._first_done()
                if found is not None:
                    return found
                if loop.time() >= until:
                    self._give_up(waiting)
                    return None
            return None
        finally:
            await self._drop()

    def _first_done(self) -> tuple[socket.socket, Destination] | None:
        for task in [task for task in self._running if task.done()]:
            ip = self._running.pop(task)
            try:
                return task.result(), ip
            except OSError as exc:
                self.failed[ip] = _why(exc)
            except ConnectionFailure as exc:
                self.failed[ip] = exc.message
                self.fault = self.fault or exc
        return None

    def _give_up(self, waiting: Sequence[Destination]) -> None:
        for ip in (*self._running.values(), *waiting):
            self.failed[ip] = "no answer in time"

    async def _drop(self) -> None:
        """End what is under way, sockets that were connected meanwhile included."""
        left, self._running = list(self._running), {}
        for task in left:
            task.cancel()
        for made in await asyncio.gather(*left, return_exceptions=True):
            if isinstance(made, socket.socket):
                made.close()


def _why(exc: OSError) -> str:
    """Return why a socket was not connected, as the system says it.

    asyncio puts the call and the address that failed into `strerror`.
    """
    if exc.errno is not None and exc.errno in errno.errorcode:
        return os.strerror(exc.errno)
    return str(exc) or "no answer in time"


def endpoint(address: Destination, port: int) -> str:
    """Return an address, or a name for the proxy, and a port."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


class Tls(Protocol):
    """The contexts of all hosts."""

    def of(self, host: str, certificate: ClientCertificate | None = None) -> ssl.SSLContext:
        """Return the context for `host`, which presents `certificate` where that is demanded."""
        ...

    def files(self, host: str) -> Sequence[Path]:
        """Return the files whose authorities are trusted for `host` beside the system's."""
        ...


async def attach(
    make_protocol: Callable[[], _P],
    sock: socket.socket,
    url: Url,
    tls: Tls,
    limits: Limits,
    certificate: ClientCertificate | None = None,
) -> tuple[asyncio.Transport, _P]:
    """Put a protocol on the connected socket, behind TLS where the scheme says so.

    `certificate` is presented where that is demanded.

    Closes the socket when it fails. Raises `connection.tls`, `connection.refused`.
    """
    loop = asyncio.get_running_loop()
    try:
        context = tls.of(url.host, certificate) if url.secure else None
        if context is None:
            return await loop.create_connection(make_protocol, sock=sock)
        return await loop.create_connection(
            make_protocol,
            sock=sock,
            ssl=context,
            server_hostname=url.server_name or url.host,
            ssl_handshake_timeout=limits.connect_ms / 1000,
        )
    except OSError as exc:  # ssl.SSLError is one
        sock.close()
        if not url.secure:
            raise ConnectionFailure("connection.refused", f"{url.display}: {exc}") from None
        raise tls_failure(url, exc, certificate, tls.files(url.host)) from None
    except BaseException:
        sock.close()
        raise
