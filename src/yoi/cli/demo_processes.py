"""The two processes of the demo, a gateway and `yoi serve`, and what they print."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from yoi.errors import YoiError

_STOP_SECONDS = 15.0


class JsonProcess:
    """A child that prints one JSON object a line. Its stderr goes to a file, for when it fails."""

    def __init__(
        self, command: Sequence[str], log: Path, hear: Callable[[dict[str, Any]], None]
    ) -> None:
        self._log = log
        self._hear = hear
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
            )
        # A pipe that is not read would stop the child.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def status(self) -> int | None:
        """Return the exit status, or None while it runs."""
        return self._process.poll()

    @property
    def complaint(self) -> str:
        """Return the end of what it wrote to stderr."""
        return self._log.read_text(errors="replace")[-500:].strip()

    def kill(self) -> None:
        """Send SIGKILL, as a crash would."""
        self._process.kill()
        self._process.wait()
        self._reader.join(_STOP_SECONDS)

    def stop(self) -> int:
        """Send SIGTERM and return the exit status; SIGKILL where that takes too long."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        status = self._process.wait()
        self._reader.join(_STOP_SECONDS)
        return status

    def finished(self) -> None:
        """Wait until it has ended by itself and everything it printed was heard."""
        self._process.wait(_STOP_SECONDS)
        self._reader.join(_STOP_SECONDS)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    return  # killed in the middle of a line
                value = json.loads(line)
                if isinstance(value, dict):
                    self._hear(value)


class Gateway:
    """A chat gateway as another process; killed and started again it goes on where it was."""

    def __init__(
        self, folder: Path, *, frames: int, rate: float, try_other: int, max_seconds: float
    ) -> None:
        self._log = folder / "gateway.log"
        self._command = [
            sys.executable, "-m", "yoi.testing.demo_gateway", "--state", str(folder / "gateway"),
            "--frames", str(frames), "--rate", str(rate), "--try-other", str(try_other),
            "--max-seconds", str(max_seconds),
            # On a busy machine the frames could be over before anybody saw that half were.
            "--hold-at", str(max(1, frames * 3 // 4)),
        ]  # fmt: skip
        self._process: JsonProcess | None = None
        self._listening = threading.Event()
        self.port = 0
        self.report: dict[str, Any] = {"sent": 0, "answered": 0}
        """What it said last about its frames."""
        self.final: dict[str, Any] | None = None
        """Its report when it was done; None before."""

    def start(self) -> None:
        """Start it, on the port it had before if it had one, and wait until it listens."""
        self._listening.clear()
        self._process = JsonProcess(
            [*self._command, "--port", str(self.port)], self._log, self._hear
        )
        if not self._listening.wait(_STOP_SECONDS):
            raise YoiError(
                "usage.internal",
                f"the demo's gateway did not start: {self._process.complaint}",
                hint="yoi doctor",
            )

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()

    @property
    def ended(self) -> bool:
        """Return whether its process is gone, everything it printed heard."""
        if self._process is None or self._process.status is None:
            return False
        self._process.finished()
        return True

    def _hear(self, value: dict[str, Any]) -> None:
        match value.get("event"):
            case "listening":
                self.port = value["port"]
                self._listening.set()
            case "progress":
                self.report = value
            case "done":
                self.report = self.final = value


class Host:
    """`yoi serve --json` as another process."""

    def __init__(self, workspace: Path) -> None:
        self.ready: dict[str, Any] | None = None
        self.diagnostics: list[dict[str, Any]] = []
        self._process = JsonProcess(
            [
                *(sys.executable, "-m", "yoi.cli", "serve", "--port", "0", "--json"),
                *("--workspace", str(workspace)),
            ],
            workspace / "serve.log",
            self._hear,
        )

    def stop(self) -> int:
        """Ask it to drain; return its exit status."""
        return self._process.stop()

    @property
    def ended(self) -> bool:
        """Return whether its process is gone."""
        return self._process.status is not None

    @property
    def complaint(self) -> str:
        """Return what it said before it ended."""
        return self._process.complaint

    def _hear(self, value: dict[str, Any]) -> None:
        if value.get("event") == "ready":
            self.ready = value
        elif value.get("event") == "diagnostic":
            self.diagnostics.append(value["diagnostic"])


class Onlooker:
    """`yoi watch --json` as another process: what an observer outside the host gets to see."""

    def __init__(self, workspace: Path, service: str) -> None:
        self.begun = threading.Event()
        self.events = 0
        self.diagnostics: list[str] = []
        """The codes it saw, in order."""
        self._process = JsonProcess(
            [
                sys.executable, "-m", "yoi.cli", "watch", f"service:{service}", "--json",
                "--workspace", str(workspace),
            ],
            workspace / "watch.log",
            self._hear,
        )  # fmt: skip

    def stop(self) -> None:
        """End it."""
        self._process.stop()

    @property
    def complaint(self) -> str:
        """Return what it said before it ended."""
        return self._process.complaint

    def _hear(self, value: dict[str, Any]) -> None:
        match value.get("kind"):
            case "snapshot":
                shown = value["event"]["data"]["diagnostics"]
                self.diagnostics = [entry["code"] for entry in shown]
                self.begun.set()
            case "event":
                self.events += 1
                event = value["event"]
                if event["event"] == "diagnostic":
                    self.diagnostics.append(event["data"]["code"])
