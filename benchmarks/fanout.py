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
import tempfile
from pathlib import Path
from typing import Any

from harness import ending, figures
from harness.fanning import Case, Load, Place, running, yoi
from harness.instruments import HERE
from harness.processes import LOAD_CORE, TESTED_CORE, BenchmarkError

PEERS = HERE / "peers"
BENCH_PYTHON = os.environ.get("BENCH_PYTHON", str(HERE.parent / ".venv-bench/bin/python"))
LOADS = {window: Load(observers=500, events=400, window=window) for window in (1, 8)}
NCHAN_MODULES = [
    Path(folder) / "ngx_nchan_module.so"
    for folder in ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")
]


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
    "yoi": yoi(),
    "yoi, redacting": yoi("thinking", "tool_arguments"),
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


def measure_all(names: list[str], runs: int) -> figures.Runs:
    """Return every run, cases interleaved."""
    results = figures.Runs()
    with tempfile.TemporaryFile() as log:
        for turn in range(runs):
            for name in names:
                try:
                    with running(CASES[name], log) as server:
                        measured = {window: server.fan(load) for window, load in LOADS.items()}
                except (BenchmarkError, OSError) as exc:
                    ending.tail(log)
                    results.fail(name, str(exc))
                    continue
                for window, run in measured.items():
                    results.add(name, window, run)
                    rate, cpu, p99 = run["rate"], run["cpu_s_per_100k"], run["p99_ms"]
                    print(
                        f"run {turn + 1} {name} W{window}: {rate:,.0f}/s, "
                        f"{cpu:.2f} CPU s per 100k, p99 {p99:.1f} ms",
                        flush=True,
                    )
    return results


def show(names: list[str], results: figures.Runs) -> None:
    """Print the table."""
    header = ["server", "deliveries/s W1", "CPU s per 100k W1", "p50 ms W1", "p99 ms W1"]
    rows = []
    for name in names:
        rows.append(
            [
                results.named(name),
                figures.spread(results.of(name, 1, "rate")),
                figures.spread(results.of(name, 1, "cpu_s_per_100k"), 2),
                figures.spread(results.of(name, 1, "p50_ms"), 2),
                figures.spread(results.of(name, 1, "p99_ms"), 2),
                figures.spread(results.of(name, 8, "rate")),
                figures.spread(results.of(name, 8, "cpu_s_per_100k"), 2),
                figures.spread(results.of(name, 1, "bytes_per_delivery")),
                figures.spread(results.of(name, 1, "kb_per_observer"), 1),
            ]
        )
    more = ["deliveries/s W8", "CPU s per 100k W8", "bytes each", "KB per observer"]
    print(figures.table([*header, *more], rows))


def key_figures(name: str, results: figures.Runs) -> dict[str, float]:
    """Return what the last line says of one server, W1."""
    return {
        "deliveries_per_s": round(figures.median(results.of(name, 1, "rate"))),
        "cpu_s_per_100k": round(figures.median(results.of(name, 1, "cpu_s_per_100k")), 3),
        "p99_ms": round(figures.median(results.of(name, 1, "p99_ms")), 2),
        "w8_deliveries_per_s": round(figures.median(results.of(name, 8, "rate"))),
    }


def summarise(names: list[str], results: figures.Runs) -> dict[str, Any]:
    """Return the figures of the last line."""
    shown = {name: key_figures(name, results) for name in names if results.of(name, 1, "rate")}
    peers = {peer: shown[name] for name in shown if (peer := CASES[name].peer) is not None}
    summary: dict[str, Any] = {"peers": peers, "errors": results.errors}
    ours = [why for name, why in results.errors.items() if CASES[name].peer is None]
    if ours:
        summary["error"] = ours[0]
    elif "yoi" in shown:
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
    if LOAD_CORE == TESTED_CORE:
        print("only one core: the load and the server share it, so the figures mean little")
    for name in sorted(set(CASES) - set(available())):
        print(f"not measured, because it is not installed: {name}")
    ending.conclude(lambda: conclusion(arguments.only or available(), arguments.runs))


def conclusion(names: list[str], runs: int) -> dict[str, Any]:
    """Print the table; return the last line."""
    results = measure_all(names, runs)
    show(names, results)
    return summarise(names, results)


if __name__ == "__main__":
    main()
