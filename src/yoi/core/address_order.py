"""`AddressOrder`: the order in which the addresses of a host are tried. Sans-I/O.

The family that worked last comes first and the families take turns (RFC 8305 4); an address that
did not get as far as an answer comes last for `address_doubt_ms`, the longest ago before the
others: a name with many dead addresses is gone through dial by dial. No address is ever left out.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from yoi.limits import LIMITS, Limits
from yoi.permissions.ways_out import Destination


@dataclass(slots=True)
class _Seen:
    family: int | None = None
    doubtful: dict[Destination, float] = field(default_factory=dict)
    """Until when, in monotonic seconds."""


class AddressOrder:
    """See the module docstring. Bounded: the host that was dialled longest ago is forgotten."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._hosts: OrderedDict[str, _Seen] = OrderedDict()

    def of(self, host: str, addresses: Sequence[Destination], now: float) -> list[Destination]:
        """Return `addresses` in the order in which to try them."""
        seen = self._hosts.get(host)
        if seen is None:
            return list(addresses)
        doubtful = sorted(
            (ip for ip in addresses if seen.doubtful.get(ip, now) > now),
            key=seen.doubtful.__getitem__,
        )
        good = [ip for ip in addresses if seen.doubtful.get(ip, now) <= now]
        return [*_in_turn(good, seen.family), *doubtful]

    def worked(self, host: str, address: Destination) -> None:
        """Take note that a server answered at `address`."""
        seen = self._seen(host)
        seen.family = address.version
        seen.doubtful.pop(address, None)

    def failed(self, host: str, address: Destination, now: float) -> None:
        """Take note that nothing useful came from `address`."""
        doubtful = self._seen(host).doubtful
        doubtful.pop(address, None)
        doubtful[address] = now + self._limits.address_doubt_ms / 1000
        if len(doubtful) > self._limits.name_addresses:
            del doubtful[next(iter(doubtful))]

    def _seen(self, host: str) -> _Seen:
        seen = self._hosts.setdefault(host, _Seen())
        self._hosts.move_to_end(host)
        if len(self._hosts) > self._limits.address_hosts:
            self._hosts.popitem(last=False)
        return seen


def _in_turn(addresses: list[Destination], family: int | None) -> list[Destination]:
    """Return `addresses` with those of `family` at the odd places, as long as there are some."""
    first = [ip for ip in addresses if ip.version == family]
    other = [ip for ip in addresses if ip.version != family]
    turns = [ip for pair in zip(first, other, strict=False) for ip in pair]
    return [*turns, *first[len(other) :], *other[len(first) :]]
