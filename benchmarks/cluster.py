"""What a commit costs in each journal: commits a second, of one log and of 64 at once.

    python benchmarks/cluster.py [--seconds 3] [--services 300]

Records of 300 bytes, one a commit, each after the one before: memory, SQLite (as it survives the
death of the process, and a power cut), and JetStream with one server and with three on this
machine. The servers are real ones (nats-server), their processor time is not counted.

Then what units cost: how fast a machine claims 300 of them and takes them from one that died, and
what it spends on keeping them, in requests and in processor time a second; and how many leases of
machines one core could renew.

Last, with real hosts, real guests and a real server: how long a new machine takes from its start
until all of 300 durable services are connected to a gateway, and the machine that takes them over
when it is killed, the time of the lease included. The compiled runner is in the cache.
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

from harness import ending, new_runtime

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.journal.nats import cluster, running, settings_of

from yoi.cluster.settings import ClusterSettings
from yoi.cluster.tenure import Tenure, kept
from yoi.cluster.units import Units, buckets_of
from yoi.core.lease import LeaseTimes
from yoi.core.placement import Member, units_of
from yoi.errors import YoiError
from yoi.journal.jetstream import JetStreamJournal
from yoi.journal.jetstream_server import NatsSettings, connected
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


UNITS = units_of(Member(f"service:s{number}") for number in range(300))
TIMES = LeaseTimes(15.0)


class _Machine:
    """A machine that runs nothing; `Units` does all that it does in a host."""

    def __init__(self) -> None:
        self.requests = 0
        self._running: frozenset[str] = frozenset()

    async def join(self, settings: NatsSettings, name: str) -> "_Machine":
        self.client = await connected(settings)
        request = self.client.request

        async def counted(*about: Any, **more: Any) -> Any:
            self.requests += 1
            return await request(*about, **more)

        self.client.request = counted  # type: ignore[method-assign]
        self.leases, units = await buckets_of(
            self.client, ClusterSettings(settings.servers, settings.prefix)
        )
        clock = time.monotonic
        self.tenure = Tenure(self.leases, name, TIMES, clock, self)
        await self.tenure.claim()
        self.units = Units(
            self.leases, units, self.tenure, self, lambda: 1, clock, self.place, rng=lambda: 0
        )
        self.units.wanted(UNITS)
        return self

    async def claimed(self) -> float:
        """Return after how many seconds all units are held."""
        begun = time.monotonic()
        while len(self.units.held) < len(UNITS):
            await self.units.settle(self)
        return time.monotonic() - begun

    async def dies(self) -> None:
        """Be as a process that was killed, after its lease has lapsed."""
        await self.leases.drop(f"host.{self.tenure.session}", self.tenure._revision)

    def arm(self, seconds: float) -> None: ...
    def disarm(self) -> None: ...
    def notice(self, code: str, message: str) -> None: ...
    def cut(self, member: str) -> None: ...
    def error(self, error: YoiError) -> None:
        raise error

    async def place(self) -> None:
        self._running = frozenset(self.units.held) if hasattr(self, "units") else frozenset()

    def running(self) -> frozenset[str]:
        return self._running

    def progressed(self, member: str) -> bool:
        return True


async def _units(seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        settings = settings_of(server)
        one = await _Machine().join(settings, "one")
        found = {"claim_300_s": await one.claimed()}
        async with kept(one.tenure):
            following = asyncio.create_task(one.units.follow(one))
            before, busy = one.requests, time.process_time()
            await asyncio.sleep(max(seconds, 2 * TIMES.renew))
            spent = time.process_time() - busy
            length = max(seconds, 2 * TIMES.renew)
            found["keep_300_requests_per_s"] = (one.requests - before) / length
            found["keep_300_cpu_percent"] = 100 * spent / length
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            found["leases_per_core"] = await _leases(one, seconds)
            other = await _Machine().join(settings, "other")
            await one.dies()
            found["take_300_s"] = await other.claimed()
        for machine in (one, other):
            await machine.client.close()
        return {name: round(value, 3) for name, value in found.items()}


async def _leases(machine: _Machine, seconds: float) -> float:
    """Return how many machines' leases one core could renew in time."""
    until, count, busy = time.monotonic() + seconds, 0, time.process_time()
    while time.monotonic() < until:
        await machine.tenure._renew()
        count += 1
    return round(TIMES.renew * count / (time.process_time() - busy))


async def _services(services: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        return await new_runtime.measured(services, server.url)


async def _measured(name: str, seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        async with ENGINES[name](Path(folder)) as journal:
            return {
                f"{name}_{logs}_per_s": round(await _rate(journal, logs, seconds)) for logs in LOGS
            }


def conclusion(seconds: float, services: int) -> dict[str, Any]:
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
    try:
        summary |= asyncio.run(_units(seconds))
    except Exception as exc:
        errors["units"] = f"{type(exc).__name__}: {exc}"
    try:
        if services:
            summary |= {"services": services} | asyncio.run(_services(services))
    except Exception as exc:
        errors["services"] = f"{type(exc).__name__}: {exc}"
    return summary | {"errors": errors} | ({"error": str(errors)} if len(errors) > 1 else {})


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--services", type=int, default=300, help="0: leave that part out")
    arguments = parser.parse_args()
    ending.conclude(lambda: conclusion(arguments.seconds, arguments.services))


if __name__ == "__main__":
    main()
