"""The `[[workers]]` tables of yoi.toml: which workers run, and why others do not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yoi.errors import EnablementError, WorkerError, YoiError
from yoi.limits import LIMITS
from yoi.mcp.clients import WORKERS as CLIENTS
from yoi.toml import is_safe_id
from yoi.workers.profile import WorkerProfile


@dataclass(frozen=True, slots=True)
class WorkerFault:
    """Why one table is not used. `name` is the worker's, or the table's place."""

    name: str
    error: YoiError
    at: str
    """The dotted path of the table, such as `workers[0]`."""


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """The profiles that are well-formed, and what is not."""

    profiles: tuple[WorkerProfile, ...] = ()
    faults: tuple[WorkerFault, ...] = ()


def workers_of(document: Mapping[str, Any]) -> WorkerPlan:
    """Return the workers in a decoded yoi.toml: none where it has too many, or no such tables.

    Two of one name are both left out: either may be meant.
    """
    rows: Any = document.get("workers", [])
    if not isinstance(rows, list):
        return _none("workers must be [[workers]] tables")
    if len(rows) > LIMITS.workers:
        return _none(f"more than {LIMITS.workers} workers")
    profiles: dict[str, WorkerProfile] = {}
    faults: list[WorkerFault] = []
    clashes: dict[str, str] = {}
    for index, row in enumerate(rows):
        at = f"workers[{index}]"
        try:
            profile = WorkerProfile.parse(row, at)
        except YoiError as exc:
            faults.append(WorkerFault(_name_of(row, at), exc, at))
            continue
        if profile.name in CLIENTS.values():
            words = f"the name {profile.name} is the host's own, for what MCP clients call"
            faults.append(
                WorkerFault(at, WorkerError("worker.profile", words, at=f"{at}.name"), at)
            )
            continue
        if profile.name in profiles:
            clashes[profile.name] = at
        profiles[profile.name] = profile
    for name in sorted(clashes):
        del profiles[name]
        faults.append(
            WorkerFault(
                name,
                WorkerError("worker.duplicate", f"two workers are called {name}"),
                clashes[name],
            )
        )
    return WorkerPlan(tuple(profiles.values()), tuple(faults))


def _none(why: str) -> WorkerPlan:
    error = EnablementError("enablement.malformed", f"yoi.toml: {why}", at="workers")
    return WorkerPlan(faults=(WorkerFault("workers", error, "workers"),))


def _name_of(row: Any, at: str) -> str:
    """Return what the table calls itself where that is a name, else its place."""
    name = row.get("name") if isinstance(row, Mapping) else None
    return name if isinstance(name, str) and is_safe_id(name) else at
