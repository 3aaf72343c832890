"""Try the wheels alone, as a newcomer would: `python packaging/smoke.py dist [--only 3.12]`.

For every supported Python that is found here, in a fresh environment and far from the checkout:
install, doctor, demo, a plugin from each template with its tests, serve. The last line is JSON;
exits 1 where a step failed. A Python that is not here is named in a line and in `absent`; that each
locked library has a wheel for it is looked at all the same.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
TEMPLATES = ("websocket", "service", "tool")
STEP_SECONDS = 300
CONTAINERFILE = Path(__file__).parent / "Containerfile"
LOCKED = Path(__file__).parents[1] / "requirements" / "run.txt"
_KEPT = ("PATH", "LANG", "TMPDIR", "SSL_CERT_FILE")
_PIP = ("PIP_", "UV_", "REQUESTS_")
WORKER = """
[[workers]]
name = "agent"
model = "openai-compatible:any"
base_url = "http://127.0.0.1:9/v1"
"""


class StepFailed(Exception):
    """A step did not do what it should; the message says what was seen."""


@dataclass(frozen=True)
class Trial:
    """One Python's environment, and what its commands see."""

    python: Path
    home: Path
    """An account's folder that all trials share: the runner is prepared once."""
    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in _KEPT or name.startswith(_PIP)
        }
        return {**kept, "HOME": str(self.home), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, *command: str, cwd: Path | None = None) -> str:
        """Return what `command` printed; its first word is looked up in the environment."""
        words = [str(self.folder / "env" / "bin" / command[0]), *command[1:]]
        done = subprocess.run(
            words,
            cwd=cwd or self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )
        if done.returncode:
            said = (done.stdout + done.stderr).strip()[-1500:]
            raise StepFailed(f"{' '.join(command)} ended with {done.returncode}:\n{said}")
        return done.stdout


def main() -> int:
    """Run every trial and end with one line of JSON."""
    options = argparse.ArgumentParser()
    options.add_argument("dist", type=Path)
    options.add_argument("--only", choices=PYTHONS, action="append")
    arguments = options.parse_args()
    wheels = sorted(str(path.resolve()) for path in arguments.dist.glob("*.whl"))
    tried: dict[str, float] = {}
    absent, failed = [], []
    with tempfile.TemporaryDirectory(prefix="yoi-smoke-") as scratch:
        home = Path(scratch) / "home"
        home.mkdir()
        for version in arguments.only or PYTHONS:
            python = find_python(version)
            if python is None:
                print(f"smoke: Python {version} is not on this machine; skipped", flush=True)
                absent.append(version)
                lacking = without_wheels(version, Path(scratch) / "wheels")
                if lacking:
                    failed.append(f"{version} wheels")
                words = lacking or "each locked library has a wheel for it"
                print(f"smoke: Python {version}: {words}", flush=True)
                continue
            folder = Path(scratch) / version
            folder.mkdir()
            began = time.monotonic()
            failed += trial(Trial(python, home, folder), version, wheels)
            tried[version] = round(time.monotonic() - began, 1)
            shutil.rmtree(folder)
    ok = bool(tried) and not failed
    print(json.dumps({"seconds": tried, "absent": absent, "failed": failed, "ok": ok}))
    return 0 if ok else 1


def find_python(version: str) -> Path | None:
    """Return an interpreter of `version` that runs: on the path, or one that pyenv keeps."""
    named = [shutil.which(f"python{version}")]
    if uv := shutil.which("uv"):
        asked_uv = [uv, "python", "find", "--no-python-downloads", version]
        found = subprocess.run(asked_uv, capture_output=True, text=True, check=False)
        named += found.stdout.split()[:1]
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    named += [str(path) for path in sorted(root.glob(f"versions/{version}.*/bin/python3"))]
    for candidate in filter(None, named):
        asked = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"
        ran = subprocess.run([candidate, "-c", asked], capture_output=True, text=True, check=False)
        if ran.returncode == 0 and ran.stdout.strip() == version:
            return Path(candidate)
    return None


def without_wheels(version: str, folder: Path) -> str:
    """Return why the locked libraries cannot be installed for `version`, or nothing."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--python-version", version, "--target", str(folder)]
    command += ["--disable-pip-version-check", "--require-hashes", "-r", str(LOCKED)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip()[-1500:] if done.returncode else ""


def trial(here: Trial, version: str, wheels: list[str]) -> list[str]:
    """Return the steps that failed with one Python; after a failed install there are no others."""
    failed = []
    for name, step in steps(here, wheels):
        began = time.monotonic()
        try:
            step()
        except (StepFailed, subprocess.TimeoutExpired, OSError, ValueError, KeyError) as exc:
            failed.append(f"{version} {name}")
            print(f"smoke: Python {version}: {name} FAILED: {exc}", flush=True)
            if name == "install":
                break
        else:
            print(f"smoke: Python {version}: {name} ({time.monotonic() - began:.1f} s)", flush=True)
    return failed


def steps(here: Trial, wheels: list[str]) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield what is tried, in order."""
    yield "install", lambda: install(here, wheels)
    yield "no library of a model is there", lambda: without_models(here)
    yield "yoi --version", lambda: expect(here.run("yoi", "--version").startswith("yoi "))
    yield "yoi doctor", lambda: sound(here)
    yield "yoi demo", lambda: demo(here)
    yield "yoi plugin new, check, pytest", lambda: templates(here)
    yield "yoi plugin enable, yoi serve", lambda: serve(here)


def install(here: Trial, wheels: list[str]) -> None:
    """Install as packaging/Containerfile does, into a fresh environment; then add pytest."""
    (here.folder / "dist").mkdir()
    for wheel in wheels:
        shutil.copy(wheel, here.folder / "dist")
    step = install_step().replace("/opt/yoi", "env").replace("python3", str(here.python))
    done = subprocess.run(
        step,
        shell=True,
        cwd=here.folder,
        env=here.environ,
        capture_output=True,
        text=True,
        timeout=STEP_SECONDS,
        check=False,
    )
    if done.returncode:
        raise StepFailed(f"{step} ended with {done.returncode}:\n{done.stderr[-1500:]}")
    here.run("python", "-m", "pip", "install", "--quiet", "--no-input", "pytest")
    at = here.run("python", "-c", "import yoi, yoi_pdk; print(yoi.__file__, yoi_pdk.__file__)")
    expect(at.count(str(here.folder)) == 2)


def install_step() -> str:
    """Return the step of packaging/Containerfile that installs the wheels."""
    lines = CONTAINERFILE.read_text(encoding="utf-8").splitlines()
    (step,) = (line.removeprefix("RUN ") for line in lines if "pip install" in line)
    return step


def without_models(here: Trial) -> None:
    """A host without workers has no library of any model."""
    code = "import importlib.util as u, sys; sys.exit(any(map(u.find_spec, sys.argv[1:])))"
    here.run("python", "-c", code, "pydantic", "pydantic_ai", "openai", "anthropic")


def sound(here: Trial) -> None:
    """`yoi doctor` finds nothing wrong in an empty folder."""
    (here.folder / "empty").mkdir()
    here.run("yoi", "doctor", "-w", str(here.folder / "empty"))


def demo(here: Trial) -> None:
    """The demo accounts for every frame."""
    last = json.loads(here.run("yoi", "demo", "--frames", "200", "--json").splitlines()[-1])
    expect(last["ok"] is True and last["unaccounted"] == 0)


def templates(here: Trial) -> None:
    """A plugin from each template passes its check and its own tests."""
    for template in TEMPLATES:
        here.run("yoi", "plugin", "new", template, template)
        here.run("yoi", "plugin", "check", template)
        here.run("pytest", "-q", "-p", "no:cacheprovider", cwd=here.folder / template)


def serve(here: Trial) -> None:
    """A service runs, a worker without its library says what to install, and SIGTERM ends it."""
    space = here.folder / "space"
    space.mkdir()
    packed = ("yoi", "plugin", "pack", str(here.folder / "tool"))
    here.run(*packed, "-o", str(here.folder / "tool.yoi-plugin"))
    enabled = ("yoi", "plugin", "enable", str(here.folder / "tool.yoi-plugin"))
    here.run(*enabled, "--grant-requested", "--yes", "-w", str(space))
    with (space / ".yoi" / "yoi.toml").open("a", encoding="utf-8") as file:
        file.write(WORKER)
    command = [str(here.folder / "env" / "bin" / "yoi"), "serve", "--port", "0", "--json"]
    with subprocess.Popen(
        [*command, "--trust-workspace", "-w", str(space)],
        env=here.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as host:
        try:
            lines = _until_ready(host)
        finally:
            host.send_signal(signal.SIGTERM)
            rest, errors = host.communicate(timeout=STEP_SECONDS)
    ready = lines[-1]
    if host.returncode or ready["running"] != ["tool"]:
        raise StepFailed(f"yoi serve ended with {host.returncode}: {ready} {errors[-1500:]}")
    said = [*lines, *(json.loads(line) for line in rest.splitlines())]
    told = [one["diagnostic"] for one in said if one["event"] == "diagnostic"]
    if not any("worker.extra" in json.dumps(one) for one in told):
        raise StepFailed(f"a worker without its library: {told} {errors[-1500:]}")


def _until_ready(host: "subprocess.Popen[str]") -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    if host.stdout is not None:
        for line in host.stdout:
            lines.append(json.loads(line))
            if lines[-1]["event"] == "ready":
                return lines
    raise StepFailed(f"yoi serve was never ready: {lines[-3:]}")


def expect(true: bool) -> None:
    """Raise StepFailed unless `true`."""
    if not true:
        raise StepFailed("the answer is not what it should be")


if __name__ == "__main__":
    sys.exit(main())
