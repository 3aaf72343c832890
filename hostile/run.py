"""The hostile corpus beside a neighbour: python -m hostile.run [--sample N] [--only NAME]

Prints what each case ended in; the last line is JSON. Exit status 1 when anything escaped, ended
untyped or took the host along.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path

from hostile.cases import Case, corpus
from hostile.world import World, private_home, show

_AT_ONCE = 60
"""Plugins of one host: a store holds 128 packages."""


def main() -> int:
    """Run the corpus, host after host."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, help="so many cases, drawn by the seed")
    parser.add_argument("--only", action="append", help="a case's name; may be repeated")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 16))
    arguments = parser.parse_args()
    cases = corpus()
    if arguments.only:
        cases = [case for case in cases if case.name in arguments.only]
    if arguments.sample:
        print(f"sample of {arguments.sample} --seed {arguments.seed}", flush=True)
        cases = random.Random(arguments.seed).sample(cases, min(arguments.sample, len(cases)))
    return asyncio.run(_run(cases))


async def _run(cases: list[Case]) -> int:
    found: dict[str, str] = {}
    quiet: list[float] = []
    busy: list[float] = []
    crashes = rss_mb = 0
    begun = time.monotonic()
    for at in range(0, len(cases), _AT_ONCE):
        with tempfile.TemporaryDirectory(prefix="yoi-hostile-") as name:
            folder = Path(name)
            private_home(folder)
            world = World(folder, cases[at : at + _AT_ONCE])
            await world.run()
        found |= world.found
        quiet += world.quiet
        busy += world.busy
        crashes += world.crashes
        rss_mb = max(rss_mb, world.rss_mb)
        for case in world.cases:
            print(
                f"{case.name:32} {world.found.get(case.name, 'untyped: never tried')}", flush=True
            )
    bad = {name: ended for name, ended in found.items() if ended.startswith("untyped")}
    missing = [case.name for case in cases if case.name not in found]
    escapes = [name for name, ended in found.items() if ended == "escaped"]
    print(show(found))
    told = {
        "tried": len(found),
        "escapes": len(escapes),
        "host_crashes": crashes,
        "untyped": len(bad) + len(missing),
        "neighbour_p99_ms": p99(busy),
        "quiet_p99_ms": p99(quiet),
        "rss_mb": rss_mb,
        "seconds": round(time.monotonic() - begun),
    }
    print(json.dumps(told))
    return 1 if escapes or bad or missing or crashes else 0


def p99(waits: list[float]) -> float:
    """Return the 99th percentile of `waits`; 0 where there are none."""
    return round(sorted(waits)[int(len(waits) * 0.99) - 1], 1) if waits else 0.0


if __name__ == "__main__":
    raise SystemExit(main())
