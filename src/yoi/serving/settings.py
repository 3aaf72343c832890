"""The tables of yoi.toml that say where a process listens and which runtimes a backend reads.

    [observation]          the backend's listener        [runtime]   the runtime's own
    [[backend.runtimes]]   runtimes elsewhere

Read strictly, as every table of the operator. No endpoint of a runtime is in any repr or message.
"""

import ipaddress
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from yoi.errors import EnablementError, SecretError, UrlRefused, YoiError
from yoi.limits import LIMITS, Limits
from yoi.permissions import REQUEST_SCHEMES, WEBSOCKET_SCHEMES, Url
from yoi.secrets.files import read_private
from yoi.serving.names import ListenerNames, url_of
from yoi.tables import FaultKind, Table, TomlFault, parse_toml

OBSERVATION_LISTEN = "127.0.0.1:7717"
RUNTIME_LISTEN = "127.0.0.1:7718"
LOCAL_RUNTIME = "local"

_PATH_CHARS = 4096
_NAME_CHARS = 262
_TLS = frozenset({"certificate", "key"})
_OBSERVATION = frozenset({"listen", "names", "origins", "tls", "persist"})
_RUNTIME = frozenset({"id", "listen", "names", "tls"})
_UPSTREAM = frozenset({"id", "url", "token", "ca", "insecure"})


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
    chosen: bool = False
    """Whether somebody chose where to listen: then it is there or nowhere."""

    def names_at(self, address: str, port: int) -> ListenerNames:
        """Return its names once it is bound."""
        return ListenerNames.of(
            address,
            port,
            secure=self.tls is not None,
            names=self.names,
            origins=self.origins,
        )

    def url_at(self, address: str, port: int) -> str:
        """Return its URL once it is bound."""
        return url_of(address, port, secure=self.tls is not None, names=self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSettings:
    """The `[observation]` table."""

    listener: ListenerSettings
    persist: bool = False
    """Whether the backlog survives a restart of the backend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeSettings:
    """The `[runtime]` table. `id` is what clients call it where it is served in one process."""

    id: str
    listener: ListenerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRuntime:
    """One `[[backend.runtimes]]` table."""

    id: str
    url: str = field(repr=False)
    """`ws(s)://HOST[:PORT][/PREFIX]`; only the backend ever knows it."""
    token: str
    """The name in the secret store of the token that the runtime gave this backend."""
    ca: Path | None = field(default=None, repr=False)
    """PEM authorities to trust instead of the system's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSettings:
    """What yoi.toml says about serving."""

    backend: BackendSettings
    runtime: RuntimeSettings
    runtimes: tuple[RemoteRuntime, ...] = ()

    @classmethod
    def load(cls, workspace: Path, limits: Limits = LIMITS) -> "ServingSettings":
        """Return what `.yoi/yoi.toml` of `workspace` says; an absent file or table says nothing.

        Raises EnablementError (`enablement.toml`, `enablement.malformed`).
        """
        path = workspace / ".yoi" / "yoi.toml"
        try:
            data = read_private(Path(os.path.realpath(path)), limits.operator_config_bytes)
        except SecretError as exc:
            raise EnablementError("enablement.malformed", exc.message, at="") from None
        return cls.parse(data or b"", workspace, limits)

    @classmethod
    def parse(cls, toml: bytes, workspace: Path, limits: Limits = LIMITS) -> "ServingSettings":
        """Return what `toml` says; relative paths are below `workspace`."""
        try:
            document = parse_toml(toml)
        except TomlFault as exc:
            raise EnablementError(
                "enablement.toml", f"yoi.toml: {exc.message}", at="", line=exc.line
            ) from None
        observation = Table(document.get("observation", {}), "observation", _OBSERVATION, _fault)
        runtime = Table(document.get("runtime", {}), "runtime", _RUNTIME, _fault)
        backend = Table(document.get("backend", {}), "backend", frozenset({"runtimes"}), _fault)
        return cls(
            backend=BackendSettings(
                listener=_listener(observation, OBSERVATION_LISTEN, workspace, limits),
                persist=observation.flag("persist"),
            ),
            runtime=RuntimeSettings(
                id=runtime.safe_id("id") if runtime.has("id") else LOCAL_RUNTIME,
                listener=_listener(runtime, RUNTIME_LISTEN, workspace, limits),
            ),
            runtimes=tuple(_runtimes(backend, workspace, limits)),
        )

    def check_local(self) -> None:
        """Raise EnablementError where a runtime elsewhere has the id of the one in this process."""
        if any(one.id == self.runtime.id for one in self.runtimes):
            raise _refused(
                "backend.runtimes",
                f'has "{self.runtime.id}" too, which is the runtime of this process',
                'give this one another name: [runtime] id = "..."',
            )


def _listener(table: Table, default: str, workspace: Path, limits: Limits) -> ListenerSettings:
    listen = _listen(table, default)
    tls = None
    inner = table.table("tls", _TLS)
    if inner is not None:
        tls = TlsFiles(_path(inner, "certificate", workspace), _path(inner, "key", workspace))
    settings = ListenerSettings(
        listen=listen,
        names=tuple(_names(table, limits)),
        origins=tuple(_origins(table, limits)),
        tls=tls,
        chosen=table.has("listen"),
    )
    address = ipaddress.ip_address(listen.address)
    if not address.is_loopback and tls is None:
        raise _refused(
            table.path("listen"),
            f"{listen} can be reached from other machines, and there is no TLS: everybody on the "
            "way could read what is watched",
            f'give it a certificate: [{table.at}] tls = {{ certificate = "...", key = "..." }}\n'
            "or listen at 127.0.0.1, behind a proxy on this machine that does TLS",
        )
    if address.is_unspecified and not settings.names:
        raise _refused(
            table.path("names"),
            f"is required: a listener at {listen.address} does not know its own name",
            f'say how clients reach it: [{table.at}] names = ["yoi.example.com"]',
        )
    return settings


def _listen(table: Table, default: str) -> Listen:
    text = table.text("listen", _NAME_CHARS) if table.has("listen") else default
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
        raise table.fault(
            "value",
            "listen",
            'must be an address and a port, as "127.0.0.1:7717", "[::1]:7717" or "0.0.0.0:443"; '
            "port 0 takes any that is free",
        )
    return Listen(str(address), int(port))


def _names(table: Table, limits: Limits) -> Iterator[str]:
    for index, text in _texts(table, "names", limits):
        try:
            url = Url.parse(f"https://{text}", REQUEST_SCHEMES)
        except UrlRefused:
            url = None
        # Whatever is more than a host and a port stands in the canonical form, too.
        if url is None or url.request_target != "/" or text.lower() not in _hosts(url):
            raise table.fault(
                "value", f"names[{index}]", 'must be a host name or address, as "yoi.example.com"'
            )
        yield text.lower()


def _hosts(url: Url) -> tuple[str, str]:
    return url.bracketed_host, f"{url.bracketed_host}:{url.port}"


def _origins(table: Table, limits: Limits) -> Iterator[str]:
    if not table.has("origins"):
        return
    for index, text in _texts(table, "origins", limits):
        try:
            url = Url.parse(text, REQUEST_SCHEMES)
        except UrlRefused:
            url = None
        if url is None or url.href != f"{text.lower()}/":
            raise table.fault(
                "value",
                f"origins[{index}]",
                "must be a scheme, a host and a port that is not the default, as "
                '"https://console.example.com"',
            )
        yield text.lower()


def _texts(table: Table, key: str, limits: Limits) -> Iterator[tuple[int, str]]:
    texts = table.texts(key, _NAME_CHARS)
    if len(texts) > limits.listener_names:
        raise table.fault("too_large", key, f"has more than {limits.listener_names} entries")
    return iter(enumerate(texts))


def _path(table: Table, key: str, workspace: Path) -> Path:
    return workspace / Path(table.text(key, _PATH_CHARS)).expanduser()


def _runtimes(backend: Table, workspace: Path, limits: Limits) -> Iterator[RemoteRuntime]:
    found: set[str] = set()
    tables = list(backend.tables("runtimes", _UPSTREAM))
    if len(tables) > limits.backend_runtimes:
        raise backend.fault("too_large", "runtimes", f"has more than {limits.backend_runtimes}")
    for table in tables:
        runtime_id = table.safe_id("id")
        if runtime_id in found:
            raise table.fault("duplicate", "id", f'"{runtime_id}" is another runtime, too')
        found.add(runtime_id)
        yield RemoteRuntime(
            id=runtime_id,
            url=_url(table),
            token=table.safe_id("token"),
            ca=_path(table, "ca", workspace) if table.has("ca") else None,
        )


def _url(table: Table) -> str:
    text = table.text("url", LIMITS.url_chars)
    try:
        url = Url.parse(text, WEBSOCKET_SCHEMES)
    except UrlRefused as exc:
        # Not the words: they repeat the URL.
        raise table.fault("value", "url", f"is not acceptable ({exc.code})") from None
    if url.query:
        raise table.fault("value", "url", "must have no query")
    local = url.host == "localhost" or (url.ip is not None and url.ip.is_loopback)
    if not url.secure and not local and not table.flag("insecure"):
        raise _refused(
            table.path("url"),
            "is plain ws: to another machine: token and all that is watched could be read on the "
            "way",
            "use wss:, or say insecure = true where another layer encrypts (a VPN)",
        )
    if url.secure and table.flag("insecure"):
        raise table.fault("value", "insecure", "does not go with wss:")
    return url.href.rstrip("/")


def _fault(kind: FaultKind, at: str, message: str) -> YoiError:
    return EnablementError("enablement.malformed", f"yoi.toml: {at}: {message}", at=at, kind=kind)


def _refused(at: str, message: str, hint: str) -> YoiError:
    return EnablementError(
        "enablement.malformed", f"yoi.toml: {at}: {message}", hint=hint, at=at, kind="value"
    )
