"""`[network]` of host.toml: how names are judged here, and how what plugins send leaves."""

from ipaddress import ip_network

from yoi.limits import LIMITS
from yoi.permissions import Network, assumable
from yoi.permissions.headers import HeaderRefused, check_value
from yoi.permissions.targets import host_pattern
from yoi.permissions.ways_out import Proxy, Trusted, Unproxied, WaysOut
from yoi.toml import Flag, Key, ListOf, Parsed, Row, Rows, TableSpec, Text, file_path

_NETWORK_CHARS = 64


def _network(text: str) -> Network:
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError('must be a network, as "198.18.0.0/15"') from None
    if not assumable(network):
        raise ValueError(
            "is not a private, shared, benchmarking or reserved network: public addresses need no "
            "setting, and loopback, link-local and metadata addresses stay closed"
        )
    return network


def _user_agent(text: str) -> str:
    try:
        check_value(text, LIMITS.header_bytes)
    except HeaderRefused as exc:
        raise ValueError(exc.message) from None
    return text


def _ways_out(row: Row) -> WaysOut:
    if row["proxy_resolves"] and row["proxy"] is None:
        row.fault("value", "proxy_resolves", "needs a proxy beside it")
    return WaysOut(
        proxy=row["proxy"],
        no_proxy=tuple(row["no_proxy"]),
        authorities=tuple(row["authorities"]),
        proxy_resolves=row["proxy_resolves"],
        assume_public=tuple(row["assume_public"]),
        user_agent=row["user_agent"],
    )


AUTHORITY = TableSpec[Trusted](
    (
        Key(
            "host",
            Parsed(Text(LIMITS.url_chars), host_pattern, "host"),
            "a host, `*.example.com` for its subdomains, or `*`",
            required=True,
        ),
        Key(
            "file",
            Parsed(Text(LIMITS.url_chars), file_path, "path"),
            "a PEM file with the certificates; below the folder of host.toml where it is relative",
            required=True,
        ),
    ),
    lambda row: Trusted(row["host"], row["file"]),
    about="Certificate authorities that are trusted for some hosts, beside the system's. The file "
    "is read again whenever it has changed.",
)
NETWORK = TableSpec[WaysOut](
    (
        Key(
            "assume_public",
            ListOf(Parsed(Text(_NETWORK_CHARS), _network, "network"), LIMITS.assumed_networks),
            "networks from which a proxy answers names that it routes, such as "
            '`["198.18.0.0/15"]`: names that lead there are dialled. Addresses written as such, '
            "loopback, link-local and metadata addresses stay closed",
            default=(),
        ),
        Key(
            "proxy",
            Parsed(Text(LIMITS.url_chars), Proxy.parse, "URL"),
            "a proxy through which plugins' connections and requests leave: "
            "`http://[USER:PASSWORD@]HOST:PORT` (CONNECT) or `socks5://…`. It is asked for the "
            "address that was checked. The environment's proxies are not used",
        ),
        Key(
            "proxy_resolves",
            Flag(),
            "whether the proxy is asked for names, and looks them up: for a machine that cannot. "
            "Then the proxy, not Yoi, decides which address a name means, and Yoi checks only "
            "addresses that are written as such. Names that exist on one network only (without a "
            'dot, `*.local`, `*.internal`, `*.home.arpa`) still need `addresses = "private"`',
            default=False,
        ),
        Key(
            "no_proxy",
            ListOf(
                Parsed(Text(LIMITS.url_chars), Unproxied.parse, "host or network"),
                LIMITS.network_entries,
            ),
            "what is dialled directly: hosts, `*.example.com`, addresses, networks, or `*`. "
            "Loopback always is. Names that the proxy looks up are compared as names only",
            default=(),
        ),
        Key(
            "authorities",
            Rows(AUTHORITY, LIMITS.network_entries),
            "see [`[[network.authorities]]`](#networkauthorities)",
            default=(),
        ),
        Key(
            "user_agent",
            Parsed(Text(LIMITS.header_bytes), _user_agent, "header value"),
            "the `User-Agent` of every handshake and request whose manifest and plugin name none",
            default_words="`yoi/VERSION`",
        ),
    ),
    _ways_out,
    about="How names are judged on this machine, and how plugins' connections and requests leave "
    "it. A workspace has no say in it.",
)
