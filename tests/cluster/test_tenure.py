"""M1, M2: a machine's lease with a real server: made, renewed, given back, ended, lost."""

import asyncio
import contextlib

import pytest
from tests.journal.nats import settings_of

from yoi.cluster.bucket import Bucket, Taken
from yoi.cluster.tenure import Tenure, end, kept, machines_of
from yoi.core.lease import LeaseState, LeaseTimes
from yoi.errors import ClusterError
from yoi.journal.jetstream_server import connected

TIMES = LeaseTimes(3.0)


class Ends:
    """Notes when the process would be ended."""

    def __init__(self):
        self.armed = None

    def arm(self, seconds):
        self.armed = seconds

    def disarm(self):
        self.armed = None


@pytest.fixture
async def client(server):
    made = await connected(settings_of(server))
    yield made
    await made.close()


@pytest.fixture
async def bucket(server, client):
    return await Bucket.open(client, f"{settings_of(server).prefix}_leases", TIMES.ttl, 1)


def tenure(bucket, machine="a", times=TIMES):
    return Tenure(bucket, machine, times, asyncio.get_running_loop().time, Ends())


async def test_machines_live_side_by_side_until_they_leave(bucket):
    one, other = tenure(bucket, "one"), tenure(bucket, "other")
    await one.claim()
    await other.claim()
    assert sorted(machines_of(await bucket.since()).values()) == ["one", "other"]
    assert 0 < one._ends.armed <= TIMES.stop
    assert not await end(bucket, one.session, "other")
    await one.release()
    assert one._ends.armed is None
    assert one.lease.state(0) is LeaseState.LOST
    assert list(machines_of(await bucket.since()).values()) == ["other"]
    # It left by itself: at once, however young the bucket is.
    assert await end(bucket, one.session, "other")


async def test_a_kept_lease_outlives_its_time_and_another_does_not(bucket):
    one, silent = tenure(bucket), tenure(bucket, "silent")
    await one.claim()
    await silent.claim()
    async with kept(one):
        while not await end(bucket, silent.session, "a"):
            await one._renew()
        assert not one.over.is_set()
        # Wherever its renewal was: it comes too late.
        await silent._renew()
        assert silent.lease.state(0) is LeaseState.LOST
        assert list(machines_of(await bucket.since()).values()) == ["a"]


async def test_a_key_that_is_missing_in_a_bucket_made_anew_has_not_lapsed(server, client):
    name = f"{settings_of(server).prefix}_leases"
    bucket = await Bucket.open(client, name, 60.0, 1)
    alive = tenure(bucket)
    await alive.claim()
    await client.request(f"$JS.API.STREAM.DELETE.KV_{name}", b"")
    anew = await Bucket.open(client, name, 60.0, 1)
    # It may still act, for as long as its last renewal lets it.
    assert not await end(anew, alive.session, "other")
    assert not await end(anew, alive.session, "other")
    assert not await end(bucket, alive.session, "itself")
    # It does not come back, whatever revision it names.
    await alive._renew()
    assert alive.lease.state(0) is LeaseState.LOST
    anew.ttl = 0.0  # as old as keys get
    assert await end(anew, alive.session, "other")


async def test_a_renewal_whose_answer_was_lost_is_taken_for_ours(bucket):
    one = tenure(bucket)
    await one.claim()
    await bucket.put(one._key, one._value, one._revision)
    await one._renew()
    assert one.lives
    await one.release()


async def test_a_lease_that_is_gone_is_the_end(bucket):
    one = tenure(bucket)
    await one.claim()
    await bucket.put(one._key, b'{"ended_by": "thief"}', one._revision)
    await one.keep()
    assert one.over.is_set()
    assert one.lease.state(0) is LeaseState.LOST


async def test_other_times_on_another_machine_are_said(server, client):
    name = f"{settings_of(server).prefix}_leases"
    made = await Bucket.open(client, name, 3.0, 1)
    with pytest.raises(ClusterError) as caught:
        await Bucket.open(client, name, 9.0, 1)
    assert caught.value.code == "cluster.stream"
    assert await made.is_the_same()
    await client.request(f"$JS.API.STREAM.DELETE.KV_{name}", b"")
    assert not await made.is_the_same()


async def test_what_is_read_in_pages_is_whole_and_writes_name_what_they_replace(server, client):
    bucket = await Bucket.open(client, f"{settings_of(server).prefix}_units", 0, 1)
    last = 0
    for number in range(1100):
        last = await bucket.put(f"k.{number}", b"x", 0)
    assert len(await bucket.since()) == 1100
    assert [one.key for one in await bucket.since(last - 1)] == ["k.1099"]
    with pytest.raises(Taken):
        await bucket.put("k.1", b"y", last)
    found = await bucket.last("k.1")
    await bucket.drop("k.1", found.revision)
    assert (await bucket.last("k.1")).data == b""
    assert await bucket.last("k.none") is None
    with contextlib.suppress(Taken):
        await bucket.put("k.1", b"z", 0)
        raise AssertionError("a key that was dropped has a revision")
