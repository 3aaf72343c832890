"""M1, M2: the lease with a real server: claimed once, renewed, given back, lost."""

import asyncio
import contextlib

import pytest
from tests.journal.nats import running, settings_of

from yoi.cluster.tenure import Tenure, bucket_of, holder_of, kept
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


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("nats")) as made:
        yield made


@pytest.fixture
async def bucket(server):
    settings = settings_of(server)
    client = await connected(settings)
    yield await bucket_of(client, f"{settings.prefix}_leases", TIMES.ttl, 1)
    await client.close()


def tenure(bucket, holder="a", times=TIMES):
    return Tenure(bucket, holder, times, asyncio.get_running_loop().time, Ends())


async def test_one_has_it_and_the_next_waits_until_it_is_given_back(bucket):
    one, other = tenure(bucket, "one"), tenure(bucket, "other")
    await one.claim()
    assert await holder_of(bucket) == "one"
    assert 0 < one._ends.armed <= TIMES.stop
    waiting = asyncio.ensure_future(other.claim())
    done, _ = await asyncio.wait([waiting], timeout=TIMES.renew * 2)
    assert not done
    await one.release()
    assert one._ends.armed is None
    await asyncio.wait_for(waiting, 30)
    assert other.lease.epoch > one.lease.epoch
    assert one.lease.state(0) is LeaseState.LOST
    await other.release()
    assert await holder_of(bucket) is None


async def test_a_kept_lease_outlives_its_time(bucket):
    one = tenure(bucket)
    await one.claim()
    first = one._revision
    async with kept(one):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(one.over.wait(), TIMES.ttl * 1.2)
        assert one._revision > first
        assert one.lease.may_send(asyncio.get_running_loop().time())
        assert not one.over.is_set()


async def test_a_renewal_whose_answer_was_lost_is_taken_for_ours(bucket):
    one = tenure(bucket)
    await one.claim()
    await bucket.update("host", one._value, last=one._revision)
    await one._renew()
    assert one.lease.may_send(asyncio.get_running_loop().time())
    await one.release()


async def test_another_holder_is_the_end(bucket):
    one = tenure(bucket)
    await one.claim()
    await bucket.put("host", b'{"holder": "thief"}')
    await one.keep()
    assert one.over.is_set()
    assert one.lease.state(0) is LeaseState.LOST


async def test_other_times_on_another_machine_are_said(server):
    settings = settings_of(server)
    client = await connected(settings)
    await bucket_of(client, f"{settings.prefix}_leases", 3.0, 1)
    with pytest.raises(ClusterError) as caught:
        await bucket_of(client, f"{settings.prefix}_leases", 9.0, 1)
    assert caught.value.code == "cluster.stream"
    await client.close()


async def test_a_bucket_made_later_has_later_epochs(server):
    client = await connected(settings_of(server))
    epochs = []
    for _ in range(2):
        made = tenure(await bucket_of(client, f"{settings_of(server).prefix}_leases", 3.0, 1))
        await made.claim()
        epochs.append(made.lease.epoch)
        for _ in range(20):
            await made._renew()
    assert epochs[1] > epochs[0]
    await client.close()
