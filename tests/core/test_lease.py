"""M2: of two hosts with clocks that drift, pause and wake up, never do both send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core.lease import Lease, LeaseState, LeaseTimes

TIMES = LeaseTimes(15.0)


def held(at=100.0):
    lease = Lease(TIMES)
    lease.claimed(7, at)
    return lease


def test_the_documented_times():
    assert (TIMES.ttl, TIMES.renew, pytest.approx(TIMES.stop)) == (15, 2, 10)


def test_it_is_held_stops_and_is_lost():
    lease = held()
    assert lease.state(109.9) is LeaseState.HELD
    assert lease.state(110) is LeaseState.EXPIRING
    assert not lease.may_send(110)
    assert lease.state(115) is LeaseState.LOST


def test_a_renewal_in_time_goes_on_and_a_late_one_changes_nothing():
    lease = held()
    lease.renewed(102, 103)
    assert lease.may_send(111.9)
    assert lease.state(112) is LeaseState.EXPIRING
    lease.renewed(111, 113)
    assert lease.may_send(120)
    assert lease.state(200) is LeaseState.LOST
    lease.renewed(199, 200)
    assert lease.state(200) is LeaseState.LOST


def test_a_renewal_counts_from_when_it_was_sent():
    lease = held()
    lease.renewed(101, 109)
    assert not lease.may_send(111)


@pytest.mark.parametrize("how", ["refused", "saw"])
def test_another_holder_ends_it_at_once(how):
    lease = held()
    lease.saw(7)
    lease.saw(3)
    assert lease.may_send(101)
    lease.refused() if how == "refused" else lease.saw(8)
    assert lease.state(101) is LeaseState.LOST
    lease.refused()


def test_nothing_is_sent_before_it_is_claimed():
    assert not Lease(TIMES).may_send(0)
    with pytest.raises(ValueError, match="does not become"):
        held().claimed(8, 101)


class Bucket:
    """Holds one key; it lapses `ttl` after the last write arrived, or later."""

    def __init__(self):
        self.revision = self.holder = 0
        self.until = -1.0

    def put(self, expected, at, late):
        if at >= self.until:
            self.holder = 0
        if self.holder != expected:
            return None
        self.revision += 1
        self.holder = self.revision
        self.until = at + TIMES.ttl + late
        return self.revision


class HostModel:
    """A host with a clock of its own speed; its messages take time both ways."""

    def __init__(self, rate, offset):
        self.rate, self.offset = rate, offset
        self.lease, self.revision = Lease(TIMES), 0

    def clock(self, real):
        return real * self.rate + self.offset

    def ask(self, bucket, real, there, back, late):
        if self.lease.state(self.clock(real)) is LeaseState.LOST:
            self.lease, self.revision = Lease(TIMES), 0
        sent = self.clock(real)
        got = bucket.put(self.revision, real + there, late)
        heard = self.clock(real + there + back)
        if got is None:
            self.lease.refused()
        elif self.revision:
            self.revision = got
            self.lease.renewed(sent, heard)
        else:
            self.revision = got
            self.lease.claimed(got, sent)


STEP = st.tuples(
    st.integers(0, 1),
    st.floats(0, 12),
    st.floats(0, 6),
    st.floats(0, 6),
    st.floats(0, 0.5),
    st.booleans(),
)


@given(
    st.lists(STEP, max_size=40),
    st.tuples(st.floats(0.9, 1.1), st.floats(0.9, 1.1)),
    st.tuples(st.floats(0, 1000), st.floats(-500, 1000)),
)
def test_two_hosts_never_send_at_the_same_time(steps, rates, offsets):
    bucket = Bucket()
    hosts = [HostModel(rate, offset) for rate, offset in zip(rates, offsets, strict=True)]
    real = 0.0
    epochs = []
    for who, pause, there, back, late, asks in steps:
        real += pause
        if asks:
            host = hosts[who]
            before = host.lease.epoch
            host.ask(bucket, real, there, back, late)
            if host.lease.epoch != before and host.lease.epoch:
                epochs.append(host.lease.epoch)
            real += there + back
        sending = [host for host in hosts if host.lease.may_send(host.clock(real))]
        assert len(sending) <= 1
    assert epochs == sorted(epochs)
