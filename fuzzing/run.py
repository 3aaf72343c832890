"""Fuzzing for minutes: python -m fuzzing.run [--minutes 10] [--seed N] [--only TARGET]

Prints each round with its seed; the last line is JSON. Exit status 1 when anything was found.
"""

import argparse
import json
import random
import time
import traceback

from fuzzing.targets import TARGETS


def main() -> int:
    """Take turns until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, help="of the first round; the others count up from it")
    parser.add_argument("--only", choices=TARGETS, action="append", help="may be repeated")
    arguments = parser.parse_args()
    first = random.randrange(1 << 32) if arguments.seed is None else arguments.seed
    names = arguments.only or list(TARGETS)
    begun = time.monotonic()
    rounds = examples = 0
    failed: list[dict[str, object]] = []
    while time.monotonic() - begun < arguments.minutes * 60 and len(failed) < 10:
        name, number = names[rounds % len(names)], first + rounds
        target, most = TARGETS[name]
        print(f"{name} --seed {number}", flush=True)
        try:
            target(number, most)
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
