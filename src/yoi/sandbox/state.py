"""What the host knows about one guest while it runs: its budget, its counts and its handles."""

import threading
from time import monotonic, sleep, thread_time
from typing import Protocol

from yoi.limits import Limits
from yoi.sandbox.output import Output


class HostCalls(Protocol):
    """What a plugin may ask of the host; given to each Guest by the runtime.

    Called on the guest's thread, inside the guest's budget. Returns JSON: `{"ok": ...}` or
    `{"error": {"code", "message"}}`. A denial is a value, never an exception.
    """

    def __call__(self, op: str, argument: str) -> str:
        """Carry out `op` with the JSON `argument` and return the JSON answer."""
        ...


_SLEPT = (
    'return TimerSet("name", after_ms=1000) and handle on_timer; yoi plugin check names the lines '
    "that sleep"
)


class Stop(Exception):
    """An import ends the guest's turn; `code` is the sandbox code of the reason."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


class GuestState:
    """Counters of one guest. Only the thread that holds the guest's lock touches it."""

    __slots__ = (
        "_budget",
        "_cpu_began",
        "_ends",
        "_next_rep",
        "_waited",
        "calls",
        "failure",
        "handles",
        "host_calls",
        "limits",
        "output",
        "timers",
    )

    def __init__(self, limits: Limits, host_calls: HostCalls) -> None:
        self.limits = limits
        self.host_calls = host_calls
        self.output = Output(limits)
        self._budget = 0.0
        self._ends = 0.0
        self._cpu_began = 0.0
        self._waited = 0.0
        self.calls = 0
        self.handles = 0
        self.failure: BaseException | None = None
        self.timers: dict[int, float] = {}
        self._next_rep = 16  # lower numbers are the standard streams and the network

    def begin(self, budget: float) -> None:
        """Start a turn of `budget` seconds on this thread.

        Its own processor time and its waiting draw on it, a machine that is busy with others does
        not: then the turn is late, within a bound of wall-clock time, and is not ended.
        """
        late = min((self.limits.late_factor - 1) * budget, self.limits.late_max_ms / 1000)
        self._budget = budget
        self._ends = monotonic() + budget + late
        self._waited = 0.0
        self._cpu_began = thread_time()
        self.calls = 0
        self.failure = None

    def remaining(self) -> float:
        """Return the seconds that are left of the turn; below 0 when it should have ended."""
        used = thread_time() - self._cpu_began + self._waited
        return min(self._budget - used, self._ends - monotonic())

    def waited(self, seconds: float) -> None:
        """Draw `seconds` of waiting on the turn's budget."""
        self._waited += seconds

    def count_call(self) -> None:
        """Count one import; raises Stop at the bound."""
        self.calls += 1
        if self.calls > self.limits.host_calls_per_dispatch:
            raise Stop(
                "sandbox.host_calls",
                f"more than {self.limits.host_calls_per_dispatch} host calls in one turn",
            )

    def count_handle(self) -> None:
        """Count one host resource given to the guest; raises Stop at the bound."""
        self.handles += 1
        if self.handles > self.limits.guest_handles:
            raise Stop("sandbox.host_calls", f"more than {self.limits.guest_handles} open handles")

    def new_timer(self, due: float) -> int:
        """Return the number of a new timer that is due at `due` (monotonic seconds)."""
        rep = self._next_rep = self._next_rep % 0x7FFFFFFF + 16
        self.timers[rep] = due
        return rep

    def drop_handle(self, rep: int) -> None:
        """Forget a host resource that the guest gave back."""
        self.handles -= 1
        self.timers.pop(rep, None)

    def check_deadline(self) -> None:
        """End the turn if its budget is spent: host calls draw on it like the guest's own work."""
        if self.remaining() < 0:
            raise Stop("sandbox.deadline", "the guest used up its time inside a host call")

    def sleep_until(self, due: float) -> None:
        """Wait until `due` (monotonic seconds), or end the turn when its budget ends first."""
        asked = due - monotonic()
        if asked <= 0:
            return
        left = self.remaining()
        sleep(max(0.0, min(asked, left)))
        # What was asked for counts, not by how much a busy machine woke the thread too late.
        self._waited += min(asked, max(0.0, left))
        if asked > left:
            raise Stop("sandbox.deadline", "a sleep used up the plugin's time", hint=_SLEPT)


class _Current(threading.local):
    state: GuestState | None = None


current = _Current()
"""The guest that runs on this thread: how an import finds out who calls."""


def remaining_seconds() -> float:
    """Return what is left of the budget of the guest that runs on this thread; never below 0."""
    state = current.state
    return 0.0 if state is None else max(0.0, state.remaining())
