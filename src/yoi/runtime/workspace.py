"""What a workspace asks the host to run: discovery and enablement, read fresh each time."""

import os
from dataclasses import dataclass
from pathlib import Path

from yoi.packages import Enablement, Inventory, ResolvedPlugin, Store, resolve
from yoi.protocol.diagnostics import Diagnostic, diagnostic
from yoi.runtime.worker_profiles import load_workers
from yoi.types import Clock, rfc3339
from yoi.workers.profile import WorkerProfile


def operator_file(workspace: Path) -> Path:
    """Return where the operator's choices for `workspace` are written."""
    return workspace / ".yoi" / "yoi.toml"


def inventory(workspace: Path) -> Inventory:
    """Return the packages in the workspace's store and in the person's own (P2: nothing runs)."""
    return Inventory.of(Store.project(workspace), Store.user(os.environ, Path.home()))


@dataclass(frozen=True, slots=True)
class Plan:
    """The plugins and workers that may run, and why others may not."""

    plugins: tuple[ResolvedPlugin, ...]
    diagnostics: tuple[Diagnostic, ...]
    workers: tuple[WorkerProfile, ...] = ()


def read_plan(workspace: Path, clock: Clock) -> Plan:
    """Return what `workspace` enables. Blocking file I/O; no code of a package runs (P2).

    Raises EnablementError when yoi.toml itself cannot be read; a single bad entry is a diagnostic.
    """
    resolution = resolve(inventory(workspace), Enablement.load(operator_file(workspace)))
    workers = load_workers(operator_file(workspace))
    problems = [(f"service:{one.name}", one.error) for one in resolution.diagnostics]
    problems += [(f"worker:{one.name}", one.error) for one in workers.faults]
    at = rfc3339(clock.wall())
    return Plan(
        plugins=resolution.plugins,
        diagnostics=tuple(
            diagnostic(
                at,
                error.code,
                scope,
                error.message,
                severity="error",
                hint=error.hint,
            )
            for scope, error in problems
        ),
        workers=workers.profiles,
    )
