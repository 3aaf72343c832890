"""Break the connections of a real host, again and again: python -m faults.run [--disconnects N]

Resets, half-open connections, stalls, bytes one at a time, garbage, truncated frames, close storms,
refused dials, and names that are silent, fail or lead elsewhere, between two plugins and their
gateways. The last line is JSON; exit status 1 when a frame is not accounted for, or anything is
left over.
"""

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from pathlib import Path

from faults.world import World


def main() -> int:
    """Run, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--disconnects", type=int, default=10_000)
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=120.0, help="break no longer than this")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 16))
    given = parser.parse_args()
    print(f"{given.disconnects} disconnects --seed {given.seed}", flush=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="yoi-faults-") as name:
        folder = Path(name)
        os.environ["YOI_STATE_HOME"] = str(folder / "state")
        world = World(folder, random.Random(given.seed), given.lanes)
        found = asyncio.run(world.run(given.disconnects, begun + given.minutes * 60))
    found["seconds"] = round(time.monotonic() - begun)
    print(json.dumps(found))
    wrong = ("unaccounted", "repeated", "leaked_sockets", "leaked_tasks")
    return int(any(found[key] for key in wrong) or not found["handled"])


if __name__ == "__main__":
    raise SystemExit(main())
