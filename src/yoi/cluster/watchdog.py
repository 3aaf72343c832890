"""Ends this process in time: whatever the loop or a plugin does, nothing is sent too late.

The kernel does it, by a timer whose signal has no handler: a process that was stopped, or whose
loop hangs, is gone before its next instruction when the timer is over.
"""

import signal


class Watchdog:
    """One per process: it has the process's one real-time timer, and SIGALRM."""

    def arm(self, seconds: float) -> None:
        """End the process in `seconds`, unless told otherwise before."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        # At least a moment: zero would mean never.
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))

    def disarm(self) -> None:
        """Let the process live."""
        signal.setitimer(signal.ITIMER_REAL, 0)
