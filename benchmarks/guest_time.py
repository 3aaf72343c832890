"""What one event costs in a Python guest: three handlers, batches of 1, 8 and 64.

    python benchmarks/guest_time.py [--rounds 20]

One thread, no socket: lean codec, guest call and handler, as `Guest.dispatch` does them. Each
figure is the best round, in microseconds per event. The last line is JSON.
"""

import argparse
import os
import time
from pathlib import Path

from harness import ending
from harness.guests import on_guest_thread

from yoi.limits import LIMITS
from yoi.protocol.ingress import TextFrame
from yoi.sandbox import Sandbox
from yoi.types import SessionId

HANDLERS = {
    "empty": "return None",
    "echo": "return event.reply(event.text)",
    "json": (
        "m = json.loads(event.text); return event.reply(json.dumps("
        "{'type': 'reply', 'id': m['id'], 'channel': m['channel'], 'text': m['event']['text']}))"
    ),
}
SOURCE = """
import json
from yoi_pdk import Plugin
class P(Plugin):
    def on_text(self, event, ctx):
        {}
"""
# The frame of the gateway instrument's mode `raw`.
FRAME = (
    '{"type":"event","id":"@@0000000001","ts":1700000000.000001,"channel":"C0123456789","user":'
    '"U0123456789","team":"T0123456789","event":{"type":"message","text":"The quick brown fox '
    'jumps over the lazy dog and then goes home to rest for a while","subtype":null,"n":1,'
    '"thread_ts":"1700000000.000100","flags":[1,2,3]}}'
)
EVENTS_PER_ROUND = 256


def measure(rounds: int) -> dict[str, dict[str, float]]:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    sandbox = Sandbox(LIMITS, base / "yoi")
    found: dict[str, dict[str, float]] = {}
    for name, handler in HANDLERS.items():
        guest = sandbox.load_python({"plugin.py": SOURCE.format(handler).encode()}, "plugin:P")
        guest.start("null", LIMITS.start_ms)
        found[name] = {}
        for size in (1, 8, 64):
            batch = [
                TextFrame("events", "gw", SessionId("s" * 22), n, FRAME, 0, len(FRAME))
                for n in range(1, size + 1)
            ]
            best = float("inf")
            for _ in range(rounds):
                handled, begun = 0, time.perf_counter()
                while handled < EVENTS_PER_ROUND:
                    # A batch may be cut by its slice of wall time.
                    handled += len(guest.dispatch(batch, LIMITS.dispatch_ms))
                best = min(best, (time.perf_counter() - begun) / handled)
            found[name][str(size)] = round(best * 1e6, 2)
        guest.close()
        print(name, found[name], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    ending.conclude(
        lambda: {
            "frame_bytes": len(FRAME),
            "us_per_event": on_guest_thread(lambda: measure(rounds)),
        }
    )


if __name__ == "__main__":
    main()
