"""A host as a process: until SIGTERM or SIGINT; the second of them ends it at once."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

from yoi.errors import ClusterError
from yoi.host.backend_host import BackendHost
from yoi.host.host import Host
from yoi.serving import process

H = TypeVar("H", Host, BackendHost)


def run(host: H, on_ready: Callable[[H], None]) -> int:
    """Run `host` until the process is told to stop, and return the exit status.

    `on_ready` is called once everything enabled was started or has failed visibly.
    """
    return process.run(_run(host, on_ready))


async def _run(host: H, on_ready: Callable[[H], None]) -> int:
    stop = process.stop_on_signals()
    async with contextlib.AsyncExitStack() as running:
        # Told to stop, it gives a start up: a first one compiles for many seconds.
        if await process.finished(running.enter_async_context(host), stop):
            process.settle_memory()
            on_ready(host)
            over = host.over if isinstance(host, Host) else asyncio.Event()
            if not await process.finished(over.wait(), stop):
                return 0
            raise ClusterError(
                "cluster.lost",
                "the lease was not renewed in time: another host may run the workspace",
                hint="start it again, as a supervisor does: it stands by until it is its turn",
            )
    return 0
