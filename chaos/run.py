"""Histories under faults: python -m chaos.run [--histories 200] [--seed 1]

Prints each history with its seed; the last line is JSON. Exit status 1 when anything was found.
"""

import argparse
import asyncio
import concurrent.futures
import json
import logging
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chaos.checker import check
from chaos.history import History, Unsettled
from chaos.plan import Plan, make_plan
from chaos.transcript import Json
from chaos.world import World

_PER_WORLD = 20
"""Most histories of one set of processes and workspaces: each makes the next one's start longer."""
_KINDS = {"gap": "gaps", "duplicate": "duplicates", "reorder": "reorders", "diverged": "diverged"}
_COUNTED = (*_KINDS, "leak", "clients", "events", "aligned", "unwitnessed", "compared")


@dataclass(slots=True)
class Tally:
    """What all histories came to."""

    histories: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    resyncs: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    defects: list[str] = field(default_factory=list)
    bad: int = 0

    def add(self, plan: Plan, verdict: Json) -> None:
        """Count one history."""
        self.histories += 1
        for kind in _COUNTED:
            self.counts[kind] += verdict[kind]
        self.resyncs.update(verdict["resyncs"])
        self.said.update(verdict["said"])
        self.acts.update(act.what for act in plan.acts)
        self.bad += bool(verdict["findings"])

    def line(self, seconds: float) -> str:
        """Return the last line."""
        told = {name: self.counts[kind] for kind, name in _KINDS.items()}
        more = {
            "leaks": self.counts["leak"],
            "defects": len(self.defects),
            "clients": self.counts["clients"],
            "events": self.counts["events"],
            "aligned": self.counts["aligned"],
            "unwitnessed": self.counts["unwitnessed"],
            "compared": self.counts["compared"],
            "resumes": self.said["resumed"] + self.said["Resumed"],
            "resyncs": self.resyncs.total(),
            "seconds": round(seconds, 1),
        }
        return json.dumps({"histories": self.histories, **told, **more})


class Run:
    """`count` histories from `seed` on, in `lanes` worlds at a time."""

    def __init__(
        self, count: int, seed: int, lanes: int, minutes: float, kept: Path, *, keep: bool
    ) -> None:
        self.tally = Tally()
        self._until = time.monotonic() + minutes * 60
        self._lanes = lanes
        self._kept = kept
        self._keep = keep
        self._numbers = iter(range(1, count + 1))
        self._batch = min(_PER_WORLD, -(-count // lanes))
        self._seed = seed
        self._pool = concurrent.futures.ProcessPoolExecutor(
            max_workers=max(1, lanes), mp_context=multiprocessing.get_context("spawn")
        )

    async def go(self) -> None:
        """Run all of them."""
        try:
            async with asyncio.TaskGroup() as lanes:
                for _ in range(self._lanes):
                    lanes.create_task(self._lane())
        finally:
            self._pool.shutdown(cancel_futures=True)

    async def _lane(self) -> None:
        while not self._time_is_up() and (batch := list(self._next(self._batch))):
            with tempfile.TemporaryDirectory(prefix="yoi-chaos-") as scratch:
                await self._world(Path(scratch), batch)

    def _next(self, most: int) -> Iterator[int]:
        for _, number in zip(range(most), self._numbers, strict=False):
            yield number

    def _time_is_up(self) -> bool:
        return time.monotonic() > self._until

    async def _world(self, scratch: Path, batch: list[int]) -> None:
        world = World(scratch / "world")
        try:
            async with world.running():
                for number in batch:
                    if not self._time_is_up():
                        await self._history(world, number, scratch / f"history-{number}")
        except Exception:
            shutil.copytree(world.logs, self._kept / "logs-broken", dirs_exist_ok=True)
            raise
        for line in world.defects():
            self.tally.defects.append(line)
            print(f"  {line}", flush=True)
        if world.defects():
            shutil.copytree(world.logs, self._kept / f"logs-{batch[0]}", dirs_exist_ok=True)

    async def _history(self, world: World, number: int, folder: Path) -> None:
        plan = make_plan(self._seed + number - 1, number)
        began = time.monotonic()
        unsettled = ""
        try:
            await History(world, plan, folder).run()
        except Unsettled as exc:
            unsettled = str(exc)
        if (folder / "final.json").exists():
            loop = asyncio.get_running_loop()
            verdict = await loop.run_in_executor(self._pool, _checked, folder)
        else:
            verdict = _never_ended(unsettled)
        seconds = time.monotonic() - began
        self.tally.add(plan, verdict)
        print(_in_words(number, plan, verdict, seconds), flush=True)
        if verdict["findings"] or self._keep:
            kept = self._kept / f"seed-{plan.seed}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(folder, kept)
            shutil.copytree(world.logs, kept / "logs")
        for finding in verdict["findings"]:
            print(f"  {finding['kind']}  {finding['where']}  {finding['words']}", flush=True)
        shutil.rmtree(folder)


def _checked(folder: Path) -> Json:
    return check(folder).to_json()


def _never_ended(why: str) -> Json:
    finding = {"kind": "diverged", "where": "history", "words": why}
    return {
        **dict.fromkeys(_COUNTED, 0),
        "diverged": 1,
        "resyncs": {},
        "said": {},
        "findings": [finding],
    }


def _in_words(number: int, plan: Plan, verdict: Json, seconds: float) -> str:
    acts = Counter(act.what for act in plan.acts)
    told = ", ".join(f"{what} {count}" for what, count in sorted(acts.items()))
    resyncs = ", ".join(
        f"{code.partition('.')[2]} {count}" for code, count in sorted(verdict["resyncs"].items())
    )
    judged = "ok" if not verdict["findings"] else "BAD"
    return (
        f"history {number} seed {plan.seed}: {judged}, {seconds:.1f} s, "
        f"{verdict['events']} events; {told}; resyncs: {resyncs or 'none'}"
    )


def main() -> int:
    """Run the histories that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    environment = os.environ.get("CHAOS_HISTORIES")
    parser.add_argument("--histories", type=int, default=int(environment or 200))
    parser.add_argument("--seed", type=int, default=None, help="of the first history")
    parser.add_argument("--lanes", type=int, default=4, help="worlds at a time")
    parser.add_argument("--minutes", type=float, default=25.0, help="begin nothing after that")
    parser.add_argument("--kept", type=Path, default=Path(__file__).parent / "kept")
    parser.add_argument("--keep", action="store_true", help="keep what went well, too")
    asked = parser.parse_args()
    seed = random.randrange(10**6) if asked.seed is None else asked.seed
    print(f"{asked.histories} histories, seeds {seed} to {seed + asked.histories - 1}", flush=True)
    # A machine's first run builds the Python runner, which no history should wait for.
    subprocess.run(
        [sys.executable, "-m", "yoi.cli", "doctor"], stdout=subprocess.DEVNULL, check=False
    )
    run = Run(asked.histories, seed, asked.lanes, asked.minutes, asked.kept, keep=asked.keep)
    began = time.monotonic()
    # An order to a process that was killed a moment ago is no news.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with tempfile.TemporaryDirectory(prefix="yoi-chaos-") as state:
        # What is decided for these workspaces goes with them.
        os.environ["YOI_STATE_HOME"] = state
        try:
            asyncio.run(run.go())
        except KeyboardInterrupt:
            print("stopped")
    tally = run.tally
    print(f"faults: {dict(sorted(tally.acts.items()))}")
    print(f"resyncs: {dict(sorted(tally.resyncs.items()))}")
    print(f"said: {dict(sorted(tally.said.items()))}")
    if tally.histories < asked.histories:
        print(
            f"time is up: {tally.histories} of {asked.histories} histories in {asked.minutes:g} min"
        )
    if tally.bad:
        print(f"what went wrong is in {asked.kept}; look with: python -m chaos.checker FOLDER")
    print(tally.line(time.monotonic() - began))
    return int(bool(tally.bad or tally.defects or tally.histories < asked.histories))


if __name__ == "__main__":
    sys.exit(main())
