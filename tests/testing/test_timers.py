from yoi.testing import ManualClock
from yoi.testing.timers import ManualTimers


def test_timers_fire_in_order_at_their_own_moment_and_not_after_cancel():
    clock = ManualClock()
    timers = ManualTimers(clock)
    fired = []

    def note(name):
        fired.append((name, clock.monotonic()))

    timers.call_later(3, lambda: note("late"))
    timers.call_later(1, lambda: note("early"))
    timers.call_later(2, lambda: note("never")).cancel()
    timers.call_later(1, lambda: timers.call_later(1, lambda: note("nested")))
    timers.advance(0.5)
    assert fired == []
    timers.advance(2.5)
    assert fired == [("early", 1.0), ("nested", 2.0), ("late", 3.0)]
    assert clock.monotonic() == 3.0
    assert timers.pending == 0
