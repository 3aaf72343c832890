"""Machines that share a deployment, the servers between them, gateways, and what goes wrong.

Each machine is `yoi serve`, or `yoi runtime` where there are backends, in a folder of its own,
started again whenever it ends. It reaches each NATS server and all gateways through proxies of its
own, so that it alone can be cut off, and backends reach it through another one. Nothing here
believes a machine: who sent a message is asked of the system (whose socket it is), what was stored
is read from the servers.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from takeovers.checker import Stream, judge
from takeovers.deciding import Decided, decide
from takeovers.faults import ENDS, HANDS_OVER, TAKES_AWAY, Breaking, Fault
from takeovers.gateways import Gateway, SignInGateway
from takeovers.machine import Machine
from takeovers.network import Forward, Proxy, Sources, free_port
from takeovers.servers import Servers
from takeovers.watching import Watcher, Watching
from yoi.secrets.deployment import DeploymentKey
from yoi.tasks import ended

NAME = "run"
_A_SECOND = 90
"""Frames that all gateways say together."""
_RATES = (1.0, 1.1, 0.9)
"""How fast the clocks of machines run, where they are wrong."""
_START_S = 180.0
_PATIENCE_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much there is of each."""

    lease_ms: int
    machines: int
    lanes: int
    workers: int
    nodes: int
    backends: int
    slow_disks: bool
    wrong_clocks: bool


class Stuck(Exception):
    """Something does not go on for longer than it may take."""


class World:
    """A deployment in the new folder `folder`."""

    def __init__(self, folder: Path, rng: random.Random, size: Size, binary: Path) -> None:
        self._folder, self._rng, self._size = folder, rng, size
        watched = size.backends > 0
        self._watching = _watching(folder, size) if watched else None
        self._key_file = folder / "deployment.key" if watched else None
        key = None if self._key_file is None else DeploymentKey.create(self._key_file)
        self._servers = Servers(folder, size.nodes, binary, NAME, key)
        options = {Fault.SLOW_DISK: size.slow_disks, Fault.CLOCK_JUMP: size.wrong_clocks}
        self._breaking = Breaking(
            rng,
            size.lease_ms / 1000,
            self._servers,
            self._watching,
            [fault for fault, wanted in options.items() if not wanted],
        )
        self.machines = [
            Machine(folder, f"m{number}", watched=watched) for number in range(size.machines)
        ]
        sources: Sources = {}
        # Every third is one where a service signs in.
        kinds = (Gateway, SignInGateway, Gateway)
        self.gateways: dict[str, Gateway] = {
            f"lane-{number}": kinds[number % 3](sources, size.lanes / _A_SECOND)
            for number in range(size.lanes)
        }
        for name in list(self.gateways)[::3]:
            self.gateways[name].tells = True
        for machine in self.machines:
            machine.proxy = Proxy(self._pids, sources)
        self.faults: Counter[str] = Counter()
        self.takeovers: list[float] = []
        self.handovers: list[float] = []
        self.in_pairs: list[float] = []
        """Takeovers and handovers while a server had a fault, too."""
        self._pairs = self._stuck = 0

    async def run(self, faults: int, until: float) -> dict[str, Any]:
        """Let `faults` happen, or as many as there is time for; return the account."""
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._servers.running())
            for gateway in self.gateways.values():
                await stack.enter_async_context(gateway)
            for machine in self.machines:
                await self._lead_to(machine, stack)
            stream = Stream(self._servers.settings)
            if self._watching is not None:
                await stack.enter_async_context(await self._watched(self._watching, stack))
            async with self._going(), _followed(stream):
                try:
                    await self._break_things(faults, until)
                except Stuck as exc:
                    self._stuck = 1
                    print(exc, flush=True)
        return self._account(judge(stream, self.gateways))

    async def _break_things(self, faults: int, until: float) -> None:
        """Wait for all to go, let `faults` happen, and let all be handled. Raises Stuck."""
        await self._all_answer(_START_S)
        # The others have started meanwhile, or stand by.
        await self._until(lambda: all(one.is_up() for one in self.machines), "the start")
        while self.faults.total() < faults and time.monotonic() < until:
            await self._suffer()
        await self._rest()

    async def _lead_to(self, machine: Machine, stack: contextlib.AsyncExitStack) -> None:
        """Make the machine, and its ways to the servers and the gateways."""
        for one in self._servers.all:
            cut = await stack.enter_async_context(Forward(int(one.url.rpartition(":")[2])))
            machine.cuts.append(cut)
        await stack.enter_async_context(machine.proxy)
        if self._watching is not None:
            machine.listener = await stack.enter_async_context(Forward(free_port()))
        await asyncio.to_thread(decide, machine, self.gateways, self._decided)
        if self._size.wrong_clocks:
            machine.go_wrong(_RATES[self.machines.index(machine) % len(_RATES)])

    async def _watched(
        self, watching: Watching, stack: contextlib.AsyncExitStack
    ) -> contextlib.AbstractAsyncContextManager[None]:
        """Make the backends and their clients; return what keeps them running."""
        assert self._key_file is not None, "machines that are watched share a key"
        await stack.enter_async_context(watching.shared)
        cluster = self._decided.cluster(
            int(one.url.rpartition(":")[2]) for one in self._servers.all
        )
        token = await asyncio.to_thread(watching.decide, cluster, self._key_file)
        return watching.going(token)

    @property
    def _decided(self) -> Decided:
        size = self._size
        return Decided(NAME, size.lease_ms, size.nodes, size.workers, self._key_file)

    @contextlib.asynccontextmanager
    async def _going(self) -> AsyncIterator[None]:
        """Keep all machines running for as long as the block lasts."""
        running = [asyncio.create_task(one.run()) for one in self.machines]
        try:
            yield
        finally:
            for machine in self.machines:
                machine.stop()
            await asyncio.gather(*running)

    def _account(self, found: dict[str, float]) -> dict[str, Any]:
        ends = sum((one.ends for one in self.machines), Counter[int]())
        return {
            "faults": self.faults.total(),
            **{key: int(value) for key, value in found.items() if key != "double_owner_ms_max"},
            "double_owner_ms_max": found.get("double_owner_ms_max", 0.0),
            "answers": sum(len(one.answers) for one in self.gateways.values()),
            **({} if self._watching is None else self._watching.account()),
            "takeover_p50_s": _middle(self.takeovers),
            "takeover_max_s": max(self.takeovers, default=None),
            "handover_p50_s": _middle(self.handovers),
            "handover_max_s": max(self.handovers, default=None),
            "stuck": self._stuck,
            "pairs": self._pairs,
            "in_pairs_max_s": max(self.in_pairs, default=None),
            "left_out": dict(self._breaking.left_out),
            "by_fault": dict(sorted(self.faults.items())),
            "ends": {str(key): value for key, value in ends.items()},
        }

    # -- what goes wrong --------------------------------------------------------------------------

    async def _suffer(self) -> None:
        faults = self._breaking.draw()
        machine = self._victim()
        victim = machine.pids[-1]
        owned = self._owned()[victim]
        self.faults.update(faults)
        self._pairs += len(faults) > 1
        begun, was_up = time.time(), machine.is_up()
        await asyncio.gather(*(self._breaking.carry_out(one, machine) for one in faults))
        words = " and ".join(faults)
        if faults[0] in ENDS and was_up:
            # A process that stood still ends as soon as it goes on; one that starts has no lease.
            await self._until(lambda: machine.pids[-1] != victim, words)
        await self._all_answer(_PATIENCE_S, words)
        times = self._moved(owned, victim, begun) if faults[0] in TAKES_AWAY | HANDS_OVER else []
        if len(faults) > 1:
            self.in_pairs += times
        elif faults[0] in TAKES_AWAY:
            self.takeovers += times
        else:
            self.handovers += times
        told = f": {len(times)} services after {min(times)} to {max(times)} s" if times else ""
        print(f"{words}, {machine.name}, {time.time() - begun:.1f} s{told}", flush=True)

    def _moved(self, owned: set[str], victim: int, begun: float) -> list[float]:
        """Return after how many seconds each of `owned` answered from another process."""
        times = []
        for name in owned:
            answers = self.gateways[name].answers
            after = next((a.at for a in answers if a.at > begun and a.pid != victim), None)
            if after is not None:
                times.append(round(after - begun, 2))
        return times

    def _victim(self) -> Machine:
        """Return a machine, mostly one that runs something."""
        owned = self._owned()
        busy = [one for one in self.machines if owned[one.pids[-1]]]
        return self._rng.choice(busy if busy and self._rng.random() < 0.8 else self.machines)

    # -- what is seen -----------------------------------------------------------------------------

    def _pids(self) -> list[int]:
        return [machine.pids[-1] for machine in self.machines if machine.pids]

    def _owned(self) -> dict[int, set[str]]:
        """Return the lanes that each process answered last."""
        found: dict[int, set[str]] = defaultdict(set)
        for name, gateway in self.gateways.items():
            if gateway.answers:
                found[gateway.answers[-1].pid].add(name)
        return found

    async def _all_answer(self, seconds: float, after: str = "the start") -> None:
        """Wait until each lane has answered something new, from a process that is there."""
        begun = time.time()

        def answered(gateway: Gateway) -> bool:
            last = gateway.answers[-1:]
            return bool(last) and last[0].at > begun and last[0].pid in self._pids()

        await self._until(lambda: all(map(answered, self.gateways.values())), after, seconds)
        await self._until(lambda: all(one.attached for one in self._watchers), after, seconds)

    @property
    def _watchers(self) -> list[Watcher]:
        return [] if self._watching is None else self._watching.watchers

    async def _rest(self) -> None:
        """Let all be handled that was said."""
        begun = time.time()
        await self._all_answer(_PATIENCE_S, "the last fault")
        await self._until(lambda: all(one.heard_at > begun for one in self._watchers), "the end")
        for gateway in self.gateways.values():
            gateway.speaking = False
        end = time.monotonic() + _PATIENCE_S
        count = -1
        while count != (now := sum(len(one.answers) for one in self.gateways.values())) or (
            time.monotonic() < end and not all(one.settled for one in self.gateways.values())
        ):
            count = now
            await asyncio.sleep(2)

    async def _until(
        self, true: Callable[[], bool], after: str, seconds: float = _PATIENCE_S
    ) -> None:
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                last = {name: one.answers[-1:] for name, one in self.gateways.items()}
                silent = [one.path for one in self._watchers if not one.attached]
                raise Stuck(f"after {after} not all go on: {last}, {silent}")
            await asyncio.sleep(0.05)


def _watching(folder: Path, size: Size) -> Watching:
    """Return backends and clients: one for each worker, and for some of the services."""
    told = min(size.workers, -(-size.lanes // 3))  # a third of the services has one
    workers = [f"workers/ops-{number}" for number in range(told)]
    services = [f"services/lane-{number}" for number in range(0, size.lanes, 3)]
    paths = [f"/api/runtimes/{NAME}/{one}" for one in workers + services]
    return Watching(folder, size.backends, paths)


@contextlib.asynccontextmanager
async def _followed(stream: Stream) -> AsyncIterator[None]:
    """Read the stream for as long as the block lasts, and to its end.

    Machines that stop afterwards trim what they have handled.
    """
    reading = asyncio.create_task(stream.follow())
    try:
        yield
        await asyncio.sleep(1)
    finally:
        await ended(reading)
    await stream.look()
    await stream.close()


def _middle(times: list[float]) -> float | None:
    return sorted(times)[len(times) // 2] if times else None
