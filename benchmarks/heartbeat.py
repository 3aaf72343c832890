"""How late heartbeats leave while the guest behind their connection burns its whole budget.

    python benchmarks/heartbeat.py [--connections 20] [--seconds 30]

One host process on one core: HOST connections to a gateway on another core, each with a heartbeat
every second, and one Python guest that is called back to back and spins until its deadline traps
it, is loaded again and spins again. Lateness is measured by the gateway: the time between two
heartbeats of one connection, less the second, so the network and the driver are both in it.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import threading
import time

import uvloop
from harness import ending, figures
from harness.guests import make_guest, on_guest_thread, one_frame
from harness.processes import LOAD_CORE, TESTED_CORE, BenchmarkError
from harness.sinks import QuietSink
from websockets.asyncio.server import ServerConnection, serve

from yoi.connections import HostConnection, SocketConnector, SystemResolver
from yoi.core.heartbeat import HeartbeatSpec
from yoi.core.session_effects import OpenReason
from yoi.errors import GuestTrapped, YoiError
from yoi.limits import LIMITS
from yoi.permissions import Decision, Url, own_target
from yoi.permissions.connection_settings import ConnectionSettings
from yoi.runtime.paths import cache_dir
from yoi.sandbox import Sandbox
from yoi.types import SessionId, SystemClock

EVERY_MS = LIMITS.heartbeat_min_ms
ALLOWED = Decision(allowed=True, private_addresses=True, max_message_bytes=1 << 20)
SPIN = b"""
from yoi_pdk import Plugin

class Answer(Plugin):
    def on_text(self, event, ctx):
        while True:
            pass
"""


class Beating(QuietSink):
    """A sink that starts a heartbeat on each session and hears nothing else."""

    host: HostConnection

    def opened(
        self, session: SessionId, subprotocol: str | None, address: str, reason: OpenReason
    ) -> None:
        self.host.heartbeat(HeartbeatSpec(every_ms=EVERY_MS, render=lambda last: '{"op":1}'))

    def failed(self, error: YoiError, retry_in_ms: float | None) -> None:
        print(error, file=sys.stderr)


def burn(stop: threading.Event) -> int:
    """Call a guest that never returns, until told to stop; return how many were trapped."""
    sandbox, trapped = Sandbox(LIMITS, cache_dir()), 0
    while not stop.is_set():
        guest = make_guest(sandbox, {"plugin.py": SPIN})
        try:
            guest.dispatch([one_frame(1)], LIMITS.dispatch_ms)
        except GuestTrapped:
            trapped += 1
    return trapped


async def beat(port: int, count: int, seconds: float) -> int:
    """Keep `count` connections for `seconds`; return how many guests were trapped meanwhile."""
    clock, connector, resolver = SystemClock(), SocketConnector(), SystemResolver()
    hosts = []
    for index in range(count):
        sink = Beating()
        settings = ConnectionSettings(
            name=f"c{index}",
            ingress="events",
            url=Url.parse(f"ws://127.0.0.1:{port}/"),
            target=own_target(Url.parse(f"ws://127.0.0.1:{port}/")),
        )
        sink.host = HostConnection(
            settings,
            sink,
            authorise=lambda _: ALLOWED,
            clock=clock,
            rng=lambda: 0.5,
            connector=connector,
            resolver=resolver,
        )
        hosts.append(sink.host)
        sink.host.start()
        await asyncio.sleep(EVERY_MS / 1000 / count)
    stop = threading.Event()
    burning = asyncio.create_task(asyncio.to_thread(on_guest_thread, lambda: burn(stop)))
    await asyncio.sleep(seconds)
    stop.set()
    trapped = await burning
    await asyncio.gather(*(host.close() for host in hosts))
    return trapped


async def gateway() -> None:
    """Note when heartbeats come; print the lateness of each, in milliseconds, at the end."""
    late: list[float] = []

    async def hear(connection: ServerConnection) -> None:
        before = None
        async for _ in connection:
            now = time.perf_counter()
            if before is not None:
                late.append(abs((now - before) * 1000 - EVERY_MS))
            before = now

    async with serve(hear, "127.0.0.1", 0, ping_interval=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps(late), flush=True)


def main() -> None:
    """Measure, print the figures, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--gateway", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.gateway:
        os.sched_setaffinity(0, {LOAD_CORE})
        uvloop.run(gateway())
        return
    ending.conclude(lambda: measure(arguments.connections, arguments.seconds))


def measure(connections: int, seconds: float) -> dict[str, object]:
    """Print the figures; return the last line."""
    os.sched_setaffinity(0, {TESTED_CORE})
    command = [sys.executable, __file__, "--gateway"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        port = int(child.stdout.readline())
        trapped = uvloop.run(beat(port, connections, seconds))
        child.stdin.write("\n")
        child.stdin.flush()
        late = json.loads(child.stdout.readline())
    if not late or not trapped:
        raise BenchmarkError("no heartbeat came, or no guest burned its budget")
    ordered = sorted(late)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    rows = [
        ["heartbeats", str(len(late))],
        ["guests trapped", str(trapped)],
        ["p50 ms", f"{statistics.median(late):.2f}"],
        ["p99 ms", f"{p99:.2f}"],
        ["max ms", f"{ordered[-1]:.2f}"],
    ]
    print(figures.table(["figure", "value"], rows))
    return {
        "late_p50_ms": round(statistics.median(late), 2),
        "late_p99_ms": round(p99, 2),
        "late_max_ms": round(ordered[-1], 2),
        "heartbeats": len(late),
        "guests_trapped": trapped,
        "connections": connections,
    }


if __name__ == "__main__":
    main()
