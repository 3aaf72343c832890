"""One measurement of plugin_cost.py in a fresh process. cost_child.py load|idle COUNT [CACHE_DIR]

Prints a JSON list: milliseconds of each load, or MB of RSS per idle instance.
"""

import gc
import json
import os
import sys
import time
from pathlib import Path

from harness.guests import make_guest, on_guest_thread, one_frame
from harness.processes import rss_bytes

from yoi.limits import LIMITS
from yoi.runtime.paths import cache_dir
from yoi.sandbox import Guest, Sandbox


def answered(sandbox: Sandbox) -> Guest:
    guest = make_guest(sandbox)
    guest.dispatch([one_frame(1)], 1000)
    return guest


def load(sandbox: Sandbox, count: int) -> list[float]:
    times = []
    for _ in range(count):
        from_ns = time.perf_counter_ns()
        guest = make_guest(sandbox)
        times.append((time.perf_counter_ns() - from_ns) / 1e6)
        guest.close()
    return times


def idle(sandbox: Sandbox, count: int) -> list[float]:
    warm = [answered(sandbox) for _ in range(5)]
    gc.collect()
    before = rss_bytes(os.getpid())
    kept = [answered(sandbox) for _ in range(count)]
    gc.collect()
    grown = rss_bytes(os.getpid()) - before
    del warm, kept
    return [grown / 1e6 / count]


def main() -> list[float]:
    part, count = sys.argv[1], int(sys.argv[2])
    cache = Path(sys.argv[3]) if len(sys.argv) > 3 else cache_dir()
    sandbox = Sandbox(LIMITS, cache)
    return {"load": load, "idle": idle}[part](sandbox, count)


print(json.dumps(on_guest_thread(main)), flush=True)
os._exit(0)  # dropping 300 instances one by one is not what is measured
