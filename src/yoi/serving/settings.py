"""The tables of yoi.toml that say where a process listens and which runtimes a backend reads.

    [observation]          the backend's listener        [runtime]   the runtime's own
    [[backend.runtimes]]   runtimes elsewhere

Read strictly, as every table of the operator. No endpoint of a runtime is in any repr or message.
"""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from yoi.decisions.file import read_file
from yoi.decisions.port import AccountDecisions, Decisions
from yoi.display import printable
from yoi.errors import EnablementError, UrlRefused
from yoi.limits import LIMITS, Limits
from yoi.permissions import WEBSOCKET_SCHEMES, Url
from yoi.secrets.deployment import DeploymentKey
from yoi.serving.listeners import FILE_PATH, OBSERVATION, RUNTIME, BackendSettings, RuntimeSettings
from yoi.toml import (
    Bad,
    Fault,
    Faults,
    Flag,
    Key,
    Parsed,
    Row,
    Rows,
    SafeId,
    TableSpec,
    Text,
    joined,
)

FILE_NAME = "yoi.toml"


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
        Key("ca", FILE_PATH, "PEM authorities to trust instead of the system's"),
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
