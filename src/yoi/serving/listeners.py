"""`[observation]` and `[runtime]`: where a process listens, under which names, with which TLS."""

import ipaddress
from dataclasses import dataclass, replace
from pathlib import Path

from yoi.errors import UrlRefused
from yoi.limits import LIMITS
from yoi.permissions import REQUEST_SCHEMES, Url
from yoi.serving.names import ListenerNames, url_of
from yoi.toml import Flag, Key, ListOf, Nested, Parsed, Row, SafeId, TableSpec, Text, file_path

OBSERVATION_LISTEN = "127.0.0.1:7717"
RUNTIME_LISTEN = "127.0.0.1:7718"
LOCAL_RUNTIME = "local"

_PATH_CHARS = 4096
_NAME_CHARS = 262


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the certificate with its chain, and its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen: an IP address, and a port or 0 for any."""

    address: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSettings:
    """One listener."""

    listen: Listen
    names: tuple[str, ...] = ()
    """Further names by which clients reach it."""
    origins: tuple[str, ...] = ()
    """Further origins whose pages may ask."""
    tls: TlsFiles | None = None

    def names_at(self, address: str, port: int) -> ListenerNames:
        """Return its names once it is bound."""
        return ListenerNames.of(
            address,
            port,
            secure=self.tls is not None,
            names=self.names,
            origins=self.origins,
        )

    def below(self, folder: Path) -> "ListenerSettings":
        """Return the same with the paths of its files below `folder`, unless they are absolute."""
        if self.tls is None:
            return self
        files = TlsFiles(folder / self.tls.certificate, folder / self.tls.key)
        return replace(self, tls=files)

    def url_at(self, address: str, port: int) -> str:
        """Return its URL once it is bound."""
        return url_of(address, port, secure=self.tls is not None, names=self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSettings:
    """The `[observation]` table."""

    listener: ListenerSettings
    persist: bool = False
    """Whether the backlog survives a restart of the backend."""

    def at_port(self, port: int) -> "BackendSettings":
        """Return the same at another port of the same address."""
        listen = replace(self.listener.listen, port=port)
        return replace(self, listener=replace(self.listener, listen=listen))


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeSettings:
    """The `[runtime]` table. `id` is what clients call it where it is served in one process."""

    id: str
    listener: ListenerSettings


def _listener(row: Row) -> ListenerSettings:
    listen: Listen = row["listen"]
    address = ipaddress.ip_address(listen.address)
    if not address.is_loopback and row["tls"] is None:
        row.fault(
            "value",
            "listen",
            f"{listen} can be reached from other machines, and there is no TLS: everybody on the "
            "way could read what is watched",
            f'give it a certificate: [{row.at}] tls = {{ certificate = "...", key = "..." }}\n'
            "or listen at 127.0.0.1, behind a proxy on this machine that does TLS",
        )
    if address.is_unspecified and not row["names"]:
        row.fault(
            "missing",
            "names",
            f"is required: a listener at {listen.address} does not know its own name",
            f'say how clients reach it: [{row.at}] names = ["yoi.example.com"]',
        )
    return ListenerSettings(
        listen=listen,
        names=row["names"],
        origins=row.get("origins", ()),
        tls=row["tls"],
    )


def _listen(text: str) -> Listen:
    host, _, port = text.rpartition(":")
    if host == "localhost":
        host = "127.0.0.1"
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        address = None
    if (
        address is None
        or (address.version == 6) != bracketed
        or getattr(address, "scope_id", None)
        or not port.isascii()
        or not port.isdecimal()
        or len(port) > 5
        or int(port) > 65535
    ):
        raise ValueError(
            'must be an address and a port, as "127.0.0.1:7717", "[::1]:7717" or "0.0.0.0:443"; '
            "port 0 takes any that is free"
        )
    return Listen(str(address), int(port))


def _name(text: str) -> str:
    try:
        url = Url.parse(f"https://{text}", REQUEST_SCHEMES)
    except UrlRefused:
        url = None
    # More than a host and a port would show in the canonical form.
    if url is None or url.request_target != "/" or text.lower() not in _hosts(url):
        raise ValueError('must be a host name or address, as "yoi.example.com"')
    return text.lower()


def _hosts(url: Url) -> tuple[str, str]:
    return url.bracketed_host, f"{url.bracketed_host}:{url.port}"


def _origin(text: str) -> str:
    try:
        url = Url.parse(text, REQUEST_SCHEMES)
    except UrlRefused:
        url = None
    if url is None or url.href != f"{text.lower()}/":
        raise ValueError(
            "must be a scheme, a host and a port that is not the default, as "
            '"https://console.example.com"'
        )
    return text.lower()


FILE_PATH = Parsed(Text(_PATH_CHARS), file_path, "path")
_TLS = TableSpec(
    (
        Key("certificate", FILE_PATH, "PEM: the certificate with its chain", required=True),
        Key("key", FILE_PATH, "PEM: its key", required=True),
    ),
    lambda row: TlsFiles(row["certificate"], row["key"]),
)


def _listener_keys(default: str) -> tuple[Key, ...]:
    return (
        Key(
            "listen",
            Parsed(Text(_NAME_CHARS), _listen, "address and port"),
            "where to listen; port 0 takes any that is free. Beyond loopback it needs `tls`",
            default=_listen(default),
        ),
        Key(
            "names",
            ListOf(Parsed(Text(_NAME_CHARS), _name, "host name"), LIMITS.listener_names),
            "further names by which clients reach it",
            default=(),
        ),
        Key(
            "tls",
            Nested(_TLS),
            "`{ certificate, key }`: PEM files, relative to the workspace",
        ),
    )


OBSERVATION = TableSpec(
    (
        *_listener_keys(OBSERVATION_LISTEN),
        Key(
            "origins",
            ListOf(Parsed(Text(_NAME_CHARS), _origin, "origin"), LIMITS.listener_names),
            "further origins whose pages may ask",
            default=(),
        ),
        Key("persist", Flag(), "whether the backlog survives a restart", default=False),
    ),
    lambda row: BackendSettings(listener=_listener(row), persist=row["persist"]),
    about="The listener for browsers and observers.",
)
RUNTIME = TableSpec(
    (
        Key("id", SafeId(), "what clients call this runtime", default=LOCAL_RUNTIME),
        *_listener_keys(RUNTIME_LISTEN),
    ),
    lambda row: RuntimeSettings(id=row["id"], listener=_listener(row)),
    about="The listener of a runtime that backends elsewhere read (`yoi runtime`).",
)
