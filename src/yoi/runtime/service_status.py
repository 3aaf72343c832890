"""Puts together what a person sees of one service (S9); no guest is asked."""

from collections.abc import Sequence

import msgspec

from yoi.core.deferred import DeferredCalls
from yoi.core.effects import EffectLedger
from yoi.core.ingress_queue import IngressQueue
from yoi.core.lifecycle import Lifecycle, ServiceLifecycle
from yoi.core.loop_budget import LoopBudget
from yoi.protocol.status import (
    ConnectionStatus,
    DeferredCallStatus,
    RefusedVersion,
    ServiceStatus,
)
from yoi.runtime.dead_letters import DeadLetters
from yoi.runtime.ledger import Ledger
from yoi.runtime.plugin_status import PluginStatus
from yoi.runtime.service_connections import ServiceConnections
from yoi.runtime.service_spec import ServiceSpec
from yoi.runtime.shown_permissions import ShownPermissions
from yoi.types import Clock, rfc3339_ms

DEGRADED = "degraded"


def health(
    lifecycle: Lifecycle,
    connections: Sequence[ConnectionStatus],
    missing_secrets: Sequence[str],
    refused: RefusedVersion | None = None,
) -> str:
    """Return the lifecycle, or `degraded` where the service runs and lacks something it needs."""
    down = any(one.down_since is not None for one in connections)
    lacks = missing_secrets or refused is not None or down
    return DEGRADED if lifecycle is Lifecycle.RUNNING and lacks else lifecycle


def service_status(
    spec: ServiceSpec,
    life: ServiceLifecycle,
    said: PluginStatus,
    queue: IngressQueue,
    dead_letters: DeadLetters,
    effects: EffectLedger,
    deferred: DeferredCalls,
    connections: ServiceConnections,
    loop_budget: LoopBudget,
    ledger: Ledger,
    clock: Clock,
    refused: RefusedVersion | None,
    permissions: ShownPermissions,
) -> ServiceStatus:
    """Return the status of the service made of these parts, as it is now."""
    events, size = queue.capacity
    permissions.show(spec.authority.review())
    error = life.last_error
    statuses, missing = connections.statuses(), spec.injector.missing()

    def at(moment: float | None) -> str | None:
        if moment is None:
            return None
        return rfc3339_ms(clock.wall_ms() + round((moment - clock.monotonic()) * 1000))

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
        health=health(life.state, statuses, missing, refused),
        plugin_status=said.value,
        plugin_status_at=said.at,
        missing_secrets=missing,
        queue_depth=queue.depth,
        queue_capacity=events,
        queue_bytes=queue.bytes,
        queue_bytes_capacity=size,
        dead_letters=len(dead_letters),
        last_error=None if error is None else error.message,
        last_error_code=None if error is None else error.code,
        last_error_at=at(life.last_error_at),
        restart_at=at(life.restart_at),
        refused_version=refused,
        counters=counters,
        commands=effects.results,
        connections=statuses,
        pull_sockets=spec.calls.status(),
        requests=spec.requests.watch.statuses(),
        deferred_calls=[
            DeferredCallStatus(
                id=one.id,
                tool=one.tool,
                since=rfc3339_ms(one.since_ms),
                until=rfc3339_ms(one.until_ms),
            )
            for one in deferred.open
        ],
        permissions=permissions.rows,
        permissions_left_out=permissions.left_out,
        diagnostics=ledger.diagnostics,
    )
