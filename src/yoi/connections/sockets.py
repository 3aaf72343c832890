"""Connected sockets to addresses that were judged, and TLS on them.

The one way a socket leaves this machine for a plugin, for WebSockets and requests alike. Nothing
here looks a name up: the address that was judged is the address that is connected, and the name
that was authorised is the name that SNI and the certificate are held to.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import TypeVar

from yoi.errors import ConnectionFailure
from yoi.limits import Limits
from yoi.permissions import IPAddress, Url

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


def default_tls() -> ssl.SSLContext:
    """Return a context that verifies certificate and name against the system's authorities."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class TlsContext:
    """A context that `make` builds once, when TLS is first needed."""

    def __init__(self, make: Callable[[], ssl.SSLContext]) -> None:
        self._make = make
        self._made: ssl.SSLContext | None = None

    def get(self) -> ssl.SSLContext:
        """Return the context."""
        if self._made is None:
            self._made = self._make()
        return self._made


async def connect(
    url: Url, addresses: Sequence[IPAddress], limits: Limits
) -> tuple[socket.socket, str]:
    """Return a connected socket and its address in words, trying `addresses` in turn.

    Each has an equal share of `connect_ms`. Raises `connection.refused`.
    """
    loop = asyncio.get_running_loop()
    share = limits.connect_ms / 1000 / max(1, len(addresses))
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


async def attach(
    make_protocol: Callable[[], _P],
    sock: socket.socket,
    url: Url,
    tls: TlsContext,
    limits: Limits,
) -> tuple[asyncio.Transport, _P]:
    """Put a protocol on the connected socket, behind TLS where the scheme says so.

    Closes the socket when it fails. Raises `connection.tls`, `connection.refused`.
    """
    loop = asyncio.get_running_loop()
    try:
        if not url.secure:
            return await loop.create_connection(make_protocol, sock=sock)
        return await loop.create_connection(
            make_protocol,
            sock=sock,
            ssl=tls.get(),
            server_hostname=url.server_name or url.host,
            ssl_handshake_timeout=limits.connect_ms / 1000,
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
        sock.close()
        raise
