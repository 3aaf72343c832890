"""The periodic task sleeps while nothing runs; the epoch follows the clock and never runs ahead."""

import threading
import time

from yoi.limits import LIMITS
from yoi.sandbox.ticker import EpochTicker, PeriodicTask


def test_a_periodic_task_beats_while_something_is_entered_and_then_parks() -> None:
    beats = threading.Semaphore(0)
    task = PeriodicTask("test", 0.0001, beats.release)
    try:
        task.enter("a")
        for _ in range(300):
            assert beats.acquire(timeout=5), "it beats while anything is entered"
        assert not task.parked
        task.leave("a")
        until = time.monotonic() + 5
        while not task.parked and time.monotonic() < until:
            beats.acquire(timeout=0.01)
        assert task.parked
        while beats.acquire(blocking=False):
            pass
        task.enter("b")
        assert beats.acquire(timeout=5), "entering wakes it"
    finally:
        task.close()


def test_nothing_beats_before_somebody_enters() -> None:
    """Whoever makes a task keeps it, and its beat may use it: that must have happened by then."""
    beats: list[int] = []
    for _ in range(100):
        task = PeriodicTask("test", 0.0, lambda: beats.append(1))
        task.close()
    assert beats == []


def test_leaving_twice_is_harmless() -> None:
    task = PeriodicTask("test", 0.001, lambda: None)
    task.enter("a")
    task.leave("a")
    task.leave("a")
    task.close()


class Engine:
    """Counts epochs, and interrupts as wasmtime does: at current + ticks."""

    def __init__(self) -> None:
        self.epoch = 0
        self.deadline = 0

    def increment(self) -> None:
        self.epoch += 1

    def set_ticks(self, ticks: int) -> None:
        self.deadline = self.epoch + ticks

    @property
    def interrupted(self) -> bool:
        return self.epoch >= self.deadline


def test_a_deadline_is_never_early_and_soon_comes() -> None:
    engine = Engine()
    ticker = EpochTicker(engine.increment, LIMITS)
    try:
        for _ in range(5):
            deadline = time.monotonic() + 0.02
            ticker.arm("guest", deadline, engine.set_ticks)
            while not engine.interrupted:
                assert time.monotonic() < deadline + 5, "the deadline never comes"
            assert time.monotonic() >= deadline, "a budget was cut short"
            ticker.disarm("guest")
    finally:
        ticker.close()


def test_catching_up_after_a_stall_does_not_shorten_a_new_budget() -> None:
    """The thread may be late by many ticks; what was armed meanwhile still gets its whole time."""
    engine = Engine()
    ticker = EpochTicker(engine.increment, LIMITS)
    ticker.close()  # from here on the test is the thread
    tick = LIMITS.epoch_tick_ms / 1000
    ticker._zero = time.monotonic() - 200 * tick  # 200 ticks late
    deadline = time.monotonic() + 1000 * tick
    ticker.arm("guest", deadline, engine.set_ticks)
    ticker._advance()
    assert engine.epoch >= 200
    assert not engine.interrupted
    assert engine.deadline - engine.epoch >= 999
