"""How long a Python plugin takes to read large JSON: for `deadline_ms` of an ingress.

    python benchmarks/large_json.py [--rounds 3] [--mib 1 4 8 16]

One thread, no socket. The plugin parses the message and answers nothing. `usual` is a list of chat
messages as gateways send them, `dense` a list of objects of two small numbers. Each figure is the
best round: processor milliseconds for each MiB, the handing over of the message included.
"""

import argparse
import time

from harness import ending, figures
from harness.guests import SESSION, on_guest_thread

from yoi.limits import LIMITS, MIB
from yoi.protocol.ingress import TextFrame
from yoi.runtime.paths import cache_dir
from yoi.sandbox import Sandbox

SOURCE = b"""
import json
from yoi_pdk import Plugin

class P(Plugin):
    def on_text(self, event, ctx):
        json.loads(event.text)
"""
ITEMS = {
    "usual": '{"id":"1043","channel":"C0123456789","user":"U0123456789","text":"The quick brown '
    'fox jumps over the lazy dog","ts":"1700000000.000100","flags":[1,2,3],"thread":null}',
    "dense": '{"p":1.5,"q":2}',
}
BUDGET_MS = 600_000


def text_of(item: str, size: int) -> str:
    """Return a JSON list of `item` of about `size` bytes."""
    return f"[{','.join([item] * (size // (len(item) + 1)))}]"


def measure(rounds: int, sizes: list[int]) -> dict[str, dict[str, float]]:
    """Return milliseconds for each MiB, by kind and size in MiB."""
    sandbox = Sandbox(LIMITS, cache_dir())
    found: dict[str, dict[str, float]] = {}
    for kind, item in ITEMS.items():
        found[kind] = {}
        for size in sizes:
            guest = sandbox.load_python(
                {"plugin.py": SOURCE},
                "plugin:P",
                memory_bytes=LIMITS.guest_memory_max_bytes,
                message_bytes=LIMITS.message_max_bytes,
            )
            guest.start("null", LIMITS.start_ms)
            text = text_of(item, size * MIB)
            frame = TextFrame("events", "gateway", SESSION, 1, text, 0, len(text))
            times = []
            for _ in range(rounds):
                began = time.thread_time()
                outcome = guest.dispatch([frame], BUDGET_MS)[0]
                times.append(time.thread_time() - began)
                if "HandlerFailed" in type(outcome).__name__:
                    raise RuntimeError(f"the plugin failed: {outcome}")
            guest.close()
            found[kind][str(size)] = round(min(times) * 1000 / size, 1)
        print(kind, found[kind], flush=True)
    return found


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, nargs="+", default=[1, 4, 8, 16])
    asked = parser.parse_args()
    ending.conclude(lambda: conclusion(asked.rounds, asked.mib))


def conclusion(rounds: int, sizes: list[int]) -> dict[str, object]:
    """Print the table; return the last line."""
    found = on_guest_thread(lambda: measure(rounds, sizes))
    rows = [[kind, *(f"{found[kind][str(size)]:.0f}" for size in sizes)] for kind in found]
    print(figures.table(["ms for each MiB", *(f"{size} MiB" for size in sizes)], rows))
    return {"ms_per_mib": found}


if __name__ == "__main__":
    main()
