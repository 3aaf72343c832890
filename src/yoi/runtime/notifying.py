"""One `notify` command on its way to a worker, and what becomes of it."""

import asyncio
from collections.abc import Callable

from yoi.core.gate import Tell
from yoi.errors import ServiceError, YoiError
from yoi.workers.notify import Notification, Notifier

Settled = Callable[[YoiError | None], None]
"""Hears, once, why a notification was not committed; None when it was."""


def notification(effect: Tell, plugin: str, reference: str, digest: str) -> Notification:
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


async def deliver(wanted: Notification, notifier: Notifier, settled: Settled) -> None:
    """Hand `wanted` over and tell `settled`; raises nothing but the cancellation it is given."""
    try:
        await notifier.notify(wanted)
    except YoiError as exc:
        settled(exc)
    except asyncio.CancelledError:
        settled(ServiceError("service.stopping", "stopped; whether it arrived is unknown"))
        raise
    except Exception as exc:
        settled(YoiError("usage.internal", f"carrying out notify failed: {exc!r}"))
    else:
        settled(None)
