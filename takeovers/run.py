"""Break machines that share a deployment, again and again: python -m takeovers.run [--faults N]

Kills, stops longer than the lease, machines that reach no server, drains, and servers that are
killed, stopped or stand still. The last line is JSON; exit status 1 where anything was lost,
repeated, out of order, or sent by a machine that another one had followed.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path

from takeovers.servers import binary_of, version_of
from takeovers.world import Size, World

_WRONG = (
    "lost",
    "unread",
    "reordered",
    "handled_twice",
    "effects_repeated",
    "notifies_repeated",
    "notifies_lost",
    "sends_by_stale_owner",
    "owners_unknown",
    "epochs_decreasing",
    "count_went_back",
    "identifies_unneeded",
    "resumed_wrongly",
    "unanswered",
    "answered_twice",
    "silent_gaps",
    "stuck",
)


def main() -> int:
    """Run, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--machines", type=int, default=3)
    parser.add_argument("--lanes", type=int, default=30, help="services, each with a gateway")
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--backends", type=int, default=2, help="0: machines run `yoi serve`")
    parser.add_argument("--nodes", type=int, default=1, choices=(1, 3), help="NATS servers")
    parser.add_argument("--slow-disks", action="store_true", help="by strace, as root")
    parser.add_argument("--wrong-clocks", action="store_true", help="fast, slow, and jumping")
    parser.add_argument("--server-version", help="of nats-server: one that is installed here")
    parser.add_argument("--lease-ms", type=int, default=15_000)
    parser.add_argument("--minutes", type=float, default=240.0, help="break no longer than this")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 16))
    parser.add_argument("--folder", type=Path, help="keep everything there")
    given = parser.parse_args()
    binary = binary_of(given.server_version)
    print(f"{given.faults} faults --seed {given.seed}", flush=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="yoi-takeovers-") as name:
        size = Size(
            lease_ms=given.lease_ms,
            machines=given.machines,
            lanes=given.lanes,
            workers=given.workers,
            nodes=given.nodes,
            backends=given.backends,
            slow_disks=given.slow_disks,
            wrong_clocks=given.wrong_clocks,
        )
        rng = random.Random(given.seed)
        world = World(given.folder or Path(name), rng, size, binary)
        found = asyncio.run(world.run(given.faults, begun + given.minutes * 60))
    found["server_version"] = version_of(binary)
    found["seconds"] = round(time.monotonic() - begun)
    print(json.dumps(found))
    return int(any(found.get(key) for key in _WRONG) or not found.get("accepted"))


if __name__ == "__main__":
    raise SystemExit(main())
