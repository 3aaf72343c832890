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
    guest.begin(0.01)
    with pytest.raises(Stop) as stopped:
        guest.sleep_until(time.monotonic() + 3600)
    assert stopped.value.code == "sandbox.deadline"
    guest.begin(3600)
    guest.sleep_until(time.monotonic() - 1)


def test_a_sleep_to_infinity_or_into_the_past_is_bounded() -> None:
    guest = state()
    guest.begin(0)
    with pytest.raises(Stop):
        guest.sleep_until(float("inf"))


def test_a_spent_budget_ends_the_turn_after_a_host_call() -> None:
    guest = state()
    guest.begin(0)
    with pytest.raises(Stop) as stopped:
        guest.check_deadline()
    assert stopped.value.code == "sandbox.deadline"


def test_timers_have_numbers_of_their_own() -> None:
    guest = state()
    reps = {guest.new_timer(0.0) for _ in range(100)}
    assert len(reps) == 100
    assert min(reps) >= 16


class Machine:
    """Clocks that move only when told: `monotonic` of the wall, `thread_time` of this thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = self.cpu = 100.0
        for name in ("monotonic", "thread_time", "sleep"):
            monkeypatch.setattr(f"yoi.sandbox.state.{name}", getattr(self, name))

    def monotonic(self) -> float:
        return self.wall

    def thread_time(self) -> float:
        return self.cpu

    def sleep(self, seconds: float) -> None:
        self.wall += seconds + self.oversleep

    oversleep = 0.0


def test_a_turn_is_charged_its_own_time_and_not_what_the_machine_did_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine, guest = Machine(monkeypatch), state()
    guest.begin(1.0)
    machine.wall += 3.0
    machine.cpu += 0.25
    guest.check_deadline()
    assert guest.remaining() == 0.75
    guest.waited(0.5)
    assert guest.remaining() == 0.25
    machine.cpu += 0.5
    with pytest.raises(Stop):
        guest.check_deadline()


def test_a_sleep_is_charged_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, guest = Machine(monkeypatch), state()
    machine.oversleep = 2.0
    guest.begin(1.0)
    guest.sleep_until(machine.wall + 0.75)
    assert guest.remaining() == 0.25
    with pytest.raises(Stop):
        guest.sleep_until(machine.wall + 0.5)
    assert guest.remaining() <= 0.0


@pytest.mark.parametrize(("budget", "late"), [(0.5, 4.5), (30.0, 60.0)])
def test_being_late_has_an_end(monkeypatch: pytest.MonkeyPatch, budget: float, late: float) -> None:
    machine, guest = Machine(monkeypatch), state()
    guest.begin(budget)
    machine.wall += budget + late - 0.01
    guest.check_deadline()
    machine.wall += 0.02
    with pytest.raises(Stop):
        guest.check_deadline()


def test_what_was_slept_is_gone_from_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sleeps that fit one by one do not fit together."""
    machine, guest = Machine(monkeypatch), state()
    guest.begin(1.0)
    guest.sleep_until(machine.wall + 0.6)
    assert guest.remaining() == pytest.approx(0.4)
    with pytest.raises(Stop) as stopped:
        guest.sleep_until(machine.wall + 0.6)
    assert stopped.value.code == "sandbox.deadline"
