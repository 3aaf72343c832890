"""`Reach`: a host is reached at the first of its addresses where a server really answers.

TCP alone proves little: middleboxes accept for hosts that are gone. So an address that was
connected and then says nothing useful gives way to the next, within a bound. Beyond TCP addresses
are tried one after another: a server counts handshakes, and a ticket serves for one.
"""

import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from yoi.connections.machine_network import MachineNetwork
from yoi.connections.sockets import Open, Race, endpoint
from yoi.connections.timeouts import timeout
from yoi.core.address_order import AddressOrder
from yoi.errors import ConnectionFailure
from yoi.limits import Limits
from yoi.permissions import Url
from yoi.permissions.ways_out import Destination, ProxiedName
from yoi.types import Clock

T = TypeVar("T")
Attempt = Callable[[socket.socket, str], Awaitable[T]]
"""Uses a connected socket, whose address is given in words; closes the socket if it fails."""

_SAYS_NOTHING = frozenset({"connection.timeout", "connection.tls", "connection.refused"})


class Reach:
    """See the module docstring. One for all dials of a kind: it remembers what worked where."""

    def __init__(self, limits: Limits, clock: Clock, network: MachineNetwork) -> None:
        self._network = network
        self._limits = limits
        self._clock = clock
        self._order = AddressOrder(limits)

    async def __call__(
        self,
        url: Url,
        addresses: Sequence[Destination],
        attempt: Attempt[T],
        *,
        attempt_ms: float,
        what: str,
        open_one: Open,
    ) -> T:
        """Return what `attempt` makes of the first address that answers, of `addresses` only.

        At most `dial_addresses` are tried; those that failed of late come last the next time.
        An attempt has `attempt_ms`; where further addresses are left, `next_answer_ms` at most.
        `what` says in an error what did not happen in time. Raises ConnectionFailure, the first
        where each address failed in its own way; a server's refusal ends it at once.
        """
        host = url.host
        order = self._order.of(host, addresses, self._clock.monotonic())
        left = order[: self._limits.dial_addresses]
        first: ConnectionFailure | None = None
        while left:
            race = Race(url, self._limits, open_one)
            found = await race.run(left)
            for ip in race.failed:
                self._order.failed(host, ip, self._clock.monotonic())
            if found is None:
                raise first or self._refused(url, race, len(addresses))
            sock, ip = found
            left = [one for one in left if one != ip and one not in race.failed]
            ms = min(attempt_ms, self._limits.next_answer_ms) if left else attempt_ms
            try:
                async with timeout(ms, what):
                    made = await attempt(sock, _shown(ip, url.port))
            except ConnectionFailure as exc:
                if exc.code not in _SAYS_NOTHING and not exc.fields.get("hung_up"):
                    self._order.worked(host, ip)
                    raise
                self._order.failed(host, ip, self._clock.monotonic())
                first = first or exc
                continue
            self._order.worked(host, ip)
            return made
        assert first is not None, "an address that was left was tried"
        raise first

    def _refused(self, url: Url, race: Race, count: int) -> ConnectionFailure:
        problems = "; ".join(f"{ip}: {why}" for ip, why in list(race.failed.items())[:4])
        proxied = race.fault
        hint = self._network.hint() if proxied is None else proxied.hint
        tried = "no address answered"
        if count > len(race.failed):
            tried = f"none of {len(race.failed)} addresses answered, of {count} that the name has"
            hint = hint or "the next dial tries others first"
        return ConnectionFailure(
            "connection.refused" if proxied is None else proxied.code,
            f"{url.display}: {tried} ({problems})",
            host=url.host,
            hint=hint,
        )


def _shown(address: Destination, port: int) -> str:
    """Return where a socket leads, in words."""
    where = endpoint(address, port)
    return f"{where}, wherever the proxy leads" if isinstance(address, ProxiedName) else where
