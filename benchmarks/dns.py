"""What silent names of other plugins cost a neighbour: its sessions beside 0 to 16 of them.

    python benchmarks/dns.py [--seconds 8]

In namespaces of its own (`unshare -rnm`), with a real name server on 127.0.0.53 that never answers
for `*.dead.test`. The neighbour's server closes each session at once; each dial looks its name up
anew, so that every session needs an answer.
"""

import argparse
import asyncio
import dataclasses
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import uvloop
from harness import ending, figures
from harness.processes import BenchmarkError
from harness.sinks import QuietSink
from websockets.asyncio.server import ServerConnection, serve

from yoi.connections import HostConnection, SocketConnector, SystemResolver
from yoi.core.session_effects import OpenReason
from yoi.limits import LIMITS
from yoi.permissions import Decision, Url, own_target
from yoi.permissions.connection_settings import ConnectionSettings
from yoi.types import SessionId, SystemClock

ALLOWED = Decision(allowed=True, private_addresses=True, max_message_bytes=1 << 20)
ALWAYS_ASKED = dataclasses.replace(LIMITS, names_fresh_ms=1)
SILENT = (0, 1, 2, 4, 16)
APART = "YOI_BENCH_APART"
FILES = {
    "hosts": "127.0.0.1 localhost\n",
    "resolv.conf": "nameserver 127.0.0.53\n",
    "nsswitch.conf": "hosts: files dns\n",
}
SCRIPT = """set -e
folder=$1; shift
ip link set lo up
for name in hosts resolv.conf nsswitch.conf; do
    [ ! -e /etc/$name ] || mount --bind "$folder/$name" /etc/$name
done
exec "$@"
"""


class Counting(QuietSink):
    """A sink that counts sessions."""

    def __init__(self) -> None:
        self.sessions = 0

    def opened(
        self, session: SessionId, subprotocol: str | None, address: str, reason: OpenReason
    ) -> None:
        self.sessions += 1


def name_server() -> None:
    """Answer every A question with 127.0.0.1, and nothing about `*.dead.test`, on a thread."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.53", 53))

    def work() -> None:
        while True:
            query, peer = sock.recvfrom(2048)
            name, at = b"", 12  # behind the header
            while query[at]:
                name += query[at + 1 : at + 1 + query[at]] + b"."
                at += query[at] + 1
            if name.endswith(b"dead.test."):
                continue
            (kind,) = struct.unpack("!H", query[at + 1 : at + 3])
            body = b""
            if kind == 1:
                body = b"\xc0\x0c" + struct.pack("!HHIH4s", 1, 1, 0, 4, b"\x7f\0\0\x01")
            counts = query[4:6] + struct.pack("!H", bool(body)) + bytes(4)
            sock.sendto(query[:2] + b"\x81\x80" + counts + query[12 : at + 5] + body, peer)

    threading.Thread(target=work, daemon=True).start()


def connection(name: str, port: int, resolver: SystemResolver, sink: Counting) -> HostConnection:
    """Return a connection of a plugin of its own."""
    url = Url.parse(f"ws://{name}:{port}/")
    return HostConnection(
        ConnectionSettings(
            name="gateway",
            ingress="events",
            url=url,
            target=own_target(url),
            backoff_first_ms=100,
            backoff_max_ms=100,
        ),
        sink,
        authorise=lambda _: ALLOWED,
        clock=SystemClock(),
        rng=lambda: 0.5,
        connector=SocketConnector(),
        resolver=resolver.of(name),
    )


async def sessions(silent: int, seconds: float) -> int:
    """Return the neighbour's sessions in that time."""

    async def end(peer: ServerConnection) -> None:
        await peer.close()

    host, neighbour = SystemResolver(ALWAYS_ASKED), Counting()
    async with serve(end, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        dead = [connection(f"n{n}.dead.test", port, host, Counting()) for n in range(silent)]
        for one in dead:
            one.start()
        await asyncio.sleep(0.5)
        good = connection("live.test", port, host, neighbour)
        good.start()
        await asyncio.sleep(seconds)
        await asyncio.gather(*(one.close() for one in (*dead, good)))
    return neighbour.sessions


def apart() -> None:
    """Go on in namespaces of its own."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        raise BenchmarkError("no unshare or no ip on this machine")
    with tempfile.TemporaryDirectory() as folder:
        for name, text in FILES.items():
            (Path(folder) / name).write_text(text)
        command = ["unshare", "-rnm", "--kill-child", "sh", "-c", SCRIPT, "sh", folder]
        done = subprocess.run(
            [*command, sys.executable, *sys.argv], env={**os.environ, APART: "1"}, check=False
        )
    raise SystemExit(done.returncode)


def conclusion(seconds: float) -> dict[str, Any]:
    """Print the figures; return the last line."""
    name_server()
    counts = {silent: uvloop.run(sessions(silent, seconds)) for silent in SILENT}
    # Alone at the end too: on a busy machine the first runs are no measure of the last.
    counts[0] = max(counts[0], uvloop.run(sessions(0, seconds)))
    if not counts[0]:
        raise BenchmarkError("the neighbour had no session even alone")
    rows = [[str(n), str(count), f"{count / counts[0]:.2f}"] for n, count in counts.items()]
    print(figures.table(["silent names", f"sessions in {seconds:g} s", "of those alone"], rows))
    return {
        "silent_names": SILENT[-1],
        "neighbour_ratio": round(counts[SILENT[-1]] / counts[0], 3),
        "sessions": {str(n): count for n, count in counts.items()},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8)
    arguments = parser.parse_args()
    if APART not in os.environ:
        apart()
    ending.conclude(lambda: conclusion(arguments.seconds))


if __name__ == "__main__":
    main()
