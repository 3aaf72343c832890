"""Where the microseconds of a frame go: codec, guest call, thread hop, each alone.

    python benchmarks/micro.py [--seconds 0.5] [--runs 5]

One core, no sockets. `guest` is one whole Guest.dispatch of N frames of about 316 bytes; `codec` is
the host's part of it; `empty` is the same dispatch for a plugin that answers nothing; `hop` is from
the event loop to a worker thread and back, with nothing done there. Microseconds per
frame (per hop). A batch that is cut by its slice of wall time counts for what was handled.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Callable

import uvloop
from harness import ending, figures
from harness.guests import make_guest, on_guest_thread, one_frame
from harness.processes import TESTED_CORE, BenchmarkError

from yoi.limits import LIMITS
from yoi.protocol import lean
from yoi.protocol.ingress import TextFrame
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


def per_frame_us(work: Callable[[], int], seconds: float) -> float:
    """Return the median microseconds per frame of calls over about `seconds`.

    `work` returns how many frames it handled.
    """
    work()
    times = []
    ends = time.perf_counter_ns() + int(seconds * 1e9)
    while (began := time.perf_counter_ns()) < ends:
        handled = work()
        times.append((time.perf_counter_ns() - began) / handled)
    return figures.median(times) / 1000


def answers(guest: Guest, frames: list[TextFrame]) -> list[str]:
    """Return what the plugin answers to each of `frames`, in as many batches as that takes."""
    texts: list[str] = []
    while len(texts) < len(frames):
        outcomes = guest.dispatch(frames[len(texts) :], LIMITS.dispatch_ms)
        replies = [outcome.text for outcome in outcomes if isinstance(outcome, Reply)]
        if len(replies) < len(outcomes):
            raise BenchmarkError(f"the plugin did not answer each frame: {outcomes[-1]}")
        texts += replies
    return texts


def guest_works(busy: Guest, quiet: Guest, size: int) -> dict[str, Callable[[], int]]:
    """Return what is timed for batches of `size` frames, after one checked exchange."""
    frames = [one_frame(number) for number in range(1, size + 1)]
    texts = answers(busy, frames)
    answer = f"[{','.join(str(len(text)) for text in texts)}]\n{''.join(texts)}"
    clock = SystemClock()

    def encode() -> int:
        lean.encode_batch(frames, LIMITS.batch_slice_ms)
        return size

    return {
        "guest, parse and answer": lambda: len(busy.dispatch(frames, LIMITS.dispatch_ms)),
        "guest, empty handler": lambda: len(quiet.dispatch(frames, LIMITS.dispatch_ms)),
        "codec, encode_batch": encode,
        "codec, decode_answer": lambda: len(
            lean.decode_answer(answer, frames, rfc3339(clock.wall()))
        ),
    }


def measure_guests(seconds: float) -> dict[str, float]:
    """Return microseconds per frame of dispatch and codec, by batch size."""
    sandbox = Sandbox(LIMITS, cache_dir())
    busy, quiet = make_guest(sandbox), make_guest(sandbox, {"plugin.py": QUIET})
    return {
        f"{name} x{size}": per_frame_us(work, seconds)
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
    ending.conclude(lambda: measure_all(arguments.seconds, arguments.runs))


def measure_all(seconds: float, runs: int) -> dict[str, object]:
    """Print the table; return the last line."""
    os.sched_setaffinity(0, {TESTED_CORE})
    measured: Measured = {}
    for _ in range(runs):
        run = on_guest_thread(lambda: measure_guests(seconds))
        for at_once in (1, 64):
            run[f"hop, {at_once} at once"] = uvloop.run(measure_hops(seconds, at_once))
        for name, value in run.items():
            measured.setdefault(name, []).append(value)
    rows = [[name, figures.spread(values, 2)] for name, values in measured.items()]
    print(figures.table(["part", "µs per frame, median (min-max)"], rows))
    medians = {name: round(figures.median(values), 2) for name, values in measured.items()}
    return {"us_per_frame": medians}


if __name__ == "__main__":
    main()
