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


def test_a_person_hears_of_it_once_a_minute():
    budget = LoopBudget(0.0, LIMITS)
    assert [budget.should_tell(now) for now in (0.0, 1.0, 59.0, 60.0, 61.0)] == [
        True, False, False, True, False,
    ]  # fmt: skip
