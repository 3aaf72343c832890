"""Servers for instruments/fan.c: where they are reached, how they start, how they are loaded."""

import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from harness import machine
from harness.instruments import HERE, build
from harness.processes import (
    LOAD_CORE,
    TESTED_CORE,
    BenchmarkError,
    Pinned,
    cpu_ns,
    free_port,
    rss_bytes,
)

EVENT_BYTES = 400
WARMUP = 20
START_SECONDS = 20.0
WORKER_PATH = "/api/runtimes/local/workers/triage/events/ws"

Run = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a server under test is reached, and a folder that is its own."""

    port: int
    pub_port: int
    folder: Path

    @property
    def token_file(self) -> Path:
        """Return where a server that wants tokens writes the observers'."""
        return self.folder / "token"


@dataclass(frozen=True)
class Case:
    """A server under test. `start` is how a counted frame begins; peers send events bare."""

    command: Callable[[Place], list[str | Path]]
    peer: str | None = None
    start: str = ""
    path: str = "/sub"


@dataclass(frozen=True)
class Load:
    """How many observe, how many more read nothing, and how many events, W at a time, come."""

    observers: int
    events: int
    window: int = 1
    stalled: int = 0


def yoi(*redactions: str) -> Case:
    """Return Yoi, whose observers' token hides `redactions`."""

    def command(at: Place) -> list[str | Path]:
        ports = [str(at.port), str(at.pub_port)]
        return [sys.executable, HERE / "sut_fan.py", *ports, at.token_file, *redactions]

    return Case(command, start='{"kind":"event"', path=WORKER_PATH)


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    case: Case
    at: Place
    pid: int
    log: IO[bytes]

    def fan(self, load: Load) -> Run:
        """Return the figures of one load. Raises BenchmarkError when frames do not arrive."""
        idle = rss_bytes(self.pid)
        with Pinned(self._command(load), LOAD_CORE, log=self.log) as fan:
            fan.expect("M", 60)
            stolen, cpu, open_rss = machine.stolen_ticks(), cpu_ns(self.pid), rss_bytes(self.pid)
            fan.nudge()
            run = fan.json(120)
            deliveries = load.observers * load.events
            run["cpu_s_per_100k"] = (cpu_ns(self.pid) - cpu) / 1e9 / deliveries * 1e5
            run["kb_per_observer"] = (open_rss - idle) / 1e3 / load.observers
            run["grown_mb"] = (rss_bytes(self.pid) - open_rss) / 1e6
            run["bytes_per_delivery"] = run["bytes"] / deliveries
            run["stolen_ticks"] = machine.stolen_ticks() - stolen
            if load.stalled:
                run["stalled"] = self.metric("yoi_followers_stalled")
            fan.nudge()
        return run

    def metric(self, name: str) -> float:
        """Return one of Yoi's own figures."""
        token = self.at.token_file.read_text()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.at.port}/metrics", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(f"{name} "):
                    return float(line.split()[1])
        raise BenchmarkError(f"no metric {name}")

    def _command(self, load: Load) -> list[str | Path]:
        ours = self.case.peer is None
        where = [self.at.port, self.case.path, self.at.pub_port if ours else self.at.port, "/pub"]
        amount = [load.observers, load.stalled, load.events, load.window, EVENT_BYTES, WARMUP]
        token = self.at.token_file if ours else "-"
        return [build("fan"), *map(str, [*where, *amount]), self.case.start, token]


@contextmanager
def running(case: Case, log: IO[bytes]) -> Iterator[Server]:
    """Run the server on a core of its own."""
    with tempfile.TemporaryDirectory(prefix="yoi-bench-") as folder:
        at = Place(free_port(), free_port(), Path(folder))
        with Pinned(case.command(at), TESTED_CORE, log=log) as process:
            if case.peer is None:
                process.expect("L", START_SECONDS)
            else:
                wait_until_listening(at.port)
            yield Server(case, at, process.pid, log)


def wait_until_listening(port: int) -> None:
    """Return once somebody accepts at `port`; BenchmarkError when nobody does."""
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise BenchmarkError(f"nobody listened for {START_SECONDS:g} s")


def of(runs: list[Run], key: str) -> list[float]:
    """Return one figure of every run."""
    return [run[key] for run in runs]
