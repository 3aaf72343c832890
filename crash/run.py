"""Kill a real host under load, again and again: python -m crash.run [--kills N] [--minutes M]

A plugin with `durability = "disk"` signs in at a gateway, answers each frame, counts in its state
and tells a worker; a second one echoes what its gateway sends, and sends again after each visit,
knowing by `dedupe` what it knows. After each `kill -9` the logs are read. The last line is JSON;
exit status 1 when an accepted frame was lost or out of order, or an effect was repeated.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path

from crash.world import World, private_home


def main() -> int:
    """Run, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=120.0, help="kill no longer than this")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 16))
    arguments = parser.parse_args()
    print(f"{arguments.kills} kills --seed {arguments.seed}", flush=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="yoi-crash-") as name:
        folder = Path(name)
        private_home(folder)
        world = World(folder, random.Random(arguments.seed))
        try:
            asyncio.run(world.run(arguments.kills, begun + arguments.minutes * 60))
        except BaseException:
            print((folder / "host.log").read_text()[-3000:])
            raise
    found = verdict(world)
    found["seconds"] = round(time.monotonic() - begun)
    print(json.dumps(found))
    return bool(
        found["lost"]
        or found["notifies_missing"]
        or found["reordered"]
        or found["effects_repeated"]
        or found["handled_twice"]
        or not found["duplicates"]
        or found["notifies_repeated"]
        or not found["accepted"]
    )


def verdict(world: World) -> dict[str, int]:
    """Return what was lost, reordered and repeated."""
    lost = sum(
        max(0, last - world.handled.get(visit, (0, 0))[0]) for visit, last in world.accepted.items()
    )
    due = {
        f"{visit}:{number}"
        for visit, (last, _) in world.handled.items()
        for number in range(100, last + 1, 100)
    }
    return {
        "kills": world.kills,
        "sent": world.gateway.sent + world.echo.sent,
        "accepted": sum(world.accepted.values()) + world.echo_seen["last"],
        "recovered": world.waited,
        "lost": lost + world.echo_lost,
        "reordered": sum(wrong for _, wrong in world.handled.values()),
        "dead_letters": world.dead_letters,
        "effects_unknown": world.unknown,
        "effects_repeated": sum(count > 1 for count in world.gateway.acks.values())
        + world.echo.unasked,
        "duplicates": world.echo_seen["marked"],
        "handled_twice": world.echo_seen["wrong"],
        "notifies": sum(world.notified.values()),
        "notifies_missing": len(due - set(world.notified) - world.to_notify),
        "notifies_repeated": sum(count > 1 for count in world.notified.values()),
    }


if __name__ == "__main__":
    raise SystemExit(main())
