"""What `yoi doctor` looks at. Each check reports; none changes anything but the runner's cache."""

import contextlib
import importlib.metadata
import os
import resource
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from yoi.cli.layout import many
from yoi.display import shell_word
from yoi.errors import ControlError, YoiError
from yoi.limits import LIMITS

Level = Literal["ok", "warn", "fail"]

_OLDEST_PYTHON = (3, 11)
_BUILT_AFTER = 1_767_225_600  # 2026-01-01: a clock before this release makes TLS fail
_SPARE_FILES = 128
"""Files a host has open besides its sockets: code cache, logs, the control socket's clients."""


class Finding(msgspec.Struct, frozen=True):
    """One line of the report; `fix` is empty where there is nothing to do."""

    name: str
    level: Level
    message: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class DoctorScope:
    """What is being checked."""

    workspace: Path

    @property
    def folder(self) -> Path:
        """Return the workspace's own folder, which need not exist."""
        return self.workspace / ".yoi"


def python(scope: DoctorScope) -> list[Finding]:
    """Report the interpreter."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < _OLDEST_PYTHON:
        return [Finding("python", "fail", f"{version} is too old", "use Python 3.11 or newer")]
    return [Finding("python", "ok", f"{version} ({sys.executable})")]


def event_loop(scope: DoctorScope) -> list[Finding]:
    """Report whether the fast event loop is there."""
    try:
        version = importlib.metadata.version("uvloop")
        import uvloop  # noqa: F401
    except (ImportError, importlib.metadata.PackageNotFoundError):
        return [Finding("event loop", "fail", "uvloop is missing", "pip install uvloop")]
    return [Finding("event loop", "ok", f"uvloop {version}")]


def sandbox(scope: DoctorScope) -> list[Finding]:
    """Report whether the engine starts and the Python runner loads; prepares the runner."""
    from yoi.runtime.paths import cache_dir
    from yoi.sandbox import Sandbox, runner_version

    folder = cache_dir()
    try:
        box = Sandbox(LIMITS, folder)
    except YoiError as exc:
        return [_failed("engine", exc)]
    findings = [Finding("engine", "ok", f"wasmtime {importlib.metadata.version('wasmtime')}")]
    began = time.monotonic()
    try:
        box.warm_up()
        took = time.monotonic() - began
        findings.append(
            Finding("runner", "ok", f"{runner_version().label}, loaded in {took:.1f} s")
        )
    except YoiError as exc:
        findings.append(_failed("runner", exc))
    finally:
        box.close()
    findings.append(_private("code cache", folder / "code"))
    return findings


def workspace(scope: DoctorScope) -> list[Finding]:
    """Report whether others could change what runs here."""
    findings = []
    for path in (
        scope.workspace,
        scope.folder,
        scope.folder / "yoi.toml",
        scope.folder / "plugins",
    ):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            findings.append(
                Finding(
                    "workspace",
                    "fail",
                    f"everyone on this machine may write {path}: they could grant themselves "
                    "anything",
                    f"chmod o-w {shell_word(path)}",
                )
            )
    if not os.access(scope.workspace, os.W_OK):
        findings.append(
            Finding("workspace", "warn", f"you may not write {scope.workspace}", "use another -w")
        )
    return findings or [Finding("workspace", "ok", str(scope.workspace))]


def tables(scope: DoctorScope) -> list[Finding]:
    """Report the first fault in tables of yoi.toml with which no host starts or opens secrets."""
    from yoi.cluster.settings import ClusterSettings
    from yoi.decisions.file import read_file
    from yoi.secrets.workspace import Settings
    from yoi.serving.settings import ServingSettings

    try:
        file = read_file(scope.workspace)
        ServingSettings.read(file.document, scope.workspace, "yoi.toml")
        ClusterSettings.read(file.document)
        Settings.parse(file.entries.get("secrets", {}), scope.workspace)
    except YoiError as exc:
        return [_failed("yoi.toml", exc)]
    return []


def plugins(scope: DoctorScope) -> list[Finding]:
    """Report packages that cannot be read, and enabled plugins that will not run."""
    from yoi.cli.pending import enablement
    from yoi.packages import package_inventory, resolve

    found = package_inventory(scope.workspace)
    findings = [
        Finding("store", "warn", f"{one.path.name}: {one.error.message}", one.error.hint or "")
        for one in found.unreadable
    ]
    findings.append(Finding("store", "ok", f"{many(len(found.packages), 'package')} can be read"))
    try:
        resolution = resolve(found, enablement(scope.workspace))
    except YoiError as exc:
        return [*findings, _failed("enabled", exc)]
    for problem in resolution.diagnostics:
        hint = problem.error.hint or ""
        findings.append(
            Finding("enabled", "warn", f"{problem.name}: {problem.error.message}", hint)
        )
    findings.append(Finding("enabled", "ok", f"{many(len(resolution.plugins), 'plugin')} can run"))
    return findings


def workers(scope: DoctorScope) -> list[Finding]:
    """Report [[workers]] tables that make no worker, each with its line."""
    from yoi.decisions.file import read_file
    from yoi.runtime.worker_profiles import workers_of
    from yoi.runtime.workspace import faulty_workers

    try:
        file = read_file(scope.workspace)
        plan = workers_of(file.document)
    except YoiError as exc:
        return [_failed("workers", exc)]
    findings = [
        Finding(
            "workers",
            "fail",
            f"{one.name}: line {one.line} of yoi.toml: {one.error.message}",
            one.hint,
        )
        for one in faulty_workers(plan.faults, file.content, "")
    ]
    words = "1 worker is" if len(plan.profiles) == 1 else f"{len(plan.profiles)} workers are"
    return [*findings, Finding("workers", "ok", f"{words} configured")]


def mcp(scope: DoctorScope) -> list[Finding]:
    """Report tables of MCP servers, tools and events that are off for a fault in them."""
    from yoi.decisions.file import read_file
    from yoi.runtime.workspace import mcp_of

    try:
        file = read_file(scope.workspace)
    except YoiError:
        return []  # `tables` says so
    found = mcp_of(file, file.document)
    findings = [Finding("mcp", "fail", one.words, one.hint) for one in found.faults]
    if found.servers:
        words = f"{many(len(found.servers), 'server')} can be started"
        findings.append(Finding("mcp", "ok", words))
    return findings


def granted_secrets(scope: DoctorScope) -> list[Finding]:
    """Report secrets that something enabled may use and the store does not have."""
    from yoi.cli.pending import enablement
    from yoi.cli.secrets_there import missing_secrets

    try:
        entries = enablement(scope.workspace).entries
        wanted = {name: one.name for one in entries for name in one.granted.secret_names}
        missing = missing_secrets(scope.workspace, wanted)
    except YoiError as exc:
        return [_failed("secrets", exc)]
    if not missing:
        return [Finding("secrets", "ok", f"{len(wanted)} of {len(wanted)} are in the store")]
    return [
        Finding(
            "secrets",
            "warn",
            f"{wanted[name]} may use {name}, and the store has none of that name",
            f"yoi secret set {shell_word(name)}",
        )
        for name in missing
    ]


def decisions(scope: DoctorScope) -> list[Finding]:
    """Report what of yoi.toml waits for a decision, and a store of decisions that is not usable."""
    from yoi.cli.pending import pending
    from yoi.decisions.words import COMMAND, entry_words

    try:
        rows = pending(scope.workspace)
    except YoiError as exc:
        return [_failed("decisions", exc)]
    if not rows:
        return [Finding("decisions", "ok", "all that yoi.toml says was decided here")]
    return [
        Finding(
            "decisions",
            "warn",
            f"{entry_words(row['entry'])} is not in force: {row['why']}",
            COMMAND,
        )
        for row in rows
    ]


def control_socket(scope: DoctorScope) -> list[Finding]:
    """Report whether a host runs here, and that only this account can steer it."""
    from yoi.control.client import call
    from yoi.control.wire import socket_path

    path = socket_path(scope.workspace)
    try:
        mode = path.stat().st_mode
    except OSError:
        return [Finding("host", "ok", "no host is running in this workspace")]
    if stat.S_IMODE(mode) & 0o077:
        return [
            Finding(
                "host",
                "fail",
                f"others may use the control socket {path}",
                f"chmod 600 {shell_word(path)}",
            )
        ]
    try:
        status = call(scope.workspace, "host.status")
    except ControlError as exc:
        if exc.code == "control.unreachable":
            stale = "a socket is left from a host that is gone; the next `yoi serve` replaces it"
            return [Finding("host", "ok", stale)]
        return [_failed("host", exc)]
    pid = status.get("pid") if isinstance(status, dict) else "?"
    return [Finding("host", "ok", f"a host is running (process {pid})")]


def clock(scope: DoctorScope) -> list[Finding]:
    """Report a clock that would make certificates look wrong."""
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < _BUILT_AFTER:
        return [Finding("clock", "fail", f"{shown} is in the past: TLS will fail", "set the clock")]
    return [Finding("clock", "ok", shown)]


def open_files(scope: DoctorScope) -> list[Finding]:
    """Report whether the bound on connections fits the account's bound on open files."""
    # What serves raises its own bound as far as it may (serving/process.py).
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = LIMITS.connections + _SPARE_FILES
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        return [Finding("open files", "ok", "no limit" if hard < 0 else str(hard))]
    fits = max(0, hard - _SPARE_FILES)
    return [
        Finding(
            "open files",
            "warn",
            f"{hard} are enough for about {fits} connections; the bound is {LIMITS.connections}",
            f"ulimit -n {wanted} (as an administrator)",
        )
    ]


def certificates(scope: DoctorScope) -> list[Finding]:
    """Report whether there are root certificates to verify `wss` with."""
    import ssl

    count = 0
    with contextlib.suppress(ssl.SSLError, OSError):
        count = ssl.create_default_context().cert_store_stats()["x509_ca"]
    paths = ssl.get_default_verify_paths()
    if count or (paths.capath and any(Path(paths.capath).iterdir())):
        return [Finding("certificates", "ok", f"{count or 'a folder of'} root certificates")]
    return [
        Finding(
            "certificates",
            "warn",
            "no root certificates: every wss connection will be refused",
            "install ca-certificates, or set SSL_CERT_FILE",
        )
    ]


def machine(scope: DoctorScope) -> list[Finding]:
    """Report whether this account's host.toml can be used."""
    from yoi.serving.host_settings import FILE_NAME, HostSettings

    try:
        settings = HostSettings.load()
    except YoiError as exc:
        return [_failed(FILE_NAME, exc)]
    where = "none: every bound is as it comes" if settings.path is None else str(settings.path)
    return [Finding(FILE_NAME, "ok", where)]


CHECKS: tuple[Callable[[DoctorScope], list[Finding]], ...] = (
    python,
    event_loop,
    sandbox,
    machine,
    workspace,
    tables,
    plugins,
    workers,
    mcp,
    granted_secrets,
    decisions,
    control_socket,
    clock,
    open_files,
    certificates,
)


def _private(name: str, folder: Path) -> Finding:
    try:
        found = folder.stat()
    except OSError as exc:
        return Finding(name, "warn", f"{folder}: {exc.strerror}", "set XDG_CACHE_HOME")
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        return Finding(
            name, "fail", f"others may read or change {folder}", f"chmod 700 {shell_word(folder)}"
        )
    return Finding(name, "ok", str(folder))


def _failed(name: str, error: YoiError) -> Finding:
    return Finding(name, "fail", f"{error.message} [{error.code}]", error.hint or "")
