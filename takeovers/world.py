"""Machines that share a deployment, the servers between them, gateways, and what goes wrong.

Each machine is `yoi serve` in a folder of its own, started again whenever it ends. It reaches each
NATS server through a proxy of its own, so that it alone can be cut off. Nothing here believes a
machine: who sent a message is asked of the system (whose socket it is), what was stored is read
from the servers.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import tomlkit
from tests.journal.nats import NatsServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from takeovers.checker import Answer, Stream, judge
from takeovers.network import Cut, free_port, owner_of
from yoi.control.wire import HOST, socket_path
from yoi.journal.jetstream_server import NatsSettings
from yoi.packages import Store, add_to_store
from yoi.testing.trusting import entry_as_requested

HERE = Path(__file__).parent
NAME = "run"
_OUTSTANDING = 8
_START_S = 180.0
_PATIENCE_S = 120.0


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
    DRAIN = "drain"
    SERVER_KILL = "server_kill"
    SERVER_STOP = "server_stop"
    SERVER_PAUSE = "server_pause"


_TAKES_AWAY = frozenset({Fault.KILL, Fault.STOP, Fault.CUT})
_HANDS_OVER = frozenset({Fault.TERM, Fault.DRAIN})


class Gateway:
    """Numbers what it says, and notes each answer with the process that gave it."""

    def __init__(self, pids: Callable[[], list[int]]) -> None:
        self.answers: list[Answer] = []
        self.sent = 0
        self.speaking = True
        self._pids = pids

    async def __call__(self, socket: ServerConnection) -> None:
        pid = owner_of(socket.remote_address[1], self._pids())
        if pid is None:
            return
        open_answers = 0
        with contextlib.suppress(ConnectionClosed):
            while True:
                while self.speaking and open_answers < _OUTSTANDING:
                    self.sent += 1
                    open_answers += 1
                    await socket.send(json.dumps({"number": self.sent}))
                    await asyncio.sleep(0.01)
                try:
                    async with asyncio.timeout(0.2):
                        said = json.loads(await socket.recv())
                except TimeoutError:
                    continue
                open_answers -= 1
                self.answers.append(Answer(time.time(), pid, said["number"], said["count"]))


class Machine:
    """One `yoi serve`, which is started again whenever it ends."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.folder = folder / name
        self.workspace = self.folder / "w"
        self.cuts: list[Cut] = []
        self.pids: list[int] = []
        """Of its processes, the newest last."""
        self.ends: Counter[int] = Counter()
        """How its processes ended, by exit status."""
        self.stopping = False
        self.held = asyncio.Event()
        """Set while a new process may be started."""
        self.held.set()
        self._child: asyncio.subprocess.Process | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Return that of its account."""
        return {
            **os.environ,
            "YOI_STATE_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
        }

    async def run(self) -> None:
        """Keep a process running until `stop`."""
        with (self.folder / "host.log").open("ab") as log:
            while not self.stopping:
                await self.held.wait()
                self._child = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "yoi.cli", "serve", "--port", "0"),
                    *("--trust-workspace", "--verbose", "--json"),
                    cwd=self.workspace,
                    env=self.environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
                self.pids.append(self._child.pid)
                self.ends[await self._child.wait()] += 1
                await asyncio.sleep(0.2)

    def is_up(self) -> bool:
        """Return whether its process answers at its control socket."""
        with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError):
            sock.connect(str(socket_path(self.workspace, HOST)))
            return True
        return False

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it is there."""
        if self._child is not None and self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(number)

    async def command(self, *words: str) -> None:
        """Give a command of Yoi in its folder; whether it is answered is the machine's matter."""
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "yoi.cli", *words),
            cwd=self.workspace,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await child.wait()


class World:
    """A deployment in the new folder `folder`."""

    def __init__(
        self,
        folder: Path,
        rng: random.Random,
        *,
        lease_ms: int,
        machines: int,
        lanes: int,
        nodes: int,
    ) -> None:
        self._folder, self._rng = folder, rng
        self._lease_s = lease_ms / 1000
        self._lease_ms = lease_ms
        self._nodes = nodes
        self.machines = [Machine(folder, f"m{number}") for number in range(machines)]
        self.gateways = {f"lane-{number}": Gateway(self._pids) for number in range(lanes)}
        self.faults: Counter[str] = Counter()
        self.takeovers: list[float] = []
        self.handovers: list[float] = []

    async def run(self, faults: int, until: float) -> dict[str, Any]:
        """Let `faults` happen, or as many as there is time for; return the account."""
        async with contextlib.AsyncExitStack() as stack:
            servers = await stack.enter_async_context(self._servers())
            ports = {}
            for name, gateway in self.gateways.items():
                server = await stack.enter_async_context(
                    serve(gateway, "127.0.0.1", 0, ping_interval=None, close_timeout=1)
                )
                ports[name] = next(iter(server.sockets)).getsockname()[1]
            for machine in self.machines:
                for one in servers:
                    cut = await stack.enter_async_context(Cut(int(one.url.rpartition(":")[2])))
                    machine.cuts.append(cut)
                await asyncio.to_thread(self._prepare, machine, ports)
            stream = Stream(NatsSettings(tuple(one.url for one in servers), NAME))
            reading = asyncio.create_task(stream.follow())
            running = [asyncio.create_task(one.run()) for one in self.machines]
            try:
                await self._all_answer(_START_S)
                # The others have started meanwhile, or stand by.
                await self._until(lambda: all(one.is_up() for one in self.machines), "the start")
                while self.faults.total() < faults and time.monotonic() < until:
                    await self._suffer(servers)
                await self._rest()
                await asyncio.sleep(1)
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reading
                await stream.look()
                await stream.close()
            finally:
                for machine in self.machines:
                    machine.stopping = True
                    machine.held.set()
                    machine.send(signal.SIGCONT)
                    machine.send(signal.SIGTERM)
                await asyncio.gather(*running)
            found = judge(stream, {name: one.answers for name, one in self.gateways.items()})
        return self._account(found)

    def _account(self, found: dict[str, float]) -> dict[str, Any]:
        return {
            "faults": self.faults.total(),
            **{key: int(value) for key, value in found.items() if key != "double_owner_ms_max"},
            "double_owner_ms_max": found.get("double_owner_ms_max", 0.0),
            "answers": sum(len(one.answers) for one in self.gateways.values()),
            "takeover_p50_s": _middle(self.takeovers),
            "takeover_max_s": max(self.takeovers, default=None),
            "handover_p50_s": _middle(self.handovers),
            "handover_max_s": max(self.handovers, default=None),
            "by_fault": dict(sorted(self.faults.items())),
            "ends": {str(k): v for k, v in sum((m.ends for m in self.machines), Counter()).items()},
        }

    # -- what goes wrong --------------------------------------------------------------------------

    async def _suffer(self, servers: list[NatsServer]) -> None:
        fault = self._rng.choice(list(Fault))
        machine = self._victim()
        victim = machine.pids[-1]
        owned = self._owned()[victim]
        self.faults[fault] += 1
        begun, was_up = time.time(), machine.is_up()
        await self._carry_out(fault, machine, servers)
        if fault in _TAKES_AWAY and was_up:
            # A process that stood still ends as soon as it goes on; one that starts has no lease.
            await self._until(lambda: machine.pids[-1] != victim, fault)
        await self._all_answer(_PATIENCE_S, fault)
        took = {
            **dict.fromkeys(_TAKES_AWAY, self.takeovers),
            **dict.fromkeys(_HANDS_OVER, self.handovers),
        }
        for name in owned if fault in took else ():
            answers = self.gateways[name].answers
            after = next((a.at for a in answers if a.at > begun and a.pid != victim), None)
            if after is not None:
                took[fault].append(round(after - begun, 2))
                print(f"{fault} of {machine.name}: {name} after {after - begun:.1f} s", flush=True)

    def _victim(self) -> Machine:
        """Return a machine, mostly one that runs something."""
        owned = self._owned()
        busy = [one for one in self.machines if owned[one.pids[-1]]]
        return self._rng.choice(busy if busy and self._rng.random() < 0.8 else self.machines)

    def _newest(self, name: str, since: float) -> int | None:
        answers = self.gateways[name].answers
        return answers[-1].pid if answers and answers[-1].at > since else None

    async def _carry_out(self, fault: Fault, machine: Machine, servers: list[NatsServer]) -> None:
        lease, rng = self._lease_s, self._rng
        match fault:
            case Fault.KILL:
                machine.send(signal.SIGKILL)
            case Fault.TERM:
                machine.send(signal.SIGTERM)
            case Fault.STOP | Fault.PAUSE:
                long = (1.2, 2.0) if fault is Fault.STOP else (0.05, 0.5)
                machine.send(signal.SIGSTOP)
                await asyncio.sleep(lease * rng.uniform(*long))
                machine.send(signal.SIGCONT)
            case Fault.CUT | Fault.BLIP:
                long = (1.2, 2.0) if fault is Fault.CUT else (0.05, 0.3)
                for cut in machine.cuts:
                    cut.cut()
                await asyncio.sleep(lease * rng.uniform(*long))
                for cut in machine.cuts:
                    cut.mend()
            case Fault.DRAIN:
                await machine.command("runtime", "drain")
                await asyncio.sleep(rng.uniform(0, 1))
                await machine.command("runtime", "drain", "--undo")
            case Fault.SERVER_KILL | Fault.SERVER_STOP:
                number = signal.SIGKILL if fault is Fault.SERVER_KILL else signal.SIGTERM
                one = rng.choice(servers)
                await asyncio.to_thread(one.stop, number)
                await asyncio.sleep(rng.uniform(0, 0.5))
                await asyncio.to_thread(one.start)
            case Fault.SERVER_PAUSE:
                one = rng.choice(servers)
                await asyncio.to_thread(one.pause)
                await asyncio.sleep(lease * rng.uniform(0.05, 0.3))
                one.go_on()

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
        await self._until(
            lambda: all(self._newest(name, begun) in self._pids() for name in self.gateways),
            after,
            seconds,
        )

    async def _rest(self) -> None:
        """Let all be handled that was said."""
        await self._all_answer(_PATIENCE_S, "the last fault")
        for gateway in self.gateways.values():
            gateway.speaking = False
        count = -1
        while count != (now := sum(len(one.answers) for one in self.gateways.values())):
            count = now
            await asyncio.sleep(2)

    async def _until(
        self, true: Callable[[], bool], after: str, seconds: float = _PATIENCE_S
    ) -> None:
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                last = {name: one.answers[-1:] for name, one in self.gateways.items()}
                raise RuntimeError(f"after {after} not all lanes answer: {last}")
            await asyncio.sleep(0.02)

    # -- how it is made ---------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _servers(self) -> AsyncIterator[list[NatsServer]]:
        routes = [free_port() for _ in range(self._nodes)]
        words = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        extra = (
            [""]
            if self._nodes == 1
            else [
                # Not advertised: clients would learn of ways around their proxies.
                f'server_name: n{index}\ncluster {{ name: yoi, listen: "127.0.0.1:{port}", '
                f"no_advertise: true, routes: [{words}] }}"
                for index, port in enumerate(routes)
            ]
        )
        servers = [NatsServer(self._folder / f"n{index}", one) for index, one in enumerate(extra)]
        try:
            for server in servers:
                await asyncio.to_thread(server.start)
            yield servers
        finally:
            for server in servers:
                await asyncio.to_thread(server.stop)

    def _prepare(self, machine: Machine, ports: dict[str, int]) -> None:
        """Write what a person would have decided on the machine."""
        (machine.workspace / ".yoi").mkdir(parents=True, mode=0o700)
        config = machine.folder / "config/yoi"
        config.mkdir(parents=True)
        (config / "host.toml").write_text(f'[cluster]\nname = "{machine.name}"\n')
        (config / "host.toml").chmod(0o600)
        urls = [f"nats://127.0.0.1:{cut.port}" for cut in machine.cuts]
        workers = [f"ops-{number}" for number in range(2)]
        entries = []
        rules: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
        for number, (name, port) in enumerate(ports.items()):
            # Every third service works with a worker, and is one unit with it.
            worker = workers[number // 3 % 2]
            tells = number % 3 == 0
            entries.append(self._enabled(machine, name, port, worker if tells else None))
            if tells:
                rules[worker].append({"plugin": name, "start_run": True, "per_minute": 6000})
        document = {
            "cluster": {
                "nats": urls,
                "name": NAME,
                "lease_ms": self._lease_ms,
                "replicas": self._nodes,
                "size_bytes": 1 << 28,
            },
            "plugins": {"enabled": entries},
            "workers": [
                {"name": name, "model": "scripted", "script": [{"say": "noted"}], "notify": rows}
                for name, rows in rules.items()
            ],
        }
        file = machine.workspace / ".yoi/yoi.toml"
        file.write_text(tomlkit.dumps(document))
        file.chmod(0o600)

    def _enabled(
        self, machine: Machine, name: str, port: int, worker: str | None
    ) -> dict[str, Any]:
        source = machine.folder / f"source-{name}"
        source.mkdir()
        for path in (HERE / "counter").glob("plugin.*"):
            text = path.read_text().replace("PORT", str(port)).replace("LANE", name)
            text = text.replace('"TELLS"', '"yes"' if worker else '"no"')
            (source / path.name).write_text(text.replace("WORKER", worker or "nobody"))
        package = add_to_store(source, Store.project(machine.workspace))
        return entry_as_requested(package, name).to_table()


def _middle(times: list[float]) -> float | None:
    return sorted(times)[len(times) // 2] if times else None
