"""What a workspace asks the host to run, as far as the operator decided it."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from yoi.core.withdrawal import Phase, Reading, Withdrawal
from yoi.decisions.entries import join
from yoi.decisions.file import Check, OperatorFile, look, operator_file
from yoi.decisions.port import Decisions, InForce, Undisturbed
from yoi.decisions.words import pending_error, pending_rows
from yoi.display import shell_word
from yoi.errors import TrustError, YoiError
from yoi.limits import LIMITS, Limits
from yoi.mcp.clients import clients_profiles
from yoi.mcp.settings import McpFault, McpSettings
from yoi.packages import (
    EnabledEntry,
    Enablement,
    PackageInventory,
    Resolution,
    ResolvedPlugin,
    package_inventory,
    resolve,
)
from yoi.protocol.diagnostics import Diagnostic, Severity, diagnostic
from yoi.runtime.earlier_versions import EarlierVersions
from yoi.runtime.packages_in_use import PackagesInUse
from yoi.runtime.worker_profiles import WorkerFault, workers_of
from yoi.toml.lines import line_of
from yoi.types import Clock, rfc3339
from yoi.workers.failed import FailedWorker
from yoi.workers.profile import WorkerProfile

__all__ = ["Plan", "WorkspacePlans", "operator_file"]


@dataclass(frozen=True, slots=True)
class Plan:
    """The plugins and workers that may run, and why others may not."""

    plugins: tuple[ResolvedPlugin, ...]
    diagnostics: tuple[Diagnostic, ...]
    workers: tuple[WorkerProfile, ...] = ()
    faulty_workers: tuple[FailedWorker, ...] = ()
    mcp: McpSettings = field(default_factory=McpSettings)
    earlier: Mapping[str, ResolvedPlugin] = field(default_factory=dict)
    """What ran before plugins that are new to this host and have handled nothing yet, by name."""
    pending: tuple[Mapping[str, Any], ...] = ()
    """What waits for a decision, as `pending_rows`."""
    trouble: YoiError | None = None
    """Why yoi.toml cannot be used now, where what it said before stays in force."""


class PlanSource(Protocol):
    """Where a host finds what to run. Both methods block, but not for long."""

    def look(self, check: Check) -> tuple[Reading, OperatorFile]:
        """Return what the operator says, judged by `check`; a fault is in the reading."""
        ...

    def packages(self) -> PackageInventory:
        """Return the packages that there are."""
        ...


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """A workspace's own yoi.toml, and the stores of the workspace and the person."""

    workspace: Path
    limits: Limits = LIMITS

    def look(self, check: Check) -> tuple[Reading, OperatorFile]:
        """Return what yoi.toml says."""
        return look(self.workspace, check, self.limits)

    def packages(self) -> PackageInventory:
        """Return what the stores hold."""
        return package_inventory(self.workspace)


class WorkspacePlans:
    """The plans of a running host: a change of yoi.toml counts by the rule of withdrawal.

    Every method blocks, but not for long, and may be called from any thread.
    """

    def __init__(
        self,
        workspace: Path,
        clock: Clock,
        decisions: Decisions,
        limits: Limits = LIMITS,
        source: PlanSource | None = None,
    ) -> None:
        self._workspace, self._clock, self._decisions = workspace, clock, decisions
        self._source = OwnFiles(workspace, limits) if source is None else source
        self._limits = limits
        self._file = Withdrawal(limits)
        self._usable = OperatorFile(workspace)
        self._started: float | None = None
        self._fault_since: float | None = None
        self._unrecorded: TrustError | None = None
        """Why what the file no longer says could not be recorded, None where it was."""
        self._hurried: set[str] = set()
        self._told: frozenset[tuple[str, str]] = frozenset()
        self._packages = PackagesInUse(limits)
        self._earlier = EarlierVersions(workspace)
        self._mutex = threading.Lock()

    def decided(self, names: Iterable[str]) -> None:
        """Take the entries `names` at once at the next `read`: a command of Yoi wrote them."""
        with self._mutex:
            self._hurried |= set(names)

    def proven(self, name: str, digest: str) -> None:
        """Forget what ran before the version `digest` of the service `name`: it has done well."""
        with self._mutex, self._decisions.undisturbed(self._workspace) as decisions:
            self._earlier.proven(name, digest, decisions)

    def due_in(self) -> float | None:
        """Return after how many seconds to read again though no file changes, or None."""
        with self._mutex:
            times = [self._file.due, self._packages.due, self._told_at()]
            due = min((time for time in times if time is not None), default=None)
            return None if due is None else max(0.0, due - self._clock.monotonic())

    def read(self) -> Plan:
        """Return the plan now. Raises as `read_plan`, but for a file that was usable before.

        File, decisions and packages are read as one: no command of Yoi is between two of them.
        """
        with self._mutex, self._decisions.undisturbed(self._workspace) as decisions:
            now = self._clock.monotonic()
            reading, file = self._source.look(_check)
            if reading.fault is not None and self._started is None:
                raise reading.fault
            self._started = now if self._started is None else self._started
            self._file.decided(self._hurried, reading, now)
            as_decided = self._as_decided(reading, decisions)
            if as_decided:
                # A command of Yoi wrote them, too; its word to this host is still on the way.
                self._file.decided(as_decided, reading, now)
            self._hurried = set()
            if reading.fault is None:
                self._usable, self._fault_since = file, None
            elif self._fault_since is None:
                self._fault_since = now
            return self._made(now, decisions)

    def _as_decided(self, reading: Reading, decisions: Undisturbed) -> set[str]:
        """Return the entries of the file that are other ones than before, and wholly decided."""
        effective = self._file.effective
        if reading.fault is not None or reading.entries == effective:
            return set()
        entries = {name: join(entry) for name, entry in effective.items()}
        decided = decisions.in_force(entries).decided
        return {
            name
            for name, entry in reading.entries.items()
            if entry != effective.get(name) and decided.get(name) == join(entry)
        }

    def _made(self, now: float, decisions: Undisturbed) -> Plan:
        entries = {name: join(entry) for name, entry in self._file.effective.items()}
        found = decisions.in_force(entries)
        self._unrecorded = None
        if self._file.phase is Phase.SETTLED and self._ran_for(now, self._limits.withdraw_ms):
            try:
                decisions.narrow(found)
            except TrustError as exc:
                # It is not in force all the same; the next reading tries again.
                self._unrecorded = exc
        at = rfc3339(self._clock.wall())
        packages = self._source.packages()
        plan = _plan(self._usable, found, packages, at, partial(self._packages.kept, now=now))
        troubles = list(self._troubles(now))
        return replace(
            plan,
            earlier=self._earlier.read(plan.plugins, found, decisions),
            diagnostics=(
                *(_diagnosed(at, "host", error) for error in troubles),
                *self._news(plan.diagnostics),
            ),
            trouble=next(iter(troubles), None),
        )

    def _news(self, diagnostics: tuple[Diagnostic, ...]) -> Iterable[Diagnostic]:
        """Yield `diagnostics` without what was already told to be pending."""
        told, self._told = (
            self._told,
            frozenset(
                (one.scope, one.message) for one in diagnostics if one.code == "trust.pending"
            ),
        )
        return (one for one in diagnostics if (one.scope, one.message) not in told)

    def _ran_for(self, now: float, span_ms: int) -> bool:
        return self._started is not None and now - self._started >= span_ms / 1000

    def _told_at(self) -> float | None:
        """Return when something is to be told or recorded that has not been yet."""
        span = self._limits.withdraw_ms / 1000
        now = self._clock.monotonic()
        times = [
            None if since is None else since + span for since in (self._fault_since, self._started)
        ]
        return min((time for time in times if time is not None and time > now), default=None)

    def _troubles(self, now: float) -> Iterable[YoiError]:
        if self._file.phase is Phase.UNUSABLE:
            names = sorted(name for name in self._file.effective if name.startswith("plugin:"))
            yield TrustError(
                "trust.unusable",
                f"{operator_file(self._workspace)} has been empty, missing or unreadable for "
                f"{self._limits.being_written_ms // 1000} s; what it said before stays in force",
                hint="\n".join(
                    ["put it back, or switch off what it enabled:"]
                    + [f"yoi plugin disable {shell_word(name.partition(':')[2])}" for name in names]
                ),
            )
        if self._unrecorded is not None:
            yield self._unrecorded
        since, fault = self._fault_since, self._file.fault
        if (
            fault is not None
            and since is not None
            and now - since >= self._limits.withdraw_ms / 1000
        ):
            yield fault


def _check(document: Mapping[str, Any]) -> None:
    """Raise for a yoi.toml that cannot be used as a whole."""
    Enablement.of(document, Path("yoi.toml"))


Keep = Callable[[Resolution, Iterable[EnabledEntry]], Resolution]


def _plan(
    file: OperatorFile, found: InForce, packages: PackageInventory, at: str, keep: Keep
) -> Plan:
    """Return what is in force, and why the rest is not."""
    document, path = found.document, operator_file(file.workspace)
    enabled = Enablement.of(document, path)
    # The file's own faults name their place in it; an entry with one is not in force.
    said = Enablement.of(file.document, path)
    resolution = resolve(
        packages,
        replace(enabled, diagnostics=said.diagnostics or enabled.diagnostics),
    )
    resolution = keep(resolution, enabled.entries)
    workers = workers_of(document)
    faults = workers_of(file.document).faults or workers.faults
    mcp = mcp_of(file, document)
    problems = [(f"service:{one.name}", one.error) for one in resolution.diagnostics]
    faulty = faulty_workers(faults, file.content, at)
    return Plan(
        plugins=resolution.plugins,
        diagnostics=(
            *(_diagnosed(at, scope, error) for scope, error in problems),
            *(_worker_fault(at, one) for one in faulty),
            *(_mcp_fault(at, one) for one in mcp.faults),
            *(
                _diagnosed(at, _scope(one.entry), pending_error(one), "warning")
                for one in found.pending
            ),
        ),
        workers=(*workers.profiles, *clients_profiles(mcp)),
        mcp=mcp,
        faulty_workers=faulty,
        pending=tuple(pending_rows(found.pending)),
    )


def mcp_of(file: OperatorFile, document: Mapping[str, Any]) -> McpSettings:
    """Return the MCP tables of `document`, with the faults of `file`, each with its line."""
    mcp = McpSettings.read(document)
    text = file.content.decode(errors="replace")
    faults = McpSettings.read(file.document).faults or mcp.faults
    return replace(
        mcp,
        faults=tuple(replace(one, line=line_of(text, _place(one.error, one.at))) for one in faults),
    )


def faulty_workers(
    faults: Iterable[WorkerFault], content: bytes, at: str
) -> tuple[FailedWorker, ...]:
    """Return the workers of tables that make none, each with its line in the file's `content`."""
    return tuple(_faulty(one, content, at) for one in faults)


def _faulty(fault: WorkerFault, content: bytes, at: str) -> FailedWorker:
    line = line_of(content.decode(errors="replace"), _place(fault.error, fault.at))
    return FailedWorker(fault.name, fault.error, line=line, at=at)


def _place(error: YoiError, otherwise: str) -> str:
    place = error.fields.get("at")
    return place if isinstance(place, str) and place else otherwise


def _mcp_fault(at: str, one: McpFault) -> Diagnostic:
    return diagnostic(at, one.error.code, "host", one.words, severity="error", hint=one.hint)


def _worker_fault(at: str, one: FailedWorker) -> Diagnostic:
    where = "" if one.line is None else f"yoi.toml, line {one.line}: "
    message = f"worker {one.name} does not run: {where}{one.error.message}"
    scope = f"worker:{one.name}"
    return diagnostic(at, one.error.code, scope, message, severity="error", hint=one.hint)


def _scope(entry: str) -> str:
    kind, _, name = entry.partition(":")
    return {"plugin": f"service:{name}", "worker": f"worker:{name}"}.get(kind, "host")


def _diagnosed(at: str, scope: str, error: YoiError, severity: Severity = "error") -> Diagnostic:
    return diagnostic(at, error.code, scope, error.message, severity=severity, hint=error.hint)
