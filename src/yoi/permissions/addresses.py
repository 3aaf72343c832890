"""Which addresses a name may lead to: Yoi's own table, so the answer never changes under it.

The standard library's `is_private` and `is_global` differ between patch releases. Sources: the IANA
special-purpose address registries, RFC 6890 and successors, and the cloud vendors' documents for
the metadata services.
"""

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from yoi.permissions.hosts import IPAddress
    from yoi.permissions.url import Url


Network = IPv4Network | IPv6Network


class AddressClass(StrEnum):
    """What an address is for; only `PUBLIC` ones are dialled without further permission."""

    PUBLIC = "public"
    UNSPECIFIED = "unspecified"
    THIS_NETWORK = "this-network"
    LOOPBACK = "loopback"
    PRIVATE = "private"
    SHARED = "carrier-grade NAT"
    LINK_LOCAL = "link-local"
    UNIQUE_LOCAL = "unique-local"
    SITE_LOCAL = "site-local"
    METADATA = "cloud metadata"
    MULTICAST = "multicast"
    BROADCAST = "broadcast"
    DOCUMENTATION = "documentation"
    BENCHMARKING = "benchmarking"
    IPV4_MAPPED = "IPv4-mapped"
    IPV4_COMPATIBLE = "IPv4-compatible"
    IPV4_TRANSLATED = "IPv4-translated"
    NAT64 = "NAT64"
    SIX_TO_FOUR = "6to4"
    TEREDO = "Teredo"
    DISCARD = "discard"
    ORCHID = "ORCHID"
    RESERVED = "reserved"


_TABLE: tuple[tuple[str, AddressClass], ...] = (
    # IPv4
    ("0.0.0.0/32", AddressClass.UNSPECIFIED),
    ("0.0.0.0/8", AddressClass.THIS_NETWORK),
    ("10.0.0.0/8", AddressClass.PRIVATE),
    ("100.64.0.0/10", AddressClass.SHARED),
    ("100.100.100.200/32", AddressClass.METADATA),  # Alibaba Cloud
    ("127.0.0.0/8", AddressClass.LOOPBACK),
    ("168.63.129.16/32", AddressClass.METADATA),  # Azure's host agent, in public space
    ("169.254.0.0/16", AddressClass.LINK_LOCAL),
    ("169.254.169.254/32", AddressClass.METADATA),  # most clouds
    ("169.254.170.2/32", AddressClass.METADATA),  # ECS task credentials
    ("169.254.170.23/32", AddressClass.METADATA),  # EKS pod credentials
    ("172.16.0.0/12", AddressClass.PRIVATE),
    ("192.0.0.0/24", AddressClass.RESERVED),
    ("192.0.0.192/32", AddressClass.METADATA),  # Oracle Cloud, classic
    ("192.0.2.0/24", AddressClass.DOCUMENTATION),
    ("192.88.99.0/24", AddressClass.SIX_TO_FOUR),
    ("192.168.0.0/16", AddressClass.PRIVATE),
    ("198.18.0.0/15", AddressClass.BENCHMARKING),
    ("198.51.100.0/24", AddressClass.DOCUMENTATION),
    ("203.0.113.0/24", AddressClass.DOCUMENTATION),
    ("224.0.0.0/4", AddressClass.MULTICAST),
    ("240.0.0.0/4", AddressClass.RESERVED),
    ("255.255.255.255/32", AddressClass.BROADCAST),
    # IPv6: only 2000::/3 is handed out as global unicast; the rest is reserved unless named here.
    ("::/128", AddressClass.UNSPECIFIED),
    ("::1/128", AddressClass.LOOPBACK),
    ("::/96", AddressClass.IPV4_COMPATIBLE),
    ("::ffff:0:0/96", AddressClass.IPV4_MAPPED),
    ("::ffff:0:0:0/96", AddressClass.IPV4_TRANSLATED),
    ("64:ff9b::/96", AddressClass.NAT64),
    ("64:ff9b:1::/48", AddressClass.NAT64),
    ("100::/64", AddressClass.DISCARD),
    ("2000::/3", AddressClass.PUBLIC),
    ("2001::/23", AddressClass.RESERVED),
    ("2001::/32", AddressClass.TEREDO),
    ("2001:2::/48", AddressClass.BENCHMARKING),
    ("2001:10::/28", AddressClass.ORCHID),
    ("2001:20::/28", AddressClass.ORCHID),
    ("2001:db8::/32", AddressClass.DOCUMENTATION),
    ("2002::/16", AddressClass.SIX_TO_FOUR),
    ("3fff::/20", AddressClass.DOCUMENTATION),
    ("fc00::/7", AddressClass.UNIQUE_LOCAL),
    ("fd00:ec2::254/128", AddressClass.METADATA),  # AWS
    ("fd20:ce::254/128", AddressClass.METADATA),  # Google Cloud
    ("fe80::/10", AddressClass.LINK_LOCAL),
    ("fec0::/10", AddressClass.SITE_LOCAL),
    ("ff00::/8", AddressClass.MULTICAST),
)

# (network as int, mask as int, class), longest prefix first: the first hit is the answer.
_Row = tuple[int, int, AddressClass]


def _rows(version: type[IPv4Network] | type[IPv6Network]) -> tuple[_Row, ...]:
    parsed = [
        (version(text), kind) for text, kind in _TABLE if (":" in text) is (version is IPv6Network)
    ]
    parsed.sort(key=lambda row: row[0].prefixlen, reverse=True)
    return tuple((int(net.network_address), int(net.netmask), kind) for net, kind in parsed)


_V4 = _rows(IPv4Network)
_V6 = _rows(IPv6Network)

# No server can be reached there by TCP, whatever anybody grants.
_NEVER = frozenset(
    {
        AddressClass.UNSPECIFIED,
        AddressClass.MULTICAST,
        AddressClass.BROADCAST,
        AddressClass.DISCARD,
    }
)
_EMBEDS_LOW_32 = frozenset(
    {
        AddressClass.IPV4_MAPPED,
        AddressClass.IPV4_COMPATIBLE,
        AddressClass.IPV4_TRANSLATED,
        AddressClass.NAT64,
    }
)


_TRANSLATED = IPv6Network("64:ff9b::/96")
"""RFC 6052 section 2.1: the last four bytes are the IPv4 address that a translator dials."""

# What a name may lead to where the operator says that a proxy of this machine routes the range.
_ASSUMABLE = frozenset(
    {
        AddressClass.PRIVATE,
        AddressClass.SHARED,
        AddressClass.UNIQUE_LOCAL,
        AddressClass.BENCHMARKING,
        AddressClass.DOCUMENTATION,
        AddressClass.RESERVED,
    }
)
ROUTED = (IPv4Network("198.18.0.0/15"), IPv6Network("fc00::/18"))
"""Ranges from which proxies that route by name commonly answer, with addresses of their own."""


def classify(ip: "IPAddress") -> AddressClass:
    """Return the class of `ip` by longest prefix; IPv6 outside every row is `RESERVED`.

    A public IPv4 address inside 64:ff9b::/96 is public; any other address there is `NAT64`.
    """
    rows, default = (_V4, AddressClass.PUBLIC) if ip.version == 4 else (_V6, AddressClass.RESERVED)
    number = int(ip)
    for network, mask, kind in rows:
        if number & mask == network:
            public = kind is AddressClass.NAT64 and _translates_public(ip)
            return AddressClass.PUBLIC if public else kind
    return default


def may_dial(
    ip: "IPAddress",
    url: "Url",
    private_addresses: bool,
    assume_public: "Collection[Network]" = (),
) -> bool:
    """Return whether a socket for `url` may be connected to `ip`, one address of its host.

    A literal reaches only itself and `localhost` only loopback. Addresses that are not public need
    `private_addresses` (from the `Decision` for this URL), or a name that leads into one of the
    `assume_public` networks; these never open loopback, link-local or metadata addresses.
    Unspecified, multicast, broadcast and discard addresses are never dialled, nor IPv6 addresses
    that carry such an IPv4 address.
    """
    kind = classify(ip)
    if url.ip is not None and ip != url.ip:
        return False
    if url.host == "localhost" and kind is not AddressClass.LOOPBACK:
        return False
    if kind is AddressClass.PUBLIC:
        return True
    if url.ip is None and kind in _ASSUMABLE and any(ip in network for network in assume_public):
        return True
    return private_addresses and not undialable(ip)


def undialable(ip: "IPAddress") -> bool:
    """Return whether `ip` is, or carries, an address that no grant can open."""
    kind = classify(ip)
    if kind in _NEVER:
        return True
    if kind is AddressClass.NAT64 and ip in _TRANSLATED:
        # A translator would dial this network's own addresses; RFC 6052 section 3.1 forbids them.
        return True
    if kind in _EMBEDS_LOW_32 and int(ip) != 0:
        return classify(_low_32(ip)) in _NEVER
    return False


def assumable(network: Network) -> bool:
    """Return whether each end of `network` is an address that `assume_public` can open."""
    return classify(network[0]) in _ASSUMABLE and classify(network[-1]) in _ASSUMABLE


def looks_routed(ip: "IPAddress") -> Network | None:
    """Return the range that a proxy which routes by name probably answered `ip` from, or None."""
    return next((network for network in ROUTED if ip in network), None)


def _translates_public(ip: "IPAddress") -> bool:
    return ip in _TRANSLATED and classify(_low_32(ip)) is AddressClass.PUBLIC


def _low_32(ip: "IPAddress") -> IPv4Address:
    return IPv4Address(int(ip) & 0xFFFFFFFF)
