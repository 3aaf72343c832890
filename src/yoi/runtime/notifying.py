"""One `notify` command on its way to a worker, and what becomes of it."""

import asyncio
from collections.abc import Callable

from yoi.core.gate import NotifyWorker
from yoi.errors import ServiceError, YoiError
from yoi.workers.notify import Notification, Notified

Settled = Callable[[YoiError | None], object]
"""Hears, once, why a notification was not committed; None when it was."""


def notification(effect: NotifyWorker, plugin: str, reference: str, digest: str) -> Notification:
    """Return what `effect` asks for, with where it comes from."""
    return Notification(
        worker=effect.payload.worker,
        text=effect.payload.text,
        plugin=plugin,
        plugin_id=reference,
        digest=digest,
        ingress=effect.ingress,
        event_id=effect.event_id,
        command_id=effect.command_id,
    )


def settle(settled: Settled, delivery: asyncio.Task[Notified]) -> None:
    """Tell `settled` what became of a `delivery` that has ended, however it did."""
    if delivery.cancelled():
        settled(ServiceError("service.stopping", "stopped; whether it arrived is unknown"))
        return
    error = delivery.exception()
    if error is None or isinstance(error, YoiError):
        settled(error)
    else:
        settled(YoiError("usage.internal", f"carrying out notify failed: {error!r}"))
