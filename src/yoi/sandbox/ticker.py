"""Two clocks of the sandbox: a thread that beats only while there is work, and the epoch it drives.

wasmtime interrupts a guest when the engine's epoch passes the Store's. Somebody has to advance it:
a thread that wakes every few milliseconds while guests run, and sleeps while none do.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from yoi.limits import Limits

_QUIET_BEATS = 100
"""Beats without work before the thread parks: waking it for every dispatch would cost more."""


class PeriodicTask:
    """Call `beat` every `period_s` seconds while anything is entered; otherwise cost nothing.

    `enter` and `leave` may be called from any thread, once each per `key`.
    """

    def __init__(self, name: str, period_s: float, beat: Callable[[], None]) -> None:
        self._period = period_s
        self._beat = beat
        self._active: dict[Any, None] = {}
        self._seen = False
        self._awake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def enter(self, key: Any) -> None:
        """Make the thread beat until `leave(key)`."""
        # Order matters: the thread clears _awake first and looks at _active afterwards.
        self._active[key] = None
        self._seen = True
        if not self._awake.is_set():
            self._awake.set()

    def leave(self, key: Any) -> None:
        """End what `enter(key)` began; unknown keys are ignored."""
        self._active.pop(key, None)

    @property
    def parked(self) -> bool:
        """Return whether the thread is asleep."""
        return not self._awake.is_set()

    def close(self) -> None:
        """Stop the thread and wait for it."""
        self._closed = True
        self._awake.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        # Asleep at first: its maker may not be finished when the thread begins.
        quiet = _QUIET_BEATS
        while not self._closed:
            if quiet >= _QUIET_BEATS:
                self._awake.clear()
                if self._active or self._closed:
                    self._awake.set()
                else:
                    self._awake.wait()
                quiet = 0
                continue
            time.sleep(self._period)
            self._beat()
            quiet = 0 if self._active or self._seen else quiet + 1
            self._seen = False


class EpochTicker:
    """Keep an engine's epoch in step with the monotonic clock, so deadlines are absolute times.

    A late wake-up catches up by several ticks; `arm` therefore counts from the ticker's own zero,
    never from "now", and a catch-up cannot shorten anybody's budget.
    """

    def __init__(self, increment: Callable[[], None], limits: Limits) -> None:
        self._increment = increment
        self._tick_s = limits.epoch_tick_ms / 1000
        self._zero = time.monotonic()
        self._epoch = 0
        self._periodic = PeriodicTask("yoi-epoch", self._tick_s, self._advance)

    @property
    def parked(self) -> bool:
        """Return whether no guest has run for a while."""
        return self._periodic.parked

    def arm(self, key: Any, deadline: float, set_ticks: Callable[[int], None]) -> None:
        """Have `set_ticks` interrupt at `deadline` (monotonic seconds), never earlier."""
        if self._periodic.parked:
            # No guest runs: leave out the time slept instead of ticking through it.
            self._zero = time.monotonic() - self._epoch * self._tick_s
        self._periodic.enter(key)
        while True:
            epoch = self._epoch
            set_ticks(self.ticks_until(deadline))
            if epoch == self._epoch:
                return

    def ticks_until(self, deadline: float) -> int:
        """Return how many ticks from the engine's epoch now `deadline` has passed for certain."""
        return max(1, int((deadline - self._zero) / self._tick_s) + 2 - self._epoch)

    def disarm(self, key: Any) -> None:
        """Forget `key`: its guest has returned."""
        self._periodic.leave(key)

    def close(self) -> None:
        """Stop ticking."""
        self._periodic.close()

    def _advance(self) -> None:
        # The engine moves first: an `arm` in between is a tick late, never early.
        due = int((time.monotonic() - self._zero) / self._tick_s)
        while self._epoch < due:
            self._increment()
            self._epoch += 1
