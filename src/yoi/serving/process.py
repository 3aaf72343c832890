"""What every process that serves has: its event loop, and what ends it."""

import asyncio
import contextlib
import gc
import os
import resource
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from yoi.limits import LIMITS, Limits


def run(main: Coroutine[Any, Any, int]) -> int:
    """Return what `main` returns, run on the loop that hosts use."""
    allow_open_files(LIMITS.open_files)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def settle_memory() -> None:
    """Let the collector look no more at what has been loaded and lives as long as the process.

    A full collection stops every thread, and going through some hundred thousand objects of
    libraries and services takes 60 ms; a plugin can bring it about with a few large answers.
    """
    gc.collect()
    gc.freeze()


def allow_open_files(wanted: int) -> None:
    """Let this process open `wanted` files, or as many as its account may.

    The usual 1024 of a shell are fewer than the sockets that the bounds allow.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # then doctor tells what is missing
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def finished(work: Coroutine[Any, Any, Any], stop: asyncio.Event) -> bool:
    """Carry `work` out and return True, or give it up and return False once `stop` is set.

    A first start compiles for many seconds, which a person who asks for a stop does not wait for.
    """
    doing, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
        return doing.done()
    finally:
        doing.cancel()
        stopping.cancel()
        await asyncio.gather(doing, stopping, return_exceptions=True)


class StopRequests:
    """What a signal that asks to end does: the first sets `stop`, a later one calls `leave`.

    A terminal and a launcher both pass on one interrupt: what follows the first within
    `stop_signal_ms` is the same request.
    """

    def __init__(
        self,
        stop: asyncio.Event,
        monotonic: Callable[[], float],
        leave: Callable[[], None],
        limits: Limits = LIMITS,
    ) -> None:
        self._stop = stop
        self._monotonic = monotonic
        self._leave = leave
        self._same_until = 0.0
        self._limits = limits

    def asked(self) -> None:
        """Take one signal."""
        now = self._monotonic()
        if not self._stop.is_set():
            self._same_until = now + self._limits.stop_signal_ms / 1000
            self._stop.set()
        elif now >= self._same_until:
            self._leave()


def _leave_at_once() -> None:
    os._exit(130)  # asked twice: the person does not want to wait for the drain


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM, SIGINT or SIGHUP sets; asked again, the process ends at once.

    Signals within a second are one. A SIGHUP that is ignored (nohup) stays ignored.
    """
    stop = asyncio.Event()
    requests = StopRequests(stop, time.monotonic, _leave_at_once)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue
        asyncio.get_running_loop().add_signal_handler(number, requests.asked)
    return stop
