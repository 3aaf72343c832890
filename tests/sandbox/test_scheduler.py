"""Turns: serial per plugin, fair between plugins, stuck plugins in their own lane (S3, S8)."""

import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from yoi.errors import ServiceError
from yoi.limits import LIMITS
from yoi.sandbox.scheduler import Scheduler

WAIT = 10.0
SMALL = replace(LIMITS, guest_threads=4, slow_threads=1, long_turn_ms=5)


class Gate:
    """A turn that is stuck until the test opens it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self) -> None:
        self.entered.set()
        assert self.opened.wait(WAIT)


@pytest.fixture
def scheduler() -> Any:
    made = Scheduler(SMALL)
    yield made
    assert made.close()


def finish(scheduler: Scheduler, key: str) -> None:
    """Return when everything submitted for `key` so far has run."""
    done = threading.Event()
    scheduler.submit(key, done.set)
    assert done.wait(WAIT)


def test_turns_of_one_key_run_one_at_a_time_and_in_order(scheduler: Scheduler) -> None:
    seen: list[int] = []
    busy = threading.Lock()

    def turn(number: int) -> None:
        assert busy.acquire(blocking=False), "two turns of one plugin at once"
        seen.append(number)
        busy.release()

    for number in range(500):
        scheduler.submit("a", lambda n=number: turn(n))
    finish(scheduler, "a")
    assert seen == list(range(500))


def test_keys_take_turns(scheduler: Scheduler) -> None:
    """A plugin with a long queue does not make another wait for all of it."""
    gate, seen = Gate(), []
    scheduler.submit("first", gate)
    assert gate.entered.wait(WAIT)
    quick = threading.Event()
    for n in range(100):
        scheduler.submit("busy", lambda n=n: seen.append(n))
    scheduler.submit("other", lambda: (seen.append("other"), quick.set()))
    gate.opened.set()
    assert quick.wait(WAIT)
    finish(scheduler, "busy")
    assert seen.index("other") <= 2


def test_a_stuck_turn_does_not_stop_another_key(scheduler: Scheduler) -> None:
    gates = [Gate() for _ in range(2)]
    for n, gate in enumerate(gates):
        scheduler.submit(f"stuck-{n}", gate)
    for gate in gates:
        assert gate.entered.wait(WAIT), "the lane grows when all its threads are stuck"
    finish(scheduler, "neighbour")
    for gate in gates:
        gate.opened.set()


def strain(scheduler: Scheduler, key: str) -> None:
    """Make `key` slow: two turns that use the processor for long."""

    def burn() -> None:
        import time

        until = time.thread_time() + 2 * SMALL.long_turn_ms / 1000
        while time.thread_time() < until:
            pass

    for _ in range(2):
        scheduler.submit(key, burn)
    finish(scheduler, key)


def test_plugins_with_long_turns_share_few_threads(scheduler: Scheduler) -> None:
    """However many of them are stuck, the quick lane stays free."""
    for n in range(6):
        strain(scheduler, f"slow-{n}")
    gates = [Gate() for _ in range(6)]
    for n, gate in enumerate(gates):
        scheduler.submit(f"slow-{n}", gate)
    for _ in range(50):
        finish(scheduler, "neighbour")
    quick, slow = scheduler.threads
    assert slow <= SMALL.slow_threads
    assert quick + slow <= SMALL.guest_threads
    for gate in gates:
        gate.opened.set()


def test_short_turns_bring_a_plugin_back(scheduler: Scheduler) -> None:
    strain(scheduler, "a")
    stuck = Gate()
    strain(scheduler, "b")
    scheduler.submit("b", stuck)
    assert stuck.entered.wait(WAIT)
    # The only slow thread is taken: "a" waits there for its first turn, no longer.
    waiting = threading.Event()
    scheduler.submit("a", waiting.set)
    stuck.opened.set()
    assert waiting.wait(WAIT)
    for _ in range(4):
        finish(scheduler, "a")
    stuck = Gate()
    scheduler.submit("b", stuck)
    assert stuck.entered.wait(WAIT)
    finish(scheduler, "a")  # it is quick again: the stuck slow lane does not matter
    stuck.opened.set()


def test_a_turn_that_raises_ends_only_itself(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", reported.append)

    def fail() -> None:
        raise SystemExit("a defect")

    scheduler.submit("a", fail)
    finish(scheduler, "a")
    assert reported[0].exc_type is SystemExit


def test_close_runs_what_was_submitted_and_refuses_more() -> None:
    scheduler = Scheduler(SMALL)
    gate, seen = Gate(), []
    scheduler.submit("a", gate)
    assert gate.entered.wait(WAIT)
    for n in range(10):
        scheduler.submit("a", lambda n=n: seen.append(n))
        scheduler.submit(f"key-{n}", lambda n=n: seen.append(-n))
    assert not scheduler.close(timeout_s=0), "a stuck turn is told, not waited for"
    with pytest.raises(ServiceError) as refused:
        scheduler.submit("a", gate)
    assert refused.value.code == "service.stopping"
    gate.opened.set()
    assert scheduler.close()
    assert sorted(seen) == sorted([*range(10), *(-n for n in range(10))])


def test_close_from_a_turn_does_not_wait_for_itself() -> None:
    scheduler = Scheduler(SMALL)
    closed = threading.Event()
    scheduler.submit("a", lambda: (scheduler.close(), closed.set()))
    assert closed.wait(WAIT)


def test_a_closed_scheduler_without_turns_has_no_threads() -> None:
    scheduler = Scheduler(SMALL)
    assert scheduler.threads == (0, 0)
    assert scheduler.close()


def test_nothing_is_remembered_of_quick_plugins(scheduler: Scheduler) -> None:
    for n in range(200):
        finish(scheduler, f"key-{n}")
    scheduler.close()
    assert not scheduler._keys


class Recv:
    """A turn that waits inside a host call until the test lets it go."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.refused: list[str] = []

    def __call__(self) -> None:
        try:
            with self.scheduler.waiting():
                self.entered.set()
                assert self.opened.wait(WAIT)
        except ServiceError as exc:
            self.refused.append(exc.code)
            self.entered.set()


def test_turns_that_wait_in_host_calls_hold_nobody_up(scheduler: Scheduler) -> None:
    """DESIGN 3: forty plugins wait at once, on three threads; a neighbour does not notice."""
    waits = [Recv(scheduler) for _ in range(40)]
    for number, wait in enumerate(waits):
        scheduler.submit(number, wait)
    for wait in waits:
        assert wait.entered.wait(WAIT)
    for _ in range(50):
        finish(scheduler, "neighbour")
    for wait in waits:
        wait.opened.set()
    for number in range(40):
        finish(scheduler, number)
    assert not any(wait.refused for wait in waits)
    for _ in range(40):
        finish(scheduler, "neighbour")


def test_threads_that_were_replaced_while_they_waited_leave(scheduler: Scheduler) -> None:
    waits = [Recv(scheduler) for _ in range(20)]
    for number, wait in enumerate(waits):
        scheduler.submit(number, wait)
    for wait in waits:
        assert wait.entered.wait(WAIT)
    for wait in waits:
        wait.opened.set()
    for number in range(20):
        finish(scheduler, number)
    until = time.monotonic() + WAIT
    while sum(scheduler.threads) > SMALL.guest_threads and time.monotonic() < until:
        finish(scheduler, "nudge")
    assert sum(scheduler.threads) <= SMALL.guest_threads


def test_a_plugin_that_waits_is_not_slow(scheduler: Scheduler) -> None:
    """Only time in which a thread was held counts against a plugin."""
    wait = Recv(scheduler)
    for _ in range(4):
        wait.entered.clear()
        wait.opened.clear()
        scheduler.submit("a", wait)
        assert wait.entered.wait(WAIT)
        wait.opened.wait(0.06)  # ten times long_turn_ms and more
        wait.opened.set()
        finish(scheduler, "a")
    assert scheduler.threads[1] == 0


def test_beyond_the_bound_a_wait_is_refused() -> None:
    scheduler = Scheduler(replace(SMALL, waiting_threads=2))
    waits = [Recv(scheduler) for _ in range(3)]
    for number, wait in enumerate(waits):
        scheduler.submit(number, wait)
        assert wait.entered.wait(WAIT)
    assert [wait.refused for wait in waits] == [[], [], ["service.waiting"]]
    for wait in waits:
        wait.opened.set()
    assert scheduler.close()


def test_closing_ends_threads_that_wait(scheduler: Scheduler) -> None:
    wait = Recv(scheduler)
    scheduler.submit("a", wait)
    assert wait.entered.wait(WAIT)
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    wait.opened.set()
    closing.join(WAIT)
    assert not closing.is_alive()


def test_elsewhere_waiting_does_nothing(scheduler: Scheduler) -> None:
    with scheduler.waiting():
        assert scheduler.threads == (0, 0)
