"""The `[cluster]` table of yoi.toml."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from yoi.decisions.file import read_file
from yoi.decisions.port import Decisions
from yoi.errors import ClusterError
from yoi.limits import LIMITS, MIB, Limits
from yoi.serving.settings import FILE_NAME, malformed
from yoi.toml import Bad, Faults, Key, ListOf, Parsed, SafeId, TableSpec, Text, Whole

_TABLE = "cluster"


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Where the machines of a deployment meet."""

    nats: tuple[str, ...]
    """URLs of the servers."""
    name: str = "yoi"
    """The deployment; hosts of one name share its logs, and one of them runs it."""
    replicas: int = 1
    size_bytes: int = 1024 * MIB
    lease_ms: int = 15_000
    user: str | None = None
    password: str | None = None
    """The name of the password in the operator's secret store."""

    @classmethod
    def load(
        cls, workspace: Path, decisions: Decisions, limits: Limits = LIMITS
    ) -> "ClusterSettings | None":
        """Return what of the table is in force; None where there is none.

        Raises EnablementError (`enablement.toml`, `enablement.malformed`) and TrustError.
        """
        return cls.read(read_file(workspace, limits).in_force(decisions).document)

    @classmethod
    def needed(
        cls, workspace: Path, decisions: Decisions, why: str, page: str, limits: Limits = LIMITS
    ) -> "ClusterSettings":
        """Return what of the table is in force, for a command that means nothing without it.

        Raises as `load`, and ClusterError `cluster.none` with `why` and the `page` to read.
        """
        settings = cls.load(workspace, decisions, limits)
        if settings is None:
            raise ClusterError(
                "cluster.none",
                f"this workspace has no [cluster] in force: {why}",
                hint=f"{page}; after an edit: yoi trust",
            )
        return settings

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "ClusterSettings | None":
        """Return what the table of a decoded document says."""
        if _TABLE not in document:
            return None
        faults = Faults()
        read = CLUSTER.read(document[_TABLE], _TABLE, faults)
        if isinstance(read, Bad):
            raise malformed(faults, FILE_NAME)
        return read


def missing_client(exc: ModuleNotFoundError) -> ClusterError:
    """Return the error of a host whose `[cluster]` needs what is not installed."""
    return ClusterError(
        "cluster.unreachable",
        f"[cluster] needs the NATS client, which is not installed ({exc.name})",
        hint="pip install 'yoi[cluster]'",
    )


def _server(written: str) -> str:
    parts = urlsplit(written)
    if parts.scheme not in ("nats", "tls") or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError("must be nats://HOST:PORT or tls://HOST:PORT")
    if parts.username or parts.password:
        raise ValueError("must hold no credentials: user = ..., password = the name of a secret")
    return written.rstrip("/")


def _servers(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("must name at least one server")
    return values


CLUSTER = TableSpec(
    (
        Key(
            "nats",
            Parsed(
                ListOf(Parsed(Text(LIMITS.url_chars), _server, "URL"), LIMITS.cluster_servers),
                _servers,
            ),
            "the NATS servers, `nats://HOST:PORT` or `tls://HOST:PORT`",
            required=True,
        ),
        Key(
            "name",
            SafeId(),
            "the deployment: hosts of one name share their logs, and one of them runs",
            default="yoi",
        ),
        Key("replicas", Whole(1, 5), "copies of the logs, on as many servers", default=1),
        Key(
            "size_bytes",
            Whole(16 * MIB, 1024 * 1024 * MIB),
            "the most that the logs take; then events wait",
            default=1024 * MIB,
        ),
        Key(
            "lease_ms",
            Whole(3_000, 60_000),
            "a host that is silent for so long is replaced; it stops sending after two thirds",
            default=15_000,
        ),
        Key("user", Text(), "the account on the servers"),
        Key("password", SafeId(), "the name in the secret store of its password"),
    ),
    lambda row: ClusterSettings(
        nats=row["nats"],
        name=row["name"],
        replicas=row["replicas"],
        size_bytes=row["size_bytes"],
        lease_ms=row["lease_ms"],
        user=row["user"],
        password=row["password"],
    ),
    about="Several machines, one of which runs what is enabled; when it is gone, another does.",
)
