"""Building the Python runner from a checkout. Standard library only: hatch_build.py loads this too.

A build is not reproducible (componentize-py snapshots a running interpreter), so the runner is
named by what went into it: the digest of its sources and of the tool's version.
"""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

RUNNER = "1"
TOOL = "componentize-py"
TOOL_VERSION = "0.25.1"
PYTHON = "3.14.0"
"""The CPython that this version of componentize-py carries."""

COMPONENT = "runner.wasm"
RECORD = "runner.json"
LIBRARY = "library.index"
"""What the first half of a build leaves last, beside its source."""
BUILD_SECONDS = 300
"""Bound on one build: seconds on a workstation, minutes on a small machine that does other work."""

_WORLD = "wit/runner/1.0.0"
_CODE = ("runner", "pdk/python/src")
_SCRIPT = "import sys; sys.path.append(sys.argv.pop(1)); import componentize_py as c; c.script()"
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "SYSTEMROOT")


class BuildFailed(Exception):
    """The runner could not be built; the message says why and what to do."""


def find_checkout(start: Path) -> Path | None:
    """Return the checkout that the module file `start` belongs to, or None when it is installed."""
    for folder in start.resolve().parents[:4]:
        if (folder / _WORLD / "world.wit").is_file() and (
            folder / "runner/runner_app.py"
        ).is_file():
            return folder
    return None


def source_files(root: Path) -> list[Path]:
    """Return what goes into the runner: relative paths, sorted."""
    found = list((root / _WORLD).glob("*.wit"))
    for folder in _CODE:
        found += (root / folder).rglob("*.py")
    return sorted(path.relative_to(root) for path in found)


def source_digest(root: Path) -> str:
    """Return the hex SHA-256 of the sources, their names, and the tool's version."""
    total = hashlib.sha256(f"{RUNNER}\n{TOOL}=={TOOL_VERSION}\n{PYTHON}\n".encode())
    for path in source_files(root):
        content = hashlib.sha256((root / path).read_bytes()).hexdigest()
        total.update(f"{path.as_posix()}\n{content}\n".encode())
    return total.hexdigest()


def build(root: Path, out: Path) -> None:
    """Build the runner of the checkout `root` into the folder `out`: component, then record.

    Each file appears whole or not at all, and the record last. Raises BuildFailed.
    """
    tool = importlib.util.find_spec("componentize_py")
    if tool is None or tool.origin is None:
        raise BuildFailed(f"the build needs {TOOL}: pip install {TOOL}=={TOOL_VERSION}")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=out) as scratch_name:
        scratch = Path(scratch_name)
        # A copy: exactly the digested files are built, whatever else lies in the checkout.
        for path in source_files(root):
            target = scratch / "source" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((root / path).read_bytes())
        record = {
            "runner": RUNNER,
            "python": PYTHON,
            "tool": f"{TOOL} {TOOL_VERSION}",
            "source": source_digest(scratch / "source"),
        }
        _componentize(Path(tool.origin).parents[1], scratch)
        (scratch / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        os.replace(scratch / COMPONENT, out / COMPONENT)
        os.replace(scratch / RECORD, out / RECORD)


def _componentize(tool: Path, scratch: Path) -> None:
    """Make the component with the tool found in the folder `tool`.

    Two processes: the first compiles the library and stops; the second is the one that is kept.
    """
    _, said = _run(tool, scratch, "library_app")
    if not (scratch / "source/runner" / LIBRARY).is_file():
        raise BuildFailed(f"{TOOL} failed in the library: {said}")
    status, said = _run(tool, scratch, "runner_app")
    if status != 0 or not (scratch / COMPONENT).is_file():
        raise BuildFailed(f"{TOOL} failed: {said}")


def _run(tool: Path, scratch: Path, app: str) -> tuple[int, str]:
    """Return the tool's exit status and its first words (pip's build folders only we know)."""
    source = scratch / "source"
    command = [sys.executable, "-I", "-c", _SCRIPT, str(tool)]
    command += ["-d", str(source / _WORLD), "-w", "runner"]
    command += ["componentize", app, "-o", str(scratch / COMPONENT)]
    for folder in _CODE:
        command += ["-p", str(source / folder)]
    # A small environment: VIRTUAL_ENV would put its site-packages into the guest's path.
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        done = subprocess.run(
            command,
            cwd=scratch,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise BuildFailed(f"{TOOL} did not finish: {exc}") from None
    lines = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
    return done.returncode, " / ".join(lines[:6])
