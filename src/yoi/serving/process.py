"""What every process that serves has: its event loop, and what ends it."""

import asyncio
import contextlib
import gc
import os
import resource
import signal
from collections.abc import Coroutine
from typing import Any

import uvloop

from yoi.limits import LIMITS


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

    A first start compiles for many seconds; nobody who says stop wants to wait for that.
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


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM, SIGINT or SIGHUP sets; the second ends the process at once.

    A SIGHUP that is ignored (nohup) stays ignored.
    """
    stop = asyncio.Event()

    def asked() -> None:
        if stop.is_set():
            os._exit(130)  # asked twice: the person does not want to wait for the drain
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue
        asyncio.get_running_loop().add_signal_handler(number, asked)
    return stop
