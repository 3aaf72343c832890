"""A challenge is good once, for one request, in time, and in the process that gave it out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core.challenges import Challenges, Verdict

VALID_MS = 5_000


def challenges(secret=b"s" * 32, most=4):
    return Challenges(secret, VALID_MS, most)


def test_it_is_good_once():
    one = challenges()
    made = one.issue("a", 100)
    assert one.redeem("a", made, 100) is Verdict.FRESH
    assert one.redeem("a", made, 101) is Verdict.STALE
    # Not under a second challenge either: a request is carried out once.
    assert one.redeem("a", one.issue("a", 200), 201) is Verdict.STALE


@pytest.mark.parametrize(
    "alter",
    [
        lambda made: "",
        lambda made: "1",
        lambda made: made + "0",
        lambda made: made[:-1],
        lambda made: "1" + made,
        lambda made: "-" + made,
        lambda made: "٣" + made,
        lambda made: "9" * 5000 + "." + made.partition(".")[2],
        lambda made: made.replace(".", ".\ud800"),
    ],
)
def test_another_one_is_refused(alter):
    one = challenges()
    assert one.redeem("a", alter(one.issue("a", 100)), 100) is Verdict.STALE


def test_it_is_for_one_request_and_one_process():
    one, other = challenges(), challenges(b"t" * 32)
    made = one.issue("a", 100)
    assert one.redeem("b", made, 100) is Verdict.STALE
    assert other.redeem("a", made, 100) is Verdict.STALE


def test_as_many_as_may_be_remembered():
    one = challenges(most=2)
    made = [one.issue(name, 100) for name in "abc"]
    assert one.redeem("a", made[0], 100) is one.redeem("b", made[1], 100) is Verdict.FRESH
    assert one.redeem("c", made[2], 100) is Verdict.FULL
    assert one.redeem("c", one.issue("c", 100 + VALID_MS), 100 + VALID_MS) is Verdict.FRESH


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["issue", "redeem", "wait"]),
        st.integers(0, 5),
        st.integers(0, VALID_MS + 1),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_no_request_is_carried_out_twice_or_late(steps):
    now, one, given_out, carried_out = 0, challenges(most=3), [], set()
    for what, which, wait in steps:
        if what == "issue":
            given_out.append((str(which), one.issue(str(which), now), now))
        elif what == "wait":
            now += wait
        elif given_out:
            request, made, at = given_out[which % len(given_out)]
            if one.redeem(request, made, now) is Verdict.FRESH:
                assert now - at < VALID_MS
                # The same id may come again only under a challenge that was given out later.
                assert (request, made) not in carried_out
                carried_out.add((request, made))
