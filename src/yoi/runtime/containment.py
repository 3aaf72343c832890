"""Keeps a fault in a service's callbacks inside that service.

The event loop calls back into a service from timers, sockets and tasks. What such a call raises
would reach the loop, which only logs it, and leave the service half done. Here it becomes an error
that the service fails with: recorded, and its instance replaced as after a trap.
"""

from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec

import structlog

from yoi.defects import defect, described
from yoi.errors import YoiError

P = ParamSpec("P")
Failed = Callable[[YoiError], None]
"""Hears what a callback raised."""
_log = structlog.get_logger("yoi.runtime")


def contained(doing: str, call: Callable[P, None], failed: Failed) -> Callable[P, None]:
    """Return `call` as the loop may call it: what it raises goes to `failed`."""

    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            call(*args, **kwargs)
        except Exception as exc:
            report(exc, doing, failed)

    return guarded


async def contained_work(doing: str, work: Awaitable[Any], failed: Failed) -> None:
    """Carry `work` out as a task that the loop owns: what it raises goes to `failed`."""
    try:
        await work
    except Exception as exc:
        report(exc, doing, failed)


def report(exc: Exception, doing: str, failed: Failed) -> None:
    """Tell `failed` of `exc`; where even that raises, it is logged and goes no further."""
    try:
        failed(defect(exc, doing))
    except Exception as second:
        # Without tracebacks: they may show what a frame or request holds.
        _log.error("a defect in Yoi", what=doing, first=described(exc), then=described(second))
