"""`Ways`: how a socket leaves this machine for a plugin: directly, or by the operator's proxy."""

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

from yoi.connections.client_certificate import ClientCertificate
from yoi.connections.machine_network import MachineNetwork
from yoi.connections.proxies import lead
from yoi.connections.resolver import HostResolver, Resolver, look_up
from yoi.connections.sockets import Race, default_tls, open_direct
from yoi.connections.tls_failures import WatchedHandshake
from yoi.errors import ConnectionFailure, SecretError
from yoi.limits import LIMITS, Limits
from yoi.permissions import Url
from yoi.permissions.ways_out import Destination, Proxy
from yoi.secrets.files import read_authority

_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", flags=re.DOTALL
)
_OURS = ":network"
"""Whose share of look-ups the proxy's name takes; no plugin can have this name."""


class Ways:
    """See the module docstring. One for all plugins of a host.

    `resolver` knows the proxy's name; without one there is no proxy. `tls` makes the context of
    hosts for which no authorities were added.
    """

    def __init__(
        self,
        network: MachineNetwork | None = None,
        resolver: HostResolver | None = None,
        limits: Limits = LIMITS,
        tls: Callable[[], ssl.SSLContext] = default_tls,
    ) -> None:
        self.network = network = network or MachineNetwork()
        self._resolver = None if resolver is None else resolver.of(_OURS)
        self._limits = limits
        self.contexts = TlsContexts(network, tls, limits)

    async def open(self, destination: Destination, url: Url) -> socket.socket:
        """Return a socket connected to `destination` at the port of `url`.

        Raises OSError and ConnectionFailure (`connection.proxy` and its kin).
        """
        proxy = self.network.settings.proxy_for(url.host, destination)
        if proxy is None or self._resolver is None:
            return await open_direct(destination, url)
        ms, sock = self._limits.proxy_ms, None
        try:
            async with asyncio.timeout(ms / 1000):
                sock = await self._to(proxy, self._resolver)
                await lead(sock, proxy, destination, url.port, self._limits)
        except BaseException as exc:
            if sock is not None:
                sock.close()
            if not isinstance(exc, TimeoutError):
                raise
            if sock is None:
                raise _unreachable(proxy, f"no answer within {ms} ms") from None
            raise _silent(proxy, destination, ms) from None
        return sock

    async def _to(self, proxy: Proxy, resolver: Resolver) -> socket.socket:
        host = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
        url = Url.parse(f"http://{host}:{proxy.port}/", ("http",))
        try:
            found = [url.ip] if url.ip is not None else await look_up(url, resolver)
        except ConnectionFailure as exc:
            raise _unreachable(proxy, exc.message) from None
        race = Race(url, self._limits, open_direct)
        won = await race.run(found[: self._limits.dial_addresses])
        if won is None:
            raise _unreachable(
                proxy, "; ".join(f"{ip}: {why}" for ip, why in list(race.failed.items())[:4])
            )
        return won[0]


def _silent(proxy: Proxy, asked_for: Destination, ms: int) -> ConnectionFailure:
    return ConnectionFailure(
        "connection.proxy_silent",
        f"the proxy {proxy.where} did not answer within {ms} ms when it was asked for {asked_for}",
        hint="it, or what it was asked for, is silent; look at `proxy` in [network] of host.toml",
        proxy=proxy.where,
    )


def _unreachable(proxy: Proxy, why: str) -> ConnectionFailure:
    return ConnectionFailure(
        "connection.proxy",
        f"the proxy {proxy.where} could not be reached ({why})",
        hint="look at `proxy` in [network] of host.toml",
        proxy=proxy.where,
    )


class TlsContexts:
    """The contexts with which servers are verified; those with files of the operator's are fresh.

    `make` returns the context of hosts for which no authorities were added.
    """

    def __init__(
        self, network: MachineNetwork, make: Callable[[], ssl.SSLContext], limits: Limits = LIMITS
    ) -> None:
        self._network = network
        self._make = make
        self._plain: ssl.SSLContext | None = None
        self._made: dict[tuple[Path, ...], tuple[_Stamps, ssl.SSLContext]] = {}
        self._presents: dict[tuple[bytes, tuple[Path, ...]], tuple[_Stamps, ssl.SSLContext]] = {}
        self._most = limits.certificate_contexts
        self._most_bytes = limits.authorities_bytes

    def of(self, host: str, certificate: ClientCertificate | None = None) -> ssl.SSLContext:
        """Return the context for `host`, in which `certificate` is presented where it is asked for.

        Raises ConnectionFailure (`connection.authorities`) and SecretError.
        """
        files = self.files(host)
        if certificate is not None:
            return self._presenting(certificate, files)
        if not files:
            if self._plain is None:
                self._plain = self._watched()
            return self._plain
        stamps = _stamps(files)
        known = self._made.get(files)
        if known is None or known[0] != stamps:
            known = self._made[files] = stamps, self._with(files)
            while len(self._made) > self._most:
                del self._made[next(iter(self._made))]
        return known[1]

    def files(self, host: str) -> tuple[Path, ...]:
        """Return the files whose authorities are trusted for `host` beside the system's."""
        return tuple(self._network.settings.files_for(host))

    def _watched(self) -> ssl.SSLContext:
        context = self._make()
        context.sslobject_class = WatchedHandshake
        return context

    def _presenting(
        self, certificate: ClientCertificate, files: tuple[Path, ...]
    ) -> ssl.SSLContext:
        key = certificate.digest, files
        stamps = _stamps(files)
        known = self._presents.pop(key, None)
        if known is None or known[0] != stamps:
            # Never one that others use: a context presents its certificate to any server that asks.
            known = stamps, self._with(files) if files else self._watched()
            certificate.load_into(known[1])
        self._presents[key] = known
        while len(self._presents) > self._most:
            del self._presents[next(iter(self._presents))]
        return known[1]

    def _certificates_in(self, file: Path) -> str:
        """Return the certificates in `file`, without what stands between them."""
        try:
            data = read_authority(file, self._most_bytes)
        except SecretError as exc:
            raise _unusable(file, exc.message) from None
        if data is None:
            raise _unusable(file, "it is not there")
        found = _CERTIFICATE.findall(data)
        if not found:
            raise _unusable(file, "it has no certificate in PEM form")
        return "\n".join(one.decode("ascii", "replace") for one in found)

    def _with(self, files: Sequence[Path]) -> ssl.SSLContext:
        context = self._watched()
        # Authorities that people make themselves often lack what newer Pythons insist on.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        for file in files:
            try:
                context.load_verify_locations(cadata=self._certificates_in(file))
            except ssl.SSLError:
                raise _unusable(file, "a certificate in it cannot be read") from None
        return context


def _unusable(file: Path, why: str) -> ConnectionFailure:
    return ConnectionFailure(
        "connection.authorities",
        f"the authorities in {file} cannot be used: {why}",
        hint="[[network.authorities]] in host.toml names a file with certificates in PEM form; it "
        "is read again when it has changed",
        file=str(file),
    )


_Stamps = tuple[tuple[int, ...] | None, ...]


def _stamps(files: Sequence[Path]) -> _Stamps:
    return tuple(_stamp(file) for file in files)


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode, found.st_uid
