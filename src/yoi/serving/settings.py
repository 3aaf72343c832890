"""The tables of yoi.toml that say where a process listens and which runtimes a backend reads.

    [observation]          the backend's listener        [runtime]   the runtime's own
    [[backend.runtimes]]   runtimes elsewhere

Read strictly, as every table of the operator. No endpoint of a runtime is in any repr or message.
"""

import difflib
import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from yoi.decisions.file import read_file
from yoi.decisions.port import AccountDecisions, Decisions
from yoi.display import printable
from yoi.errors import EnablementError, UrlRefused
from yoi.limits import LIMITS, Limits
from yoi.permissions import REQUEST_SCHEMES, WEBSOCKET_SCHEMES, Url
from yoi.secrets.deployment import DeploymentKey
from yoi.serving.names import ListenerNames, url_of
from yoi.toml import (
    Bad,
    Fault,
    Faults,
    Flag,
    Key,
    ListOf,
    Nested,
    Parsed,
    Row,
    Rows,
    SafeId,
    TableSpec,
    Text,
    file_path,
    joined,
)

FILE_NAME = "yoi.toml"
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
    clustered: bool = False
    """Whether there is a `[cluster]` table: `yoi.cluster` reads it."""
    deployment_key: DeploymentKey | None = field(default=None, repr=False)
    """The key that the machines of that cluster share."""

    @classmethod
    def load(
        cls, workspace: Path, limits: Limits = LIMITS, decisions: Decisions | None = None
    ) -> "ServingSettings":
        """Return what of `.yoi/yoi.toml` is in force; an absent file or table says nothing.

        `decisions` are the account's unless others are given. Raises EnablementError
        (`enablement.toml`, `enablement.malformed`) and TrustError.
        """
        found = read_file(workspace, limits)
        chosen = decisions or AccountDecisions()
        return cls.read(found.in_force(chosen).document, workspace, FILE_NAME)

    @classmethod
    def read(cls, document: Mapping[str, Any], folder: Path, file_name: str) -> "ServingSettings":
        """Return what the tables of a decoded document say; relative paths are below `folder`."""
        faults = Faults()
        _check_tables(document, faults)
        tables = [
            spec.read(document.get(name, {}), name, faults)
            for name, spec in (("observation", OBSERVATION), ("runtime", RUNTIME))
        ]
        remotes = BACKEND.read(document.get("backend", {}), "backend", faults)
        if faults:
            raise malformed(faults, file_name)
        backend, runtime = tables
        assert isinstance(backend, BackendSettings)
        assert isinstance(runtime, RuntimeSettings)
        assert not isinstance(remotes, Bad)
        return cls(
            backend=replace(backend, listener=backend.listener.below(folder)),
            runtime=replace(runtime, listener=runtime.listener.below(folder)),
            runtimes=tuple(
                replace(one, ca=None if one.ca is None else folder / one.ca) for one in remotes
            ),
            clustered="cluster" in document,
        )

    def check_local(self) -> None:
        """Raise EnablementError where a runtime elsewhere has the id of the one in this process."""
        if any(one.id == self.runtime.id for one in self.runtimes):
            faults = Faults()
            faults.add(
                "value",
                "backend.runtimes",
                f'has "{self.runtime.id}" too, which is the runtime of this process',
                'give this one another name: [runtime] id = "..."',
            )
            raise malformed(faults, FILE_NAME)


def _check_tables(document: Mapping[str, Any], faults: Faults) -> None:
    """Add a fault for each table of yoi.toml that no part of Yoi reads."""
    for name in document:
        if name in _TABLES:
            continue
        shown = printable(name, 64)
        if name in _OF_THE_MACHINE:
            words = "belongs into host.toml of this account, not into a workspace"
        else:
            close = difflib.get_close_matches(shown, _TABLES, n=1)
            guess = f'; did you mean "{close[0]}"?' if close else ""
            words = f"is not a table of this file{guess} (known: {', '.join(_TABLES)})"
        faults.add("unknown_key", shown, words)


_TABLES = ("backend", "cluster", "mcp", "observation", "plugins", "runtime", "secrets", "workers")
_OF_THE_MACHINE = ("host", "network")


def malformed(faults: Faults, file_name: str) -> EnablementError:
    """Return `faults` as the error of an operator's file."""
    return joined([fault_error(fault, file_name) for fault in faults], faults.count)


def fault_error(fault: Fault, file_name: str) -> EnablementError:
    """Return one fault as the error of an operator's file."""
    return EnablementError(
        "enablement.malformed",
        f"{file_name}: {fault.at}: {fault.message}",
        hint=fault.hint,
        at=fault.at,
        kind=fault.kind,
    )


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


def _remote(row: Row) -> RemoteRuntime:
    url: Url = row["url"]
    if not url.secure and not url.local and not row["insecure"]:
        row.fault(
            "value",
            "url",
            "is plain ws: to another machine: token and all that is watched could be read on the "
            "way",
            "use wss:, or say insecure = true where another layer encrypts (a VPN)",
        )
    if url.secure and row["insecure"]:
        row.fault("value", "insecure", "does not go with wss:")
    return RemoteRuntime(id=row["id"], url=url.href.rstrip("/"), token=row["token"], ca=row["ca"])


def configured_url(text: str, schemes: Collection[str]) -> Url:
    """Return the URL that a setting gives. Raises ValueError, without the URL in its words."""
    try:
        return Url.parse(text, schemes)
    except UrlRefused as exc:
        raise ValueError(f"is not acceptable ({exc.code})") from None


def _remote_url(text: str) -> Url:
    url = configured_url(text, WEBSOCKET_SCHEMES)
    if url.query:
        raise ValueError("must have no query")
    return url


_PATH = Parsed(Text(_PATH_CHARS), file_path, "path")
_TLS = TableSpec(
    (
        Key("certificate", _PATH, "PEM: the certificate with its chain", required=True),
        Key("key", _PATH, "PEM: its key", required=True),
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
UPSTREAM = TableSpec(
    (
        Key("id", SafeId(), "what clients call it; unique", required=True),
        Key(
            "url",
            Parsed(Text(LIMITS.url_chars), _remote_url, "URL"),
            "`wss://HOST[:PORT][/PREFIX]` of its listener",
            required=True,
        ),
        Key(
            "token",
            SafeId(),
            "the name in the secret store of the token that the runtime gave this backend",
            required=True,
        ),
        Key("ca", _PATH, "PEM authorities to trust instead of the system's"),
        Key(
            "insecure",
            Flag(),
            "allows plain `ws:` to another machine, where another layer encrypts",
            default=False,
        ),
    ),
    _remote,
    about="A runtime elsewhere that this backend reads.",
)
BACKEND = TableSpec[tuple[RemoteRuntime, ...]](
    (
        Key(
            "runtimes",
            Rows(UPSTREAM, LIMITS.backend_runtimes, unique="id"),
            "runtimes elsewhere, see `[[backend.runtimes]]`",
            default=(),
        ),
    ),
    lambda row: tuple(row["runtimes"]),
    about="What a backend reads beside the runtime of its own process.",
)
