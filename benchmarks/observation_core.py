"""Where the microseconds of an observed event go, without sockets: publish, frame, pull, resume.

    python benchmarks/observation_core.py [--seconds 0.5] [--runs 5] [--followers 500]

One core. `publish` folds a text delta of 200 characters into the view and appends it; `frame` makes
its envelope, cursor and MAC included, once for all; `pull` is one follower of many that takes it,
at the same place. `resume` opens a follower ten events back and hands it all it missed; `state` is
the snapshot of a place in the middle of a full ring, which is folded for it. Microseconds each.
"""

import argparse
import os
import time
from collections.abc import Callable

from harness import ending, figures
from harness.processes import TESTED_CORE

from yoi.core.observation import Feed, Follower, Framing, Stream, WorkerView
from yoi.limits import LIMITS
from yoi.protocol import events as ev
from yoi.protocol.cursors import CursorCodec, CursorKeys
from yoi.protocol.events import Event, UnknownEvent
from yoi.protocol.observation import Hop, Subject, SubjectKind

DELTA = ev.TextDelta(ev.TextData(text="x" * 200))
BEGIN = ev.LlmCallStart(ev.LlmCallData(llm_call=1))
ANSWER_PIECES = 400
MOST = LIMITS.follower_write_bytes

Observed = Event | UnknownEvent


class Scene:
    """A stream with a full ring, a feed, and followers at its head."""

    def __init__(self, followers: int) -> None:
        subject = Subject(SubjectKind.WORKER, "triage", "local")
        greeting = ev.Greeting(worker_name="triage", provider="p", model="m", tools=[])
        keys = CursorKeys(b"key1", {b"key1": b"k" * 32})
        codec = CursorCodec(keys, Hop.BACKEND, subject, "all")
        self.stream: Stream[Observed] = Stream(subject, WorkerView(greeting), b"e" * 8)
        self.feed: Feed[Observed] = Feed(
            self.stream,
            self.stream.subject,
            Hop.BACKEND,
            codec,
            Framing.WEBSOCKET,
            lambda event: event,
            ev.encode_event,
        )
        self._events = [(event, ev.encode_event(event)) for event in (BEGIN, DELTA)]
        self._published = 0
        for _ in range(2 * LIMITS.observed_ring_events):
            self.publish()
        self.followers = [Follower(self.feed, 0.0) for _ in range(followers)]
        for follower in self.followers:
            follower.open(None, 0.0)

    def publish(self) -> None:
        """Append the next piece of an answer that begins anew from time to time."""
        begins = self._published % ANSWER_PIECES == 0
        self._published += 1
        self.stream.publish(*self._events[0 if begins else 1])

    def pull(self) -> None:
        """Let every follower take what there is."""
        for follower in self.followers:
            follower.pull(1.0, MOST)

    def resume(self, cursor: str) -> None:
        """Open one follower at `cursor` and hand it everything since."""
        follower = Follower(self.feed, 0.0)
        follower.open(cursor, 0.0)
        while follower.behind:
            follower.pull(0.0, MOST)


def timed(seconds: float, before: Callable[[], object], work: Callable[[], object]) -> float:
    """Return the median microseconds of `work`, with `before` each time outside the clock."""
    times = []
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        before()
        began = time.perf_counter_ns()
        work()
        times.append(time.perf_counter_ns() - began)
    return figures.median(times) / 1000


def measure(seconds: float, followers: int) -> dict[str, float]:
    """Return microseconds by part."""
    scene = Scene(followers)
    feed, stream = scene.feed, scene.stream

    def nothing() -> None:
        pass

    def with_frame() -> None:
        scene.publish()
        feed.frame(stream.head)

    took = {
        "publish": timed(seconds, nothing, scene.publish),
        "frame": timed(seconds, scene.publish, lambda: feed.frame(stream.head)),
        f"pull, 1 of {followers}": timed(seconds, with_frame, scene.pull) / followers,
    }
    cursor = feed.cursor(stream.head - 10)
    took["resume"] = timed(seconds, nothing, lambda: scene.resume(cursor))
    middle = stream.head - LIMITS.observed_ring_events // 2
    took["state"] = timed(seconds, nothing, lambda: stream.snapshot_at(middle))
    return took


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="per figure and run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--followers", type=int, default=500)
    arguments = parser.parse_args()
    ending.conclude(lambda: measure_all(arguments))


def measure_all(arguments: argparse.Namespace) -> dict[str, object]:
    """Print the table; return the last line."""
    os.sched_setaffinity(0, {TESTED_CORE})
    measured: dict[str, list[float]] = {}
    for _ in range(arguments.runs):
        for name, value in measure(arguments.seconds, arguments.followers).items():
            measured.setdefault(name, []).append(value)
    rows = [[name, figures.spread(values, 2)] for name, values in measured.items()]
    print(figures.table(["part", "µs, median (min-max)"], rows))
    medians = {name: round(figures.median(values), 2) for name, values in measured.items()}
    return {"us": medians}


if __name__ == "__main__":
    main()
