"""What goes wrong: with a machine, with its ways to others, or with the servers."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum

from takeovers.machine import Machine
from takeovers.network import Cut
from takeovers.process import YoiProcess
from takeovers.servers import Servers
from takeovers.watching import Watching


class Fault(StrEnum):
    """What happens to a machine, or to the servers."""

    KILL = "kill"
    STOP = "stop"
    """It stands still for longer than its lease, and goes on."""
    PAUSE = "pause"
    """It stands still for less than its lease."""
    TERM = "term"
    CUT = "cut"
    """It reaches no server for longer than its lease."""
    BLIP = "blip"
    """It reaches no server for a moment."""
    GATEWAY_CUT = "gateway_cut"
    """It reaches no gateway until its plugins' connections have been given up."""
    GATEWAY_BLIP = "gateway_blip"
    """It reaches no gateway for a moment, and its connections live on."""
    DRAIN = "drain"
    SERVER_KILL = "server_kill"
    SERVER_STOP = "server_stop"
    SERVER_PAUSE = "server_pause"
    LEADER_KILL = "leader_kill"
    """The server that leads the logs, the leases or the owners."""
    LEADER_PAUSE = "leader_pause"
    RUNTIME_CUT = "runtime_cut"
    """No backend reaches what it runs, for long or for a moment."""
    BACKEND_KILL = "backend_kill"
    BACKEND_PAUSE = "backend_pause"
    CLIENTS_MOVE = "clients_move"
    """Every client loses its connection, and is led to another backend."""

    SLOW_DISK = "slow_disk"
    """Each write of the server that leads the logs takes long."""
    CLOCK_JUMP = "clock_jump"
    """Its wall clock is off, by seconds or by an hour, and then right again."""


TAKES_AWAY = frozenset({Fault.KILL, Fault.STOP, Fault.CUT})
HANDS_OVER = frozenset({Fault.TERM, Fault.DRAIN})
ENDS = TAKES_AWAY | {Fault.TERM}
_OF_THREE = frozenset({Fault.LEADER_KILL, Fault.LEADER_PAUSE})
OF_SERVERS = frozenset(
    {
        Fault.SERVER_KILL,
        Fault.SERVER_STOP,
        Fault.SERVER_PAUSE,
        Fault.LEADER_KILL,
        Fault.LEADER_PAUSE,
        Fault.SLOW_DISK,
    }
)
_OF_WATCHING = frozenset(
    {Fault.RUNTIME_CUT, Fault.BACKEND_KILL, Fault.BACKEND_PAUSE, Fault.CLIENTS_MOVE}
)
_PAIRED = 0.25
_JUMPS_S = (-3600, -20, -5, 5, 20, 3600)
_NOTICED_S = 0.5
PING_S = 2.0
"""The keepalive of the plugins' connections: a pong is waited for as long again."""


class Breaking:
    """Carries out faults, drawn from a seed."""

    def __init__(
        self,
        rng: random.Random,
        lease_s: float,
        servers: Servers,
        watching: Watching | None,
        without: Iterable[Fault],
    ) -> None:
        self.left_out: Counter[str] = Counter()
        """What could not be carried out here."""
        self._rng, self._lease_s, self._servers = rng, lease_s, servers
        self._watching = watching
        without = set(without)
        if len(servers.all) == 1:
            without |= _OF_THREE
        if watching is None:
            without |= _OF_WATCHING
        self._faults = [one for one in Fault if one not in without]

    def draw(self) -> list[Fault]:
        """Return what happens next: one fault, or another one of the servers at the same time."""
        first = self._rng.choice(self._faults)
        if first in OF_SERVERS or self._rng.random() > _PAIRED:
            return [first]
        return [first, self._rng.choice([one for one in self._faults if one in OF_SERVERS])]

    async def carry_out(self, fault: Fault, machine: Machine) -> None:
        """Do it, until it is over."""
        rng = self._rng
        match fault:
            case Fault.KILL:
                machine.send(signal.SIGKILL)
            case Fault.TERM:
                machine.send(signal.SIGTERM)
            case Fault.STOP:
                await self._stand_still(machine, 1.2, 2.0)
            case Fault.PAUSE:
                await self._stand_still(machine, 0.05, 0.5)
            case Fault.CUT:
                await _cut(machine.cuts, self._lease_s * rng.uniform(1.2, 2.0))
            case Fault.BLIP:
                await _cut(machine.cuts, self._lease_s * rng.uniform(0.05, 0.3))
            case Fault.GATEWAY_CUT:
                await _cut([machine.proxy], PING_S * rng.uniform(2.5, 5.0))
            case Fault.GATEWAY_BLIP:
                await _cut([machine.proxy], PING_S * rng.uniform(0.1, 0.5))
            case Fault.DRAIN:
                await machine.command("runtime", "drain")
                await asyncio.sleep(rng.uniform(0, 1))
                await machine.command("runtime", "drain", "--undo")
            case Fault.RUNTIME_CUT:
                if machine.listener is not None:
                    await _cut([machine.listener], self._lease_s * rng.uniform(0.05, 1.5))
            case Fault.BACKEND_KILL | Fault.BACKEND_PAUSE | Fault.CLIENTS_MOVE:
                if self._watching is not None:
                    await self._break_watching(fault, self._watching)
            case Fault.CLOCK_JUMP:
                machine.set_clock(rng.choice(_JUMPS_S))
                await asyncio.sleep(self._lease_s * rng.uniform(0.3, 1.5))
                machine.set_clock(0)
            case Fault.SLOW_DISK:
                await self._slow_down(fault)
            case _:
                await self._break_a_server(fault)

    async def _stand_still(self, machine: YoiProcess, least: float, most: float) -> None:
        machine.send(signal.SIGSTOP)
        await asyncio.sleep(self._lease_s * self._rng.uniform(least, most))
        machine.send(signal.SIGCONT)

    async def _slow_down(self, fault: Fault) -> None:
        leads = self._servers.all[0]
        if len(self._servers.all) > 1:
            leads = await self._servers.leader_of(self._servers.streams[0])
        seconds = self._lease_s * self._rng.uniform(0.3, 1.5)
        if not await self._servers.slow_disk(leads, seconds, self._rng.randrange(20, 400)):
            self.left_out[fault] += 1
            print(f"LEFT OUT: {fault}: strace is not here, or is not let", flush=True)

    async def _break_watching(self, fault: Fault, watching: Watching) -> None:
        if fault is Fault.CLIENTS_MOVE:
            watching.shared.move()
            await asyncio.sleep(_NOTICED_S)
            return
        backend = self._rng.choice(watching.backends)
        if fault is Fault.BACKEND_KILL:
            backend.send(signal.SIGKILL)
        else:
            await self._stand_still(backend, 0.2, 1.5)

    async def _break_a_server(self, fault: Fault) -> None:
        rng = self._rng
        if fault in _OF_THREE:
            one = await self._servers.leader_of(rng.choice(self._servers.streams))
        else:
            one = rng.choice(self._servers.all)
        if fault in (Fault.SERVER_PAUSE, Fault.LEADER_PAUSE):
            await asyncio.to_thread(one.pause)
            await asyncio.sleep(self._lease_s * rng.uniform(0.05, 0.3))
            one.go_on()
            return
        await asyncio.to_thread(
            one.stop, signal.SIGTERM if fault is Fault.SERVER_STOP else signal.SIGKILL
        )
        await asyncio.sleep(rng.uniform(0, 0.5))
        await asyncio.to_thread(one.start)


async def _cut(ways: Sequence[Cut], seconds: float) -> None:
    for one in ways:
        one.cut()
    await asyncio.sleep(seconds)
    for one in ways:
        one.mend()
