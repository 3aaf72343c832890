"""`HostSettings`: what the operator says about this machine, in `host.toml` of the account.

    [host]          bounds of this machine     [observation]   replaces the table of yoi.toml
    [network]       names, proxies, authorities  [runtime]       replaces the table of yoi.toml
    [cluster]       its name among others, and whom it obeys

The file lies in the account's configuration folder, apart from every workspace: a workspace that
comes from elsewhere cannot change it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from yoi.errors import EnablementError, SecretError
from yoi.limits import GIB, LIMITS, MIB, Limits
from yoi.permissions import Url
from yoi.permissions.ways_out import WaysOut
from yoi.secrets.deployment import DeploymentKey
from yoi.secrets.files import read_authority
from yoi.secrets.publisher import PublicKey
from yoi.serving.listeners import OBSERVATION, RUNTIME, BackendSettings, RuntimeSettings
from yoi.serving.network_settings import NETWORK
from yoi.serving.settings import ServingSettings, malformed
from yoi.toml import (
    Bad,
    Choice,
    Faults,
    Key,
    Nested,
    Parsed,
    Row,
    SafeId,
    TableSpec,
    Text,
    TomlFault,
    Whole,
    parse_toml,
)

FILE_NAME = "host.toml"
VARIABLE = "YOI_HOST_CONFIG"
_DAY_MS = 86_400_000
PROCESS_CRASH = "process_crash"
SURVIVES = (PROCESS_CRASH, "power_loss")

_ADJUSTABLE: dict[str, tuple[int, int]] = {
    "services": (1, 10_000),
    "connections": (1, 20_000),
    "workers": (1, 4096),
    "guest_threads": (1, 256),
    "drain_ms": (0, 600_000),
    "compile_seconds": (10, 3600),
    "compile_memory_bytes": (512 * MIB, 64 * GIB),
    "compiled_components": (1, 4096),
    "requests": (1, 4096),
    "followers": (1, 65_536),
    "http_connections": (16, 65_536),
    "open_files": (256, 1_048_576),
    "session_ms": (60_000, 30 * _DAY_MS),
}
"""The bounds that depend on the machine, and how far they may be moved; others are contracts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """The settings of one machine. `limits` has every bound as it holds there."""

    limits: Limits = LIMITS
    backend: BackendSettings | None = None
    """The `[observation]` table, in place of the workspace's."""
    runtime: RuntimeSettings | None = None
    """The `[runtime]` table, in place of the workspace's."""
    webhook: Url | None = field(default=None, repr=False)
    """Where alerts are posted to."""
    machine: str | None = None
    """The name of this machine among those of a `[cluster]`; None: the system's."""
    survives: str = PROCESS_CRASH
    """What the events of disk ingresses survive: one of `SURVIVES`."""
    publisher: PublicKey | None = None
    """Whose publications decide what runs here; None: this account decides."""
    key_file: Path | None = field(default=None, repr=False)
    """The key that the machines of a deployment share."""
    ways_out: WaysOut = field(default_factory=WaysOut)
    path: Path | None = field(default=None, compare=False)
    """The file that was read; None where there is none."""
    source: Path | None = field(default=None, compare=False)
    """Where the file is looked for; None where these settings come from no file."""
    content: bytes | None = field(default=None, compare=False, repr=False)
    """What the file held."""

    @classmethod
    def load(cls, path: Path | None = None, limits: Limits = LIMITS) -> "HostSettings":
        """Return what `path`, or else the account's host.toml, says; without one, nothing is said.

        Raises EnablementError (`enablement.toml`, `enablement.malformed`), also where the file can
        be written by others or belongs to another account.
        """
        chosen = path or host_file(os.environ, Path.home())
        data = read_host_file(chosen, limits)
        if data is None:
            if path is not None or VARIABLE in os.environ:
                raise EnablementError(
                    "enablement.malformed", f"{chosen} is not there", hint="create it", at=""
                )
            return cls(limits=limits, source=chosen)
        made = cls.parse(data, chosen.parent, limits)
        return replace(made, path=chosen, source=chosen, content=data)

    @classmethod
    def parse(cls, toml: bytes, folder: Path, limits: Limits = LIMITS) -> "HostSettings":
        """Return what `toml` says; relative paths are below `folder`.

        Raises EnablementError for the first fault; with several, `fields["faults"]` has them all.
        """
        try:
            document = parse_toml(toml)
        except TomlFault as exc:
            raise EnablementError(
                "enablement.toml", f"{FILE_NAME}: {exc.message}", at="", line=exc.line
            ) from None
        faults = Faults()
        made = HOST_FILE.read(document, "", faults)
        if isinstance(made, Bad):
            raise malformed(faults, FILE_NAME)
        bounds, ways_out, backend, runtime, survives, webhook, of_several = made
        publisher, name, key_file = of_several
        return cls(
            limits=replace(limits, **bounds),
            ways_out=replace(
                ways_out,
                authorities=tuple(
                    replace(one, file=folder / one.file) for one in ways_out.authorities
                ),
            ),
            backend=backend and replace(backend, listener=backend.listener.below(folder)),
            runtime=runtime and replace(runtime, listener=runtime.listener.below(folder)),
            survives=survives,
            webhook=webhook,
            publisher=publisher,
            machine=name,
            key_file=key_file and folder / key_file,
        )

    @property
    def deployment_key(self) -> DeploymentKey | None:
        """The key in `key_file`, read now; None where none is named. Raises SecretError."""
        return None if self.key_file is None else DeploymentKey.read(self.key_file)

    def over(self, settings: ServingSettings) -> ServingSettings:
        """Return `settings` of a workspace with the tables of this machine in place of its own.

        Raises SecretError where the key of its cluster cannot be read.
        """
        return replace(
            settings,
            deployment_key=self.deployment_key if settings.clustered else None,
            backend=self.backend or settings.backend,
            runtime=self.runtime or settings.runtime,
        )


def read_host_file(path: Path, limits: Limits = LIMITS) -> bytes | None:
    """Return what the file holds, None where it is not there.

    Raises EnablementError (`enablement.malformed`) where others may have written it.
    """
    try:
        return read_authority(path, limits.operator_config_bytes)
    except SecretError as exc:
        raise EnablementError("enablement.malformed", exc.message, hint=exc.hint, at="") from None


def host_file(environment: Mapping[str, str], home: Path) -> Path:
    """Return where host.toml is: `YOI_HOST_CONFIG`, or the account's configuration folder."""
    chosen = environment.get(VARIABLE, "")
    if chosen:
        return Path(chosen)
    base = environment.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if base.startswith("/") else home / ".config"
    return folder / "yoi" / FILE_NAME


def _given(row: Row) -> dict[str, int]:
    return {key: row[key] for key in HOST.keys if row.has(key)}


_WHY = {one.name: one for one in fields(Limits)}
HOST = TableSpec[dict[str, int]](
    [
        Key(name, Whole(low, high), _WHY[name].metadata["why"], default=_WHY[name].default)
        for name, (low, high) in _ADJUSTABLE.items()
    ],
    _given,
    about="Bounds that depend on the machine. All others are in [bounds](limits.md).",
)
JOURNAL = TableSpec[str](
    (
        Key(
            "survives",
            Choice(SURVIVES),
            'what the events of an ingress with `durability = "disk"`, and the workers\' '
            "histories, survive. `process_crash`: the death of the host, however it dies; a power "
            "cut or a crash of the system may cost the last commits. `power_loss`: these too; each "
            "group of commits then waits for the disk",
            default=PROCESS_CRASH,
        ),
    ),
    lambda row: str(row["survives"]),
    about="How the journal is written on this machine.",
)
ALERTS = TableSpec[Url | None](
    (
        Key(
            "webhook",
            Parsed(Text(LIMITS.url_chars), lambda text: Url.parse(text, ("https", "http")), "URL"),
            "each alert that opens or closes is posted there as JSON, see "
            "[how to operate](../how-to/operate.md)",
            default=None,
        ),
    ),
    lambda row: row["webhook"],
    about="Who is told of what needs a person.",
)
CLUSTER = TableSpec[tuple[PublicKey | None, str | None, Path | None]](
    (
        Key(
            "name",
            SafeId(),
            "how the machines of a cluster call this one, and what `runs_on` is compared with",
            default_words="the system's host name",
        ),
        Key(
            "publisher",
            Parsed(Text(128), PublicKey.parse, "key"),
            "the public key of the operator whose publications this machine obeys, as "
            "`yoi cluster key` prints it: plugins and workers are then those that were published "
            "for the `[cluster]` of yoi.toml, and no others",
            default=None,
        ),
        Key(
            "key_file",
            Parsed(Text(LIMITS.url_chars), Path, "path"),
            "the key that all machines of the deployment share (`yoi cluster seal FILE` makes it): "
            "it opens the published secrets, and seals the records of all logs. Below the folder "
            "of host.toml where it is relative",
            default=None,
        ),
    ),
    lambda row: (row["publisher"], row["name"], row["key_file"]),
    about="What this machine is as one of several.",
)
_File = tuple[
    dict[str, int],
    WaysOut,
    BackendSettings | None,
    RuntimeSettings | None,
    str,
    Url | None,
    tuple[PublicKey | None, str | None, Path | None],
]
HOST_FILE = TableSpec[_File](
    (
        Key("host", Nested(HOST), "see [`[host]`](#host)", default={}),
        Key("network", Nested(NETWORK), "see [`[network]`](#network)", default=WaysOut()),
        Key("journal", Nested(JOURNAL), "see [`[journal]`](#journal)", default=PROCESS_CRASH),
        Key("alerts", Nested(ALERTS), "see [`[alerts]`](#alerts)", default=None),
        Key("cluster", Nested(CLUSTER), "see [`[cluster]`](#cluster)", default=(None, None, None)),
        Key("observation", Nested(OBSERVATION), "in place of the table of yoi.toml"),
        Key("runtime", Nested(RUNTIME), "in place of the table of yoi.toml"),
    ),
    lambda row: (
        row["host"],
        row["network"],
        row["observation"],
        row["runtime"],
        row["journal"],
        row["alerts"],
        row["cluster"],
    ),
    about="What the operator says about this machine.",
)
