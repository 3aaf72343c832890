import pytest

from yoi.core.budget import DAY_MS, DailyBudget, Spent, ms_to_next_day, wall_day


def test_a_day_has_so_many_dials_and_the_next_day_as_many_again():
    kept = []
    budget = DailyBudget(2, keep=kept.append)
    assert [budget.take(7) for _ in range(4)] == [True, True, False, False]
    assert budget.take(8)
    assert kept == [Spent(7, 1), Spent(7, 2), Spent(8, 1)]


def test_what_was_spent_outlives_the_process_and_a_clock_set_back():
    budget = DailyBudget(3, Spent(7, 2))
    assert budget.take(6)
    assert not budget.take(6)
    assert not budget.take(7)
    assert budget.spent == Spent(7, 3)


def test_days_end_at_midnight_utc():
    assert wall_day(DAY_MS - 1) == 0
    assert wall_day(DAY_MS) == 1
    assert ms_to_next_day(DAY_MS) == DAY_MS
    assert ms_to_next_day(2 * DAY_MS - 1) == 1


def test_no_dial_a_day_is_no_budget():
    with pytest.raises(ValueError, match="at least one"):
        DailyBudget(0)
