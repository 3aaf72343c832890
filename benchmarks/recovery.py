"""How long from the death of a server to a session that is ready again, default backoff included.

    python benchmarks/recovery.py [--rounds 40]

A server process says hello on each connection and is killed with SIGKILL; another one listens on
the same port at once. Ready is when the host has heard the new hello and vouched for the session.
Most of the time is the backoff's first wait: half of `backoff_first_ms` to all of it. Sessions
count as lasting at once here; otherwise each death within ten seconds of the last would double it.
"""

import argparse
import asyncio
import dataclasses
import os
import random
import socket
import statistics
import subprocess
import sys
import time

import uvloop
from harness import ending, figures
from harness.sinks import QuietSink
from websockets.asyncio.server import ServerConnection, serve

from yoi.connections import HostConnection, SocketConnector, SystemResolver
from yoi.limits import LIMITS
from yoi.permissions import Decision, Url, own_target
from yoi.permissions.connection_settings import ConnectionSettings, Ready
from yoi.types import SessionId, SystemClock

ALLOWED = Decision(allowed=True, private_addresses=True, max_message_bytes=1 << 20)


class Hello(QuietSink):
    """A sink that vouches for a session at its first message."""

    host: HostConnection

    def __init__(self) -> None:
        self.ready: asyncio.Queue[float] = asyncio.Queue()

    def text(
        self, session: SessionId, text: str, size: int, in_reply_to: str | None = None
    ) -> None:
        self.host.ready(session)
        self.ready.put_nowait(time.perf_counter())


async def server(listening: int) -> None:
    """Say hello on every connection of the socket that was inherited."""

    async def hello(connection: ServerConnection) -> None:
        await connection.send('{"type":"hello"}')
        await connection.wait_closed()

    async with serve(hello, sock=socket.socket(fileno=listening)):
        print("ready", flush=True)
        await asyncio.Event().wait()


def start_server(listener: socket.socket) -> "subprocess.Popen[str]":
    """Return a server that accepts from `listener` already."""
    number = listener.fileno()
    child = subprocess.Popen(
        [sys.executable, __file__, "--server", str(number)],
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=(number,),
    )
    assert child.stdout is not None
    child.stdout.readline()
    return child


async def measure(rounds: int) -> list[float]:
    """Return the seconds from each death to the session that was ready after it."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    sink = Hello()
    settings = ConnectionSettings(
        name="recovery",
        ingress="events",
        url=Url.parse(f"ws://127.0.0.1:{port}/"),
        target=own_target(Url.parse(f"ws://127.0.0.1:{port}/")),
        ready=Ready.COMMAND,
    )
    sink.host = HostConnection(
        settings,
        sink,
        authorise=lambda _: ALLOWED,
        clock=SystemClock(),
        rng=random.random,
        connector=SocketConnector(),
        resolver=SystemResolver(),
        limits=dataclasses.replace(LIMITS, session_ready_ms=1),
    )
    alive = await asyncio.to_thread(start_server, listener)
    took = []
    sink.host.start()
    await sink.ready.get()
    for _ in range(rounds):
        # Its successor accepts from the same socket as soon as this one is dead.
        following = await asyncio.to_thread(start_server, listener)
        died = time.perf_counter()
        alive.kill()
        took.append(await sink.ready.get() - died)
        await asyncio.to_thread(alive.wait)
        alive = following
    await sink.host.close()
    alive.kill()
    alive.wait()
    listener.close()
    return took


def main() -> None:
    """Measure, print the figures, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--server", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.server is not None:
        os.set_inheritable(arguments.server, False)
        asyncio.run(server(arguments.server))
        return
    ending.conclude(lambda: conclusion(arguments.rounds))


def conclusion(rounds: int) -> dict[str, object]:
    """Print the figures; return the last line."""
    took = uvloop.run(measure(rounds))
    print(figures.table(["figure", "value"], [["seconds", figures.spread(took, 3)]]))
    return {
        "ready_p50_s": round(statistics.median(took), 3),
        "ready_max_s": round(max(took), 3),
        "rounds": rounds,
        "backoff_first_ms": LIMITS.backoff_first_ms,
    }


if __name__ == "__main__":
    main()
