"""Where distributions are looked for and fetched: uv, as a child process that never builds one.

uv reads its own configuration for indexes and credentials; Yoi names none.
"""

import contextlib
import importlib
import os
import re
import resource
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yoi.display import printable
from yoi.errors import PackageError
from yoi.limits import MIB
from yoi.packages.guest_library import PYTHON

_SECONDS = 300
_MAX_FILE_BYTES = 64 * MIB
"""The largest file that the child may write: a distribution that unpacks to more is refused."""
_INSTALL = 'pip install "yoi[libraries]"'
_UNUSABLE = re.compile(r"has no (usable|.*-compatible) wheels|requires Python")
_ANY_PLATFORM = "wasm32-pyodide2024"
"""A platform on which no wheel of an ordinary machine fits, so that uv takes `any`."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One release that uv chose for some environment."""

    name: str
    version: str
    marker: str | None
    wheels: dict[str, str]
    """File name to SHA-256."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One wheel to fetch: the release it is of, and its hash."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Index:
    """Runs uv in the empty folder `scratch`, so that no project's settings are found there."""

    scratch: Path
    find_links: tuple[Path, ...] = ()
    index_url: str | None = None

    def resolve(
        self, requirements: Sequence[str], keep: Sequence[tuple[str, str]] = ()
    ) -> list[Candidate]:
        """Return the newest releases that satisfy `requirements` on any system with wheels.

        A release in `keep` (name and version) is preferred to a newer one. Raises PackageError.
        """
        kept = "".join(
            f'[[packages]]\nname = "{name}"\nversion = "{version}"\n' for name, version in keep
        )
        if kept:
            self._file("pylock.toml", f'lock-version = "1.0"\ncreated-by = "yoi"\n{kept}')
        done = self._compile(requirements, "-o", "pylock.toml")
        if done.returncode != 0:
            raise _unresolved(done.stderr, requirements)
        lock = tomllib.loads((self.scratch / "pylock.toml").read_text(encoding="utf-8"))
        return [_candidate(row) for row in lock.get("packages", [])]

    def unusable_newer(self, requirement: str) -> str | None:
        """Return uv's words about newer releases, all unusable, that satisfy `requirement`.

        None: there is no newer one. A usable one that was passed over is told as well.
        """
        done = self._compile([requirement], "--no-deps", "--prerelease", "disallow")
        if done.returncode == 0:
            return "a newer release exists, but what it needs cannot be had here"
        words = _words(done.stderr)
        return words if _UNUSABLE.search(words) else None

    def fetch(self, pins: Sequence[Pin]) -> Path:
        """Return a folder with the wheels of `pins` unpacked, each checked against its hash.

        The child unpacks and does nothing else: nothing is built, compiled or run. Raises
        PackageError: `package.library_hash`, `package.bounds`, `package.traversal`.
        """
        rows = [f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}" for pin in pins]
        self._file("requirements.txt", "\n".join(rows) + "\n")
        target = self.scratch / "unpacked"
        # No cache: what it unpacked earlier it does not look at again, nor warns about.
        done = self._run(
            "install", "-r", "requirements.txt", "--target", str(target), "--no-deps", "--no-cache",
            "--require-hashes", "--python-platform", _ANY_PLATFORM,
        )  # fmt: skip
        words = _words(done.stderr)
        if "Hash mismatch" in words:
            raise PackageError(
                "package.library_hash",
                f"a file is not the one that was expected: {_first(words, 'Hash mismatch')}",
                hint="find out why it changed before you take it with: yoi plugin update",
            )
        if "unsafe" in words:
            raise PackageError(
                "package.traversal",
                f"a library's archive leads out of it: {_first(words, 'unsafe')}",
                hint="use another library",
            )
        if done.returncode != 0:
            raise _failed(words)
        return target

    def _compile(
        self, requirements: Sequence[str], *options: str
    ) -> "subprocess.CompletedProcess[str]":
        self._file("requirements.in", "\n".join(requirements) + "\n")
        return self._run(
            "compile", "requirements.in", "--universal", "--no-header", "--quiet",
            "--format", "pylock.toml", *options,
        )  # fmt: skip

    def _file(self, name: str, content: str) -> None:
        (self.scratch / name).write_text(content, encoding="utf-8")

    def _run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [_uv(), "pip", *arguments, "--no-build", "--no-progress", "--color", "never"]
        command += ["--python", sys.executable, "--python-version", PYTHON.rpartition(".")[0]]
        for folder in self.find_links:
            command += ["--find-links", str(folder.resolve())]
        if self.index_url is not None:
            command += ["--default-index", self.index_url]
        environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
        environment |= {"RUST_LOG": "warn", "UV_PYTHON_DOWNLOADS": "never"}
        try:
            done = subprocess.run(
                command,
                cwd=self.scratch,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
                check=False,
                preexec_fn=_bound,
                # Python ignores SIGXFSZ; so does the child, which then says what was too large.
                restore_signals=False,
            )
        except subprocess.TimeoutExpired:
            raise _failed(f"it did not answer within {_SECONDS} seconds") from None
        except OSError as exc:
            raise _failed(f"it could not be started: {exc.strerror}") from None
        if done.returncode != 0 and "File too large" in done.stderr:
            raise PackageError(
                "package.bounds",
                f"a library unpacks to a file of more than {_MAX_FILE_BYTES // MIB} MiB",
                hint="use a smaller library",
            )
        return done


def _bound() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE_BYTES, _MAX_FILE_BYTES))


def _uv() -> str:
    """Return the program: the one installed with Yoi, or the one on the PATH."""
    with contextlib.suppress(ImportError, FileNotFoundError):
        found: str = importlib.import_module("uv").find_uv_bin()
        return found
    on_path = shutil.which("uv")
    if on_path is None:
        raise missing("uv")
    return on_path


def missing(what: str) -> PackageError:
    """Return the error that says what must be installed first."""
    return PackageError(
        "package.resolver", f"libraries are resolved with {what}, which is not here", hint=_INSTALL
    )


def _candidate(row: dict[str, Any]) -> Candidate:
    wheels = {
        one.get("name") or one.get("url", one.get("path", "")).rpartition("/")[2]: one["hashes"]
        for one in row.get("wheels", [])
    }
    return Candidate(
        row["name"],
        row["version"],
        row.get("marker"),
        {name: hashes["sha256"] for name, hashes in wheels.items() if "sha256" in hashes},
    )


def _unresolved(stderr: str, requirements: Sequence[str]) -> PackageError:
    words = _words(stderr)
    asked = ", ".join(requirements)
    if "was not found" in words or "were not found" in words:
        return PackageError(
            "package.library_missing",
            f"there is no such library: {words}",
            hint="compare the name with its page; --find-links DIR looks in a folder",
        )
    if "has no usable wheels" in words:
        return PackageError(
            "package.library_source",
            f"{asked} cannot be had without running its build, which is never done: {words}",
            hint="use another library, or a release with a wheel for any platform",
        )
    if "unsatisfiable" in words or "cannot be used" in words:
        return PackageError(
            "package.library_missing",
            f"nothing satisfies {asked}: {words}",
            hint="ask for another version: yoi plugin add NAME==VERSION",
        )
    return _failed(words)


def _failed(words: str) -> PackageError:
    return PackageError(
        "package.resolver",
        f"uv, which resolves libraries, failed: {words}",
        hint="settings of indexes, proxies and certificates are uv's own",
    )


def _words(stderr: str) -> str:
    """Return what uv says, on one line."""
    return printable(" ".join(stderr.split()), 1200).removeprefix("error: ")


def _first(words: str, mark: str) -> str:
    return words[max(0, words.find(mark)) :][:300]
