"""Asking a proxy to lead somewhere: HTTP CONNECT and SOCKS 5.

The proxy is given the address that was judged: what was checked is what is connected. It is given
a name only where the operator says that it looks names up. Nothing that the proxy says is repeated
beyond a status or a number, and little of it is read.
"""

import asyncio
import base64
import socket

import h11

from yoi.connections.sockets import endpoint
from yoi.errors import ConnectionFailure
from yoi.limits import Limits
from yoi.permissions.ways_out import Destination, ProxiedName, Proxy, ProxyKind

_START = b"HTTP/1."
_NO_LOGIN, _LOGIN = 0, 2
_SOCKS_REFUSALS = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "the network cannot be reached",
    4: "the host cannot be reached",
    5: "the connection was refused",
    6: "no answer in time",
    7: "CONNECT is not supported",
    8: "the kind of address is not supported",
}


_SETTING = "look at `proxy` in [network] of host.toml"


async def lead(
    sock: socket.socket, proxy: Proxy, address: Destination, port: int, limits: Limits
) -> None:
    """Have `proxy`, to which `sock` is connected, connect it to `address`.

    Raises ConnectionFailure: `connection.proxy_credentials`, `connection.proxy_refused`,
    `connection.proxy_protocol`, `connection.proxy_lost`; and OSError. It has no bound on time.
    """
    talk = _Talk(sock, proxy, limits)
    if proxy.kind is ProxyKind.HTTP:
        await _connect(talk, address, port)
    else:
        await _socks5(talk, address, port)


class _Talk:
    """Reads and writes within the bound on bytes."""

    def __init__(self, sock: socket.socket, proxy: Proxy, limits: Limits) -> None:
        self.proxy = proxy
        self.limits = limits
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    async def write(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._sock, data)

    async def some(self, most: int) -> bytes:
        """Return some bytes; raises where the proxy hangs up."""
        data = await self._loop.sock_recv(self._sock, most)
        if not data:
            raise self._failed("lost", "hung up", _SETTING)
        return data

    async def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += await self.some(count - len(data))
        return data

    def broke(self, what: str) -> ConnectionFailure:
        """Return what to raise where the answer is not a proxy's."""
        return self._failed("protocol", what, _SETTING)

    def credentials(self) -> ConnectionFailure:
        proxy = self.proxy
        where = proxy.where.replace("://", "://USER:PASSWORD@")
        return self._failed(
            "credentials",
            "refuses the credentials" if proxy.user else "asks for credentials",
            f'write them to [network] of host.toml: proxy = "{where}"',
        )

    def refused(self, what: str, address: Destination) -> ConnectionFailure:
        """Return what to raise where the proxy does not lead to `address`."""
        if isinstance(address, ProxiedName):
            hint = f"the proxy was given the name {address.host}: does it know it, and allow it?"
        else:
            hint = (
                "it was asked for the address; a proxy that is to be given names needs "
                "proxy_resolves = true in [network] of host.toml"
            )
        return self._failed("refused", f"{what} when it was asked for {address}", hint)

    def _failed(self, problem: str, what: str, hint: str) -> ConnectionFailure:
        where = self.proxy.where
        return ConnectionFailure(
            f"connection.proxy_{problem}", f"the proxy {where} {what}", hint=hint, proxy=where
        )


async def _connect(talk: _Talk, address: Destination, port: int) -> None:
    proxy = talk.proxy
    where = endpoint(address, port)
    headers = [("Host", where)]
    if proxy.user:
        login = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        headers.append(("Proxy-Authorization", f"Basic {login}"))
    most = talk.limits.proxy_answer_bytes
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=2 * most)
    request = h11.Request(method="CONNECT", target=where, headers=headers)
    await talk.write(http.send(request) or b"")
    said = b""
    while True:
        try:
            event = http.next_event()
        except h11.RemoteProtocolError:
            raise talk.broke("does not answer as an HTTP proxy") from None
        if isinstance(event, h11.Response):
            break
        if event is h11.NEED_DATA:
            if len(said) >= most:
                raise talk.broke(f"answers with more than {most} bytes")
            data = await talk.some(most - len(said))
            said += data
            if said[: len(_START)] != _START[: len(said)]:
                # h11 would wait for the end of a head: a mail server's greeting has none.
                raise talk.broke("does not answer as an HTTP proxy")
            http.receive_data(data)
    if event.status_code == 407:
        raise talk.credentials()
    if not 200 <= event.status_code < 300:
        raise talk.refused(f"answered {event.status_code}", address)
    if http.trailing_data[0]:
        raise talk.broke("sends data of its own where the server's must begin")


async def _socks5(talk: _Talk, address: Destination, port: int) -> None:
    proxy = talk.proxy
    methods = bytes((_NO_LOGIN, _LOGIN)) if proxy.user else bytes((_NO_LOGIN,))
    await talk.write(bytes((5, len(methods))) + methods)
    version, method = await talk.exactly(2)
    if version != 5:
        raise talk.broke("does not answer as a SOCKS 5 proxy")
    if method == _LOGIN and proxy.user:
        user, password = proxy.user.encode(), proxy.password.encode()
        parts = bytes((1, len(user))), user, bytes((len(password),)), password
        await talk.write(b"".join(parts))
        if (await talk.exactly(2))[1] != 0:
            raise talk.credentials()
    elif method != _NO_LOGIN:
        raise talk.credentials()
    await talk.write(bytes((5, 1, 0)) + _socks_address(address) + port.to_bytes(2, "big"))
    version, reply, _, kind = await talk.exactly(4)
    if version != 5:
        raise talk.broke("does not answer as a SOCKS 5 proxy")
    if reply != 0:
        why = _SOCKS_REFUSALS.get(reply, f"failure {reply}")
        raise talk.refused(f"answered: {why}", address)
    # Where it connected from; a name is its length and so many bytes.
    sizes = {1: 4, 4: 16}
    if kind == 3:
        size = (await talk.exactly(1))[0]
    elif kind in sizes:
        size = sizes[kind]
    else:
        raise talk.broke("does not answer as a SOCKS 5 proxy")
    await talk.exactly(size + 2)


def _socks_address(address: Destination) -> bytes:
    if isinstance(address, ProxiedName):
        name = address.host.encode("ascii")
        return bytes((3, len(name))) + name
    return bytes((1 if address.version == 4 else 4,)) + address.packed
