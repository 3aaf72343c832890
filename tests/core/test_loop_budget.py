from hypothesis import given
from hypothesis import strategies as st

from yoi.core.loop_budget import LoopBudget
from yoi.limits import Limits

LIMITS = Limits(loop_share_percent=50, loop_burst_ms=1000)


def test_within_its_share_a_plugin_never_waits():
    budget = LoopBudget(0.0, LIMITS)
    for second in range(1, 100):
        budget.spend(0.5, float(second))
        assert budget.wait(float(second)) == 0
    assert budget.spent == 99 * 0.5
    assert budget.waits == 0


def test_a_burst_is_allowed_and_then_repaid():
    budget = LoopBudget(0.0, LIMITS)
    budget.spend(1.2, 0.0)
    wait = budget.wait(0.0)
    assert wait > 0.4
    assert budget.waits == 1
    assert budget.wait(wait) == 0


@given(st.lists(st.floats(0.0001, 0.2), min_size=1, max_size=200))
def test_whoever_waits_as_told_has_no_more_than_its_share_and_the_burst(pieces):
    budget, now = LoopBudget(0.0, LIMITS), 0.0
    for piece in pieces:
        now += budget.wait(now)
        now += piece
        budget.spend(piece, now)
    assert budget.spent <= 0.5 * now + 1.0 + max(pieces)


def _told(budget, seconds, spend_s):
    """Spend `spend_s` in each hundredth of `seconds`, and return when a person was told."""
    told = []
    for at in range(round(seconds * 100)):
        now = at / 100
        budget.spend(spend_s, now)
        if budget.wait(now) and budget.should_tell(now):
            told.append(now)
    return told


def test_a_person_hears_once_a_minute_of_a_plugin_that_is_slowed_for_a_second():
    budget = LoopBudget(0.0, Limits(loop_share_percent=50, loop_burst_ms=5))
    first, second = _told(budget, 119, 0.00501)
    assert 1.0 <= first <= 3.0
    assert second - first >= 60


def test_nobody_hears_of_a_few_large_answers():
    budget = LoopBudget(0.0, Limits(loop_share_percent=50, loop_burst_ms=5))
    for at in range(100):
        now = at * 2.0
        budget.spend(0.4, now)
        assert budget.wait(now)
        assert not budget.should_tell(now)
    assert budget.waits == 100


def test_one_step_that_costs_seconds_is_told_at_once():
    budget = LoopBudget(0.0, Limits(loop_share_percent=50, loop_burst_ms=5))
    budget.spend(2.0, 0.0)
    assert budget.wait(0.0)
    assert budget.should_tell(0.0)
    assert not budget.should_tell(1.0)
