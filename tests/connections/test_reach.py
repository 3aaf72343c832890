"""N1: a dead address costs a quarter of a second, a deaf one hides no other, on both loops."""

import asyncio
import dataclasses
import errno
import os
import socket
import ssl
from ipaddress import ip_address

import pytest
import trustme
from tests.connections.conftest import ALLOWED, QUICK, FixedResolver
from tests.connections.raw import RawServer
from tests.connections.test_request_client import client, prepared, read_http, reply

from yoi.connections.machine_network import MachineNetwork
from yoi.connections.reach import Reach
from yoi.connections.sockets import open_direct
from yoi.errors import ConnectionFailure
from yoi.permissions import Url
from yoi.testing import ManualClock
from yoi.testing.gateway import FakeGateway

ONCE = {"backoff_first_ms": 60_000, "backoff_max_ms": 60_000}
PATIENT = dataclasses.replace(QUICK, next_address_ms=60_000)
HASTY = dataclasses.replace(QUICK, next_answer_ms=50)
URL = Url.parse("ws://gateway.example.com/")
A, B, C = (ip_address(f"192.0.2.{n}") for n in (1, 2, 3))


class Network:
    """Opens socket pairs; an address in `dead` never answers, one in `refused` says so."""

    def __init__(self, dead=(), refused=()):
        self.dead, self.refused = dead, refused
        self.tried = []
        self.made, self.peers = [], []

    async def open(self, ip, url):
        self.tried.append(ip)
        if ip in self.refused:
            raise ConnectionRefusedError(111, "Connection refused")
        if ip in self.dead:
            await asyncio.get_running_loop().create_future()
        mine, peer = socket.socketpair()
        self.made.append(mine)
        self.peers.append(peer)
        return mine

    def close(self):
        for sock in (*self.peers, *self.made):
            sock.close()


@pytest.fixture
def network():
    made = Network()
    yield made
    made.close()


async def address_of(sock, address):
    return address


async def test_the_next_address_is_tried_beside_one_that_does_not_answer(network):
    network.dead = [A]
    reach = Reach(dataclasses.replace(QUICK, next_address_ms=1), ManualClock(), MachineNetwork())
    to = {"attempt_ms": 1000, "what": "x", "open_one": network.open}
    assert await reach(URL, [A, B, C], address_of, **to) == "192.0.2.2:80"
    assert network.tried == [A, B]


async def test_the_next_address_is_tried_at_once_when_one_is_refused(network):
    network.refused = [A, B]
    reach = Reach(PATIENT, ManualClock(), MachineNetwork())
    to = {"attempt_ms": 1000, "what": "x", "open_one": network.open}
    assert await reach(URL, [A, B, C], address_of, **to) == "192.0.2.3:80"
    network.tried.clear()
    assert await reach(URL, [A, B, C], address_of, **to) == "192.0.2.3:80"
    assert network.tried == [C]  # remembered


async def test_a_socket_that_was_connected_too_late_is_closed(network):
    """Whatever lost the race leaves nothing open."""
    both = asyncio.Event()

    async def together(ip, url):
        sock = await network.open(ip, url)
        if len(network.made) == 2:
            both.set()
        await both.wait()
        return sock

    reach = Reach(dataclasses.replace(QUICK, next_address_ms=1), ManualClock(), MachineNetwork())
    to = {"attempt_ms": 1000, "what": "x", "open_one": together}
    assert await reach(URL, [A, B], address_of, **to) in ("192.0.2.1:80", "192.0.2.2:80")
    assert sorted(sock.fileno() == -1 for sock in network.made) == [False, True]


async def test_when_no_address_answers_each_is_told_within_the_bound(network):
    network.dead, network.refused = [A], [B]
    reach = Reach(
        dataclasses.replace(QUICK, next_address_ms=1, connect_ms=30),
        ManualClock(),
        MachineNetwork(),
    )
    with pytest.raises(ConnectionFailure) as failed:
        await reach(URL, [A, B], address_of, attempt_ms=1000, what="x", open_one=network.open)
    assert failed.value.code == "connection.refused"
    assert "192.0.2.1: no answer in time" in failed.value.message
    assert "192.0.2.2: Connection refused" in failed.value.message


async def test_a_port_where_nothing_listens_is_told_in_the_systems_words():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = Url.parse(f"ws://127.0.0.1:{port}/ws")
    with pytest.raises(ConnectionFailure) as failed:
        await Reach(QUICK, ManualClock(), MachineNetwork())(
            url, [url.ip], address_of, attempt_ms=1000, what="x", open_one=open_direct
        )
    assert failed.value.message == (
        f"{url.display}: no address answered (127.0.0.1: {os.strerror(errno.ECONNREFUSED)})"
    )


async def test_the_first_failure_is_told_when_each_address_fails_in_its_own_way(network):
    async def attempt(sock, address):
        sock.close()
        raise ConnectionFailure("connection.tls", f"no TLS at {address}")

    network.refused = [B]
    reach = Reach(PATIENT, ManualClock(), MachineNetwork())
    with pytest.raises(ConnectionFailure, match=r"no TLS at 192\.0\.2\.1"):
        await reach(URL, [A, B], attempt, attempt_ms=1000, what="x", open_one=network.open)


async def test_a_servers_refusal_is_an_answer_and_ends_it(network):
    async def attempt(sock, address):
        sock.close()
        raise ConnectionFailure("connection.handshake", "403", status=403)

    reach = Reach(PATIENT, ManualClock(), MachineNetwork())
    with pytest.raises(ConnectionFailure, match="403"):
        await reach(URL, [A, B], attempt, attempt_ms=1000, what="x", open_one=network.open)
    assert network.tried == [A]


@pytest.mark.parametrize("deaf", ["silent", "hangs up"])
async def test_an_address_that_accepts_and_never_upgrades_does_not_hide_the_next(connect, deaf):
    async def accept(reader, writer):
        if deaf == "silent":
            await reader.read()
        writer.close()

    both = FixedResolver("127.0.0.2", "127.0.0.1")
    async with FakeGateway() as gateway:
        server = RawServer(accept, host="127.0.0.2", port=gateway.port)
        async with server:
            url = f"ws://gateway.example.com:{gateway.port}/"
            _, sink = connect(url, limits=HASTY, resolver=both, **ONCE)
            assert (await sink.next("opened"))[3] == f"127.0.0.1:{gateway.port}"
        assert server.connections == 1


async def test_a_request_passes_an_address_that_never_finishes_tls():
    async def silent(reader, writer):
        await reader.read()

    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("api.example.com").configure_cert(context)

    def trusting():
        made = ssl.create_default_context()
        ca.configure_trust(made)
        return made

    async def good(reader, writer):
        await read_http(reader)
        writer.write(reply(b"hello"))
        writer.close()

    server = await asyncio.start_server(good, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server, RawServer(silent, host="127.0.0.2", port=port):
        use = client(resolver=FixedResolver("127.0.0.2", "127.0.0.1"), limits=HASTY, tls=trusting)
        answer = await use.send(prepared(f"https://api.example.com:{port}/"), lambda *_: ALLOWED)
        assert answer.ok
        assert answer.body == "hello"


async def test_a_name_with_two_hundred_addresses_is_gone_through_dial_by_dial(connect):
    """The first 199 are dead; sixteen are tried at a dial, and none twice before the others."""
    dead = [f"127.0.1.{n}" for n in range(1, 200)]
    async with FakeGateway() as gateway:
        url = f"ws://gateway.example.com:{gateway.port}/"
        many = FixedResolver(*dead, "127.0.0.1")
        _, sink = connect(url, resolver=many, backoff_first_ms=1, backoff_max_ms=1)
        assert (await sink.next("opened"))[3] == f"127.0.0.1:{gateway.port}"
    errors = [call[1] for call in sink.seen if call[0] == "failed"]
    assert len(errors) == 199 // 16
    assert {one.code for one in errors} == {"connection.refused"}
    assert "none of 16 addresses answered, of 200 that the name has" in errors[0].message
    assert errors[0].hint == "the next dial tries others first"
