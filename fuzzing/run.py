"""Fuzzing for minutes: python -m fuzzing.run [--minutes 10] [--seed N] [--only TARGET]
[--guided PYTHON]

Prints each round with its seed; the last line is JSON. Exit status 1 when anything was found.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import time
import traceback
from pathlib import Path

from fuzzing.targets import TARGETS

GUIDED = tuple(f"guided-{name}" for name in ("manifest", "archive", "answer", "frame", "cursor"))
"""Targets of fuzzing.guided; a round of one takes `_GUIDED_SECONDS`."""
_GUIDED_SECONDS = 15
_ROOT = Path(__file__).resolve().parent.parent
_EXECUTED = re.compile(r"number_of_executed_units: (\d+)")


class Found(Exception):
    """A guided round found something; what it printed says what."""


def guided(python: str, name: str, number: int) -> int:
    """Run one round under the coverage-guided fuzzer; return how many inputs it tried."""
    target = name.removeprefix("guided-")
    corpus = _ROOT / "fuzzing" / ".corpus" / target
    done = subprocess.run(
        [python, "-m", "fuzzing.guided", target, str(_GUIDED_SECONDS), str(number), str(corpus)],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": f"{_ROOT / 'src'}{os.pathsep}{_ROOT}"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=20 * _GUIDED_SECONDS,
        check=False,
    )
    told = done.stdout + done.stderr
    if done.returncode != 0:
        raise Found("\n".join(told.splitlines()[-60:]))
    executed = _EXECUTED.search(told)
    return int(executed[1]) if executed else 0


def main() -> int:
    """Take turns until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, help="of the first round; the others count up from it")
    parser.add_argument(
        "--only", choices=[*TARGETS, *GUIDED], action="append", help="may be repeated"
    )
    parser.add_argument("--guided", help="a Python that has atheris, for the targets guided-...")
    arguments = parser.parse_args()
    first = random.randrange(1 << 32) if arguments.seed is None else arguments.seed
    names = arguments.only or [*TARGETS, *(GUIDED if arguments.guided else ())]
    begun = time.monotonic()
    rounds = examples = 0
    failed: list[dict[str, object]] = []
    while time.monotonic() - begun < arguments.minutes * 60 and len(failed) < 10:
        name, number = names[rounds % len(names)], first + rounds
        print(f"{name} --seed {number}", flush=True)
        most = 0
        try:
            if name in TARGETS:
                target, most = TARGETS[name]
                target(number, most)
            else:
                most = guided(arguments.guided or sys.executable, name, number)
        except Exception:  # whatever it is, it is a finding
            traceback.print_exc()
            failed.append({"target": name, "seed": number})
        rounds += 1
        examples += most
    told = {"rounds": rounds, "examples": examples, "failed": failed}
    print(json.dumps({"seconds": round(time.monotonic() - begun), **told}))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
