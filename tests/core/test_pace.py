from hypothesis import given
from hypothesis import strategies as st

from yoi.core.pace import Pace


def test_what_was_saved_may_go_at_once_and_the_rest_is_waited_for():
    pace = Pace(100, 50, 0.0)
    pace.spend(49, 0.0)
    assert pace.wait(0.0) == 0
    pace.spend(31, 0.0)
    assert pace.wait(0.0) == 0.3
    assert pace.wait(0.0, saved=10) == 0.4
    assert pace.wait(0.2) > 0
    assert pace.wait(0.31) == 0
    assert not pace.is_rested(0.7)
    assert pace.is_rested(0.9)


def test_a_clock_that_goes_back_gives_nothing():
    pace = Pace(100, 50, 10.0)
    pace.spend(60, 10.0)
    assert pace.wait(0.0) == 0.1
    assert pace.wait(10.0) == 0.1


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 500)), min_size=1, max_size=100))
def test_who_waits_as_told_never_has_more_than_the_pace_and_one_step(steps):
    pace, now, spent = Pace(100, 50, 0.0), 0.0, 0.0
    for rest, amount in steps:
        now += rest
        now += pace.wait(now)
        assert spent <= 50 + 100 * now + 1e-6
        pace.spend(amount, now)
        spent += amount
