"""What a Python plugin costs: to load, to keep, and once per machine to compile its runner.

    python benchmarks/plugin_cost.py [--loads 60] [--instances 300] [--runs 3]

Each figure is taken in a process of its own. `load` is Store, instance and the plugin's source up
to the answer of start(), with the runner compiled already. An idle instance has started and
answered one frame; its RSS is the process's growth over all instances, divided. RSS counts a page
of the runner's file once for every instance that maps it; `private` does not. `compile` is the
first load of all where the runner came with the wheel; a checkout builds the runner before that.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import ending, figures


def child(part: str, count: int, cache: str | None = None) -> list[float]:
    """Return the figures that `cost_child.py` prints."""
    command = [sys.executable, str(Path(__file__).with_name("cost_child.py")), part, str(count)]
    done = subprocess.run(
        [*command, *([cache] if cache else [])], check=True, stdout=subprocess.PIPE, timeout=600
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loads", type=int, default=60)
    parser.add_argument("--instances", type=int, default=300)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    ending.conclude(lambda: measure(arguments))


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """Print the table; return the last line."""
    child("load", 1)  # the runner is built and compiled before anything is timed
    loads, first_ms, rss, private, compiles, builds = [], [], [], [], [], []
    for _ in range(arguments.runs):
        first, *further = child("load", arguments.loads)
        first_ms.append(first)
        loads.append(figures.median(further))
        resident, own = child("idle", arguments.instances)
        rss.append(resident)
        private.append(own)
        with tempfile.TemporaryDirectory(prefix="yoi-bench-") as cache:
            builds += [ms / 1000 for ms in child("load", 1, cache)]
            shutil.rmtree(Path(cache) / "code")
            compiles += [ms / 1000 for ms in child("load", 1, cache)]
    rows = [
        ["load, p50 ms", figures.spread(loads, 1)],
        ["first load of a process, ms", figures.spread(first_ms, 1)],
        [f"RSS per idle instance over {arguments.instances}, MB", figures.spread(rss, 2)],
        ["of it private, MB", figures.spread(private, 2)],
        ["first run, runner shipped: compile, s", figures.spread(compiles, 2)],
        ["first run of a checkout: build and compile, s", figures.spread(builds, 2)],
    ]
    print(figures.table(["figure", "median (min-max)"], rows))
    return {
        "load_p50_ms": round(figures.median(loads), 1),
        "rss_per_instance_mb": round(figures.median(rss), 2),
        "private_per_instance_mb": round(figures.median(private), 2),
        "compile_s": round(figures.median(compiles), 2),
        "build_and_compile_s": round(figures.median(builds), 2),
        "first_load_ms": round(figures.median(first_ms), 1),
        "instances": arguments.instances,
    }


if __name__ == "__main__":
    main()
