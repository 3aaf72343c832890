"""What writing every event to disk costs: events a second with `disk` over `memory`.

    python benchmarks/durable.py [--runs 3]

The same gateway, plugin and windows as frame_path.py, on two workspaces that differ in one word:
`durability`. With `disk` an event is committed before the plugin sees it and its answer before it
leaves, in groups; this survives the death of the process.
"""

import argparse
import sys
from typing import Any

import frame_path
from harness import ending, figures
from harness.instruments import HERE

KINDS = ("memory", "disk")


def _case(durability: str) -> frame_path.Case:
    return frame_path.Case(
        "raw",
        lambda http, ws: [sys.executable, HERE / "sut_serve.py", str(ws), "1", durability],
    )


def conclusion(runs: int) -> dict[str, Any]:
    """Print the table; return the last line."""
    frame_path.CASES.update({kind: _case(kind) for kind in KINDS})
    results = frame_path.measure_all(list(KINDS), runs)
    frame_path.show(list(KINDS), results)
    summary: dict[str, Any] = {"errors": results.errors}
    if results.errors:
        return summary | {"error": str(results.errors)}
    for kind in KINDS:
        summary[f"{kind}_per_s"] = round(figures.median(results.of(kind, 64, "rate")))
        summary[f"{kind}_w1_p50_us"] = round(figures.median(results.of(kind, 1, "p50_us")))
    summary["ratio"] = round(summary["disk_per_s"] / summary["memory_per_s"], 2)
    return summary


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    ending.conclude(lambda: conclusion(arguments.runs))


if __name__ == "__main__":
    main()
