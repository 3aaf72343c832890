"""What a commit costs in each journal: commits a second, of one log and of 64 at once.

    python benchmarks/cluster.py [--seconds 3]

Records of 300 bytes, one a commit, each after the one before: memory, SQLite (as it survives the
death of the process, and a power cut), and JetStream with one server and with three on this
machine. The servers are real ones (nats-server), their processor time is not counted.
"""

import argparse
import asyncio
import contextlib
import itertools
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import ending

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.journal.nats import cluster, running, settings_of

from yoi.journal.jetstream import JetStreamJournal
from yoi.journal.log import Append, Journal, LogBounds
from yoi.journal.memory import MemoryJournal
from yoi.journal.sqlite import SqliteJournal, Survives

RECORD = b"x" * 300
WIDE = LogBounds(records=1 << 30, size_bytes=1 << 40)
LOGS = (1, 64)
_names = itertools.count()


async def _write(journal: Journal, log: str, until: float) -> int:
    count = 0
    while time.monotonic() < until:
        await journal.commit([Append(log, count, [RECORD], WIDE)])
        count += 1
    return count


async def _rate(journal: Journal, logs: int, seconds: float) -> float:
    until = time.monotonic() + seconds
    names = [f"log-{next(_names)}" for _ in range(logs)]
    begun = time.monotonic()
    counts = await asyncio.gather(*(_write(journal, name, until) for name in names))
    return sum(counts) / (time.monotonic() - begun)


@contextlib.asynccontextmanager
async def _memory(folder: Path) -> AsyncIterator[Journal]:
    yield MemoryJournal()


def _sqlite(survives: Survives) -> Callable[[Path], Any]:
    @contextlib.asynccontextmanager
    async def opened(folder: Path) -> AsyncIterator[Journal]:
        journal = await SqliteJournal.open(folder / "journal.db", survives)
        yield journal
        await journal.close()

    return opened


def _jetstream(servers: int) -> Callable[[Path], Any]:
    @contextlib.asynccontextmanager
    async def opened(folder: Path) -> AsyncIterator[Journal]:
        with contextlib.ExitStack() as stack:
            if servers == 1:
                found = [stack.enter_context(running(folder))]
            else:
                found = stack.enter_context(cluster(folder, servers))
            settings = replace(settings_of(*found), replicas=servers, size_bytes=1 << 32)
            journal = await JetStreamJournal.open(settings)
            yield journal
            await journal.close()

    return opened


ENGINES = {
    "memory": _memory,
    "sqlite": _sqlite(Survives.PROCESS_CRASH),
    "sqlite_power": _sqlite(Survives.POWER_LOSS),
    "jetstream": _jetstream(1),
    "jetstream_3": _jetstream(3),
}


async def _measured(name: str, seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        async with ENGINES[name](Path(folder)) as journal:
            return {
                f"{name}_{logs}_per_s": round(await _rate(journal, logs, seconds)) for logs in LOGS
            }


def conclusion(seconds: float) -> dict[str, Any]:
    """Print the table; return the last line."""
    summary: dict[str, Any] = {}
    errors: dict[str, str] = {}
    print(f"{'commits a second':<16}{'1 log':>10}{'64 logs':>10}")
    for name in ENGINES:
        try:
            found = asyncio.run(_measured(name, seconds))
        except Exception as exc:
            errors[name] = f"{type(exc).__name__}: {exc}"
            continue
        summary |= found
        one, many = (found[f"{name}_{logs}_per_s"] for logs in LOGS)
        print(f"{name:<16}{one:>10.0f}{many:>10.0f}")
    if "jetstream_64_per_s" in summary and "sqlite_64_per_s" in summary:
        summary["ratio"] = round(summary["jetstream_64_per_s"] / summary["sqlite_64_per_s"], 2)
    return summary | {"errors": errors} | ({"error": str(errors)} if len(errors) > 1 else {})


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    ending.conclude(lambda: conclusion(arguments.seconds))


if __name__ == "__main__":
    main()
