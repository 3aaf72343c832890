"""How often each peer may be wrong: guessing is bounded, and no peer uses up another's bound."""

import ipaddress
from collections import OrderedDict

from yoi.core.token_bucket import TokenBucket
from yoi.limits import LIMITS, Limits

_MINUTE = 60.0


class FailureLimit:
    """Counts failures by peer, `sign_in_failures` a minute each, for so many peers at once.

    A table that is full forgets the peer that failed longest ago. `now` is monotonic, in seconds.
    """

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._most = limits.sign_in_failures
        self._peers_most = limits.sign_in_peers
        self._peers: OrderedDict[str, TokenBucket] = OrderedDict()
        """How often each may still be wrong; the one that failed last is last."""

    def __len__(self) -> int:
        return len(self._peers)

    def failed(self, address: str, now: float) -> bool:
        """Count a failure of the peer at `address`; return whether it is still within its limit."""
        peer = _network(address)
        bucket = self._peers.pop(peer, None)
        if bucket is None:
            bucket = TokenBucket(self._most, now, period_s=_MINUTE)
        self._peers[peer] = bucket
        if len(self._peers) > self._peers_most:
            self._peers.popitem(last=False)
        return bucket.take(now)


def _network(address: str) -> str:
    """Return what one peer has: an IPv4 address, or all of an IPv6 network of 64 bits."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if found.version == 4:
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
