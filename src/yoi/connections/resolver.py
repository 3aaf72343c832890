"""Names to addresses: looked up for each dial, and every answer judged before it is used."""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from yoi.connections.lookups import Answer, Lookups
from yoi.connections.machine_network import MachineNetwork
from yoi.errors import ConnectionFailure, PermissionDenied
from yoi.limits import LIMITS, Limits
from yoi.permissions import (
    Decision,
    IPAddress,
    Url,
    addresses_denied,
    may_dial,
    private_name_denied,
)
from yoi.permissions.ways_out import Destination, ProxiedName, is_private_name
from yoi.types import Clock, SystemClock

# What says nothing about the name: the name server is silent, unreachable or in trouble.
_NO_ANSWER = (socket.EAI_AGAIN, socket.EAI_FAIL, getattr(socket, "EAI_SYSTEM", socket.EAI_AGAIN))


class Resolver(Protocol):
    """Looks names up."""

    network: MachineNetwork
    """What the operator says of this machine's networks."""

    async def resolve(self, host: str, port: int) -> Sequence[IPAddress]:
        """Return the addresses of `host`, best first; raises OSError when there are none."""
        ...


class HostResolver(Resolver, Protocol):
    """Looks names up for every plugin of a host."""

    def of(self, plugin: str) -> Resolver:
        """Return the resolver of `plugin`, whose look-ups cost no other plugin anything."""
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    addresses: Sequence[IPAddress]
    at: float


class SystemResolver:
    """The operating system's resolver for one plugin; `of` returns that of another.

    An answer is used again for `names_fresh_ms`. Where the name server is silent the last answer
    serves for `names_stale_ms` more, and is given after `names_patience_ms`. The time in which a
    look-up waits for its turn is not counted.
    """

    def __init__(
        self,
        limits: Limits = LIMITS,
        *,
        plugin: str = "",
        lookups: Lookups | None = None,
        clock: Clock | None = None,
        others: "dict[str, SystemResolver] | None" = None,
        network: MachineNetwork | None = None,
    ) -> None:
        self.network = network or MachineNetwork()
        self._limits = limits
        self._plugin = plugin
        self._others = {} if others is None else others
        self._lookups = lookups or Lookups(limits)
        self._clock = clock or SystemClock()
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def of(self, plugin: str) -> "SystemResolver":
        """Return the resolver of `plugin`: it has a share and known answers of its own.

        Look-ups of the same name at the same time are made once for all.
        """
        found = self._others.pop(plugin, None) or SystemResolver(
            self._limits,
            plugin=plugin,
            lookups=self._lookups,
            clock=self._clock,
            others=self._others,
            network=self.network,
        )
        self._others[plugin] = found
        if len(self._others) > self._limits.services:
            del self._others[next(iter(self._others))]
        return found

    async def resolve(self, host: str, port: int) -> Sequence[IPAddress]:
        """Return the addresses of `host`, best first.

        Raises `connection.timeout` after `resolve_ms` without an answer, OSError or UnicodeError.
        """
        known = self._usable(host)
        if known is not None and self._age_ms(known) < self._limits.names_fresh_ms:
            return known.addresses
        answer = await self._lookups.begin(host, self._plugin)
        answer.add_done_callback(lambda done: self._learn(host, done))
        patience_ms = self._limits.resolve_ms if known is None else self._limits.names_patience_ms
        # Not wait_for: the answer is others' too, and may come in time for the next dial.
        await asyncio.wait({answer}, timeout=patience_ms / 1000)
        if not answer.done():
            if known is not None:
                return known.addresses
            raise ConnectionFailure(
                "connection.timeout",
                f"{host} could not be resolved within {patience_ms} ms",
                host=host,
                hint=self.network.name_hint()
                or "the name server is silent; names asked for before go on",
            )
        try:
            return answer.result()
        except OSError as exc:
            if known is not None and exc.errno in _NO_ANSWER:
                return known.addresses
            raise

    def _usable(self, host: str) -> _Known | None:
        known = self._known.get(host)
        if known is None:
            return None
        if self._age_ms(known) >= self._limits.names_stale_ms:
            del self._known[host]
            return None
        self._known.move_to_end(host)
        return known

    def _learn(self, host: str, answer: Answer) -> None:
        if answer.exception() is None and answer.result():
            self._known[host] = _Known(answer.result(), self._clock.monotonic())
            self._known.move_to_end(host)
            while len(self._known) > self._limits.names_per_plugin:
                self._known.popitem(last=False)
            return
        fault = answer.exception()
        if not isinstance(fault, OSError) or fault.errno not in _NO_ANSWER:
            self._known.pop(host, None)  # the name is gone: that is an answer

    def _age_ms(self, known: _Known) -> float:
        return (self._clock.monotonic() - known.at) * 1000


async def pin(
    url: Url, decision: Decision, resolver: Resolver, limits: Limits
) -> tuple[Destination, ...]:
    """Return the addresses that may be dialled for `url`, best first, families in turn.

    At most `name_addresses`; the name itself where the operator's proxy looks names up. Raises
    `connection.dns`, `connection.timeout`, or PermissionDenied (`denied.address`) when the name
    leads only where `decision` does not, or is one of a private network.
    """
    private, network = decision.private_addresses, resolver.network.settings
    if network.hands_over(url):
        if not private and is_private_name(url.host):
            denied = private_name_denied(url)
            raise PermissionDenied(
                "denied.address", denied.message, hint=denied.hint, host=url.host
            )
        return (ProxiedName(url.host),)
    found = [url.ip] if url.ip is not None else await look_up(url, resolver)
    allowed = [ip for ip in found if may_dial(ip, url, private, network.assume_public)]
    if not allowed:
        denied = addresses_denied(url, found, private)
        raise PermissionDenied("denied.address", denied.message, hint=denied.hint, host=url.host)
    first = allowed[0].version
    same = [ip for ip in allowed if ip.version == first]
    other = [ip for ip in allowed if ip.version != first]
    turns = [ip for pair in zip(same, other, strict=False) for ip in pair]
    rest = same[len(other) :] or other[len(same) :]
    return tuple([*turns, *rest][: limits.name_addresses])


async def look_up(url: Url, resolver: Resolver) -> Sequence[IPAddress]:
    """Return all addresses of the host of `url`. Raises `connection.dns`, `connection.timeout`."""
    try:
        found = await resolver.resolve(url.host, url.port)
    except (OSError, UnicodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
        raise ConnectionFailure(
            "connection.dns",
            f"{url.host} could not be resolved: {why}",
            host=url.host,
            hint=resolver.network.name_hint(),
        ) from None
    if not found:
        raise ConnectionFailure(
            "connection.dns",
            f"{url.host} has no address",
            host=url.host,
            hint=resolver.network.name_hint(),
        )
    return found
