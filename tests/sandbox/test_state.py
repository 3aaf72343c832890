"""The accounts of one guest: budget, calls, timers."""

import time
from dataclasses import replace

import pytest

from yoi.limits import LIMITS
from yoi.sandbox import deny_all
from yoi.sandbox.state import GuestState, Stop


def state() -> GuestState:
    return GuestState(replace(LIMITS, host_calls_per_dispatch=2), deny_all)


def test_each_turn_has_its_own_count() -> None:
    guest = state()
    for _ in range(3):
        guest.begin(float("inf"))
        guest.count_call()
        guest.count_call()
        with pytest.raises(Stop) as stopped:
            guest.count_call()
        assert stopped.value.code == "sandbox.host_calls"


def test_a_sleep_ends_with_the_budget() -> None:
    guest = state()
    guest.begin(time.monotonic() + 0.01)
    with pytest.raises(Stop) as stopped:
        guest.sleep_until(time.monotonic() + 3600)
    assert stopped.value.code == "sandbox.deadline"
    guest.begin(time.monotonic() + 3600)
    guest.sleep_until(time.monotonic() - 1)


def test_a_sleep_to_infinity_or_into_the_past_is_bounded() -> None:
    guest = state()
    guest.begin(time.monotonic() - 1)
    with pytest.raises(Stop):
        guest.sleep_until(float("inf"))


def test_a_spent_budget_ends_the_turn_after_a_host_call() -> None:
    guest = state()
    guest.begin(time.monotonic() - 1)
    with pytest.raises(Stop) as stopped:
        guest.check_deadline()
    assert stopped.value.code == "sandbox.deadline"


def test_timers_have_numbers_of_their_own() -> None:
    guest = state()
    reps = {guest.new_timer(0.0) for _ in range(100)}
    assert len(reps) == 100
    assert min(reps) >= 16
