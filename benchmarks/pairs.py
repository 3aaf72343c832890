"""Two checkouts side by side: CPU per frame and per delivery, after over before.

    python benchmarks/pairs.py BEFORE AFTER [--pairs 10] [--of frame_path fanout]

BEFORE and AFTER are checkouts that are set up (`make demo`); each runs its own benchmark scripts
with its own `.venv`, one after the other, and the pairs take turns at which goes first. A pair that
gives no figure is named in `errors` and left out.
"""

import argparse
import json
import statistics
import subprocess
from pathlib import Path
from typing import Any

from harness import ending, figures
from harness.processes import BenchmarkError

KEYS = {"frame_path": "w64_cpu_us_per_frame", "fanout": "cpu_s_per_100k"}
"""By script: the figure of its last line that is compared, Yoi's CPU for one of many."""
SECONDS = 300.0


def figure(checkout: Path, script: str) -> float:
    """Return what one run of `script` in `checkout` measures."""
    python = checkout / ".venv" / "bin" / "python"
    command = [str(python), f"benchmarks/{script}.py", "--runs", "1", "--only", "yoi"]
    try:
        ran = subprocess.run(
            command, cwd=checkout, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        last = json.loads(ran.stdout.strip().rpartition("\n")[2])
        return float(last[KEYS[script]])
    except (OSError, subprocess.TimeoutExpired, ValueError, LookupError, TypeError) as exc:
        raise BenchmarkError(f"{script} in {checkout.name} gave no figure: {exc!r}") from exc


def compare(script: str, before: Path, after: Path, pairs: int) -> dict[str, Any]:
    """Return the ratios of `pairs` pairs, their median and spread; prints each."""
    ratios, befores, afters, errors = [], [], [], []
    for turn in range(pairs):
        order = (before, after) if turn % 2 == 0 else (after, before)
        try:
            found = {checkout: figure(checkout, script) for checkout in order}
        except BenchmarkError as exc:
            errors.append(str(exc))
            print(f"{script} pair {turn + 1}: FAILED: {exc}", flush=True)
            continue
        befores.append(found[before])
        afters.append(found[after])
        ratios.append(found[after] / found[before])
        print(
            f"{script} pair {turn + 1}: {found[before]:.3f} before, {found[after]:.3f} after, "
            f"ratio {ratios[-1]:.3f}",
            flush=True,
        )
    if len(ratios) < 2:
        raise BenchmarkError(f"{script}: {len(ratios)} of {pairs} pairs gave figures: {errors}")
    low, _, high = statistics.quantiles(ratios, n=4)
    return {
        "unit": KEYS[script],
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_quartiles": [round(low, 3), round(high, 3)],
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "before_median": round(statistics.median(befores), 3),
        "after_median": round(statistics.median(afters), 3),
        "pairs": len(ratios),
        "errors": errors,
    }


def conclusion(scripts: list[str], before: Path, after: Path, pairs: int) -> dict[str, Any]:
    """Print the table; return the last line."""
    if before == after:
        raise BenchmarkError("both checkouts are the same folder")
    found = {script: compare(script, before, after, pairs) for script in scripts}
    rows = [
        [
            f"{script}, {one['unit']}",
            f"{one['before_median']:.3f}",
            f"{one['after_median']:.3f}",
            f"{one['ratio_median']:.3f} ({one['ratio_min']:.3f}-{one['ratio_max']:.3f})",
            f"{one['ratio_quartiles'][0]:.3f}-{one['ratio_quartiles'][1]:.3f}",
            str(one["pairs"]),
        ]
        for script, one in found.items()
    ]
    header = ["CPU", "before", "after", "ratio, median (min-max)", "quartiles", "pairs"]
    print(figures.table(header, rows))
    return found


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--of", nargs="+", choices=KEYS, default=list(KEYS), metavar="SCRIPT")
    found = parser.parse_args()
    before, after = found.before.resolve(), found.after.resolve()
    ending.conclude(lambda: conclusion(found.of, before, after, found.pairs))


if __name__ == "__main__":
    main()
