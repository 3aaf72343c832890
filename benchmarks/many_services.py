"""300 services with 300 connections in one `yoi serve`, each answering its own frames.

    python benchmarks/many_services.py [--services 300] [--rate 5] [--seconds 20] [--runs 3]

The gateway (instruments/many.c) has one core, Yoi the other. Each connection is sent RATE frames a
second, four unanswered at most. A frame is dropped when its answer does not come back on its own
connection within five seconds of the end; a frame the gateway held back because the window was full
is counted as held. Memory is that of the whole process at the end, CPU that of the measured time.
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from typing import IO, Any

from harness import ending, figures
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

WINDOW = 4
WARMUP_SECONDS = 2
START_SECONDS = 300.0


def measure(services: int, rate: float, seconds: float, log: IO[bytes]) -> dict[str, Any]:
    """Return one run's figures."""
    port = free_port()
    gateway_command = [build("many"), str(port), str(services), str(rate), str(WINDOW)]
    with ExitStack() as stack:
        gateway = Pinned([*gateway_command, str(seconds), str(WARMUP_SECONDS)], LOAD_CORE, log=log)
        stack.enter_context(gateway)
        gateway.expect("L", 10)
        command = [sys.executable, HERE / "sut_serve.py", str(port), str(services)]
        yoi = stack.enter_context(Pinned(command, TESTED_CORE, log=log))
        gateway.expect("M", START_SECONDS)
        cpu = cpu_ns(yoi.pid)
        gateway.nudge()
        run = gateway.json(seconds + 30)
        run["cpu_s"] = (cpu_ns(yoi.pid) - cpu) / 1e9
        run["rss_mb"] = rss_bytes(yoi.pid) / 1e6
        gateway.nudge()
    return run


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--services", type=int, default=300)
    parser.add_argument("--rate", type=float, default=5.0, help="frames a second, per connection")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    ending.conclude(lambda: measure_all(arguments))


def measure_all(arguments: argparse.Namespace) -> dict[str, Any]:
    """Print the table; return the last line."""
    runs = []
    with tempfile.TemporaryFile() as log:
        for turn in range(arguments.runs):
            try:
                run = measure(arguments.services, arguments.rate, arguments.seconds, log)
            except BenchmarkError as exc:
                ending.tail(log)
                raise BenchmarkError(f"run {turn + 1}: {exc}") from exc
            print(f"run {turn + 1}: {run}", flush=True)
            runs.append(run)
    keys = {"sent": 0, "dropped": 0, "held": 0, "crossed": 0, "repeated": 0, "unknown": 0}
    keys |= {"closed": 0, "rss_mb": 0, "cpu_s": 2, "p50_ms": 2, "p99_ms": 2, "max_ms": 1}
    spreads = [
        [key, figures.spread([r[key] for r in runs], digits)] for key, digits in keys.items()
    ]
    print(figures.table(["figure", "median (min-max)"], spreads))
    dropped = sum(run["dropped"] for run in runs)
    return {
        "services": arguments.services,
        "frames": sum(run["sent"] for run in runs),
        "dropped": dropped,
        "crossed": sum(run["crossed"] for run in runs),
        "rss_mb": round(figures.median(run["rss_mb"] for run in runs), 1),
        "cpu_s": round(figures.median(run["cpu_s"] for run in runs), 2),
        "p99_ms": round(figures.median(run["p99_ms"] for run in runs), 2),
        "seconds": arguments.seconds,
        "rate_per_service": arguments.rate,
        **({"error": f"{dropped} frames were dropped"} if dropped else {}),
    }


if __name__ == "__main__":
    main()
