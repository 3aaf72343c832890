"""Where the microseconds of a frame go: codec, guest call, thread hop, each alone.

    python benchmarks/micro.py [--seconds 0.5] [--runs 5]

One core, no sockets. `guest` is one whole Guest.dispatch of N frames of about 316 bytes; `codec` is
the host's part of it; `empty` is the same dispatch for a plugin that answers nothing; `hop` is from
the event loop to a worker thread and back, with nothing done there. Microseconds per
frame (per hop).
"""

import argparse
import asyncio
import os
import time
from collections.abc import Callable

import uvloop
from harness import figures, machine
from harness.guests import make_guest, on_guest_thread, one_frame
from harness.processes import TESTED_CORE

from yoi.limits import LIMITS
from yoi.protocol import lean
from yoi.protocol.outcomes import Reply
from yoi.runtime.paths import cache_dir
from yoi.runtime.thread_bridge import Mailbox
from yoi.sandbox import Guest, Sandbox, Scheduler
from yoi.types import SystemClock, rfc3339

BATCHES = (1, 8, 64)
QUIET = b"""
from yoi_pdk import Plugin

class Answer(Plugin):
    def on_text(self, event, ctx):
        return None
"""

Measured = dict[str, list[float]]


def per_call_us(work: Callable[[], object], seconds: float) -> float:
    """Return the median microseconds of one call over about `seconds`."""
    work()
    times = []
    ends = time.perf_counter_ns() + int(seconds * 1e9)
    while (began := time.perf_counter_ns()) < ends:
        work()
        times.append(time.perf_counter_ns() - began)
    return figures.median(times) / 1000


def guest_works(busy: Guest, quiet: Guest, size: int) -> dict[str, Callable[[], object]]:
    """Return what is timed for batches of `size` frames, after one checked exchange."""
    frames = [one_frame(number) for number in range(1, size + 1)]
    outcomes = busy.dispatch(frames, LIMITS.dispatch_ms)
    texts = [outcome.text for outcome in outcomes if isinstance(outcome, Reply)]
    assert len(texts) == size
    answer = f"[{','.join(str(len(text)) for text in texts)}]\n{''.join(texts)}"
    clock = SystemClock()
    return {
        "guest, parse and answer": lambda: busy.dispatch(frames, LIMITS.dispatch_ms),
        "guest, empty handler": lambda: quiet.dispatch(frames, LIMITS.dispatch_ms),
        "codec, encode_batch": lambda: lean.encode_batch(frames, LIMITS.batch_slice_ms),
        "codec, decode_answer": lambda: lean.decode_answer(answer, frames, rfc3339(clock.wall())),
    }


def measure_guests(seconds: float) -> dict[str, float]:
    """Return microseconds per frame of dispatch and codec, by batch size."""
    sandbox = Sandbox(LIMITS, cache_dir())
    busy, quiet = make_guest(sandbox), make_guest(sandbox, {"plugin.py": QUIET})
    return {
        f"{name} x{size}": per_call_us(work, seconds) / size
        for size in BATCHES
        for name, work in guest_works(busy, quiet, size).items()
    }


async def measure_hops(seconds: float, at_once: int) -> float:
    """Return microseconds per hop to a guest thread and back, `at_once` of them under way."""
    loop = asyncio.get_running_loop()
    scheduler, mailbox = Scheduler(LIMITS), Mailbox(loop)
    finished, count, ends = loop.create_future(), 0, time.perf_counter() + seconds

    def turn(key: int) -> None:
        mailbox.post(back, key)

    def back(key: int) -> None:
        nonlocal count
        count += 1
        if time.perf_counter() < ends:
            scheduler.submit(key, lambda: turn(key))
        elif not finished.done():
            finished.set_result(None)

    began = time.perf_counter()
    for key in range(at_once):
        scheduler.submit(key, lambda key=key: turn(key))
    await finished
    took = time.perf_counter() - began
    await asyncio.to_thread(scheduler.close)
    return took / count * 1e6


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="per figure and run")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    here = machine.describe()
    os.sched_setaffinity(0, {TESTED_CORE})
    print(machine.in_words(here))
    measured: Measured = {}
    for _ in range(arguments.runs):
        run = on_guest_thread(lambda: measure_guests(arguments.seconds))
        for at_once in (1, 64):
            run[f"hop, {at_once} at once"] = uvloop.run(measure_hops(arguments.seconds, at_once))
        for name, value in run.items():
            measured.setdefault(name, []).append(value)
    rows = [[name, figures.spread(values, 2)] for name, values in measured.items()]
    print(figures.table(["part", "µs per frame, median (min-max)"], rows))
    medians = {name: round(figures.median(values), 2) for name, values in measured.items()}
    figures.last_line({"us_per_frame": medians, "machine": here})


if __name__ == "__main__":
    main()
