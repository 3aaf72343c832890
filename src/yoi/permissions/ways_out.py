"""How this machine reaches other networks, as its operator says: proxies and authorities."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import unquote, urlsplit

from yoi.permissions.hosts import HostPattern, IPAddress
from yoi.permissions.targets import host_pattern


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
            raise ValueError("is not a URL with a host and a port") from None
        if parts.scheme not in tuple(ProxyKind):
            raise ValueError('must begin with "http://" or "socks5://"')
        if not host or not port:
            raise ValueError('must name a host and a port, as "http://proxy.example:3128"')
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError("must end after the port")
        host_pattern(f"[{host}]" if ":" in host else host)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
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
    network: IPv4Network | IPv6Network | None = None

    @classmethod
    def parse(cls, text: str) -> "Unproxied":
        """Return what `text` names. Raises ValueError, UrlRefused."""
        if "/" not in text:
            return cls(host=host_pattern(text))
        try:
            return cls(network=ip_network(text))
        except ValueError:
            raise ValueError('must be a host, "*.example.com" or a network') from None

    def names(self, host: str, address: IPAddress) -> bool:
        """Return whether a dial to `host` at `address` is meant."""
        if self.network is not None:
            return address.version == self.network.version and address in self.network
        return self.host is not None and self.host.allows(host)


@dataclass(frozen=True, slots=True)
class Trusted:
    """Certificate authorities that are trusted beside the system's, for some hosts."""

    hosts: HostPattern
    file: Path


@dataclass(frozen=True, slots=True)
class WaysOut:
    """`[network]` of host.toml, but for how names are judged."""

    proxy: Proxy | None = None
    no_proxy: tuple[Unproxied, ...] = ()
    authorities: tuple[Trusted, ...] = ()

    def proxy_for(self, host: str, address: IPAddress) -> Proxy | None:
        """Return the proxy that leads to `host` at `address`; None: it is dialled directly.

        Loopback never goes through a proxy: it would be the proxy's own.
        """
        if address.is_loopback or any(one.names(host, address) for one in self.no_proxy):
            return None
        return self.proxy

    def files_for(self, host: str) -> Sequence[Path]:
        """Return the files with the authorities that are trusted for `host` too."""
        return [one.file for one in self.authorities if one.hosts.allows(host)]
