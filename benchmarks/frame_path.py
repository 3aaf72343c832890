"""One gateway, one connection: frame in, reply out, for Yoi and for the libraries people use today.

    python benchmarks/frame_path.py [--runs 3] [--only NAME ...]

The gateway (instruments/gw.c) has one core, the client under test the other. W1: one frame is
outstanding, so the time is a round trip's. W64: 64 are, so the rate is what one core sustains.
Every client is measured in every run, interleaved; figures are medians of the runs. The peers
run in the virtual environments named by PEERS_PYTHON and BENCH_PYTHON (`make bench` sets them up),
each once on asyncio and once on uvloop; the faster of the two is the peer's figure. One that fails
says so in its row.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from harness import ending, figures, machine
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
PEERS_PYTHON = os.environ.get("PEERS_PYTHON", str(HERE.parent / ".venv-peers/bin/python"))
FRAMES = {1: 8_000, 64: 40_000}
SECONDS = 1.5
WARMUP = 2_000  # slack_bolt asks the web API once for each of the first 64
START_SECONDS = 180.0  # the first start of all compiles the runner

OURS = "yoi"

Run = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A client under test: the gateway's mode and the command that dials `ws_port`."""

    mode: str
    command: Callable[[int, int], list[str | Path]]
    peer: str | None = None


def _slack(library: str, loop: str) -> Case:
    return Case(
        "slack" if library == "sdk" else "bolt",
        lambda http, ws: [PEERS_PYTHON, PEERS / "slack.py", library, loop, str(http)],
        f"slack_{library}",
    )


def _discord(loop: str) -> Case:
    script = PEERS / "discord_client.py"
    return Case(
        "discord",
        lambda http, ws: [PEERS_PYTHON, script, loop, str(http), str(ws)],
        "discord_py",
    )


CASES = {
    OURS: Case(
        "raw",
        lambda http, ws: [sys.executable, HERE / "sut_serve.py", str(ws)],
    ),
    "C echo (the floor)": Case("raw", lambda http, ws: [build("floor"), str(ws)]),
    "picows + uvloop, no sandbox": Case(
        "raw", lambda http, ws: [BENCH_PYTHON, PEERS / "raw.py", str(ws)]
    ),
    "slack_sdk, ack": _slack("sdk", "asyncio"),
    "slack_sdk + uvloop, ack": _slack("sdk", "uvloop"),
    "discord.py": _discord("asyncio"),
    "discord.py + uvloop": _discord("uvloop"),
    "slack_bolt, handler": _slack("bolt", "asyncio"),
    "slack_bolt + uvloop, handler": _slack("bolt", "uvloop"),
}


@contextmanager
def web_api(http_port: int, ws_port: int, log: IO[bytes]) -> Iterator[None]:
    """Run the HTTP side that the chat libraries ask before they dial."""
    command = [sys.executable, PEERS / "web_api.py", str(http_port), str(ws_port)]
    with Pinned(command, LOAD_CORE, log=log):
        yield


def measure(case: Case, window: int, ports: tuple[int, int], log: IO[bytes]) -> Run:
    """Return one run's figures. Raises BenchmarkError when the client does not answer."""
    http_port, ws_port = ports
    frames = str(FRAMES[window])
    gateway_command = [build("gw"), str(ws_port), case.mode, str(window), frames, str(SECONDS)]
    with ExitStack() as stack:
        gateway = stack.enter_context(Pinned([*gateway_command, str(WARMUP)], LOAD_CORE, log=log))
        gateway.expect("L", 10)
        client = Pinned(case.command(http_port, ws_port), TESTED_CORE, log=log)
        stack.enter_context(client)
        gateway.expect("M", START_SECONDS)
        stolen, cpu = machine.stolen_ticks(), cpu_ns(client.pid)
        gateway.nudge()
        run = gateway.json(60)
        run["client_cpu_us"] = (cpu_ns(client.pid) - cpu) / 1e3 / run["n"]
        run["client_rss_mb"] = rss_bytes(client.pid) / 1e6
        run["stolen_ticks"] = machine.stolen_ticks() - stolen
        gateway.nudge()
    return run


def measure_all(names: list[str], runs: int) -> figures.Runs:
    """Return every run, cases interleaved."""
    results = figures.Runs()
    ports = free_port(), free_port()
    with tempfile.TemporaryFile() as log, web_api(*ports, log):
        for turn in range(runs):
            for name in names:
                for window in FRAMES:
                    try:
                        run = measure(CASES[name], window, ports, log)
                    except (BenchmarkError, OSError) as exc:
                        ending.tail(log)
                        results.fail(name, f"W{window}: {exc}")
                        continue
                    results.add(name, window, run)
                    rate, p50 = run["rate"], run["p50_us"]
                    print(f"run {turn + 1} {name} W{window}: {rate:,.0f}/s, p50 {p50:.0f} µs")
                    sys.stdout.flush()
    return results


def show(names: list[str], results: figures.Runs) -> None:
    """Print the table."""
    header = ["client", "W1 p50 µs", "W1 p99 µs", "W64 replies/s", "W64 p99 µs"]
    rows = []
    for name in names:
        rows.append(
            [
                results.named(name),
                figures.spread(results.of(name, 1, "p50_us")),
                figures.spread(results.of(name, 1, "p99_us")),
                figures.spread(results.of(name, 64, "rate")),
                figures.spread(results.of(name, 64, "p99_us")),
                figures.spread(results.of(name, 64, "client_cpu_us"), 1),
                figures.spread(results.of(name, 64, "client_rss_mb")),
            ]
        )
    print(figures.table([*header, "W64 CPU µs/frame", "RSS MB"], rows))


def summarise(names: list[str], results: figures.Runs) -> dict[str, Any]:
    """Return the figures of the last line."""
    rates = {
        name: figures.median(found) for name in names if (found := results.of(name, 64, "rate"))
    }
    peers: dict[str, float] = {}
    for name, rate in rates.items():
        peer = CASES[name].peer
        if peer is not None:
            peers[peer] = max(peers.get(peer, 0.0), round(rate))
    summary: dict[str, Any] = {"peers": peers, "errors": results.errors}
    if OURS in results.errors:
        summary["error"] = f"{OURS}: {results.errors[OURS]}"
    elif OURS in rates:
        own = {
            key: figures.median(results.of(OURS, window, figure))
            for key, window, figure in (
                ("w1_p50_us", 1, "p50_us"),
                ("w1_p99_us", 1, "p99_us"),
                ("w64_cpu_us_per_frame", 64, "client_cpu_us"),
            )
        }
        summary |= {key: round(value, 1) for key, value in own.items()}
        summary["w64_replies_per_s"] = round(rates[OURS])
        summary["ratio"] = {name: round(rates[OURS] / rate, 2) for name, rate in peers.items()}
    return summary


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    arguments = parser.parse_args()
    if LOAD_CORE == TESTED_CORE:
        print("only one core: the gateway and the client share it, so the figures mean little")
    ending.conclude(lambda: conclusion(arguments.only, arguments.runs))


def conclusion(names: list[str], runs: int) -> dict[str, Any]:
    """Print the table; return the last line."""
    results = measure_all(names, runs)
    show(names, results)
    return summarise(names, results)


if __name__ == "__main__":
    main()
