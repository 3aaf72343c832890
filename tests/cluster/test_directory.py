"""M5: which runtimes a backend finds, and that it believes no address that others put there."""

import asyncio
import ssl
from dataclasses import replace

import pytest
import trustme
from tests.journal.nats import settings_of

from yoi.backend.cluster_inventory import deployment_inventory
from yoi.backend.cluster_source import ClusterSource, _pinned
from yoi.backend.source import (
    Availability,
    BoardSummary,
    Inventory,
    Loss,
    LossKind,
    ServiceSummary,
    WorkerSummary,
)
from yoi.cluster.bucket import Bucket
from yoi.cluster.directory import Address, Directory, registered, this_network
from yoi.cluster.records import Book, Move, Record
from yoi.journal.jetstream_server import connected
from yoi.limits import LIMITS
from yoi.protocol.observation import Subject, SubjectKind
from yoi.secrets.deployment import DeploymentKey
from yoi.testing.clock import ManualClock
from yoi.types import Secret

KEY = DeploymentKey(b"k" * 32)
ECHO = Subject(SubjectKind.SERVICE, "echo", "desk")


@pytest.fixture
async def buckets(server):
    settings = settings_of(server)
    client = await connected(settings)
    names = (f"{settings.prefix}_leases", f"{settings.prefix}_units")
    yield [
        await Bucket.open(client, name, ttl, 1) for name, ttl in zip(names, (60, 0), strict=True)
    ]
    await client.close()


def at(machine):
    return Address(machine, f"ws://127.0.0.1:1/{machine}", network=this_network())


async def found(directory, wanted):
    async with asyncio.timeout(30):
        while {one.machine for one in directory.addresses.values()} != wanted:
            await directory.look()


async def test_who_registers_is_found_until_it_leaves_and_others_are_not(buckets):
    machines, units = buckets
    directory = Directory(machines, units, KEY)
    # In clear, with another key, and an address of ours under another session.
    await machines.put("runtime.planted", b'{"machine":"x","url":"ws://evil"}', 0)
    others = DeploymentKey(b"o" * 32)
    away = Address("x", "ws://127.0.0.1:1", network="another machine's")
    async with (
        registered(machines, KEY, "away", lambda: away, 1),
        registered(machines, others, "other", lambda: at("x"), 1),
        registered(machines, KEY, "s1", lambda: at("a"), 1),
    ):
        async with registered(machines, KEY, "s2", lambda: at("b"), 1):
            await found(directory, {"a", "b"})
            copied = await machines.last("runtime.s1")
            await machines.put("runtime.s3", copied.data, 0)
            await directory.look()
            assert set(directory.addresses) == {"s1", "s2"}
        await found(directory, {"a"})
    await found(directory, set())


async def test_owners_of_a_bucket_that_was_removed_are_forgotten(buckets):
    machines, units = buckets
    book, directory = Book(units), Directory(machines, units, KEY)
    await book.write("service:echo", Record("s1", "a", 1))
    await book.write("service:old", Record("s1", "a", 1))
    await directory.look()
    assert directory.records["service:echo"].session == "s1"
    await units._client.request(f"$JS.API.STREAM.DELETE.KV_{units.name}", b"")
    await directory.look()
    assert directory.records == {}
    # Made anew by a machine that started: revisions begin again.
    anew = await Bucket.open(units._client, units.name, 0, 1)
    await Book(anew).write("service:echo", Record("s2", "b", 1))
    await directory.look()
    assert directory.records["service:echo"].session == "s2"
    assert set(directory.records) == {"service:echo"}


class Remote:
    """A runtime that has `names`."""

    availability = Availability.AVAILABLE

    def __init__(self, address):
        self.address, self.asked, self.closed = address, [], False
        self.subjects = []
        self.inventory = Inventory([], [ServiceSummary(id="echo"), ServiceSummary(id="old")])

    async def start(self):
        pass

    async def close(self):
        self.closed = True

    def open(self, subject, sink, resume):
        self.asked.append(sink)
        self.subjects.append(subject)
        return self


class Sink:
    """Notes how attempts ended."""

    def __init__(self):
        self.losses = []

    def lost(self, loss):
        self.losses.append(loss.kind)


async def test_a_stream_is_asked_for_where_it_is_and_ends_only_where_no_machine_has_it(buckets):
    machines, units = buckets
    book, made = Book(units), []
    directory = Directory(machines, units, KEY)

    def remote(address):
        made.append(Remote(address))
        return made[-1]

    source = ClusterSource("desk", directory, Secret("t", "t"), ManualClock(), remote=remote)

    look = source.look

    async def attempt():
        sink = Sink()
        source.open(ECHO, sink, None)
        await look()
        return sink

    assert (await attempt()).losses == [LossKind.NOT_FOUND]
    async with registered(machines, KEY, "s1", lambda: at("a"), 1):
        await found(directory, {"a"})
        await book.write("service:echo", Record("s1", "a", 1))
        await look()
        assert [(one.id, one.machine) for one in source.inventory.services] == [("echo", "a")]
        sink = await attempt()
        [asked] = made[0].asked
        # Handed over, and taken by a machine that this backend has not found yet.
        await book.write("service:echo", Record("s2", "b", 2, moved_from="a"))
        await look()
        asked.lost(Loss(LossKind.ENDED))
        assert sink.losses == [LossKind.UNREACHABLE]
        assert (await attempt()).losses == [LossKind.UNREACHABLE]
        [row] = source.inventory.services
        assert (row.id, row.machine, row.health) == ("echo", "b", "unreachable")
        async with registered(machines, KEY, "s2", lambda: at("b"), 1):
            await found(directory, {"a", "b"})
            await look()
            assert [(one.id, one.machine) for one in source.inventory.services] == [("echo", "b")]
            sink = await attempt()
            # Drained, and taken by no machine yet: however long that lasts, it is not gone.
            now_ms = ManualClock().wall_ms()
            await book.write("service:echo", Record("", "b", 2).given_back("drained", now_ms))
            await look()
            made[1].asked[0].lost(Loss(LossKind.ENDED))
            assert sink.losses == [LossKind.UNREACHABLE]
            assert (await attempt()).losses == [LossKind.UNREACHABLE]
            await book.write("service:echo", Record("s2", "b", 3))
            await look()
            sink = await attempt()
            # Switched off everywhere.
            await book.write("service:echo", Record("", "b", 2).given_back("placed", 0))
            await look()
            made[1].asked[1].lost(Loss(LossKind.ENDED))
            assert sink.losses == [LossKind.UNREACHABLE]
            assert (await attempt()).losses == [LossKind.NOT_FOUND]
    await found(directory, set())
    await look()
    await asyncio.gather(*source._closing)
    assert all(one.closed for one in made)


async def test_the_certificate_that_was_registered_is_accepted_and_no_other():
    authority = trustme.CA()
    mine, other = (authority.issue_cert("runtime.example.com") for _ in range(2))

    async def handshake(shown):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        shown.configure_cert(context)

        async def serve(reader, writer):
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as listening:
            port = listening.sockets[0].getsockname()[1]
            pinned = _pinned(mine.cert_chain_pems[0].bytes().decode())
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=pinned)
            writer.close()

    await handshake(mine)
    # Of the same authority, with the same name.
    with pytest.raises(ssl.SSLCertVerificationError):
        await handshake(other)


async def test_a_runtime_that_is_let_go_holds_up_no_look(buckets):
    directory, made, may_end = Directory(*buckets, KEY), [], asyncio.Event()

    class Watched(Remote):
        async def close(self):
            # What is watched on its sockets goes on.
            await may_end.wait()
            await super().close()

    def remote(address):
        made.append(Watched(address))
        return made[-1]

    source = ClusterSource("desk", directory, Secret("t", "t"), ManualClock(), remote=remote)
    async with asyncio.timeout(30):
        await source._take({"s1": at("a")})
        await source._take({"s1": at("b")})
    assert [one.address for one in made] == [at("a"), at("b")]
    may_end.set()
    await source.close()
    assert not source._closing


class Runtime:
    """A runtime as the inventory of a deployment sees it."""

    def __init__(self, inventory, availability=Availability.AVAILABLE):
        self.inventory, self.availability = inventory, availability


def test_what_has_an_owner_is_listed_once_with_its_machine_and_how_it_came_there():
    move = Move(1_000, "a", "b", "died")
    records = {
        "service:here": Record("s2", "b", 2, moves=(move,), moved=9),
        "service:soon": Record("s2", "b", 2),
        "service:away": Record("s9", "c", 2),
        "service:bad": Record("", "b", 2, barred="it ends machines"),
        "service:moves": Record("", "b", 2).given_back("drained", 5_000),
        "service:moved": Record("", "b", 2).given_back("drained", 0),
        "service:off": Record("", "b", 2).given_back("placed", 5_000),
        "worker:w": Record("s1", "a", 2),
    }
    both = Inventory([WorkerSummary(id="w")], [ServiceSummary(id="here", health="running")])
    runtimes = {"s1": ("a", Runtime(both)), "s2": ("b", Runtime(both))}
    found = deployment_inventory(records, runtimes, LIMITS.machine_gone_ms)
    assert [(one.id, one.machine, one.status) for one in found.workers] == [("w", "a", "")]
    assert {one.id: (one.machine, one.health) for one in found.services} == {
        "here": ("b", "running"),
        "soon": ("b", "starting"),
        "away": ("c", "unreachable"),
        "bad": ("b", "barred"),
        "moves": ("b", "moving"),
    }
    rows = {one.id: one for one in found.services}
    assert rows["bad"].last_error == "it ends machines"
    assert (rows["here"].moved, rows["here"].moves) == (9, [move.report()])


def test_each_machine_has_a_board_of_its_own_and_no_two_folders_are_one():
    def board(items, availability=Availability.AVAILABLE):
        return Runtime(Inventory(boards=[BoardSummary(id="tickets", items=items)]), availability)

    runtimes = {
        "11111111aa": ("a", board(1)),
        "22222222bb": ("b", board(2)),
        "33333333cc": ("b", board(3, Availability.UNAVAILABLE)),
    }
    listed = deployment_inventory({}, runtimes, 0).boards
    # Of two processes of one machine the one that answers.
    assert [(one.id, one.machine, one.items) for one in listed] == [("a", "a", 1), ("b", "b", 2)]
    runtimes["33333333cc"] = ("b", board(3))
    names = [(one.id, one.items) for one in deployment_inventory({}, runtimes, 0).boards]
    assert names == [("a", 1), ("b.22222222", 2), ("b.33333333", 3)]


class Known:
    """A directory that says what a test wants."""

    def __init__(self):
        self.addresses, self.records, self.fails = {}, {}, False

    async def look(self):
        if self.fails:
            raise TimeoutError


@pytest.fixture
def known():
    """Return a directory, a source over it, and the runtimes that it has made."""
    directory, made, clock = Known(), [], ManualClock()

    def remote(address):
        made.append(Remote(address))
        return made[-1]

    source = ClusterSource("desk", directory, Secret("t", "t"), clock, remote=remote)
    return directory, source, made, clock


async def test_the_board_of_a_machine_that_starts_again_is_waited_for(known):
    directory, source, made, clock = known

    async def attempt(**addresses):
        """Ask where these are known, and have it answered by the next look."""
        directory.addresses = addresses
        await source.look()
        sink = Sink()
        source.open(Subject(SubjectKind.BOARD, "a", "desk"), sink, None)
        await source.look()
        return sink.losses

    assert await attempt() == [LossKind.NOT_FOUND]
    assert await attempt(s1=at("a")) == []
    assert made[0].subjects == [Subject(SubjectKind.BOARD, "tickets")]
    assert await attempt() == [LossKind.UNREACHABLE]
    # Two processes of one name: neither is shown as the other.
    assert await attempt(s2=at("a"), s3=at("a")) == [LossKind.UNREACHABLE]
    assert await attempt() == [LossKind.UNREACHABLE]
    clock.advance(LIMITS.machine_gone_ms / 1000)
    assert await attempt() == [LossKind.NOT_FOUND]
    await source.close()


async def test_that_there_is_no_such_stream_is_only_said_by_what_was_read_afterwards(known):
    directory, source, made, _ = known
    sinks = [Sink() for _ in range(4)]
    # A backend that starts newly, and one that the servers do not answer.
    source.open(ECHO, sinks[0], None)
    source.open(ECHO, sinks[1], None).close()
    directory.fails = True
    with pytest.raises(TimeoutError):
        await source.look()
    assert (sinks[0].losses, sinks[1].losses) == ([LossKind.UNREACHABLE], [])
    directory.fails = False
    source.open(ECHO, sinks[2], None)
    await source.look()
    assert sinks[2].losses == [LossKind.NOT_FOUND]
    # Another backend has seen it already: asked for here, it is found.
    source.open(ECHO, sinks[3], None)
    directory.addresses = {"s1": at("a")}
    directory.records = {"service:echo": Record("s1", "a", 1)}
    await source.look()
    assert sinks[3].losses == [LossKind.UNREACHABLE]
    source.open(ECHO, sinks[3], None)
    assert made[0].subjects == [ECHO]
    await source.close()


async def test_who_asks_for_what_is_not_there_has_the_servers_asked_soon(known):
    directory, source, *_ = known
    patient = replace(LIMITS, publication_ms=3_600_000, directory_pause_ms=1)
    source = ClusterSource("desk", directory, Secret("t", "t"), ManualClock(), patient)
    heard = asyncio.get_running_loop().create_future()

    class Waits(Sink):
        def lost(self, loss):
            heard.set_result(loss.kind)

    await source.start()
    source.open(ECHO, Waits(), None)
    async with asyncio.timeout(30):
        assert await heard == LossKind.NOT_FOUND
    await source.close()
