"""One measurement of plugin_cost.py in a fresh process. cost_child.py load|idle COUNT [CACHE_DIR]

Prints a JSON list: milliseconds of each load, or, per idle instance, MB of RSS and MB that no other
process or instance shares. RSS counts a page of the compiled runner's file once for every instance
that maps it; the second figure is what one more instance takes from the machine.
"""

import gc
import json
import os
import sys
import time
from pathlib import Path

from harness.guests import make_guest, on_guest_thread, one_frame

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


def memory_mb() -> tuple[float, float]:
    """Return RSS and private memory of this process."""
    sizes = {}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
        name, size, _ = line.split()
        sizes[name] = int(size) * 1024 / 1e6
    return sizes["Rss:"], sizes["Private_Dirty:"] + sizes["Private_Clean:"]


def idle(sandbox: Sandbox, count: int) -> list[float]:
    warm = [answered(sandbox) for _ in range(5)]
    gc.collect()
    before = memory_mb()
    kept = [answered(sandbox) for _ in range(count)]
    gc.collect()
    grown = [(now - then) / count for now, then in zip(memory_mb(), before, strict=True)]
    del warm, kept
    return grown


def main() -> list[float]:
    part, count = sys.argv[1], int(sys.argv[2])
    cache = Path(sys.argv[3]) if len(sys.argv) > 3 else cache_dir()
    sandbox = Sandbox(LIMITS, cache)
    return {"load": load, "idle": idle}[part](sandbox, count)


print(json.dumps(on_guest_thread(main)), flush=True)
os._exit(0)  # dropping 300 instances one by one is not what is measured
