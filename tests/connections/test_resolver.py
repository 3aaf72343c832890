"""N1: a name whose server is silent costs its own connection only."""

import asyncio
import dataclasses
import socket
import threading
from ipaddress import ip_address

import pytest

from yoi.connections import SystemResolver
from yoi.connections.lookups import Lookups, system_addresses
from yoi.errors import ConnectionFailure
from yoi.limits import LIMITS
from yoi.testing import ManualClock

GOOD = [ip_address("93.184.215.14")]
IMPATIENT = dataclasses.replace(LIMITS, resolve_ms=20, names_patience_ms=20)


class NameServer:
    """Answers on the look-up's own thread; names in `silent` wait until the test lets them go."""

    def __init__(self):
        self.asked = []
        self.silent = {}
        self.answers = {}

    def hush(self, *names):
        for name in names:
            self.silent[name] = threading.Event()

    def let_go(self, name=None):
        for one in [name] if name else list(self.silent):
            self.silent.pop(one).set()

    def __call__(self, host):
        self.asked.append(host)
        event = self.silent.get(host)
        if event is not None:
            event.wait(10)
        found = self.answers.get(host, GOOD)
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def server():
    made = NameServer()
    yield made
    made.let_go()


def resolver(server, limits=IMPATIENT, clock=None):
    return SystemResolver(limits, lookups=Lookups(limits, server), clock=clock or ManualClock())


async def silent(resolver, name):
    with pytest.raises(ConnectionFailure) as failed:
        await resolver.resolve(name, 443)
    return failed.value


async def test_a_silent_name_is_bounded_in_time_and_says_so(server):
    server.hush("dead.test")
    error = await silent(resolver(server).of("p"), "dead.test")
    assert error.code == "connection.timeout"
    assert "dead.test could not be resolved within 20 ms" in error.message
    assert "name server" in error.hint


async def test_silent_names_of_one_plugin_leave_every_other_its_look_ups(server):
    """All it can hold is its own share: the 65th name of it waits, a neighbour's does not."""
    names = [f"{n}.dead.test" for n in range(70)]
    server.hush(*names)
    host = resolver(server)
    bad = [asyncio.ensure_future(host.of("bad").resolve(name, 443)) for name in names]
    assert await host.of("good").resolve("live.test", 443) == GOOD
    assert server.asked.count("live.test") == 1
    assert len(server.asked) == LIMITS.lookups_per_plugin + 1
    for task in bad:
        task.cancel()
    await asyncio.gather(*bad, return_exceptions=True)


async def test_silent_names_of_many_plugins_leave_room_for_a_plugin_that_has_none(server):
    names = [f"{n}.dead.test" for n in range(100)]
    server.hush(*names)
    limits = dataclasses.replace(IMPATIENT, lookups=16)
    host = resolver(server, limits)
    # Twelve plugins with two each: the second ones may take three quarters of the room at most.
    bad = [
        asyncio.ensure_future(host.of(f"bad{n % 12}").resolve(name, 443))
        for n, name in enumerate(names)
    ]
    await asyncio.sleep(0)
    assert await host.of("good").resolve("live.test", 443) == GOOD
    for task in bad:
        task.cancel()
    await asyncio.gather(*bad, return_exceptions=True)


async def test_waiting_for_a_turn_is_not_charged_to_the_dial(server):
    """The time begins with the turn: a look-up that waited longer is answered all the same."""
    limits = dataclasses.replace(LIMITS, lookups_per_plugin=1, resolve_ms=60_000)
    host = resolver(server, limits)
    server.hush("slow.test")
    first = asyncio.ensure_future(host.of("p").resolve("slow.test", 443))
    second = asyncio.ensure_future(host.of("p").resolve("live.test", 443))
    await asyncio.sleep(0)
    assert server.asked == ["slow.test"]
    server.let_go("slow.test")
    assert await first == GOOD
    assert await second == GOOD


async def test_a_turn_that_was_given_up_is_the_next_ones(server):
    limits = dataclasses.replace(LIMITS, lookups_per_plugin=1)
    host = resolver(server, limits)
    server.hush("slow.test")
    tasks = [
        asyncio.ensure_future(host.of("p").resolve(name, 443))
        for name in ("slow.test", "given-up.test", "live.test")
    ]
    await asyncio.sleep(0)
    tasks[1].cancel()
    server.let_go("slow.test")
    assert await tasks[2] == GOOD
    assert "given-up.test" not in server.asked


async def test_a_turn_given_up_as_it_comes_is_the_next_ones(server):
    lookups = Lookups(dataclasses.replace(LIMITS, lookups_per_plugin=1), server)
    server.hush("slow.test")
    running = await lookups.begin("slow.test", "p")
    waiting = [asyncio.ensure_future(lookups.begin(f"{n}.test", "p")) for n in range(2)]
    await asyncio.sleep(0)
    running.add_done_callback(lambda _: waiting[0].cancel())
    server.let_go("slow.test")
    assert await (await waiting[1]) == GOOD
    assert waiting[0].cancelled() or "0.test" in server.asked


async def test_the_same_name_is_looked_up_once_for_all_plugins(server):
    server.hush("gateway.test")
    host = resolver(server, LIMITS)
    asking = [
        asyncio.ensure_future(host.of(f"p{n}").resolve("gateway.test", 443)) for n in range(100)
    ]
    await asyncio.sleep(0)
    server.let_go("gateway.test")
    assert await asyncio.gather(*asking) == [GOOD] * 100
    assert server.asked == ["gateway.test"]


async def test_an_answer_serves_shortly_and_is_known_to_its_plugin_alone(server):
    clock = ManualClock()
    host = resolver(server, LIMITS, clock)
    for _ in range(3):
        await host.of("p").resolve("gateway.test", 443)
    assert server.asked == ["gateway.test"]
    await host.of("q").resolve("gateway.test", 443)
    assert len(server.asked) == 2
    clock.advance(LIMITS.names_fresh_ms / 1000)
    await host.of("p").resolve("gateway.test", 443)
    assert len(server.asked) == 3


async def test_the_last_answer_serves_while_the_name_server_is_silent(server):
    clock = ManualClock()
    host = resolver(server, IMPATIENT, clock).of("p")
    await host.resolve("gateway.test", 443)
    clock.advance(3600)
    server.hush("gateway.test")
    assert await host.resolve("gateway.test", 443) == GOOD
    clock.advance(LIMITS.names_stale_ms / 1000)
    await silent(host, "gateway.test")


@pytest.mark.parametrize(
    ("problem", "serves"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "try again"), True),
        (socket.gaierror(socket.EAI_FAIL, "server failure"), True),
        (socket.gaierror(socket.EAI_NONAME, "no such name"), False),
    ],
)
async def test_a_server_in_trouble_is_silent_and_a_name_that_is_gone_is_an_answer(
    server, problem, serves
):
    clock = ManualClock()
    host = resolver(server, LIMITS, clock).of("p")
    await host.resolve("gateway.test", 443)
    clock.advance(3600)
    server.answers["gateway.test"] = problem
    if serves:
        assert await host.resolve("gateway.test", 443) == GOOD
    else:
        with pytest.raises(socket.gaierror):
            await host.resolve("gateway.test", 443)
        server.answers["gateway.test"] = socket.gaierror(socket.EAI_AGAIN, "try again")
        with pytest.raises(socket.gaierror):
            await host.resolve("gateway.test", 443)


async def test_a_late_answer_serves_the_next_dial(server):
    host = resolver(server, IMPATIENT).of("p")
    server.hush("slow.test")
    await silent(host, "slow.test")
    answer = await host._lookups.begin("slow.test", "p")
    server.let_go()
    await answer
    assert await host.resolve("slow.test", 443) == GOOD
    assert server.asked == ["slow.test"]


async def test_what_is_known_is_bounded(server):
    host = resolver(server, LIMITS)
    mine = host.of("p")
    for n in range(LIMITS.names_per_plugin + 5):
        await mine.resolve(f"{n}.test", 443)
    assert len(mine._known) == LIMITS.names_per_plugin
    for n in range(LIMITS.services + 5):
        host.of(f"p{n}")
    assert len(host._others) == LIMITS.services


async def test_the_systems_own_names_are_known():
    found = await SystemResolver().of("p").resolve("localhost", 443)
    assert found
    assert all(ip.is_loopback for ip in found)


def test_a_scope_is_left_out_and_repetitions_too(monkeypatch):
    def answers(host, port, type):
        return [(0, 0, 0, "", (a, 0)) for a in ("fe80::1%eth0", "10.0.0.1", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    assert system_addresses("x") == [ip_address("fe80::1"), ip_address("10.0.0.1")]
