"""Names to addresses: looked up once per dial, and every answer judged before it is used."""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Protocol

from yoi.connections.timeouts import timeout
from yoi.errors import ConnectionFailure, PermissionDenied
from yoi.limits import LIMITS, Limits
from yoi.permissions import Decision, IPAddress, Url, addresses_denied, may_dial


class Resolver(Protocol):
    """Looks names up."""

    async def resolve(self, host: str, port: int) -> Sequence[IPAddress]:
        """Return the addresses of `host`, best first; raises OSError when there are none."""
        ...


class SystemResolver:
    """The operating system's resolver, on the loop's own threads; bounded by `resolve_ms`."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits

    async def resolve(self, host: str, port: int) -> Sequence[IPAddress]:
        """Return what getaddrinfo answers, without repetitions."""
        loop = asyncio.get_running_loop()
        async with timeout(self._limits.resolve_ms, f"{host} could not be resolved"):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))


async def pin(
    url: Url, decision: Decision, resolver: Resolver, limits: Limits
) -> tuple[IPAddress, ...]:
    """Return the addresses that may be dialled for `url`, best first, families in turn.

    At most `dial_addresses`. Raises `connection.dns`, `connection.timeout`, or PermissionDenied
    (`denied.address`) when the name leads only where `decision` does not.
    """
    found = [url.ip] if url.ip is not None else await _resolve(url, resolver)
    private = decision.private_addresses
    allowed = [ip for ip in found if may_dial(ip, url, private, limits.assume_public)]
    if not allowed:
        denied = addresses_denied(url, found, private)
        raise PermissionDenied("denied.address", denied.message, hint=denied.hint, host=url.host)
    first = allowed[0].version
    same = [ip for ip in allowed if ip.version == first]
    other = [ip for ip in allowed if ip.version != first]
    turns = [ip for pair in zip(same, other, strict=False) for ip in pair]
    rest = same[len(other) :] or other[len(same) :]
    return tuple([*turns, *rest][: limits.dial_addresses])


async def _resolve(url: Url, resolver: Resolver) -> Sequence[IPAddress]:
    try:
        found = await resolver.resolve(url.host, url.port)
    except (OSError, UnicodeError) as exc:
        raise ConnectionFailure(
            "connection.dns", f"{url.host} could not be resolved: {exc}", host=url.host
        ) from None
    if not found:
        raise ConnectionFailure("connection.dns", f"{url.host} has no address", host=url.host)
    return found
