"""A worker with a long history that is summed up: what still costs time, and with what it grows.

    python benchmarks/worker_history.py [--items 20000] [--runs 5]

The same last summary and the same newest messages stand at the end of two histories, one a tenth
as long as the other. `start_ratio`, `snapshot_ratio` and `call_ratio` are the long one's times over
the short one's: to start the worker, to give a watcher its snapshot, and for one message answered
by a model that says a word at once. Near 1: nothing grows with what is summed up already.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from harness import ending, figures

from yoi.journal.sqlite import SqliteJournal
from yoi.protocol import events as ev
from yoi.types import SystemClock
from yoi.workers import items as it
from yoi.workers.context import ModelInput
from yoi.workers.engine import Answer, Said, TokenUsage
from yoi.workers.history import History
from yoi.workers.setup import WorkerSetup
from yoi.workers.tools import ToolRegistry
from yoi.workers.worker import Worker

CALLS = 20
NEWEST = 40
WORDS = "what was said in one of many messages, long enough to be like those of people. " * 3


class Quick:
    """A model that answers one word."""

    name = "quick"

    async def ask(self, request: ModelInput) -> AsyncIterator[Said | Answer]:
        """Answer at once."""
        yield Answer([it.Text("yes")], TokenUsage(100, 1))

    async def close(self) -> None:
        """Nothing is held."""


def made(journal: SqliteJournal) -> Worker:
    """Return a worker on `journal`."""
    return Worker(
        WorkerSetup(
            name="bench",
            instructions="",
            max_turns=10,
            engine=Quick(),
            tools=lambda: ToolRegistry([]),
            journal=journal,
            clock=SystemClock(),
        )
    )


async def write(journal: SqliteJournal, items: int) -> None:
    """Write a history of `items` items: all but the newest are summed up, twice."""
    history = History(journal, "bench", lambda stored: None)
    await history.load()
    number = 0

    async def commit(*some: it.AnyItem) -> None:
        async with history.changing:
            await history.commit(some)

    await commit(it.Configured(at_ms=1, engine="quick", instructions="", tools=[], max_turns=10))

    async def turns(until: int) -> None:
        nonlocal number
        while history.transcript.head < until:
            number += 1
            await commit(it.UserInput(at_ms=1, text=f"{number} {WORDS}"))
            place = history.transcript.head
            await commit(
                it.RunStart(at_ms=1, kind="user_send", takes=[place]),
                it.Assistant(
                    at_ms=1,
                    llm_call=number,
                    model="quick",
                    parts=[it.Text(WORDS)],
                    finish="complete",
                ),
                it.Usage(at_ms=1, llm_call=number, input_tokens=10, output_tokens=5),
                it.RunEnd(at_ms=1, result="finished"),
            )

    async def sum_up() -> None:
        await commit(it.CompactionAsked(at_ms=1, instruction="sum up"))
        await commit(it.Compaction(at_ms=1, summary=WORDS, sources=[]))

    for until in range(1000, items - NEWEST, 1000):
        await turns(until)
        await sum_up()
    await turns(items - NEWEST)
    await sum_up()
    await turns(items)


async def timed(folder: Path, name: str) -> dict[str, float]:
    """Return milliseconds to start, for a snapshot, and per answered message."""
    journal = await SqliteJournal.open(folder / name)
    worker = made(journal)
    begun = time.perf_counter()
    await worker.start()
    start = time.perf_counter() - begun
    begun = time.perf_counter()
    for _ in range(CALLS):
        worker.snapshot()
    snapshot = (time.perf_counter() - begun) / CALLS
    ended = asyncio.Event()
    worker.bus.listen(lambda event: ended.set() if type(event) is ev.RunEnd else None)
    begun = time.perf_counter()
    for _ in range(CALLS):
        ended.clear()
        await worker.send("go")
        await ended.wait()
    call = (time.perf_counter() - begun) / CALLS
    await worker.stop()
    await journal.close()
    return {"start": start * 1000, "snapshot": snapshot * 1000, "call": call * 1000}


async def measure(items: int, runs: int) -> dict[str, dict[str, list[float]]]:
    """Return each figure's runs, short and long interleaved."""
    found: dict[str, dict[str, list[float]]] = {
        size: {"start": [], "snapshot": [], "call": []} for size in ("short", "long")
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size, count in (("short", items // 10), ("long", items)):
            journal = await SqliteJournal.open(folder / size)
            await write(journal, count)
            await journal.close()
        for _ in range(runs + 1):
            for size, figure in found.items():
                for key, value in (await timed(folder, size)).items():
                    figure[key].append(value)
    return {size: {key: v[1:] for key, v in each.items()} for size, each in found.items()}


def conclusion(items: int, runs: int) -> dict[str, object]:
    """Print the table; return the last line."""
    found = asyncio.run(measure(items, runs))
    keys = ("start", "snapshot", "call")
    middle = {
        size: {key: figures.median(each[key]) for key in keys} for size, each in found.items()
    }
    print(
        figures.table(
            ["ms, median (min-max)", f"{items // 10} items", f"{items} items"],
            [[key, *(figures.spread(found[size][key], 2) for size in found)] for key in keys],
        )
    )
    return {
        "bench": "worker_history",
        "items": items,
        **{f"{key}_ms": round(middle["long"][key], 2) for key in keys},
        **{f"{key}_ratio": round(middle["long"][key] / middle["short"][key], 2) for key in keys},
    }


def main() -> None:
    """Run and print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    ending.conclude(lambda: conclusion(arguments.items, arguments.runs))


if __name__ == "__main__":
    main()
