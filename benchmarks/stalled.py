"""One of 101 observers reads nothing: do the other 100 notice?

    python benchmarks/stalled.py [--runs 3]

100 observers of one worker, one event under way at a time, so that the time is that until all 100
have it; then the same with one more who connects and never reads (instruments/fan.c). More events
come than are held for replay, so that the one who stalls falls behind all that is held. `ratio` is
the p99 with over the p99 without: the median over pairs of runs, which take turns at going first.
"""

import argparse
import statistics
import tempfile
from typing import IO

from harness import ending, figures
from harness.fanning import Load, Run, of, running, yoi
from harness.processes import BenchmarkError

from yoi.limits import LIMITS

EVENTS = LIMITS.observed_ring_events + LIMITS.observed_ring_events // 2
LOADS = {stalled: Load(observers=100, events=EVENTS, stalled=stalled) for stalled in (0, 1)}


def measure(stalled: int, log: IO[bytes]) -> Run:
    """Return the figures of a server of its own. Raises BenchmarkError when nobody stalled."""
    with running(yoi(), log) as server:
        run = server.fan(LOADS[stalled])
    if stalled and run["stalled"] != stalled:
        raise BenchmarkError(f"{run['stalled']:g} observers stalled, not {stalled}")
    return run


def measure_all(runs: int) -> dict[int, list[Run]]:
    """Return every run, without and with."""
    results: dict[int, list[Run]] = {0: [], 1: []}
    with tempfile.TemporaryFile() as log:
        for turn in range(runs):
            for stalled in (0, 1) if turn % 2 == 0 else (1, 0):
                try:
                    run = measure(stalled, log)
                except BenchmarkError as exc:
                    ending.tail(log)
                    raise BenchmarkError(f"{stalled} stalled: {exc}") from exc
                results[stalled].append(run)
                p99, grown = run["p99_ms"], run["grown_mb"]
                print(
                    f"run {turn + 1} {stalled} stalled: p99 {p99:.2f} ms, {grown:+.1f} MB",
                    flush=True,
                )
    return results


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    ending.conclude(lambda: conclusion(arguments.runs))


def conclusion(turns: int) -> dict[str, object]:
    """Print the table; return the last line."""
    results = measure_all(turns)
    rows = [
        [
            str(stalled),
            figures.spread(of(runs, "p50_ms"), 2),
            figures.spread(of(runs, "p99_ms"), 2),
            figures.spread(of(runs, "rate")),
            figures.spread(of(runs, "grown_mb"), 1),
        ]
        for stalled, runs in results.items()
    ]
    header = ["stalled", "p50 ms", "p99 ms", "deliveries/s", "memory grown, MB"]
    print(figures.table(header, rows))
    pairs = zip(of(results[0], "p99_ms"), of(results[1], "p99_ms"), strict=True)
    return {
        "ratio": round(statistics.median(with_ / without for without, with_ in pairs), 2),
        "p99_ms": round(statistics.median(of(results[0], "p99_ms")), 2),
        "p99_ms_stalled": round(statistics.median(of(results[1], "p99_ms")), 2),
        "grown_mb": round(statistics.median(of(results[0], "grown_mb")), 1),
        "grown_mb_stalled": round(statistics.median(of(results[1], "grown_mb")), 1),
    }


if __name__ == "__main__":
    main()
