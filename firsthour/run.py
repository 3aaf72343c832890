"""The first hour of a newcomer, as a script: `python -m firsthour.run [--wheels DIR]`.

The tour, the templates, libraries, and the usual mistakes. Every step runs the real `yoi` in an
empty home and workspace: with `--wheels` the one that these wheels alone install into a fresh
environment, otherwise the one beside this Python. A mistake holds when the command fails and its
words name the place, the reason and what to do next. The last line is JSON: steps, failed,
seconds_to_first_answer.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from firsthour.libraries import BAD, good
from firsthour.mistakes import MISTAKES, Mistake

_PATIENCE_SECONDS = 300.0
"""A machine's first run compiles the Python runner, which takes minutes where it is busy."""


class Gateway:
    """A WebSocket server that greets, and keeps what it is told."""

    def __init__(self) -> None:
        self.port = 0
        self.heard: list[str] = []
        self._ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        self._ready.wait(10)

    async def _serve(self) -> None:
        async with serve(self._talk, "127.0.0.1", 0) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self._ready.set()
            await server.serve_forever()

    async def _talk(self, client: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await client.send("hello")
            async for message in client:
                self.heard.append(str(message))


@dataclass
class Hour:
    """Runs steps in one empty place and counts what fails."""

    place: Path
    python: Path = Path(sys.executable)
    """Of the environment that has Yoi."""
    steps: int = 0
    failed: list[str] = field(default_factory=list)

    @property
    def work(self) -> Path:
        """Return the workspace."""
        return self.place / "work"

    @property
    def command(self) -> Path:
        """Return the `yoi` that is tried."""
        return self.python.parent / "yoi"

    @property
    def env(self) -> dict[str, str]:
        """Return an environment of an account that has never used Yoi."""
        kept = ("PATH", "LANG", "TMPDIR", "XDG_CACHE_HOME")
        # Libraries come from the folder that is named, and from no index.
        config = str(self.place / "uv.toml")
        home = {"HOME": str(self.place / "home"), "COLUMNS": "100", "UV_CONFIG_FILE": config}
        # The prepared Python runner is the machine's: preparing it is not what is timed.
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return {
            **{k: os.environ[k] for k in kept if k in os.environ},
            **home,
            "XDG_CACHE_HOME": cache,
        }

    def yoi(self, *words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [self.command, *map(str, words)],
            cwd=cwd or self.work,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )

    def step(self, name: str, holds: bool, seen: str = "") -> None:
        """Count one step."""
        self.steps += 1
        if not holds:
            self.failed.append(name)
        print(f"{'ok  ' if holds else 'FAIL'} {name}", flush=True)
        if not holds and seen:
            print("     " + seen.strip().replace("\n", "\n     ")[-2000:], flush=True)

    def expect(self, name: str, ran: subprocess.CompletedProcess[str], *words: str) -> None:
        """Count a command that must succeed and say `words`."""
        said = ran.stdout + ran.stderr
        self.step(name, ran.returncode == 0 and all(one in said for one in words), said)


def until(holds: Callable[[], object], seconds: float = _PATIENCE_SECONDS) -> bool:
    """Return whether `holds` came true in time."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if holds():
            return True
        time.sleep(0.05)
    return False


def tour(hour: Hour) -> float | None:
    """Do what README shows; return how long the first answer took from `yoi plugin new` on."""
    gateway, began = Gateway(), time.monotonic()
    hour.expect("tour: plugin new", hour.yoi("plugin", "new", "websocket", "mine"), "created mine")
    manifest = hour.work / "mine" / "plugin.toml"
    manifest.write_text(manifest.read_text().replace("8765", str(gateway.port)))
    hour.expect("tour: plugin check", hour.yoi("plugin", "check", "mine"))
    enabled = hour.yoi("plugin", "enable", "./mine", "--grant-requested", "--yes")
    hour.expect("tour: plugin enable", enabled, "It asks for", "enabled mine")
    with subprocess.Popen(
        [hour.command, "serve", "--port", "0"],
        cwd=hour.work,
        env=hour.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as host:
        said: list[str] = []
        assert host.stdout is not None
        lines = host.stdout
        threading.Thread(target=lambda: said.extend(lines), daemon=True).start()
        try:
            answered = until(lambda: gateway.heard)
            took = time.monotonic() - began if answered else None
            hour.step("tour: the plugin answers", answered, "".join(said))
            hour.step("tour: serve says ready and where to watch", until(
                lambda: "ready: 1 of 1" in "".join(said) and "watch  http" in "".join(said), 5),
                "".join(said))  # fmt: skip
            listed = hour.yoi("service", "list")
            hour.expect("tour: service list", listed, "running", "1 of 1 open")
            hour.expect("tour: watch", hour.yoi("watch"), "mine", "running")
            hour.expect("tour: console", hour.yoi("console"), "/#code=")
            revoke(hour, said)
            mistakes(hour, [one for one in MISTAKES if one.host])
        finally:
            host.terminate()
            ended = host.wait(30)
    hour.step("tour: SIGTERM drains and exits 0", ended == 0, "".join(said))
    return took


def revoke(hour: Hour, said: list[str]) -> None:
    """Take the grant away in the file, as README says, and see what is said of it."""
    path = hour.work / ".yoi" / "yoi.toml"
    text = path.read_text()
    cut = re.sub(
        r"\[\[plugins\.enabled\.grants\.websocket\]\]\n(?:[^\[\n][^\n]*\n?)*", "", text, count=1
    )
    path.write_text(cut + "\n# the end\n")

    def refused() -> bool:
        return "[denied." in hour.yoi("service", "status", "mine").stdout

    gone = until(refused, 50)
    status = hour.yoi("service", "status", "mine")
    hour.step("tour: a revoked grant is the reason shown", gone, status.stdout)
    hour.step("tour: the service is degraded", "degraded" in status.stdout, status.stdout)
    hint = re.search(r"hint: (yoi plugin enable \S+)", "".join(said) + status.stdout)
    hour.step("tour: the hint names a command", hint is not None, status.stdout)
    if hint is not None:
        again = hour.yoi(*hint[1].split()[1:], "--grant-requested", "--yes")
        hour.expect("tour: that command works", again)
        back = until(lambda: "1 of 1 open" in hour.yoi("service", "list").stdout, 30)
        hour.step("tour: and the connection opens again", back)


def templates(hour: Hour) -> None:
    """Every template is checked, its tests pass, and it can be enabled."""
    for template in ("websocket", "service", "tool"):
        name = f"t-{template}"
        hour.expect(f"template {template}: new", hour.yoi("plugin", "new", template, name))
        hour.expect(f"template {template}: check", hour.yoi("plugin", "check", name))
        ran = subprocess.run(
            [hour.python, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
            cwd=hour.work / name, env=hour.env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        hour.step(f"template {template}: its tests", ran.returncode == 0, ran.stdout + ran.stderr)
        packed = hour.yoi("plugin", "pack", name, "-o", f"{name}.yoi-plugin")
        hour.expect(f"template {template}: pack", packed)
        package = f"{name}.yoi-plugin"
        enabled = hour.yoi("plugin", "enable", package, "--grant-requested", "--yes")
        hour.expect(f"template {template}: enable", enabled, f"enabled {name}")
        again = hour.yoi("plugin", "disable", name, "--yes")
        hour.expect(f"template {template}: disable", again)


def developed(hour: Hour, name: str, tool: str, given: str, said: str) -> None:
    """Run a template with `yoi plugin dev`, and call its tool from another terminal."""
    with subprocess.Popen(
        [hour.command, "plugin", "dev", ".", "--grant-requested", "--yes"],
        cwd=hour.work / name, env=hour.env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as session:  # fmt: skip
        heard: list[str] = []
        assert session.stdout is not None
        lines = session.stdout
        threading.Thread(target=lambda: heard.extend(lines), daemon=True).start()
        try:
            ready = until(lambda: "ready: 1 of 1" in "".join(heard))
            hour.step(f"template {name}: plugin dev", ready, "".join(heard))
            called = hour.yoi("service", "call", name, tool, given, cwd=hour.work / name)
            hour.expect(f"template {name}: service call", called, said)
        finally:
            session.terminate()
            ended = session.wait(30)
    hour.step(f"template {name}: dev ends", ended == 0, "".join(heard))


def libraries(hour: Hour) -> None:
    """Add a library and what it needs, take it out again, and be refused what cannot be had."""
    folder, wheels, ran = hour.work / "lib", hour.place / "wheels", hour.place / "ran"
    wheels.mkdir()
    good(wheels)
    hour.yoi("plugin", "new", "tool", "lib")
    code = folder / "plugin.py"
    code.write_text("import greet\n" + code.read_text())
    where = ("--dir", "lib", "--find-links", wheels)
    checked = hour.yoi("plugin", "check", "lib")
    said = checked.stdout + checked.stderr
    hour.step("library: check names the command", "yoi plugin add greet" in said, said)
    hour.expect("library: add", hour.yoi("plugin", "add", "greet", *where), "+ word 1.0 (MIT)")
    hour.expect("library: check", hour.yoi("plugin", "check", "lib"), "greet 1.0 (MIT)")
    hour.expect("library: list", hour.yoi("plugin", "libraries", "-d", "lib"), "word")
    enabled = hour.yoi("plugin", "enable", "./lib", "--grant-requested", "--yes")
    hour.expect("library: the review shows it", enabled, "word 1.0 (MIT)", "enabled lib")
    hour.expect("library: a cycle is no fault", hour.yoi("plugin", "add", "hen", *where), "+ egg")
    hour.expect("library: remove", hour.yoi("plugin", "remove", "hen", *where), "- egg")
    before = contents(folder)
    for one in BAD:
        one.fill(wheels, ran)
        refused = hour.yoi("plugin", "add", "bad", *where)
        said = refused.stdout + refused.stderr
        flat = re.sub(r"\s+", " ", said)
        holds = refused.returncode == 1 and all(re.search(words, flat) for words in one.says)
        kept = contents(folder) == before and not ran.exists()
        hour.step(f"library refused: {one.name}", holds and kept, said)
        for path in wheels.glob("bad-*"):
            path.unlink()
    changed = next(wheels.glob("word-*"))
    changed.write_bytes(changed.read_bytes() + b"\0")
    refused = hour.yoi("plugin", "update", "--locked", *where)
    said = refused.stdout + refused.stderr
    holds = refused.returncode == 1 and "[package.library_hash]" in said
    hour.step("library refused: its hash changed", holds and contents(folder) == before, said)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of `folder`."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def mistakes(hour: Hour, chosen: list[Mistake]) -> None:
    """Make each mistake and judge the words."""
    for one in chosen:
        folder = hour.work / "wrong"
        shutil.rmtree(folder, ignore_errors=True)
        hour.yoi("plugin", "new", "websocket", "wrong")
        before = (hour.work / ".yoi" / "yoi.toml").read_text()
        one.prepare(hour.work)
        ran = hour.yoi(*one.command)
        (hour.work / ".yoi" / "yoi.toml").write_text(before)
        said = ran.stdout + ran.stderr
        flat = re.sub(r"\s+", " ", said)
        holds = (
            ran.returncode not in (0, 70)
            and "Traceback" not in said
            and all(re.search(words, flat) for words in one.says)
        )
        hour.step(f"mistake: {one.name}", holds, said)


def installed(hour: Hour, wheels: Path) -> None:
    """Install these wheels into an empty environment, and use what is there from now on."""
    env = hour.place / "env"
    names = [str(path.resolve()) for path in sorted(wheels.glob("*.whl"))]
    commands = (
        ("an empty environment", [sys.executable, "-m", "venv", str(env)]),
        ("pip install of the wheels", [str(env / "bin" / "pip"), "install", "--quiet", *names]),
        ("pytest, for plugins' tests", [str(env / "bin" / "pip"), "install", "--quiet", "pytest"]),
        ("the extra of libraries", [str(env / "bin" / "pip"), "install", "--quiet", "uv"]),
    )
    for name, command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        hour.step(f"install: {name}", done.returncode == 0, done.stderr)
    hour.python = env / "bin" / "python"
    hour.expect("install: yoi --version", hour.yoi("--version"), "yoi ")
    at = subprocess.run(
        [hour.python, "-c", "import yoi, yoi_pdk; print(yoi.__file__, yoi_pdk.__file__)"],
        cwd=hour.work, env=hour.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    hour.step("install: nothing of a clone is used", at.stdout.count(str(env)) == 2, at.stdout)


def main() -> int:
    """Run the hour and print the account."""
    options = argparse.ArgumentParser()
    options.add_argument("--wheels", type=Path, help="install these, and nothing else")
    wheels = options.parse_args().wheels
    with tempfile.TemporaryDirectory(prefix="yoi-firsthour-") as made:
        hour = Hour(Path(made))
        hour.work.mkdir()
        (hour.place / "home").mkdir()
        (hour.place / "uv.toml").write_text("no-index = true\n")
        if wheels is not None:
            installed(hour, wheels)
        hour.expect("doctor", hour.yoi("doctor"), "0 failed")
        took = tour(hour)
        templates(hour)
        developed(hour, "t-tool", "word_count", '{"text": "three short words"}', "3 words")
        developed(hour, "t-service", "note_add", '{"text": "buy milk"}', "note 1 kept")
        libraries(hour)
        mistakes(hour, [one for one in MISTAKES if not one.host])
    result = {
        "steps": hour.steps,
        "failed": hour.failed,
        "seconds_to_first_answer": None if took is None else round(took, 1),
    }
    print(json.dumps(result))
    return 1 if hour.failed or took is None else 0


if __name__ == "__main__":
    sys.exit(main())
