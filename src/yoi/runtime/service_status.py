"""Puts together what a person sees of one service (S9); no guest is asked."""

from typing import Any

import msgspec

from yoi.core.effects import EffectLedger
from yoi.core.ingress_queue import IngressQueue
from yoi.core.lifecycle import ServiceLifecycle
from yoi.core.loop_budget import LoopBudget
from yoi.protocol.status import ServiceStatus
from yoi.runtime.dead_letters import DeadLetters
from yoi.runtime.ledger import Ledger
from yoi.runtime.service_connections import ServiceConnections
from yoi.runtime.service_spec import ServiceSpec
from yoi.types import Clock, rfc3339_ms


def service_status(
    spec: ServiceSpec,
    life: ServiceLifecycle,
    plugin_status: Any,
    queue: IngressQueue,
    dead_letters: DeadLetters,
    effects: EffectLedger,
    connections: ServiceConnections,
    loop_budget: LoopBudget,
    ledger: Ledger,
    clock: Clock,
) -> ServiceStatus:
    """Return the status of the service made of these parts, as it is now."""
    events, size = queue.capacity
    error, restart_at = life.last_error, life.restart_at
    counters = msgspec.structs.replace(ledger.counters)
    counters.restarts = life.restarts
    counters.loop_ms = round(loop_budget.spent * 1000)
    counters.loop_waits = loop_budget.waits
    return ServiceStatus(
        name=spec.name,
        reference=spec.reference,
        version=spec.version,
        digest=spec.digest,
        runtime=spec.runtime,
        lifecycle=life.state,
        plugin_status=plugin_status,
        queue_depth=queue.depth,
        queue_capacity=events,
        queue_bytes=queue.bytes,
        queue_bytes_capacity=size,
        dead_letters=len(dead_letters),
        last_error=None if error is None else error.message,
        last_error_code=None if error is None else error.code,
        restart_at=None
        if restart_at is None
        else rfc3339_ms(clock.wall_ms() + round((restart_at - clock.monotonic()) * 1000)),
        counters=counters,
        commands=effects.results,
        connections=connections.statuses(),
        pull_sockets=spec.calls.status(),
        requests=spec.requests.watch.statuses(),
        diagnostics=ledger.diagnostics,
    )
