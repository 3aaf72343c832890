"""One worker, 500 observers: how many events a second are delivered, and at what cost?

    python benchmarks/fanout.py [--runs 3] [--only NAME ...]

The load (instruments/fan.c: one publisher, 500 observers) has one core, the server the other. W1:
one event is under way, so the time is that until all 500 have it. W8: eight are. Yoi's observers
come with a token and get full envelopes (a signed cursor and an id around each event of 400 bytes)
through the configured policy, once with nothing hidden and once redacting; its peers send the 400
bytes. All are measured in every run, interleaved; figures are medians of the runs. The peers run in
the virtual environment named by BENCH_PYTHON (`make bench` sets it up), nginx with nchan where it
is installed.
"""

import argparse
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from harness import figures, machine
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

PEERS = HERE / "peers"
BENCH_PYTHON = os.environ.get("BENCH_PYTHON", str(HERE.parent / ".venv-bench/bin/python"))
OBSERVERS = 500
EVENTS = {1: 400, 8: 400}
EVENT_BYTES = 400
WARMUP = 20
START_SECONDS = 20.0
WORKER_PATH = "/api/runtimes/local/workers/triage/events/ws"
NCHAN_MODULES = [
    Path(folder) / "ngx_nchan_module.so"
    for folder in ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")
]

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
    """A server under test. `start` is the text of a counted frame; peers send events bare."""

    command: Callable[[Place], list[str | Path]]
    peer: str | None = None
    start: str = ""
    path: str = "/sub"


def _yoi(*redactions: str) -> Case:
    return Case(
        lambda at: [
            sys.executable,
            HERE / "sut_fan.py",
            str(at.port),
            str(at.pub_port),
            at.token_file,
            *redactions,
        ],
        start='{"kind":"event"',
        path=WORKER_PATH,
    )


def _uvicorn(at: Place) -> list[str | Path]:
    asgi = ["-m", "uvicorn", "fan_app:app", "--app-dir", PEERS, "--port", str(at.port)]
    quiet = ["--log-level", "warning", "--ws-ping-interval", "600"]
    return [BENCH_PYTHON, *asgi, *quiet, "--loop", "uvloop", "--ws", "websockets-sansio"]


def _nchan(at: Place) -> list[str | Path]:
    module = next(path for path in NCHAN_MODULES if path.exists())
    text = (PEERS / "nchan.conf").read_text()
    text = text.replace("MODULE", str(module)).replace("PORT", str(at.port))
    # Started by root, nginx would hand its worker to an account that cannot enter the folder.
    text = text.replace("USER\n", "user root;\n" if os.geteuid() == 0 else "\n")
    (at.folder / "nginx.conf").write_text(text)
    return ["nginx", "-p", at.folder, "-c", at.folder / "nginx.conf", "-e", "stderr"]


CASES = {
    "yoi": _yoi(),
    "yoi, redacting": _yoi("thinking", "tool_arguments"),
    "Starlette on uvicorn, websockets-sansio": Case(_uvicorn, "uvicorn"),
    "picows + uvloop": Case(
        lambda at: [BENCH_PYTHON, PEERS / "fan_raw.py", str(at.port)], "picows"
    ),
    "nginx + nchan": Case(_nchan, "nchan"),
}


def available() -> list[str]:
    """Return the cases that can be measured on this machine."""
    nchan = shutil.which("nginx") and any(path.exists() for path in NCHAN_MODULES)
    return [name for name, case in CASES.items() if case.peer != "nchan" or nchan]


def wait_until_listening(port: int) -> None:
    """Return once somebody accepts at `port`; BenchmarkError when nobody does."""
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise BenchmarkError(f"nobody listened for {START_SECONDS:g} s")


def load(case: Case, at: Place, window: int, observers: int, stalled: int) -> list[str | Path]:
    """Return the command of the load instrument."""
    yoi = case.peer is None
    where = [at.port, case.path, at.pub_port if yoi else at.port, "/pub", observers, stalled]
    amount = [EVENTS[window], window, EVENT_BYTES, WARMUP, case.start]
    token = at.token_file if yoi else "-"
    return [build("fan"), *map(str, where), *map(str, amount), token]


def measure(case: Case, log: IO[bytes]) -> dict[int, Run]:
    """Return one run's figures by window. Raises BenchmarkError when the server gives none."""
    results: dict[int, Run] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="yoi-bench-")))
        at = Place(free_port(), free_port(), folder)
        server = stack.enter_context(Pinned(case.command(at), TESTED_CORE, log=log))
        if case.peer is None:
            server.expect("L", START_SECONDS)
        else:
            wait_until_listening(at.port)
        for window in EVENTS:
            idle = rss_bytes(server.pid)
            with Pinned(load(case, at, window, OBSERVERS, 0), LOAD_CORE, log=log) as fan:
                fan.expect("M", 60)
                stolen, cpu = machine.stolen_ticks(), cpu_ns(server.pid)
                fan.nudge()
                run = fan.json(60)
                deliveries = OBSERVERS * EVENTS[window]
                run["cpu_s_per_100k"] = (cpu_ns(server.pid) - cpu) / 1e9 / deliveries * 1e5
                run["kb_per_observer"] = (rss_bytes(server.pid) - idle) / 1e3 / OBSERVERS
                run["bytes_per_delivery"] = run["bytes"] / deliveries
                run["stolen_ticks"] = machine.stolen_ticks() - stolen
                fan.nudge()
            results[window] = run
    return results


def measure_all(names: list[str], runs: int) -> dict[str, dict[int, list[Run]]]:
    """Return every run, by case and window, cases interleaved."""
    results: dict[str, dict[int, list[Run]]] = {
        name: {window: [] for window in EVENTS} for name in names
    }
    with tempfile.TemporaryFile() as log:
        for turn in range(runs):
            for name in names:
                try:
                    measured = measure(CASES[name], log)
                except BenchmarkError as exc:
                    log.seek(max(0, log.tell() - 4000))
                    sys.stderr.write(log.read().decode(errors="replace"))
                    raise SystemExit(f"{name}: {exc}") from exc
                for window, run in measured.items():
                    results[name][window].append(run)
                    rate, cpu, p99 = run["rate"], run["cpu_s_per_100k"], run["p99_ms"]
                    print(
                        f"run {turn + 1} {name} W{window}: {rate:,.0f}/s, "
                        f"{cpu:.2f} CPU s per 100k, p99 {p99:.1f} ms",
                        flush=True,
                    )
    return results


def of(runs: list[Run], key: str) -> list[float]:
    """Return one figure of every run."""
    return [run[key] for run in runs]


def show(results: dict[str, dict[int, list[Run]]]) -> None:
    """Print the table."""
    header = ["server", "deliveries/s W1", "CPU s per 100k W1", "p50 ms W1", "p99 ms W1"]
    rows = []
    for name, runs in results.items():
        one, many = runs[1], runs[8]
        rows.append(
            [
                name,
                figures.spread(of(one, "rate")),
                figures.spread(of(one, "cpu_s_per_100k"), 2),
                figures.spread(of(one, "p50_ms"), 2),
                figures.spread(of(one, "p99_ms"), 2),
                figures.spread(of(many, "rate")),
                figures.spread(of(many, "cpu_s_per_100k"), 2),
                figures.spread(of(one, "bytes_per_delivery")),
                figures.spread(of(one, "kb_per_observer"), 1),
            ]
        )
    more = ["deliveries/s W8", "CPU s per 100k W8", "bytes each", "KB per observer"]
    print(figures.table([*header, *more], rows))


def key_figures(runs: dict[int, list[Run]]) -> dict[str, float]:
    """Return what the last line says of one server, W1."""
    return {
        "deliveries_per_s": round(figures.median(of(runs[1], "rate"))),
        "cpu_s_per_100k": round(figures.median(of(runs[1], "cpu_s_per_100k")), 3),
        "p99_ms": round(figures.median(of(runs[1], "p99_ms")), 2),
        "w8_deliveries_per_s": round(figures.median(of(runs[8], "rate"))),
    }


def summarise(results: dict[str, dict[int, list[Run]]]) -> dict[str, Any]:
    """Return the figures of the last line."""
    shown = {name: key_figures(runs) for name, runs in results.items()}
    peers = {peer: shown[name] for name in shown if (peer := CASES[name].peer) is not None}
    summary: dict[str, Any] = {"machine": machine.describe(), "peers": peers}
    if "yoi" in shown:
        rate = shown["yoi"]["deliveries_per_s"]
        summary |= shown["yoi"]
        summary["ratio"] = {
            name: round(rate / peer["deliveries_per_s"], 2) for name, peer in peers.items()
        }
    if "yoi, redacting" in shown:
        summary["redacting"] = shown["yoi, redacting"]
    return summary


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=available(), metavar="NAME")
    arguments = parser.parse_args()
    print(machine.in_words(machine.describe()))
    if LOAD_CORE == TESTED_CORE:
        print("only one core: the load and the server share it, so the figures mean little")
    names = arguments.only or available()
    for name in sorted(set(CASES) - set(available())):
        print(f"not measured, because it is not installed: {name}")
    results = measure_all(names, arguments.runs)
    show(results)
    figures.last_line(summarise(results))


if __name__ == "__main__":
    main()
