"""Runs Yoi on a machine whose clocks are wrong: python -m takeovers.clocks RATE FILE WORDS...

All that Python code asks of time runs at RATE (1.1 is a tenth too fast): monotonic clocks, with
them every timer of the event loop, and the kernel's timer that ends a process. The wall clock is
off by the seconds in FILE, from the moment on at which they are written there. Right as ever are
sleeping threads, guests' own clocks, and what libraries in C ask the system. (libfaketime 0.9.10
leaves `time.sleep` and waits on locks of CPython 3.11 hanging or failing.)
"""

import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_CLOCKS = {time.CLOCK_MONOTONIC, time.CLOCK_MONOTONIC_RAW, time.CLOCK_BOOTTIME}
_LOOK_S = 0.1
_real_monotonic, _real_time, _real_gettime = time.monotonic, time.time, time.clock_gettime
_real_setitimer = signal.setitimer


class Wrong:
    """The clocks of one machine."""

    def __init__(self, rate: float, file: Path) -> None:
        self._rate, self._file = rate, file
        self._zero = {one: _real_gettime(one) for one in _CLOCKS}
        self._offset, self._looked = 0.0, float("-inf")

    def gettime(self, clock: int) -> float:
        """Return what `time.clock_gettime` does."""
        if clock == time.CLOCK_REALTIME:
            return self.time()
        if clock not in self._zero:
            return _real_gettime(clock)
        zero = self._zero[clock]
        return zero + (_real_gettime(clock) - zero) * self._rate

    def monotonic(self) -> float:
        """Return what `time.monotonic` does."""
        return self.gettime(time.CLOCK_MONOTONIC)

    def time(self) -> float:
        """Return what `time.time` does."""
        now = _real_monotonic()
        if now - self._looked >= _LOOK_S:
            self._looked = now
            self._offset = float(self._file.read_text() or 0)
        return _real_time() + self._offset

    def setitimer(self, which: int, seconds: float, interval: float = 0.0) -> Any:
        """Do what `signal.setitimer` does."""
        return _real_setitimer(which, seconds / self._rate, interval / self._rate)


def main() -> None:
    """Put the clocks in place before anything of Yoi is imported, and run it."""
    wrong = Wrong(float(sys.argv[1]), Path(sys.argv[2]))
    time.clock_gettime = wrong.gettime
    time.monotonic = wrong.monotonic
    time.monotonic_ns = lambda: int(wrong.monotonic() * 1e9)
    time.time = wrong.time
    time.time_ns = lambda: int(wrong.time() * 1e9)
    signal.setitimer = wrong.setitimer
    sys.argv[:] = ["yoi", *sys.argv[3:]]
    from yoi.types import SystemClock

    SystemClock.wall = lambda _: datetime.fromtimestamp(time.time(), UTC)  # type: ignore[method-assign]
    from yoi.cli.main import main as yoi

    sys.exit(yoi())


if __name__ == "__main__":
    main()
