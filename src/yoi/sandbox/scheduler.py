"""Turns of many plugins on few threads: serial per plugin, fair between plugins.

Two lanes. A plugin whose turns are short runs in the quick lane, which starts with one thread
(tiny guest calls do not scale over threads) and grows when all of its threads are stuck. A plugin
whose recent turns were long runs in the slow lane, whose threads are few: however many plugins
spin there, the quick lane's threads stay free for the others. A turn that waits inside a host call
holds no place in any lane (`Scheduler.waiting`).
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from yoi.errors import ServiceError
from yoi.limits import Limits
from yoi.sandbox.threads import start_thread
from yoi.sandbox.ticker import PeriodicTask

Turn = Callable[[], None]

_BEAT_S = 0.005
"""How often a busy quick lane is looked at; the longest a turn waits behind a new spinner."""
_SLOW_AT, _SLOW_MAX = 2, 4
"""Long turns (less short ones) that make a plugin slow, and the most that is remembered."""
_WAITING_FACTOR = 10
"""A turn that held its thread for this many times `long_turn_ms` counts twice, even if it slept;
below that only processor time counts, because on a busy machine everybody's turns take long."""


class _Key:
    __slots__ = ("name", "queued", "slow", "strain", "turns")

    def __init__(self, name: Hashable) -> None:
        self.name = name
        self.turns: deque[Turn] = deque()
        self.queued = False
        self.slow = False
        self.strain = 0


class _Lane:
    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self.most = most
        self.ready: SimpleQueue[_Key | None] = SimpleQueue()
        self.threads: set[threading.Thread] = set()
        self.running: dict[int, float] = {}


class _Visit(threading.local):
    """What this thread works for: its lane, and how long it waited in the turn it runs."""

    lane: _Lane | None = None
    waited_s = 0.0


class Scheduler:
    """Run turns. `submit` may be called from any thread and never blocks."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._keys: dict[Hashable, _Key] = {}
        slow = max(1, min(limits.slow_threads, limits.guest_threads // 2))
        self._quick = _Lane("quick", max(1, limits.guest_threads - slow))
        self._slow = _Lane("slow", slow)
        self._long_s = limits.long_turn_ms / 1000
        self._closed = False
        self._away: dict[threading.Thread, _Lane] = {}
        self._visit = _Visit()
        self._periodic = PeriodicTask("yoi-lanes", _BEAT_S, self._beat)

    def submit(self, key: Hashable, turn: Turn) -> None:
        """Run `turn` on a guest thread, after the earlier turns of `key`.

        Raises ServiceError (`service.stopping`) after `close`.
        """
        with self._lock:
            if self._closed:
                raise ServiceError("service.stopping", "the scheduler is closed")
            record = self._keys.get(key)
            if record is None:
                record = self._keys[key] = _Key(key)
            record.turns.append(turn)
            if record.queued:
                return
            record.queued = True
            self._enqueue(record)

    def _enqueue(self, record: _Key) -> None:
        """Put `record` into its lane; the lock is held, so that `_beat` never misses one."""
        lane = self._slow if record.slow else self._quick
        if not lane.threads or (lane is self._slow and self._may_grow(lane)):
            self._grow(lane)
        elif lane is self._quick and len(lane.running) >= len(lane.threads):
            self._periodic.enter(lane)
        lane.ready.put(record)

    @property
    def threads(self) -> tuple[int, int]:
        """Return how many threads the quick and the slow lane have."""
        with self._lock:
            return len(self._quick.threads), len(self._slow.threads)

    @property
    def busy(self) -> bool:
        """Return whether a turn waits for a thread, or has one and does not wait in a host call."""
        quick, slow = self._quick, self._slow
        return bool(
            quick.running or slow.running or not quick.ready.empty() or not slow.ready.empty()
        )

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let others have this thread's place in its lane while the block waits.

        Called on a guest's thread, inside its turn. Raises ServiceError (`service.waiting`) when
        `waiting_threads` turns wait already; on any other thread it does nothing.
        """
        lane = self._visit.lane
        if lane is None:
            yield
            return
        began = self._leave(lane)
        try:
            yield
        finally:
            self._return(lane, began)

    def _leave(self, lane: _Lane) -> float:
        with self._lock:
            if len(self._away) >= self._limits.waiting_threads:
                raise ServiceError(
                    "service.waiting",
                    f"{self._limits.waiting_threads} plugins wait inside host calls already",
                )
            thread = threading.current_thread()
            self._away[thread] = lane
            lane.threads.discard(thread)
            del lane.running[threading.get_ident()]
            if not lane.ready.empty() and (not lane.threads or lane is self._slow):
                self._grow(lane)
        return time.monotonic()

    def _return(self, lane: _Lane, began: float) -> None:
        waited = time.monotonic() - began
        self._visit.waited_s += waited
        with self._lock:
            thread = threading.current_thread()
            del self._away[thread]
            lane.threads.add(thread)
            lane.running[threading.get_ident()] = time.monotonic()

    def close(self, timeout_s: float | None = None) -> bool:
        """Refuse new turns, let the submitted ones end, and return whether all threads did.

        `timeout_s` defaults to `drain_ms`. Threads are daemons: a stuck one ends with its budget.
        """
        with self._lock:
            self._closed = True
            threads = [*self._quick.threads, *self._slow.threads, *self._away]
            for lane in (self._quick, self._slow):
                for _ in lane.threads:
                    lane.ready.put(None)
            for lane in self._away.values():
                lane.ready.put(None)
        until = time.monotonic() + (
            self._limits.drain_ms / 1000 if timeout_s is None else timeout_s
        )
        me = threading.current_thread()
        for thread in threads:
            if thread is not me:
                thread.join(max(0.0, until - time.monotonic()))
        self._periodic.close()
        return not any(thread.is_alive() for thread in threads if thread is not me)

    def _may_grow(self, lane: _Lane) -> bool:
        return len(lane.threads) < lane.most and len(lane.running) >= len(lane.threads)

    def _grow(self, lane: _Lane) -> None:
        thread = start_thread(
            lambda: self._work(lane),
            name=f"yoi-guest-{lane.name}-{len(lane.threads)}",
            stack_bytes=self._limits.thread_stack_bytes,
        )
        lane.threads.add(thread)

    def _beat(self) -> None:
        """Add a thread where every thread of the quick lane is stuck and somebody waits."""
        with self._lock:
            lane, now = self._quick, time.monotonic()
            if lane.ready.empty():
                self._periodic.leave(lane)
            elif self._may_grow(lane) and all(
                now - since >= _BEAT_S for since in lane.running.values()
            ):
                self._grow(lane)

    def _work(self, lane: _Lane) -> None:
        me = threading.get_ident()
        ready, lock = lane.ready, self._lock
        self._visit.lane = lane
        while True:
            record = ready.get()
            if record is None:
                with lock:
                    lane.threads.discard(threading.current_thread())
                return
            while self._run_one(lane, me, record):
                # The lanes are closing: what is left of this plugin is run here.
                pass
            with lock:
                if len(lane.threads) > lane.most and not self._closed:
                    # Somebody took this thread's place while it waited.
                    lane.threads.discard(threading.current_thread())
                    return

    def _run_one(self, lane: _Lane, me: int, record: _Key) -> bool:
        """Run the next turn of `record`; return whether the caller must run one more."""
        began, cpu = time.monotonic(), time.thread_time()
        self._visit.waited_s = 0.0
        with self._lock:
            turn = record.turns.popleft()
            lane.running[me] = began
            if lane is self._quick and not lane.ready.empty():
                self._periodic.enter(lane)
        try:
            turn()
        except BaseException as exc:
            _report(exc)
        finally:
            del turn
        wall = time.monotonic() - began - self._visit.waited_s
        strain = 0
        if wall >= _WAITING_FACTOR * self._long_s:
            strain = _SLOW_AT
        elif wall >= self._long_s and time.thread_time() - cpu >= self._long_s:
            strain = 1
        with self._lock:
            del lane.running[me]
            return self._judge(record, strain)

    def _judge(self, record: _Key, strain: int) -> bool:
        """Note how the turn was and see to the next one; return whether the caller must run it."""
        if strain:
            record.strain = min(_SLOW_MAX, record.strain + strain)
            record.slow = record.slow or record.strain >= _SLOW_AT
        elif record.strain:
            record.strain -= 1
            record.slow = record.slow and record.strain > 0
        if record.turns:
            if not self._closed:
                self._enqueue(record)
            return self._closed
        record.queued = False
        if not record.strain:
            del self._keys[record.name]
        return False


def _report(exc: BaseException) -> None:
    """Hand a turn's exception to the interpreter's hook: a defect, but not the lane's end."""
    threading.excepthook(
        threading.ExceptHookArgs((type(exc), exc, exc.__traceback__, threading.current_thread()))
    )
