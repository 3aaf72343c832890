"""A peer that guesses is told to wait; no other peer is, however many there are."""

import pytest

from yoi.limits import Limits
from yoi.serving.failures import FailureLimit

LIMITS = Limits(sign_in_failures=3, sign_in_peers=4)


def test_a_peer_s_limit_fills_again_with_time() -> None:
    limit = FailureLimit(LIMITS)
    assert [limit.failed("192.0.2.1", 0.0) for _ in range(5)] == [True] * 3 + [False] * 2
    assert not limit.failed("192.0.2.1", 19.9)
    assert limit.failed("192.0.2.1", 20.1)
    assert not limit.failed("192.0.2.1", 20.1)
    assert [limit.failed("192.0.2.1", 3600.0) for _ in range(4)] == [True] * 3 + [False]


def test_peers_have_limits_of_their_own() -> None:
    limit = FailureLimit(LIMITS)
    while limit.failed("192.0.2.1", 0.0):
        pass
    assert limit.failed("192.0.2.2", 0.0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:db8::1%eth0", "2001:db8::2", True),
        ("not an address", "", True),
    ],
)
def test_what_one_peer_has(one: str, other: str, same: bool) -> None:
    limit = FailureLimit(LIMITS)
    while limit.failed(one, 0.0):
        pass
    assert limit.failed(other, 0.0) is not same


def test_the_table_is_bounded_and_forgets_who_failed_longest_ago() -> None:
    limit = FailureLimit(LIMITS)
    while limit.failed("192.0.2.1", 0.0):
        pass
    for number in range(1000):
        limit.failed(f"198.51.{number // 256}.{number % 256}", 0.0)
        assert not limit.failed("192.0.2.1", 0.0)
        assert len(limit) <= 4
