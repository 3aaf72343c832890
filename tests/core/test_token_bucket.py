import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core.token_bucket import TokenBucket


def test_a_second_s_worth_may_leave_at_once_and_then_it_fills_evenly():
    rate = TokenBucket(4, 0.0, reserved=1)
    assert [rate.take(0.0) for _ in range(5)] == [True] * 4 + [False]
    assert not rate.take(0.2)
    assert rate.take(0.25)
    assert not rate.take(0.25)


def test_heartbeats_always_find_room():
    """W10: a plugin that sends as fast as it may does not cost its own session."""
    rate = TokenBucket(1, 0.0, reserved=1)
    for second in range(10):
        while rate.take(second):
            pass
        assert rate._tokens >= 1.0
        rate.take_reserved(second)


@given(
    per_second=st.integers(1, 50),
    waits=st.lists(st.floats(0, 2), max_size=100),
    beats=st.integers(0, 1),
)
def test_no_stretch_of_time_sees_more_than_the_rate(per_second, waits, beats):
    rate, now, sent = TokenBucket(per_second, 0.0, reserved=1), 0.0, 0
    for wait in waits:
        now += wait
        for _ in range(beats):
            rate.take_reserved(now)
        while rate.take(now):
            sent += 1
    assert sent <= per_second * (1 + now) + 1e-6


def test_a_clock_that_stands_still_gives_nothing():
    rate = TokenBucket(1, 5.0)
    assert rate.take(5.0)
    assert not rate.take(4.0)
    with pytest.raises(ValueError, match="at least one"):
        TokenBucket(0, 0.0)


def test_a_period_may_be_longer_than_a_second():
    bucket = TokenBucket(60, 0.0, period_s=60.0)
    assert sum(bucket.take(0.0) for _ in range(100)) == 60
    assert bucket.wait_ms(0.0) == 1000
    assert bucket.wait_ms(0.9) == 100
    assert not bucket.take(0.9)
    assert bucket.take(1.0)


@given(
    most=st.integers(1, 20),
    period=st.floats(0.1, 60),
    pause=st.floats(0, 1000),
    spent=st.integers(0, 20),
)
def test_a_rest_never_earns_more_than_a_full_bucket(most, period, pause, spent):
    bucket = TokenBucket(most, 0.0, period_s=period)
    for _ in range(spent):
        bucket.take(0.0)
    assert sum(bucket.take(pause) for _ in range(3 * most)) <= most
