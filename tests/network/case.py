"""One network situation in a namespace of its own: `python -m tests.network.case NAME FOLDER`.

The parent (test_networks.py) has made the namespaces: loopback is up, and /etc/hosts, resolv.conf
and nsswitch.conf are those of FOLDER. The last line is JSON. Real sockets, real look-ups, real
proxies; all of it is gone with the process.
"""

import asyncio
import contextlib
import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import uvloop
from tests.connections.conftest import Sink, allow, settings_for
from tests.connections.raw import RawServer

from yoi.connections import HostConnection, MachineNetwork, SocketConnector, SystemResolver, Ways
from yoi.host.machine_file import MachineFile
from yoi.limits import LIMITS
from yoi.permissions.ways_out import Proxy, WaysOut
from yoi.serving.host_settings import HostSettings
from yoi.testing.gateway import FakeGateway
from yoi.types import SystemClock

NEAR, NEXT = "10.9.8.1", "10.9.8.2"
"""Addresses of this namespace that are not loopback."""
SHORT = dataclasses.replace(LIMITS, ping_ms=300, pong_ms=300)


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def cable():
    """Make a network of two addresses of ours, and one to which packets go and never come back."""
    ip("link", "add", "yoi0", "type", "veth", "peer", "name", "yoi1")
    for end in ("yoi0", "yoi1"):
        ip("link", "set", end, "up")
    for address in (f"{NEAR}/24", f"{NEXT}/24"):
        ip("addr", "add", address, "dev", "yoi0")
    ip("addr", "add", "fd00:9::1/64", "dev", "yoi0", "nodad")
    ip("neigh", "add", "fd00:9::99", "lladdr", "02:00:00:00:00:01", "dev", "yoi0")


class Connected:
    """A connection to `host` that is dialled again quickly; entered and left with the case."""

    def __init__(
        self, host, port, *, limits=LIMITS, proxy=None, by_name=False, network=None, **changes
    ):
        self.sink = Sink()
        if network is None:
            out = WaysOut(proxy and Proxy.parse(proxy), proxy_resolves=by_name)
            network = MachineNetwork(out)
        resolver = SystemResolver(limits, network=network)
        out = Ways(network, resolver, limits)
        self._host = HostConnection(
            settings_for(
                f"ws://{host}:{port}/",
                **{"backoff_first_ms": 100, "backoff_max_ms": 100, **changes},
            ),
            self.sink,
            authorise=allow,
            clock=SystemClock(),
            rng=lambda: 0.5,
            connector=SocketConnector(limits=limits, ways=out),
            resolver=resolver.of("p"),
            limits=limits,
        )

    async def __aenter__(self):
        self._host.start()
        return self

    async def __aexit__(self, *_):
        await self._host.close()

    async def opened(self, within=20):
        """Return how long it takes to be open, and the address."""
        begun = time.monotonic()
        async with asyncio.timeout(within):
            call = await self.sink.next("opened")
        return round(time.monotonic() - begun, 3), call[3]

    async def refused(self):
        """Return the code of the next dial that fails."""
        while True:
            code = (await self.sink.next("failed"))[1].code
            # A proxy that has just been started does not listen yet.
            if code != "connection.lost":
                return code


async def dead_family():
    """An IPv6 address that leads nowhere beside an IPv4 one that works, thrice."""
    cable()
    async with FakeGateway(host=NEAR) as gateway, Connected("two.test", gateway.port) as link:
        took = []
        for _ in range(3):
            took.append((await link.opened())[0])
            await (await gateway.accept()).close()
        return {"seconds": took}


async def blackholed_first():
    """The first address accepts and never answers; the second works. The next dial knows."""

    async def silent(reader, writer):
        await reader.read()

    cable()
    async with FakeGateway(host=NEXT) as gateway:
        deaf = RawServer(silent, host=NEAR, port=gateway.port)
        async with deaf, Connected("deaf.test", gateway.port) as link:
            first, address = await link.opened()
            await (await gateway.accept()).close()
            again, _ = await link.opened()
            asked = deaf.connections
            return {"first": first, "again": again, "address": address, "deaf_asked": asked}


async def vanished_host():
    """The server's address goes without a word and comes back."""
    cable()
    async with FakeGateway(host=NEAR) as gateway:
        more = {"limits": SHORT, "ping_ms": 300, "pong_ms": 300}
        async with Connected("near.test", gateway.port, **more) as link:
            await link.opened()
            ip("addr", "del", f"{NEAR}/24", "dev", "yoi0")
            ip("neigh", "add", NEAR, "lladdr", "02:00:00:00:00:01", "dev", "yoi0")
            begun = time.monotonic()
            error = (await link.sink.next("failed"))[1]
            noticed = round(time.monotonic() - begun, 3)
            ip("neigh", "del", NEAR, "dev", "yoi0")
            ip("addr", "add", f"{NEAR}/24", "dev", "yoi0")
            back, _ = await link.opened()
            return {"noticed": noticed, "back": back, "code": error.code}


PROXIES = {
    "http": (["tinyproxy", "-d", "-c", "tinyproxy.conf"], "http://127.0.0.1:3128"),
    "socks5": (
        ["microsocks", "-i", "127.0.0.1", "-p", "1080", "-u", "me", "-P", "secret"],
        "socks5://me:secret@127.0.0.1:1080",
    ),
}


OWN_NAMES = 'mount --bind proxy-hosts /etc/hosts && exec "$@"'
"""The proxy knows a name that this process does not, and the other way round."""


@contextlib.asynccontextmanager
async def running(program):
    process = await asyncio.create_subprocess_exec(
        *("unshare", "-m", "sh", "-c", OWN_NAMES, "sh", *program),
        cwd=sys.argv[2],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def proxied(kind, host="near.test", by_name=False):
    """A connection through a proxy program of Debian's, to an address that is not loopback."""
    cable()
    program, place = PROXIES[kind]
    async with FakeGateway(host=NEAR) as gateway:

        def link(proxy, name=host):
            return Connected(name, gateway.port, proxy=proxy, by_name=by_name)

        async with running(program), link(place) as good:
            took, address = await good.opened()
            peer = await gateway.accept()
            await peer.send("hello")
            heard = (await good.sink.next("text"))[2]
            async with link(place, "nowhere.test") as lost:
                unknown = await lost.refused()
            login = None
            if kind == "socks5":
                async with link(place.replace("secret", "wrong")) as stranger:
                    login = await stranger.refused()
    # The proxy has gone; its port refuses.
    async with link(place) as without:
        gone = await without.refused()
    return {
        "seconds": took,
        "address": address,
        "heard": heard,
        "unknown": unknown,
        "login": login,
        "gone": gone,
    }


async def proxy_vanishes_and_returns(kind):
    """The proxy program ends with a connection open, and is there again: no dial of ours helps."""
    cable()
    program, place = PROXIES[kind]
    async with FakeGateway(host=NEAR) as gateway, contextlib.AsyncExitStack() as left:
        async with running(program):
            link = Connected("near.test", gateway.port, proxy=place)
            await left.enter_async_context(link)
            await link.opened()
            begun = time.monotonic()
        code = await link.refused()
        noticed = round(time.monotonic() - begun, 3)
        async with running(program):
            back, _ = await link.opened()
            return {"noticed": noticed, "back": back, "code": code}


class _Alerts:
    machine_fault = None


async def host_toml_is_written(kind):
    """Only a proxy leads out, and host.toml says so while the host runs."""
    cable()
    program, place = PROXIES[kind]
    file = Path(sys.argv[2]) / "host.toml"
    file.write_text("# nothing yet\n")
    file.chmod(0o600)
    machine = HostSettings.load(file, dataclasses.replace(LIMITS, look_ms=50))
    network = MachineNetwork(machine.ways_out)
    damaged = asyncio.Event()

    def hear(entry):
        if entry.severity == "warning":
            damaged.set()

    followed = MachineFile(machine, network, _Alerts(), hear, SystemClock())
    following = asyncio.ensure_future(followed.follow())
    async with (
        FakeGateway(host=NEAR) as gateway,
        running(program),
        Connected("only.test", gateway.port, network=network) as link,
    ):
        before = await link.refused()
        begun = time.monotonic()
        file.write_text(f'[network]\nproxy = "{place}"\nproxy_resolves = true\n')
        _, address = await link.opened()
        took = round(time.monotonic() - begun, 3)
        file.write_text("[network\n")
        peer = await gateway.accept()
        await damaged.wait()
        await peer.send("hello")
        lasted = (await link.sink.next("text"))[2] == "hello"
    following.cancel()
    return {"before": before, "seconds": took, "address": address, "lasted": lasted}


CASES = {
    "dead-family": dead_family,
    "blackholed-first": blackholed_first,
    "vanished-host": vanished_host,
    "http-proxy": lambda: proxied("http"),
    "socks5-proxy": lambda: proxied("socks5"),
    "http-proxy-by-name": lambda: proxied("http", "only.test", by_name=True),
    "socks5-proxy-by-name": lambda: proxied("socks5", "only.test", by_name=True),
    "host-toml": lambda: host_toml_is_written("http"),
    "http-proxy-returns": lambda: proxy_vanishes_and_returns("http"),
    "socks5-proxy-returns": lambda: proxy_vanishes_and_returns("socks5"),
}

if __name__ == "__main__":
    print(json.dumps(uvloop.run(CASES[sys.argv[1]]())))
