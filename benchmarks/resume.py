"""500 observers lose their backend at once: how soon does everybody see the present again?

    python benchmarks/resume.py [--runs 3]

A runtime with one worker, a real `yoi backend` before it, and 500 observers who have seen the
history and what followed (instruments/resume.c). The backend is killed, more happens meanwhile, a
new one is started, and all 500 dial it as soon as it listens, each with its cursor. `seconds` is
from then until the last of them has seen the newest event, `bytes` what they were sent until then;
`down_s` is from the kill until the new process listens. Once as it is by default (the new process
knows no stream of the old one: everybody gets a snapshot), once with `persist = true` (exact replay
of what was missed).
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import tomlkit
from harness import ending, figures
from harness.fanning import EVENT_BYTES, START_SECONDS, WORKER_PATH, Run, of
from harness.fanning import wait_until_listening as until_listening
from harness.instruments import HERE, build
from harness.observed import write_token
from harness.processes import LOAD_CORE, TESTED_CORE, BenchmarkError, Pinned, free_port
from websockets.sync.client import ClientConnection, connect

from yoi.serving.token_entries import TokenKind
from yoi.testing.trusting import trust_workspace

OBSERVERS = 500
HISTORY, SEEN, MISSED = 150, 50, 50
YOI = Path(sysconfig.get_path("scripts")) / "yoi"


@dataclass(frozen=True)
class World:
    """Two workspaces, and the ports of what runs in them."""

    folder: Path
    port: int
    runtime_port: int
    pub_port: int

    @property
    def runtime(self) -> Path:
        """Return the runtime's workspace."""
        return self.folder / "runtime"

    @property
    def backend(self) -> Path:
        """Return the backend's workspace."""
        return self.folder / "backend"

    @property
    def token_file(self) -> Path:
        """Return where the observers' token is."""
        return self.folder / "token"

    def prepare(self, persist: bool) -> None:
        """Write what an operator would: tokens, settings, and the secret of the backend."""
        for workspace in (self.runtime, self.backend):
            (workspace / ".yoi").mkdir(parents=True, mode=0o700)
        upstream = self.folder / "upstream"
        write_token(self.runtime, upstream, TokenKind.UPSTREAM)
        write_token(self.backend, self.token_file)
        with upstream.open() as token:
            subprocess.run(
                [YOI, "secret", "set", "local", "--stdin", "--workspace", self.backend],
                stdin=token,
                stdout=subprocess.DEVNULL,
                check=True,
            )
        runtime = {"id": "local", "url": f"ws://127.0.0.1:{self.runtime_port}", "token": "local"}
        settings = {
            "observation": {"listen": f"127.0.0.1:{self.port}", "persist": persist},
            "backend": {"runtimes": [runtime]},
        }
        (self.backend / ".yoi" / "yoi.toml").write_text(tomlkit.dumps(settings))
        trust_workspace(self.backend)

    def start_backend(self, log: IO[bytes]) -> Pinned:
        """Start the backend; it may not listen yet."""
        return Pinned([YOI, "backend", "--workspace", self.backend], TESTED_CORE, log=log)


@contextmanager
def world(persist: bool, log: IO[bytes]) -> Iterator[World]:
    """Run a runtime, and prepare a backend's workspace."""
    with tempfile.TemporaryDirectory(prefix="yoi-bench-") as name:
        made = World(Path(name), free_port(), free_port(), free_port())
        made.prepare(persist)
        command = [sys.executable, HERE / "sut_runtime.py", made.runtime]
        ports = [str(made.runtime_port), str(made.pub_port)]
        with Pinned([*command, *ports], LOAD_CORE, log=log) as runtime:
            runtime.expect("L", START_SECONDS)
            yield made


def publish(socket: ClientConnection, numbers: range) -> None:
    """Send one event for each number, which it ends with."""
    for number in numbers:
        socket.send(f"@@{number:010d}".rjust(EVENT_BYTES, "."))


def measure(persist: bool, log: IO[bytes]) -> Run:
    """Return one run's figures. Raises BenchmarkError when somebody does not arrive."""
    with ExitStack() as stack:
        here = stack.enter_context(world(persist, log))
        socket = stack.enter_context(connect(f"ws://127.0.0.1:{here.pub_port}", proxy=None))
        seen, last = HISTORY + SEEN, HISTORY + SEEN + MISSED
        publish(socket, range(1, HISTORY + 1))
        first = stack.enter_context(here.start_backend(log))
        until_listening(here.port)
        observers = [str(here.port), WORKER_PATH, str(OBSERVERS), here.token_file]
        load = stack.enter_context(
            Pinned([build("resume"), *observers, str(seen), str(last)], LOAD_CORE, log=log)
        )
        load.expect("C", 60)
        publish(socket, range(HISTORY + 1, seen + 1))
        load.expect("M", 60)
        os.kill(first.pid, signal.SIGKILL)
        publish(socket, range(seen + 1, last + 1))
        stack.enter_context(here.start_backend(log))
        run = load.json(90)
        load.nudge()
    return run


def measure_all(runs: int) -> dict[bool, list[Run]]:
    """Return every run, without and with persistence, in turns."""
    results: dict[bool, list[Run]] = {False: [], True: []}
    with tempfile.TemporaryDirectory(prefix="yoi-bench-") as keys, tempfile.TemporaryFile() as log:
        # The store's key and what is decided for its workspaces go with this run.
        os.environ["XDG_CONFIG_HOME"] = os.environ["YOI_STATE_HOME"] = keys
        for turn in range(runs):
            for persist, found in results.items():
                try:
                    run = measure(persist, log)
                except BenchmarkError as exc:
                    ending.tail(log)
                    raise BenchmarkError(f"persist {persist}: {exc}") from exc
                found.append(run)
                print(
                    f"run {turn + 1} persist {persist}: all in {run['secs']:.2f} s, "
                    f"{run['bytes'] / 1e6:.1f} MB, {run['resumed']} resumed, "
                    f"{run['snapshots']} snapshots",
                    flush=True,
                )
    return results


def key_figures(runs: list[Run]) -> dict[str, Any]:
    """Return the medians of the last line."""
    return {
        "seconds": round(statistics.median(of(runs, "secs")), 3),
        "bytes": round(statistics.median(of(runs, "bytes"))),
        "down_s": round(statistics.median(of(runs, "down_s")), 3),
        "resumed": round(statistics.median(of(runs, "resumed"))),
        "snapshots": round(statistics.median(of(runs, "snapshots"))),
    }


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    ending.conclude(lambda: conclusion(arguments.runs))


def conclusion(turns: int) -> dict[str, Any]:
    """Print the table; return the last line."""
    results = measure_all(turns)
    rows = [
        [
            "yes" if persist else "no",
            figures.spread(of(runs, "secs"), 2),
            figures.spread(of(runs, "p50_s"), 2),
            figures.spread(of(runs, "bytes")),
            figures.spread(of(runs, "down_s"), 2),
        ]
        for persist, runs in results.items()
    ]
    header = ["persist", "seconds, last", "seconds, p50", "bytes", "down s"]
    print(figures.table(header, rows))
    return {
        **key_figures(results[False]),
        "persisted": key_figures(results[True]),
        "observers": OBSERVERS,
    }


if __name__ == "__main__":
    main()
