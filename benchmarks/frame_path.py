"""One gateway, one connection: frame in, reply out, for Yoi and for the libraries people use today.

    python benchmarks/frame_path.py [--runs 3] [--only NAME ...]

The gateway (instruments/gw.c) has one core, the client under test the other. W1: one frame is
outstanding, so the time is a round trip's. W64: 64 are, so the rate is what one core sustains.
Every client is measured in every run, interleaved; figures are medians of the runs. The peers
run in the virtual environment named by BENCH_PYTHON (`make bench` sets it up), each once on asyncio
and once on uvloop; the faster of the two is the peer's figure.
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
FRAMES = {1: 8_000, 64: 40_000}
SECONDS = 1.5
WARMUP = 500
START_SECONDS = 180.0  # the first start of all compiles the runner

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
        lambda http, ws: [BENCH_PYTHON, PEERS / "slack.py", library, loop, str(http)],
        f"slack_{library}",
    )


def _discord(loop: str) -> Case:
    script = PEERS / "discord_client.py"
    return Case(
        "discord",
        lambda http, ws: [BENCH_PYTHON, script, loop, str(http), str(ws)],
        "discord_py",
    )


CASES = {
    "yoi": Case(
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


def measure_all(names: list[str], runs: int) -> dict[str, dict[int, list[Run]]]:
    """Return every run, by case and window, cases interleaved."""
    results: dict[str, dict[int, list[Run]]] = {name: {1: [], 64: []} for name in names}
    ports = free_port(), free_port()
    with tempfile.TemporaryFile() as log, web_api(*ports, log):
        for turn in range(runs):
            for name in names:
                for window in results[name]:
                    try:
                        run = measure(CASES[name], window, ports, log)
                    except BenchmarkError as exc:
                        log.seek(max(0, log.tell() - 4000))
                        sys.stderr.write(log.read().decode(errors="replace"))
                        raise SystemExit(f"{name}, W{window}: {exc}") from exc
                    results[name][window].append(run)
                    rate, p50 = run["rate"], run["p50_us"]
                    print(f"run {turn + 1} {name} W{window}: {rate:,.0f}/s, p50 {p50:.0f} µs")
                    sys.stdout.flush()
    return results


def of(runs: list[Run], key: str) -> list[float]:
    """Return one figure of every run."""
    return [run[key] for run in runs]


def show(results: dict[str, dict[int, list[Run]]]) -> None:
    """Print the table."""
    header = ["client", "W1 p50 µs", "W1 p99 µs", "W64 replies/s", "W64 p99 µs"]
    rows = []
    for name, runs in results.items():
        one, many = runs[1], runs[64]
        rows.append(
            [
                name,
                figures.spread(of(one, "p50_us")),
                figures.spread(of(one, "p99_us")),
                figures.spread(of(many, "rate")),
                figures.spread(of(many, "p99_us")),
                figures.spread(of(many, "client_cpu_us"), 1),
                figures.spread(of(many, "client_rss_mb")),
            ]
        )
    print(figures.table([*header, "W64 CPU µs/frame", "RSS MB"], rows))


def summarise(results: dict[str, dict[int, list[Run]]]) -> dict[str, Any]:
    """Return the figures of the last line."""
    rates = {name: figures.median(of(runs[64], "rate")) for name, runs in results.items()}
    peers: dict[str, float] = {}
    for name, rate in rates.items():
        peer = CASES[name].peer
        if peer is not None:
            peers[peer] = max(peers.get(peer, 0.0), round(rate))
    summary: dict[str, Any] = {"machine": machine.describe(), "peers": peers}
    if "yoi" in results:
        one = results["yoi"][1]
        summary |= {
            "w1_p50_us": round(figures.median(of(one, "p50_us")), 1),
            "w1_p99_us": round(figures.median(of(one, "p99_us")), 1),
            "w64_replies_per_s": round(rates["yoi"]),
            "w64_cpu_us_per_frame": round(
                figures.median(of(results["yoi"][64], "client_cpu_us")), 1
            ),
            "ratio": {name: round(rates["yoi"] / rate, 2) for name, rate in peers.items()},
        }
    return summary


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    arguments = parser.parse_args()
    print(machine.in_words(machine.describe()))
    if LOAD_CORE == TESTED_CORE:
        print("only one core: the gateway and the client share it, so the figures mean little")
    results = measure_all(arguments.only, arguments.runs)
    show(results)
    figures.last_line(summarise(results))


if __name__ == "__main__":
    main()
