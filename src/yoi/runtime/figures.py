"""What a runtime tells Prometheus of its services and workers.

Labels are names that the operator gave (services, workers, connections and request targets of
manifests), states and outcomes: bounded by what is enabled, never by what happens.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from yoi.core.alerts import AlertBook
from yoi.core.lifecycle import Lifecycle
from yoi.protocol.status import Alert, ConnectionStatus, ServiceStatus
from yoi.runtime.service import Service
from yoi.runtime.service_status import DEGRADED
from yoi.runtime.services import Services
from yoi.runtime.worker_figures import WorkerFigures

_EVENTS = (
    "succeeded", "failed", "timed_out", "retried", "rejected", "dropped", "dead"
)  # fmt: skip
_COMMANDS = ("done", "denied", "failed", "unknown")


class RuntimeFigures:
    """Collects the figures when they are asked for; belongs to the event loop."""

    def __init__(self, services: Services, workers: WorkerFigures, alerts: AlertBook) -> None:
        self._services = services
        self._alerts = alerts
        self._workers = workers

    def __call__(self) -> Iterator[Metric]:
        """Yield every family."""
        statuses = self._services.statuses()
        yield _states(statuses.values())
        yield from _of_services(statuses)
        yield from _of_connections(statuses)
        yield from _of_requests(statuses)
        yield from _measured(self._services)
        yield _alerts(self._alerts.open)
        yield from self._workers.families()


def _alerts(alerts: Iterable[Alert]) -> Metric:
    family = GaugeMetricFamily(
        "yoi_alert", "1 while something needs a person", labels=["alert", "scope"]
    )
    for one in alerts:
        family.add_metric([one.kind, one.scope], 1.0)
    return family


def _states(statuses: Iterable[ServiceStatus]) -> Metric:
    counts = dict.fromkeys([*map(str, Lifecycle), DEGRADED], 0)
    for one in statuses:
        counts[one.health] = counts.get(one.health, 0) + 1
    family = GaugeMetricFamily(
        "yoi_services", "services by state; degraded: runs and lacks something", labels=["state"]
    )
    for state, count in counts.items():
        family.add_metric([state], count)
    return family


def _of_services(statuses: dict[str, ServiceStatus]) -> Iterator[Metric]:
    def gauge(name: str, words: str, value: Callable[[ServiceStatus], float]) -> Metric:
        family = GaugeMetricFamily(name, words, labels=["service"])
        for service, one in statuses.items():
            family.add_metric([service], value(one))
        return family

    yield gauge(
        "yoi_service_healthy",
        "1 while it runs and lacks nothing",
        lambda one: float(one.health == Lifecycle.RUNNING),
    )
    yield gauge("yoi_queue_events", "events that wait", lambda one: one.queue_depth)
    yield gauge("yoi_queue_capacity_events", "room for them", lambda one: one.queue_capacity)
    yield gauge("yoi_queue_bytes", "bytes that wait", lambda one: one.queue_bytes)
    yield gauge("yoi_dead_letters", "events given up and kept", lambda one: one.dead_letters)
    yield gauge(
        "yoi_missing_secrets",
        "secrets that were granted and are not in the store",
        lambda one: len(one.missing_secrets),
    )
    restarts = CounterMetricFamily("yoi_restarts", "instances replaced", labels=["service"])
    events = CounterMetricFamily(
        "yoi_service_events", "what became of events", labels=["service", "outcome"]
    )
    commands = CounterMetricFamily(
        "yoi_commands", "what became of commands", labels=["service", "outcome"]
    )
    for service, one in statuses.items():
        restarts.add_metric([service], one.counters.restarts)
        for outcome in _EVENTS:
            events.add_metric([service, outcome], getattr(one.counters, outcome))
        for outcome in _COMMANDS:
            commands.add_metric([service, outcome], getattr(one.counters, f"commands_{outcome}"))
    yield from (restarts, events, commands)


def _of_connections(statuses: dict[str, ServiceStatus]) -> Iterator[Metric]:
    labels = ["service", "connection"]
    connections = [
        ([name, connection.name], connection)
        for name, one in statuses.items()
        for connection in one.connections
    ]

    def moments(name: str, words: str, at: Callable[[ConnectionStatus], str | None]) -> Metric:
        family = GaugeMetricFamily(name, words, labels=labels)
        for label, connection in connections:
            moment = at(connection)
            if moment is not None:
                family.add_metric(label, datetime.fromisoformat(moment).timestamp())
        return family

    is_open = GaugeMetricFamily("yoi_connection_open", "1 while it is open", labels=labels)
    down = GaugeMetricFamily(
        "yoi_connection_down", "1 while it should be open and is not", labels=labels
    )
    frames = CounterMetricFamily("yoi_connection_frames", "messages", labels=[*labels, "direction"])
    size = CounterMetricFamily(
        "yoi_connection_bytes", "bytes of messages", labels=[*labels, "direction"]
    )
    dials = CounterMetricFamily(
        "yoi_connection_reconnects", "sessions after the first", labels=labels
    )
    gaps = CounterMetricFamily(
        "yoi_connection_gaps", "times at which messages may be missing", labels=labels
    )
    drops = CounterMetricFamily(
        "yoi_connection_dropped_frames", "messages that found no room", labels=labels
    )
    for label, connection in connections:
        is_open.add_metric(label, float(connection.state == "open"))
        down.add_metric(label, float(connection.down_since is not None))
        dials.add_metric(label, connection.reconnects)
        gaps.add_metric(label, connection.gaps)
        drops.add_metric(label, connection.queue_drops)
        for direction in ("in", "out"):
            frames.add_metric([*label, direction], getattr(connection, f"frames_{direction}"))
            size.add_metric([*label, direction], getattr(connection, f"bytes_{direction}"))
    yield from (is_open, down, frames, size, dials, gaps, drops)
    yield moments(
        "yoi_connection_open_since_seconds",
        "Unix time at which it opened, while it is open",
        lambda connection: connection.connected_since,
    )
    yield moments(
        "yoi_connection_down_since_seconds",
        "Unix time since which it is down",
        lambda connection: connection.down_since,
    )
    yield moments(
        "yoi_connection_last_frame_seconds",
        "Unix time of its last message",
        lambda connection: connection.last_frame_at,
    )


def _of_requests(statuses: dict[str, ServiceStatus]) -> Iterator[Metric]:
    asked = CounterMetricFamily("yoi_requests", "HTTP requests", labels=["service", "target"])
    failed = CounterMetricFamily(
        "yoi_requests_failed", "those that failed", labels=["service", "target"]
    )
    for service, one in statuses.items():
        for target in one.requests:
            asked.add_metric([service, target.target], target.requests)
            failed.add_metric([service, target.target], target.failed)
    yield from (asked, failed)


def _measured(services: Iterable[Service]) -> Iterator[Metric]:
    took = HistogramMetricFamily(
        "yoi_dispatch_seconds", "time of a plugin's calls with events", labels=["service"]
    )
    memory = GaugeMetricFamily(
        "yoi_guest_memory_limit_bytes", "memory that the plugin may use", labels=["service"]
    )
    full = CounterMetricFamily(
        "yoi_guest_out_of_memory", "times that it had no more", labels=["service"]
    )
    told = CounterMetricFamily(
        "yoi_diagnostics", "what was told of a service", labels=["service", "severity"]
    )
    for one in services:
        figures = one.figures
        took.add_metric([one.name], figures.dispatch.cumulative(), figures.dispatch.sum)
        memory.add_metric([one.name], figures.memory_bytes)
        full.add_metric([one.name], figures.out_of_memory)
        for severity, count in figures.told.items():
            told.add_metric([one.name, severity], count)
    yield from (took, memory, full, told)
