"""`Ways`: how a socket leaves this machine for a plugin: directly, or by the operator's proxy."""

import os
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from yoi.connections.client_certificate import ClientCertificate
from yoi.connections.proxies import lead
from yoi.connections.resolver import HostResolver, Resolver, look_up
from yoi.connections.sockets import Race, default_tls, open_direct
from yoi.errors import ConnectionFailure
from yoi.limits import LIMITS, Limits
from yoi.permissions import IPAddress, Url
from yoi.permissions.ways_out import Proxy, WaysOut

_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_OURS = ":network"
"""Whose share of look-ups the proxy's name takes; no plugin can have this name."""


class Ways:
    """See the module docstring. One for all plugins of a host.

    `resolver` knows the proxy's name; without one there is no proxy. `tls` makes the context of
    hosts for which no authorities were added.
    """

    def __init__(
        self,
        settings: WaysOut | None = None,
        resolver: HostResolver | None = None,
        limits: Limits = LIMITS,
        tls: Callable[[], ssl.SSLContext] = default_tls,
    ) -> None:
        self._settings = settings = settings or WaysOut()
        self._resolver = None if resolver is None else resolver.of(_OURS)
        self._limits = limits
        self.contexts = TlsContexts(settings, tls, limits)
        self.hint = unused_proxy_hint(settings)
        """What may be the matter where nothing answers."""

    async def open(self, ip: IPAddress, url: Url) -> socket.socket:
        """Return a socket connected to `ip`, which was judged, at the port of `url`.

        Raises OSError and ConnectionFailure (`connection.proxy`).
        """
        proxy = self._settings.proxy_for(url.host, ip)
        if proxy is None or self._resolver is None:
            return await open_direct(ip, url)
        sock = await self._to(proxy, self._resolver)
        try:
            await lead(sock, proxy, ip, url.port, self._limits)
        except BaseException:
            sock.close()
            raise
        return sock

    async def _to(self, proxy: Proxy, resolver: Resolver) -> socket.socket:
        host = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
        url = Url.parse(f"http://{host}:{proxy.port}/", ("http",))
        found = [url.ip] if url.ip is not None else await look_up(url, resolver)
        race = Race(url, self._limits, open_direct)
        won = await race.run(found[: self._limits.dial_addresses])
        if won is None:
            why = "; ".join(f"{ip}: {problem}" for ip, problem in list(race.failed.items())[:4])
            raise ConnectionFailure(
                "connection.proxy",
                f"the proxy {proxy.where} could not be reached ({why})",
                hint="the proxy stands in [network] of host.toml",
            )
        return won[0]


def unused_proxy_hint(settings: WaysOut, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return what to say of a failed dial where the environment names a proxy that is not used."""
    name = next((one for one in _VARIABLES if environment.get(one)), None)
    if name is None or settings.proxy is not None:
        return None
    return (
        f"{name} is set and not used: the environment's proxies are not asked; where one is the "
        "only way out, name it as `proxy` in [network] of host.toml"
    )


class TlsContexts:
    """The contexts with which servers are verified; those with files of the operator's are fresh.

    `make` returns the context of hosts for which no authorities were added.
    """

    def __init__(
        self, settings: WaysOut, make: Callable[[], ssl.SSLContext], limits: Limits = LIMITS
    ) -> None:
        self._settings = settings
        self._make = make
        self._plain: ssl.SSLContext | None = None
        self._made: dict[tuple[Path, ...], tuple[_Stamps, ssl.SSLContext]] = {}
        self._presents: dict[tuple[bytes, tuple[Path, ...]], tuple[_Stamps, ssl.SSLContext]] = {}
        self._most = limits.certificate_contexts

    def of(self, host: str, certificate: ClientCertificate | None = None) -> ssl.SSLContext:
        """Return the context for `host`, in which `certificate` is presented where it is asked for.

        Raises ConnectionFailure (`connection.tls`) and SecretError.
        """
        files = tuple(self._settings.files_for(host))
        if certificate is not None:
            return self._presenting(certificate, files)
        if not files:
            if self._plain is None:
                self._plain = self._make()
            return self._plain
        stamps = _stamps(files)
        known = self._made.get(files)
        if known is None or known[0] != stamps:
            known = self._made[files] = stamps, self._with(files)
        return known[1]

    def _presenting(
        self, certificate: ClientCertificate, files: tuple[Path, ...]
    ) -> ssl.SSLContext:
        key = certificate.digest, files
        stamps = _stamps(files)
        known = self._presents.pop(key, None)
        if known is None or known[0] != stamps:
            # Never one that others use: a context presents its certificate to whoever asks.
            known = stamps, self._with(files) if files else self._make()
            certificate.load_into(known[1])
        self._presents[key] = known
        while len(self._presents) > self._most:
            del self._presents[next(iter(self._presents))]
        return known[1]

    def _with(self, files: Sequence[Path]) -> ssl.SSLContext:
        context = self._make()
        # Authorities that people make themselves often lack what newer Pythons insist on.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        for file in files:
            try:
                context.load_verify_locations(cafile=file)
            except (OSError, ValueError) as exc:
                why = exc.strerror if isinstance(exc, OSError) and exc.errno else None
                if why is None or isinstance(exc, ssl.SSLError):
                    why = "it has no certificate in PEM form"
                raise ConnectionFailure(
                    "connection.tls",
                    f"the authorities in {file} cannot be used: {why}",
                    hint="[[network.authorities]] in host.toml names a PEM file",
                ) from None
        return context


_Stamps = tuple[tuple[int, int, int] | None, ...]


def _stamps(files: Sequence[Path]) -> _Stamps:
    return tuple(_stamp(file) for file in files)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
