"""A real host, two plugins, their gateways, and the network between them; what each knows.

Each lane is one service with its own gateway behind its own proxy. Numbers grow over all sessions
of a lane. What the plugin handled and was told is asked of it by a tool call.
"""

import asyncio
import contextlib
import gc
import json
import os
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from faults.network import Fault, Names, Proxy, Way
from yoi.decisions.port import WholeWorkspace
from yoi.decisions.recording import enable
from yoi.host import Host
from yoi.packages import Store, add_to_store
from yoi.testing.trusting import entry_as_requested

HERE = Path(__file__).parent
_OUTSTANDING = 32
_PATIENCE_S = 60.0
_SOON_S = 5.0


class Gateway:
    """Sends numbered frames to whoever is there, at most so many without an answer."""

    def __init__(self, *, signs_in: bool) -> None:
        self.sent: dict[int, Way] = {}
        """By number, the connection that it was written to."""
        self.by_port: dict[int, Way] = {}
        """The newest connection of each port: the system gives a port again after a while."""
        self.acks = 0
        self.visits = 0
        self.ended = 0
        self.storm = 0
        """How many of the next visits are closed at once."""
        self.sending = True
        self._signs_in = signs_in
        self._open_acks = 0

    async def __call__(self, socket: ServerConnection) -> None:
        try:
            with contextlib.suppress(ConnectionClosed):
                await self._serve(socket)
        finally:
            self.ended += 1

    async def _serve(self, socket: ServerConnection) -> None:
        if self.storm:
            self.storm -= 1
            await socket.close(1011, "too many")
            return
        if self._signs_in:
            if json.loads(await socket.recv())["op"] != "identify":
                return
            await socket.send('{"op":"welcome"}')
        self.visits += 1
        self._open_acks = 0
        sending = asyncio.create_task(self._send(socket))
        try:
            async for text in socket:
                if json.loads(text).get("op") == "beat":
                    await socket.send('{"op":"beaten"}')
                else:
                    self.acks += 1
                    self._open_acks -= 1
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, socket: ServerConnection) -> None:
        way = self.by_port[socket.remote_address[1]]
        while True:
            await asyncio.sleep(0.002)
            if self.sending and self._open_acks < _OUTSTANDING:
                number = len(self.sent) + 1
                self.sent[number] = way
                self._open_acks += 1
                await socket.send(json.dumps({"op": "event", "number": number}))


@dataclass
class Lane:
    """One service, and what is known of its frames."""

    name: str
    kind: str
    rng: random.Random
    gateway: Gateway
    proxy: Proxy
    handled: set[int] = field(default_factory=set)
    repeated: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)

    async def look(self, host: Host) -> None:
        """Ask the plugin what it handled and was told since the last time."""
        answer = await host.services[self.name].call_tool("seen", {})
        said = json.loads(answer["content"])
        numbers = said["handled"]
        self.repeated += len(numbers) - len(set(numbers) - self.handled)
        self.handled |= set(numbers)
        self.gaps += [(since, until) for since, until, _ in said["gaps"]]

    async def suffer(self, host: Host, names: Names, disconnects: int, until: float) -> None:
        """Break the connection until it was broken so often."""
        gateway, cycle = self.gateway, 0
        while gateway.ended < disconnects and time.monotonic() < until:
            cycle += 1
            await self._until(lambda before=gateway.acks: gateway.acks >= before + 5)
            await asyncio.sleep(self.rng.uniform(0, 0.03))
            fault = self.rng.choice(list(Fault))
            gateway.storm = self.rng.randrange(1, 4) if fault is Fault.STORM else 0
            ended = gateway.ended
            await self.proxy.spoil(fault, self.rng, names)
            if fault is not Fault.STALL:
                # Where it had ended just before, there was nothing to spoil.
                with contextlib.suppress(RuntimeError):
                    await self._until(lambda ended=ended: gateway.ended > ended, fault, _SOON_S)
            if cycle % 10 == 0:
                await self.look(host)

    async def rest(self, host: Host) -> None:
        """Let it come back, and everything be handled."""
        self.gateway.sending = True
        await self._until(lambda before=self.gateway.acks: self.gateway.acks >= before + 20)
        self.gateway.sending = False
        acks = -1
        while acks != self.gateway.acks:
            acks = self.gateway.acks
            await asyncio.sleep(0.5)
        await self.look(host)

    async def _until(
        self, condition: Any, after: str = "quiet", seconds: float = _PATIENCE_S
    ) -> None:
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if condition():
                        return
                    await asyncio.sleep(0.002)
        except TimeoutError:
            raise RuntimeError(f"{self.name} waits for ever after {after}") from None

    def moment(self, number: int) -> int:
        """Return when the network handed the frame on, or dropped it."""
        passed = self.proxy.passed.get(number)
        if passed is not None:
            return passed
        return self.gateway.sent[number].ended_ms or 0

    def account(self, dead: set[int]) -> dict[str, int]:
        """Return what became of each frame."""
        missing = set(self.gateway.sent) - self.handled - dead
        outside = [n for n in missing if not self._in_gap(self.moment(n))]
        return {
            "disconnects": self.gateway.ended,
            "sent": len(self.gateway.sent),
            "handled": len(self.handled),
            "dead_letters": len(dead),
            "in_gaps": len(missing) - len(outside),
            "unaccounted": len(outside),
            "repeated": self.repeated,
        }

    def _in_gap(self, moment: int) -> bool:
        return any(since <= moment <= until for since, until in self.gaps)


class World:
    """The lanes and their host in the new folder `folder`."""

    def __init__(self, folder: Path, rng: random.Random, lanes: int) -> None:
        self.workspace = folder / "w"
        (self.workspace / ".yoi").mkdir(parents=True, mode=0o700)
        self._folder, self._rng, self._count = folder, rng, lanes
        self._names = Names()

    async def run(self, disconnects: int, until: float) -> dict[str, int]:
        """Break every lane until `disconnects` in all; return the account."""
        before = leftovers()
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self._names.asked())
            lanes = [await self._lane(stack, number) for number in range(self._count)]
            async with Host(self.workspace, decisions=WholeWorkspace(), port=0) as host:
                await asyncio.gather(*(lane.rest(host) for lane in lanes))
                at_rest = leftovers()
                for lane in lanes:
                    lane.gateway.sending = True
                each = -(-disconnects // self._count)
                await asyncio.gather(
                    *(lane.suffer(host, self._names, each, until) for lane in lanes)
                )
                await asyncio.gather(*(lane.rest(host) for lane in lanes))
                found = self._sum(lanes, host)
                again = await settled(at_rest)
        after = await settled(before)
        found["leaked_sockets"] = max(0, again[0] - at_rest[0], after[0] - before[0])
        found["leaked_tasks"] = max(0, again[1] - at_rest[1], after[1] - before[1])
        return found

    def _sum(self, lanes: list[Lane], host: Host) -> dict[str, int]:
        found: dict[str, int] = {}
        for lane in lanes:
            letters = host.services[lane.name].dead_letters
            dead = {json.loads(one.event.text)["number"] for one in letters}
            for key, value in lane.account(dead).items():
                found[key] = found.get(key, 0) + value
        return found

    async def _lane(self, stack: contextlib.AsyncExitStack, number: int) -> Lane:
        kind = ("echo", "signin")[number % 2]
        policy = ("pause", "drop_oldest", "drop_newest", "disconnect")[number % 4]
        gateway = Gateway(signs_in=kind == "signin")
        server = await stack.enter_async_context(
            serve(gateway, "127.0.0.1", 0, ping_interval=None, close_timeout=1)
        )
        proxy = await stack.enter_async_context(Proxy(next(iter(server.sockets)).getsockname()[1]))
        gateway.by_port = proxy.by_port
        lane = Lane(f"lane-{number}", kind, random.Random(self._rng.random()), gateway, proxy)
        self._enable(lane, policy)
        return lane

    def _enable(self, lane: Lane, policy: str) -> None:
        source = self._folder / lane.name
        source.mkdir()
        for path in (HERE / lane.kind).glob("plugin.*"):
            text = path.read_text().replace("PORT", str(lane.proxy.port))
            text = text.replace("NAME", Names.NAME).replace("POLICY", policy)
            if path.suffix == ".toml":
                text = text.replace('id = "faults-', f'id = "{lane.name}-')
            (source / path.name).write_text(text)
        package = add_to_store(source, Store.project(self.workspace))
        enable(self.workspace, entry_as_requested(package, lane.name))


def leftovers() -> tuple[int, int]:
    """Return how many sockets and tasks this process has."""
    gc.collect()
    sockets = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            sockets += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return sockets, len(asyncio.all_tasks())


async def settled(wanted: tuple[int, int]) -> tuple[int, int]:
    """Return the same once it is no more than `wanted`, or after ten seconds."""
    for _ in range(100):
        now = leftovers()
        if now[0] <= wanted[0] and now[1] <= wanted[1]:
            break
        await asyncio.sleep(0.1)
    return now
