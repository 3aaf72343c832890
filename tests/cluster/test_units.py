"""M1, M3: units of several machines on a real server: who owns what, and when it changes."""

import asyncio
import json

import msgspec
import pytest
from msgspec import structs
from tests.cluster.test_tenure import TIMES, Ends
from tests.journal.nats import settings_of

from yoi.cluster.bucket import Bucket
from yoi.cluster.records import Move, Record
from yoi.cluster.tenure import Tenure
from yoi.cluster.units import Units
from yoi.core.placement import Member, units_of
from yoi.errors import JournalError, ServiceError
from yoi.journal.jetstream_server import connected
from yoi.limits import LIMITS

UNITS = units_of(
    [Member(f"service:{n}") for n in "abcdef"] + [Member("worker:w", frozenset({"service:a"}))]
)


@pytest.fixture
async def world(server):
    made = World(server)
    yield made
    await made.close()


class World:
    """A deployment with as many machines as a test wants."""

    def __init__(self, server):
        self._settings = settings_of(server)
        self.machines = []

    async def machine(self, name):
        made = Machine(name)
        await made.join(self._settings)
        self.machines.append(made)
        return made

    async def close(self):
        for one in self.machines:
            await one.client.close()


class Machine:
    """A host that runs what it owns at once, and notes what happens."""

    def __init__(self, name):
        self.name = name
        self.now = 0.0
        self.told = []
        self.were_cut = []
        self.does_well = False
        self.fails_to_place = 0
        self._ran = frozenset()
        self.placed = []
        """What it ran each time that it was told to."""

    async def join(self, settings):
        self.client = await connected(settings)
        machines = await Bucket.open(self.client, f"{settings.prefix}_leases", TIMES.ttl, 1)
        units = await Bucket.open(self.client, f"{settings.prefix}_units", 0, 1)
        machines.ttl = 0  # as a bucket that is older than its keys get
        loop = asyncio.get_running_loop()
        self.tenure = Tenure(machines, self.name, TIMES, loop.time, Ends(), book=units.made)
        await self.tenure.claim()
        self.units = Units(
            machines, units, self.tenure, self, lambda: 5, lambda: self.now, self.hint, LIMITS,
            lambda: 0.5,
        )  # fmt: skip
        self.units.wanted(UNITS)

    async def hint(self):
        pass

    async def dies(self):
        """Be gone as after kill -9, once its lease has lapsed."""
        bucket = self.tenure.bucket
        stream = bucket._stream
        request = json.dumps({"filter": f"$KV.{bucket.name}.{self.tenure._key}"}).encode()
        await self.client.request(f"$JS.API.STREAM.PURGE.{stream}", request)

    async def settle(self):
        await self.units.settle(self)

    def notice(self, code, message):
        self.told.append(code)

    def error(self, error):
        self.told.append(error.code)

    async def place(self):
        if self.fails_to_place:
            self.fails_to_place -= 1
            raise ServiceError("service.stopping", "not now")
        self._ran = frozenset(self.units.held)
        self.placed.append(self._ran)

    def running(self):
        return self._ran

    def cut(self, member):
        self.were_cut.append(member)

    def progressed(self, member):
        return self.does_well


async def test_machines_share_hand_over_and_take_over(world):
    a, b = await world.machine("a"), await world.machine("b")
    await a.settle()
    # A share is three and a half of seven; the unit with the worker weighs two.
    assert len(a.units.held) in (3, 4)
    await b.settle()
    await a.settle()
    await asyncio.sleep(0)
    for one in (a, b):
        one.now += 100
        await one.settle()
        one.now += 100
        await one.settle()
    assert not a.running() & b.running()
    assert a.running() | b.running() == {name for unit in UNITS for name in unit.members}
    together = {"service:a", "worker:w"}
    assert together <= a.running() or together <= b.running()
    epochs = {name: held.epoch for one in (a, b) for name, held in one.units.held.items()}
    assert b.units.machine_of(min(a.running())) == "a"
    await a.units.drain(a)
    assert not a.running()
    await a.settle()
    assert not a.running()
    b.now += 100
    while len(b.running()) < 7:
        await b.settle()
        b.now += 100
    moved = [name for name, held in b.units.held.items() if held.moved_from == "a"]
    assert moved
    for name in moved:
        assert b.units.epoch(name) > epochs[name]
    with pytest.raises(JournalError) as caught:
        a.units.epoch("service:a")
    assert caught.value.code == "journal.fenced"


async def test_what_a_dead_machine_had_is_taken_and_the_dead_one_learns_it(world):
    a = await world.machine("a")
    await a.settle()
    assert len(a.running()) == 7
    b = await world.machine("b")
    await b.settle()
    assert not b.running()
    await a.dies()
    await b.settle()
    while len(b.running()) < 7:
        await b.settle()
    # It was only stopped, and goes on: nothing that it writes is taken.
    await a.tenure._renew()
    assert not a.tenure.lives
    await a.units._round(a)
    assert not a.running()
    assert len(a.were_cut) == 7
    assert "cluster.unit_lost" in a.told


async def test_units_of_a_dead_machine_are_taken_ever_faster_unless_one_may_be_to_blame(world):
    many = units_of([Member(f"service:s{number}") for number in range(30)])
    first = await world.machine("m0")
    for progress, steps in ((True, [4, 8, 16, 2]), (True, [4, 8, 16, 2]), (False, [4] * 7 + [2])):
        first.does_well = progress
        first.units.wanted(many)
        while len(first.running()) < 30:
            await first.settle()
            first.now += 100
        await first.units._round(first)
        await first.dies()
        first = await world.machine("next")
        first.units.wanted(many)
        taken = []
        while len(first.running()) < 30:
            before = len(first.running())
            await first.tenure._renew()
            await first.units._round(first)
            taken.append(len(first.running()) - before)
        assert [one for one in taken if one] == steps


async def test_a_log_with_a_later_owner_is_ours_again_or_lost(world):
    a = await world.machine("a")
    await a.settle()
    before = a.units.epoch("service:b")
    # As a log that was moved here from another deployment.
    a.units.fenced("service:b", before + 1000)
    await a.settle()
    assert a.units.epoch("service:b") == before + 1001
    # As another owner.
    book = a.units.book
    record = book.of("service:c").record
    other = type(record)(session="other", machine="z", epoch=record.epoch + 1)
    await book._bucket.put("service.c", json.dumps({
        "session": "other", "machine": "z", "epoch": other.epoch}).encode(),
        book.of("service:c").revision,
    )  # fmt: skip
    a.units.fenced("service:c", other.epoch)
    await a.units._round(a)
    assert a.were_cut == ["service:c"]
    assert "service:b" in a.running()


async def test_three_takeovers_without_progress_bar_a_unit_until_it_is_released(world):
    first = await world.machine("m0")
    await first.settle()
    await first.dies()
    for number in range(1, 4):
        one = await world.machine(f"m{number}")
        while len(one.running()) < 7:
            await one.settle()
        await one.dies()
    last = await world.machine("last")
    while last.told.count("cluster.unit_barred") < 6:
        await last.settle()
    assert not last.running()
    known = last.units.book.of("service:a")
    assert "m3" in known.record.barred
    await last.units.book.write("service:a", type(known.record)(epoch=known.record.epoch))
    await last.settle()
    assert last.running() == {"service:a", "worker:w"}


async def test_how_each_came_to_its_machine_is_kept_and_bounded(world):
    a, b = await world.machine("a"), await world.machine("b")
    await a.settle()
    assert a.units.book.of("service:a").record.moved == 0

    async def taken(by):
        """Have `by` run the unit, whoever waited for it."""
        while "service:a" not in by.running():
            by.now += 100
            await by.settle()

    def last(of):
        record = of.units.book.of("service:a").record
        return [(one.source, one.target, one.why) for one in record.moves][-1], record

    await a.units.move("service:a", a)
    await taken(b)
    assert last(b)[0] == ("a", "b", "moved")
    await b.units.drain(b)
    await taken(a)
    assert last(a)[0] == ("b", "a", "drained")
    await a.dies()
    b.units.undrain()
    await taken(b)
    assert last(b)[0] == ("a", "b", "died")
    # Nobody else is there: each time it comes back to the machine that gave it.
    for _ in range(LIMITS.cluster_moves):
        await b.units.move("service:a", b)
        await taken(b)
    move, record = last(b)
    assert move == ("b", "b", "moved")
    assert len(record.moves) == LIMITS.cluster_moves
    assert record.moved == 3 + LIMITS.cluster_moves


async def test_a_record_that_cannot_be_read_stops_its_own_unit_until_a_person_releases_it(world):
    a = await world.machine("a")
    await a.settle()
    book, before = a.units.book, a.running()
    # As somebody who writes to the servers leaves it.
    late, long = b'{"since_ms": 9999999999999999}', b'{"machine": "%s"}' % (b"m" * 999)
    for data in (b'{"session": 7', b"\xff", b'{"moves": [[]]}', late, long):
        await book._bucket.put("service.b", data, (await book.again("service:b")).revision)
        await a.units._round(a)
        assert a.running() == before - {"service:b"}
    assert a.were_cut == ["service:b"]
    known = await book.again("service:b")
    assert "cannot be read" in known.record.barred
    await book.write("service:b", structs.replace(known.record, barred=""))
    while a.running() != before:
        a.now += 100
        await a.settle()
    # Of what could be read only as much is shown as machines write themselves.
    many = Record("x", "m", moves=(Move(1, "a", "b", ""),) * 99)
    await book._bucket.put("service.c", msgspec.json.encode(many), book.of("service:c").revision)
    assert len((await book.again("service:c")).record.moves) == LIMITS.cluster_moves


async def test_what_could_not_be_stopped_at_once_is_handed_over_when_it_can_be(world):
    a = await world.machine("a")
    await a.settle()
    a.fails_to_place = 1
    moved = await a.units.move("worker:w", a)
    # It still runs, so it is still this machine's.
    assert set(moved) <= a.running()
    assert a.units.book.of("worker:w").record.session == a.tenure.session
    await a.settle()
    assert not set(moved) & a.running()
    assert a.units.book.of("worker:w").record.session == ""
    # Others have their time; then it is taken again.
    a.now += 100
    await a.settle()
    assert set(moved) <= a.running()


async def test_a_unit_that_no_machine_may_run_is_told_once_and_runs_where_it_may(world):
    wanted = units_of([Member("service:a"), Member("service:b", runs_on=("big-*",))])
    small = await world.machine("small")
    small.units.wanted(wanted)
    await small.settle()
    await small.settle()
    assert small.running() == {"service:a"}
    assert small.told.count("notice.unit_homeless") == 1
    big = await world.machine("big-1")
    big.units.wanted(wanted)
    await big.settle()
    assert big.running() == {"service:b"}
    # Decided otherwise: it is handed over to a machine that may run it.
    other = units_of([Member("service:a", runs_on=("big-1",)), Member("service:b")])
    for one in (small, big, small):
        one.units.wanted(other)
        await one.settle()
    assert small.running() == frozenset()
    big.now += 100
    await big.settle()
    big.now += 100
    await big.settle()
    assert big.running() == {"service:a", "service:b"}


async def test_what_does_well_is_not_counted(world):
    previous = await world.machine("m0")
    await previous.settle()
    for number in range(1, 6):
        await previous.dies()
        previous = await world.machine(f"m{number}")
        previous.does_well = True
        while len(previous.running()) < 7:
            await previous.settle()
        await previous.settle()
    assert "cluster.unit_barred" not in previous.told


async def test_a_bucket_that_was_removed_ends_the_machine(world):
    a = await world.machine("a")
    await a.settle()
    bucket = a.units.book._bucket
    await a.client.request(f"$JS.API.STREAM.DELETE.{bucket._stream}", b"")
    await a.units.follow(a)
    assert a.tenure.over.is_set()
    assert a.told[-1] == "cluster.stream"


async def test_servers_that_take_nothing_are_told_once_and_it_goes_on_when_they_do(world):
    a = await world.machine("a")
    bucket, put = a.units.book._bucket, a.units.book._bucket.put

    async def refused(key, data, expected):
        raise TimeoutError("maximum bytes exceeded")

    bucket.put = refused
    for _ in range(9):
        await a.settle()
    assert not a.running()
    assert a.told.count("cluster.unreachable") == 1
    bucket.put = put
    await a.settle()
    assert len(a.running()) == 7


async def test_nothing_of_a_unit_is_run_before_all_of_it_is_claimed(world):
    a = await world.machine("a")
    bucket, put = a.units.book._bucket, a.units.book._bucket.put
    refused = ["worker.w"]

    async def late(key, data, expected):
        # The host reads its workspace again while a unit is being claimed.
        await a.place()
        if key in refused:
            refused.remove(key)
            raise TimeoutError
        return await put(key, data, expected)

    bucket.put = late
    await a.units._round(a)
    # Given back: another machine may run it at once.
    assert a.units.book.of("service:a").record.session == ""
    assert not {"service:a", "worker:w"} & a.running()
    while len(a.running()) < 7:
        await a.settle()


async def test_a_host_that_could_not_be_placed_is_placed_when_it_can_be(world):
    a = await world.machine("a")
    a.fails_to_place = 3
    await a.units._round(a)
    await a.units._round(a)
    assert len(a.units.held) == 7
    assert not a.running()
    await a.settle()
    await a.settle()
    assert len(a.running()) == 7
    assert a.told.count("service.stopping") == 1


async def test_a_claim_whose_answer_was_lost_is_given_back_and_made_again(world):
    a = await world.machine("a")
    bucket, put = a.units.book._bucket, a.units.book._bucket.put
    lost = ["service.a", "service.c"]

    async def unanswered(key, data, expected):
        revision = await put(key, data, expected)
        if key in lost:
            lost.remove(key)
            raise TimeoutError
        return revision

    bucket.put = unanswered
    await a.units._round(a)
    assert not lost
    # It owns by the book what it does not run, and runs nothing that it is not sure of.
    assert not {"service:a", "worker:w", "service:c"} & a.running()
    while len(a.running()) < 7:
        await a.settle()
    assert a.units.epoch("service:c") > a.units.epoch("service:d")


async def test_what_a_machine_that_lives_does_not_take_is_taken_ever_faster(world):
    """One that still starts, or hangs, keeps what is beyond the others' share waiting briefly."""
    a = await world.machine("a")
    await world.machine("b")  # renews its key, and takes nothing
    await a.settle()
    ran = [one.name for one in UNITS if one.name in a.running()]
    a.placed.clear()
    await a.settle()
    assert not a.placed
    a.now += 100
    await a.settle()
    units = [sum(one.name in placed for one in UNITS) - len(ran) for placed in a.placed]
    assert units == [1, 3, len(UNITS) - len(ran)][: len(units)]
    assert a.running() == {name for unit in UNITS for name in unit.members}
