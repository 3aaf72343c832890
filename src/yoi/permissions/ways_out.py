"""How this machine reaches other networks, as its operator says: proxies and authorities."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from yoi.display import printable
from yoi.permissions.addresses import Network
from yoi.permissions.hosts import HostPattern, IPAddress
from yoi.permissions.targets import host_pattern

if TYPE_CHECKING:
    from yoi.permissions.url import Url

_SHOWN_CHARS = 100
_PRIVATE_DOMAINS = ("internal", "local", "home.arpa")
"""Reserved for names that mean something on one network only: ICANN 2024, RFC 6762, RFC 8375."""


class ProxyKind(StrEnum):
    """What is spoken with the proxy."""

    HTTP = "http"
    """HTTP CONNECT (RFC 9110 9.3.6)."""
    SOCKS5 = "socks5"
    """SOCKS 5 (RFC 1928), with user name and password where there are some (RFC 1929)."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy. Neither its repr nor `where` shows the credentials."""

    kind: ProxyKind
    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> "Proxy":
        """Return the proxy of `http://host:port` or `socks5://host:port`. Raises ValueError."""
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError("is not a URL with a host and a port from 1 to 65535") from None
        if parts.scheme == "socks5h":
            raise ValueError('is written "socks5://…", with proxy_resolves = true beside it')
        if parts.scheme not in tuple(ProxyKind):
            raise ValueError('must begin with "http://" or "socks5://"')
        if not host or not port:
            raise ValueError('must name a host and a port, as "http://proxy.example:3128"')
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError("must end after the port")
        if host_pattern(f"[{host}]" if ":" in host else host).exact is None:
            raise ValueError("must name one host")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if password and not user:
            raise ValueError("has a password and no user name")
        if len(user.encode()) > 255 or len(password.encode()) > 255 or ":" in user:
            raise ValueError("has a user name or password that no proxy takes")
        return cls(ProxyKind(parts.scheme), host, port, user, password)

    @property
    def where(self) -> str:
        """Return the proxy in words."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Unproxied:
    """What is reached without the proxy: a host, the subdomains of one, or a network."""

    host: HostPattern | None = None
    network: Network | None = None
    """A single address is a network of its own."""

    @classmethod
    def parse(cls, text: str) -> "Unproxied":
        """Return what `text` names. Raises ValueError, UrlRefused."""
        shown = printable(text, _SHOWN_CHARS)
        if "%" in text:
            raise ValueError("has a zone, which is of one interface only: write the address alone")
        bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
        try:
            return cls(network=ip_network(bare))
        except ValueError:
            pass
        if "/" in text:
            raise ValueError(
                'must be a host, "*.example.com" or a network such as "192.168.0.0/16", whose '
                "address has no bits beyond its length"
            )
        if text.startswith("."):
            raise ValueError(f'is written "*{shown}": the subdomains; the host itself stands apart')
        if ":" in text:
            raise ValueError("names a port: write the host alone, it holds for all its ports")
        return cls(host=host_pattern(text))

    def names(self, host: str, address: IPAddress) -> bool:
        """Return whether a dial to `host` at `address` is meant."""
        if self.network is not None:
            return address.version == self.network.version and address in self.network
        return self.host is not None and self.host.allows(host)


@dataclass(frozen=True, slots=True)
class ProxiedName:
    """A host that the proxy is asked for by name: it looks the name up, nothing is judged here."""

    host: str
    version = 0
    """Of no address family."""

    def __str__(self) -> str:
        return self.host


Destination = IPAddress | ProxiedName
"""What a socket is connected to: an address that was judged, or a name for the proxy."""


def is_private_name(host: str) -> bool:
    """Return whether `host` is a name that the public DNS does not have."""
    return "." not in host or any(
        host == domain or host.endswith(f".{domain}") for domain in _PRIVATE_DOMAINS
    )


def _is_loopback_name(host: str) -> bool:
    """RFC 6761 6.3: a proxy would take its own loopback for it."""
    return host == "localhost" or host.endswith(".localhost")


@dataclass(frozen=True, slots=True)
class Trusted:
    """Certificate authorities that are trusted beside the system's, for some hosts."""

    hosts: HostPattern
    file: Path


@dataclass(frozen=True, slots=True)
class WaysOut:
    """`[network]` of host.toml."""

    proxy: Proxy | None = None
    no_proxy: tuple[Unproxied, ...] = ()
    authorities: tuple[Trusted, ...] = ()
    proxy_resolves: bool = False
    """Whether the proxy is given names, and looks them up itself."""
    assume_public: tuple[Network, ...] = ()
    """Networks from which a proxy that routes by name answers."""
    user_agent: str | None = None
    """What handshakes and requests carry as `User-Agent` where manifest and plugin name none."""

    def hands_over(self, url: "Url") -> bool:
        """Return whether the proxy is given the name of `url`, which is not looked up here."""
        return self.hands_over_some(HostPattern(url.host_value, None))

    def hands_over_some(self, hosts: HostPattern) -> bool:
        """Return whether the proxy is given the name of any of `hosts`."""
        if self.proxy is None or not self.proxy_resolves:
            return False
        one = hosts.exact
        if one is not None and (one.ip is not None or _is_loopback_name(one.name)):
            return False
        return not any(out.host is not None and out.host.covers(hosts) for out in self.no_proxy)

    def names_in_words(self) -> str | None:
        """Return who decides which address a name means, where that is not this machine."""
        if self.proxy is None or not self.proxy_resolves:
            return None
        return (
            f"names are looked up by the proxy {self.proxy.where} (proxy_resolves in host.toml): "
            "the proxy, not Yoi, decides which address a name means"
        )

    def proxy_for(self, host: str, address: Destination) -> Proxy | None:
        """Return the proxy that leads to `host` at `address`; None: it is dialled directly.

        Loopback never goes through a proxy: it would be the proxy's own.
        """
        if isinstance(address, ProxiedName):
            return self.proxy
        if address.is_loopback or any(one.names(host, address) for one in self.no_proxy):
            return None
        return self.proxy

    def files_for(self, host: str) -> Sequence[Path]:
        """Return the files with the authorities that are trusted for `host` too."""
        return [one.file for one in self.authorities if one.hosts.allows(host)]
