"""CPU time of commands that only look, each as a process of its own.

    python benchmarks/cli_start.py [--runs 11]

User and system time of the child, in milliseconds; `bare` is `python -c pass`, which is part of
each. The workspace has one plugin, enabled with what it asks for. `least` is the figure to compare:
other work on the machine only adds to it. `promised` are the bounds that the documents state.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from harness import ending, figures
from harness.processes import BenchmarkError

CASES = {
    "bare": ["-c", "pass"],
    "import": ["-c", "import yoi"],
    "version": ["-m", "yoi", "--version"],
    "help": ["-m", "yoi", "--help"],
    "plugin list": ["-m", "yoi", "plugin", "list"],
    "plugin list --json": ["-m", "yoi", "plugin", "list", "--json"],
    "service list": ["-m", "yoi", "service", "list"],
}
"""`service list` finds no host, which costs no less than an answer."""
MAY_FAIL = {"service list"}
PROMISED_MS = {"version": 150, "plugin list": 200}
SET_UP = (
    ["plugin", "new", "websocket", "mine"],
    ["plugin", "enable", "./mine", "--yes", "--grant-requested"],
)


def main() -> None:
    """Measure every case in turn, and end with one line of JSON."""
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=11)
    runs = options.parse_args().runs
    ending.conclude(lambda: measured(runs))


def measured(runs: int) -> dict[str, Any]:
    """Return the least and the median of each case, in milliseconds of CPU."""
    times: dict[str, list[float]] = {name: [] for name in CASES}
    with (
        tempfile.TemporaryDirectory(prefix="yoi-start-") as folder,
        tempfile.TemporaryDirectory(prefix="yoi-home-") as home,
    ):
        for arguments in SET_UP:
            cpu_ms([sys.executable, "-m", "yoi", *arguments], folder, home, may_fail=False)
        # One unmeasured round: compiled files are written.
        for _ in range(runs + 1):
            for name, arguments in CASES.items():
                times[name].append(
                    cpu_ms([sys.executable, *arguments], folder, home, name in MAY_FAIL)
                )
    found = {
        name: {"least": round(min(all_[1:]), 1), "median": round(statistics.median(all_[1:]), 1)}
        for name, all_ in times.items()
    }
    print(
        figures.table(
            ["ms of CPU", "least", "median"],
            [[name, str(one["least"]), str(one["median"])] for name, one in found.items()],
        )
    )
    within = all(found[name]["least"] <= bound for name, bound in PROMISED_MS.items())
    return {"runs": runs, "cpu_ms": found, "promised_ms": PROMISED_MS, "within": within}


def cpu_ms(command: list[str], folder: str, home: str, may_fail: bool) -> float:
    """Return the CPU time that `command` took in `folder`, in milliseconds."""
    # A module compiled anew in each process is not what a person meets.
    usual = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command,
        cwd=folder,
        env={**usual, "HOME": home, "XDG_STATE_HOME": home},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode and not may_fail:
        raise BenchmarkError(f"{command[1:]} ended with {done.returncode}: {done.stderr[-300:]!r}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


if __name__ == "__main__":
    main()
