"""W8: a day's dials are bounded, and a long outage never uses them up."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core.backoff import EqualJitter
from yoi.core.budget import DAY_MS, DailyBudget, Spent, ms_to_next_day, wall_day
from yoi.limits import LIMITS


def test_half_a_day_s_dials_may_go_at_once_and_the_rest_is_spread():
    kept = []
    budget = DailyBudget(4, keep=kept.append)
    for number in range(3):
        assert budget.wait_ms(0) == 0
        budget.spend(0)
        assert kept[-1] == Spent(0, number + 1)
    # One is left: it waits for the middle of what is left.
    assert budget.wait_ms(0) == DAY_MS // 2
    assert budget.wait_ms(DAY_MS // 2) == 0
    budget.spend(DAY_MS // 2)
    assert budget.wait_ms(DAY_MS // 2) == DAY_MS // 2
    assert budget.wait_ms(DAY_MS) == 0


def test_what_was_spent_outlives_the_process_and_a_clock_set_back():
    budget = DailyBudget(3, Spent(7, 2))
    assert budget.wait_ms(6 * DAY_MS) == 0
    budget.spend(6 * DAY_MS)
    assert budget.spent == Spent(7, 3)
    assert budget.wait_ms(7 * DAY_MS) == DAY_MS
    assert budget.wait_ms(8 * DAY_MS) == 0


def test_a_clock_set_back_within_a_day_stretches_no_pause():
    budget, noon = DailyBudget(4), DAY_MS // 2
    for _ in range(3):
        budget.spend(noon)
    assert budget.wait_ms(noon) == budget.wait_ms(0) == DAY_MS // 4


def test_a_restart_dials_at_once_where_the_day_has_dials_left():
    budget = DailyBudget(100, Spent(7, 99))
    assert budget.wait_ms(7 * DAY_MS) == 0


def test_days_end_at_midnight_utc():
    assert wall_day(DAY_MS - 1) == 0
    assert wall_day(DAY_MS) == 1
    assert ms_to_next_day(DAY_MS) == DAY_MS
    assert ms_to_next_day(2 * DAY_MS - 1) == 1


def test_no_dial_a_day_is_no_budget():
    with pytest.raises(ValueError, match="at least one"):
        DailyBudget(0)


@given(
    per_day=st.integers(1, 60),
    begin=st.integers(0, DAY_MS - 1),
    pauses=st.lists(st.integers(0, DAY_MS // 10), min_size=80, max_size=80),
)
def test_a_day_never_sees_more_and_is_never_dark(per_day, begin, pauses):
    """Whoever dials as soon as it may, or later, never waits longer than two shares of a day."""
    budget, now, days = DailyBudget(per_day), begin, {}
    for pause in pauses:
        now += pause
        wait = budget.wait_ms(now)
        assert wait <= 2 * DAY_MS / per_day + 1
        now += wait
        assert budget.wait_ms(now) == 0
        budget.spend(now)
        day = wall_day(now)
        days[day] = days.get(day, 0) + 1
    assert max(days.values()) <= per_day


def test_a_day_without_the_server_leaves_dials_at_every_hour():
    """With the defaults nothing has to be stretched: the server is back within the backoff."""
    backoff = EqualJitter(
        first_ms=LIMITS.backoff_first_ms,
        max_ms=LIMITS.backoff_max_ms,
        rng=random.Random(7).random,
    )
    budget, now = DailyBudget(LIMITS.dials_per_day), 0
    while now < DAY_MS:
        wait = budget.wait_ms(now)
        assert wait <= LIMITS.backoff_max_ms
        now += wait
        budget.spend(now)
        now += round(backoff.next_ms())
