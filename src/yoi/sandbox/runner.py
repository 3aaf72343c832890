"""The Python runner as a file: shipped in the wheel, or built once from a checkout and cached.

The runner is our own component, so it is compiled in this process; plugins run inside it and are
trusted no more for that. What is approved beside a package's digest is `RunnerVersion`.
"""

import fcntl
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from yoi.errors import SandboxError
from yoi.sandbox import runner_build

_SHIPPED = Path(__file__).parent / "_runner"
_KEPT = 3


@dataclass(frozen=True, slots=True)
class RunnerVersion:
    """What a Python plugin runs in. Two equal versions are built from the same sources."""

    runner: str
    """The number a manifest names: `runner = "1"`."""
    python: str
    """The version of CPython inside."""
    source: str
    """Hex SHA-256 of the runner's sources and build tool."""

    @property
    def label(self) -> str:
        """Return one line for a person."""
        return f"python runner {self.runner} (CPython {self.python}, sources {self.source[:12]})"


def runner_component(cache_dir: Path | None = None) -> Path:
    """Return the path of the runner component, building it first in a fresh checkout (10 to 20 s).

    `cache_dir` holds what is built; None means `$XDG_CACHE_HOME/yoi`. Blocking; safe to call from
    several processes at once. Raises SandboxError (`sandbox.runner_missing`).
    """
    checkout = runner_build.find_checkout(Path(__file__))
    if _shipped_version(checkout) is not None:
        return _SHIPPED / runner_build.COMPONENT
    if checkout is None:
        raise _missing("this installation has no runner", "pip install --force-reinstall yoi")
    digest = runner_build.source_digest(checkout)
    base = (cache_dir or user_cache()) / "runner"
    home = base / digest[:32]
    try:
        _private_folder(base)
        if not _is_built(home, digest):
            _build_once(checkout, base, home, digest)
    except OSError as exc:
        raise _missing(
            f"the runner cannot be kept in {base}: {exc.strerror or exc}",
            "set XDG_CACHE_HOME to a folder you own",
        ) from None
    return home / runner_build.COMPONENT


def runner_version() -> RunnerVersion:
    """Return the version of the runner this installation uses; builds nothing.

    Raises SandboxError (`sandbox.runner_missing`) when there is neither a runner nor a checkout.
    """
    checkout = runner_build.find_checkout(Path(__file__))
    shipped = _shipped_version(checkout)
    if shipped is not None:
        return shipped
    if checkout is None:
        raise _missing("this installation has no runner", "pip install --force-reinstall yoi")
    return RunnerVersion(
        runner_build.RUNNER, runner_build.PYTHON, runner_build.source_digest(checkout)
    )


def _shipped_version(checkout: Path | None) -> RunnerVersion | None:
    """Return the version of the packaged runner; None if missing or older than `checkout`."""
    record = _read_record(_SHIPPED)
    if record is None or not (_SHIPPED / runner_build.COMPONENT).is_file():
        return None
    if checkout is not None and record.source != runner_build.source_digest(checkout):
        return None
    return record


def _read_record(folder: Path) -> RunnerVersion | None:
    try:
        record = json.loads((folder / runner_build.RECORD).read_bytes())
        return RunnerVersion(str(record["runner"]), str(record["python"]), str(record["source"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_built(home: Path, digest: str) -> bool:
    record = _read_record(home)
    return (
        record is not None and record.source == digest and (home / runner_build.COMPONENT).is_file()
    )


def _build_once(checkout: Path, base: Path, home: Path, digest: str) -> None:
    """Build into `home` unless another process did so while this one waited for the lock."""
    with (base / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released by close, and by a crash
        if _is_built(home, digest):
            return
        try:
            runner_build.build(checkout, home)
        except runner_build.BuildFailed as exc:
            raise _missing(
                f"the Python runner cannot be built: {exc}",
                f"pip install {runner_build.TOOL}=={runner_build.TOOL_VERSION}",
            ) from None
        _forget_old(base)


def _forget_old(base: Path) -> None:
    """Keep the newest builds only: each is 23 MB, and every edit of the sources makes one."""
    homes = sorted(
        (folder for folder in base.iterdir() if folder.is_dir()),
        key=lambda folder: folder.stat().st_mtime,
        reverse=True,
    )
    for folder in homes[_KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)


def _private_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(1, "it belongs to someone else")
    folder.chmod(0o700)


def user_cache() -> Path:
    """Return this account's cache directory for Yoi (XDG Base Directory); not created here."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "yoi"


def _missing(message: str, fix: str) -> SandboxError:
    return SandboxError("sandbox.runner_missing", message, hint=fix)
