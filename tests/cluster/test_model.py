"""M1, M2, M3: the claim protocol, model-checked: the real `Tenure` and `Units`, any schedule.

`YOI_MODEL_SEEDS=2000 pytest tests/cluster/test_model.py` tries so many worlds of each kind.
"""

import asyncio
import contextlib
import os
import random

import pytest
from msgspec import structs
from tests.cluster import model
from tests.cluster.model import JOINED, TIMES, Faults, World, explored
from tests.cluster.model_bucket import ModelBucket
from tests.journal.nats import settings_of

from yoi.cluster import units as units_module
from yoi.cluster.bucket import Bucket, Taken
from yoi.cluster.records import Book, Record
from yoi.cluster.units import Units
from yoi.errors import YoiError
from yoi.journal.jetstream_server import connected
from yoi.limits import LIMITS

SEEDS = int(os.environ.get("YOI_MODEL_SEEDS", "0"))
KINDS = {"": 12, "machines": 5, "units": 5}
"""How many worlds the suite tries, by the bucket that somebody removes in them."""


@pytest.mark.parametrize("removed", KINDS)
def test_no_schedule_has_two_owners_and_every_unit_is_run_in_the_end(removed):
    for seed in range(SEEDS or KINDS[removed]):
        world = explored(seed, Faults(removed=removed))
        assert not world.violations, (seed, world.violations)
        assert world.claims >= len(JOINED)


def poisoned(seed):
    """Return a world in which one member ends each process that runs it."""
    world = World(seed)
    world.ends_its_process = {"service:b"}
    try:
        for one in world.machines:
            one.start()
        world.run(12 * TIMES.ttl)
        world.check_settled(tuple(one for one in JOINED if one.name != "service:b"))
    finally:
        world.close()
    return world


def test_three_takeovers_bar_a_unit_everywhere_and_the_others_run():
    for seed in range(SEEDS or 3):
        world = poisoned(seed)
        assert not world.violations, (seed, world.violations)
        assert world.runs["service:b"] == LIMITS.cluster_takeovers + 1


# -- that the model can fail ----------------------------------------------------------------------


async def claims_without_ending(bucket, session, by):
    return True


async def writes_the_epoch_that_was(self, member, record, write=Book.write):
    before = self.of(member).record
    return await write(self, member, structs.replace(record, epoch=before.epoch))


async def returns_nothing_late(self, runner):
    return False


async def forgets_that_it_was_not_placed(self, runner):
    with contextlib.suppress(YoiError):
        await runner.place()


async def takes_again_what_was_moved(self, name, runner, move=Units.move):
    members = await move(self, name, runner)
    self._moved.clear()
    return members


def stores_whatever_was_there(self, key, data, expected, at, late=0.0, put=ModelBucket.put):
    found = self.last(key, at)
    return put(self, key, data, 0 if found is None else found.revision, at, late)


def always_old(self):
    """Take every bucket for older than its keys get."""
    return 0.0


MUTANTS = {
    # Whose rule, which, what is done instead; in what world it is found, from which seed on.
    "two": (units_module, "end", claims_without_ending, "", 7, "may send on"),
    "no fence": (Book, "write", writes_the_epoch_that_was, "", 0, "not later"),
    "no return": (Units, "_return_late", returns_nothing_late, "", 2, "should run once"),
    "no place": (Units, "_place", forgets_that_it_was_not_placed, "", 12, "should run once"),
    "bounce": (Units, "move", takes_again_what_was_moved, "", 2, "just moved it"),
    "no revision": (ModelBucket, "put", stores_whatever_was_there, "", 1, "may send on"),
    "no alarm": (model.Process, "arm", lambda *_: None, "", 26, "may send on"),
    "young": (model.SentBucket, "ttl", property(always_old), "machines", 0, "may send on"),
    "book": (Units, "_other_book", lambda *_: False, "units", 5, "may send on"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_rule_that_is_broken_is_found(monkeypatch, name):
    where, what, instead, removed, first, wanted = MUTANTS[name]
    monkeypatch.setattr(where, what, instead)
    for seed in range(first, first + 40):
        world = explored(seed, Faults(removed=removed))
        if any(wanted in one for one in world.violations):
            return
    raise AssertionError("the model does not see it")


def test_takeovers_that_are_not_counted_are_found(monkeypatch):
    def uncounted(**fields):
        return Record(**{**fields, "takeovers": 0})

    monkeypatch.setattr(units_module, "Record", uncounted)
    assert poisoned(0).runs["service:b"] > LIMITS.cluster_takeovers + 1


# -- that the model is like the servers -----------------------------------------------------------


class Both:
    """A bucket of a real server and its model; a revision of one stands for the other's."""

    def __init__(self, real):
        self.real, self.at = real, 0.0
        self.model = ModelBucket("made", real.ttl, 0.0)
        self.revisions = {0: 0}
        """The real server's, by the model's."""

    async def write(self, key, data, expected, how):
        try:
            wanted = self.model.put(key, data if how == "put" else b"", expected, self.at)
        except Taken:
            wanted = None
        try:
            named = self.revisions[expected]
            if how == "put":
                found = await self.real.put(key, data, named)
            else:
                await self.real.drop(key, named)
                found = (await self.real.last(key)).revision
        except Taken:
            found = None
        assert (wanted is None) == (found is None), (key, expected, how)
        if wanted is not None:
            assert found > max(self.revisions.values())
            self.revisions[wanted] = found

    async def reads(self, key, after):
        wanted, found = self.model.last(key, self.at), await self.real.last(key)
        self.same([wanted] if wanted else [], [found] if found else [])
        self.same(self.model.since(after, self.at), await self.real.since(self.revisions[after]))

    def same(self, wanted, found):
        assert [(one.key, self.revisions[one.revision], one.data) for one in wanted] == [
            (one.key, one.revision, one.data) for one in found
        ]

    async def lapse(self):
        """Let every key lapse."""
        while await self.real.since():  # noqa: ASYNC110 - the server tells when it is asked
            await asyncio.sleep(0.05)
        self.at += self.model.ttl + 1


async def test_the_model_bucket_answers_as_a_real_one(server):
    client = await connected(settings_of(server))
    both = Both(await Bucket.open(client, f"{settings_of(server).prefix}_units", 0, 1))
    rng = random.Random(7)
    for _ in range(150):
        key = f"k.{rng.randrange(4)}"
        last = both.model.last(key, 0)
        right = 0 if last is None else last.revision
        expected = right if rng.random() < 0.6 else rng.choice(sorted(both.revisions))
        await both.write(
            key, b"%d" % rng.randrange(99), expected, rng.choice(["put", "put", "drop"])
        )
        await both.reads(key, rng.choice(sorted(both.revisions)))
    await client.close()


async def test_keys_lapse_in_the_model_as_in_a_real_bucket(server):
    client = await connected(settings_of(server))
    async with asyncio.timeout(90):
        while True:
            real = await Bucket.open(client, f"{settings_of(server).prefix}_leases", 1.0, 1)
            both, begun = Both(real), asyncio.get_running_loop().time()
            await both.write("host.a", b"one", 0, "put")
            await both.write("host.b", b"left", 0, "put")
            await both.write("host.b", b"", 2, "drop")
            await both.reads("host.a", 0)
            if asyncio.get_running_loop().time() - begun < real.ttl / 2:
                break  # else what lapsed meanwhile proves nothing
    async with asyncio.timeout(90):
        await both.lapse()
    await both.reads("host.a", 0)
    await both.reads("host.b", 0)
    # A renewal that comes too late is refused; what is made anew is later than all before.
    await both.write("host.a", b"late", 1, "put")
    await both.write("host.b", b"late", 3, "put")
    await both.write("host.a", b"anew", 0, "put")
    await client.close()
