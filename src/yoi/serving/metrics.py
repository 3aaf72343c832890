"""The figures of one process for Prometheus. Counters are plain numbers, read when it asks."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from yoi.protocol.observation import SubjectKind
from yoi.serving.hub import Hub
from yoi.version import __version__

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

Families = Callable[[], Iterable[Metric]]
"""Figures of a part that this room does not know."""


class Listener(Protocol):
    """What a server counts."""

    @property
    def refused(self) -> Mapping[str, int]:
        """How many were turned away, by reason."""
        ...

    @property
    def open_sockets(self) -> int:
        """How many sockets are open."""
        ...


@dataclass(frozen=True, slots=True)
class RuntimeFigures:
    """One runtime as its backend sees it."""

    up: bool
    reconnects: int = 0


@dataclass(frozen=True, slots=True)
class UpstreamFigures:
    """What a backend knows of its upstreams."""

    states: Mapping[str, int] = field(default_factory=dict)
    """How many upstreams are in each state."""
    events: Mapping[str, int] = field(default_factory=dict)
    """What happened to upstreams, by kind: opened, lost, resumed and so on."""
    runtimes: Mapping[str, RuntimeFigures] = field(default_factory=dict)
    """By runtime id."""


class Metrics:
    """The figures of a hub, the listener before it, and the upstreams or the runtime behind it.

    Each has its own registry, so that several can live in one process.
    """

    def __init__(
        self,
        hub: Hub,
        listener: Listener,
        upstreams: Callable[[], UpstreamFigures] | None = None,
        runtime: Families | None = None,
    ) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        self._registry.register(_Collected(hub, listener, upstreams, runtime))

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry)


class _Collected(Collector):
    def __init__(
        self,
        hub: Hub,
        listener: Listener,
        upstreams: Callable[[], UpstreamFigures] | None,
        runtime: Families | None,
    ) -> None:
        self._hub = hub
        self._listener = listener
        self._upstreams = upstreams
        self._runtime = runtime

    def describe(self) -> Iterator[Metric]:
        # Nothing is asked for at registration: the parts may not be started yet.
        return iter(())

    def collect(self) -> Iterator[Metric]:
        yield _gauge(
            "yoi_build_info", "the version", {"version": __version__, "hop": self._hub.hop}
        )
        yield from self._of_hub()
        yield from self._of_streams()
        yield from self._of_listener()
        if self._upstreams is not None:
            yield from _of_upstreams(self._upstreams())
        if self._runtime is not None:
            yield from self._runtime()

    def _of_hub(self) -> Iterator[Metric]:
        counters = self._hub.counters
        yield GaugeMetricFamily("yoi_followers", "clients that watch now", self._hub.watched)
        yield GaugeMetricFamily(
            "yoi_followers_stalled", "those of them whose connection is full", self._hub.stalled
        )
        for name, words, value in (
            ("followers", "clients that began to watch", counters.attached),
            ("events", "events published to streams", counters.events),
            ("writes", "writes to clients, each of one frame or several", counters.frames),
            ("sent_bytes", "bytes written to clients", counters.bytes_out),
            ("slow_consumers", "clients cut off because they took nothing", counters.cut_off),
            ("refused_input", "messages from clients that may only watch", counters.refused_input),
        ):
            yield CounterMetricFamily(f"yoi_{name}", words, value)
        yield _by("yoi_resyncs", "fresh snapshots in band", "reason", counters.resyncs)
        yield _by("yoi_closed", "streams closed by this side", "code", counters.closed)

    def _of_streams(self) -> Iterator[Metric]:
        streams = GaugeMetricFamily("yoi_streams", "workers and services here", labels=["kind"])
        events = GaugeMetricFamily("yoi_ring_events", "events held for replay", labels=["kind"])
        size = GaugeMetricFamily("yoi_ring_bytes", "the same in bytes", labels=["kind"])
        sums = {kind: [0, 0, 0] for kind in SubjectKind}
        for channel in self._hub:
            stream = channel.stream
            row = sums[channel.subject.kind]
            row[0] += 1
            row[1] += stream.head - stream.oldest + 1
            row[2] += stream.ring_bytes
        for kind, row in sums.items():
            for family, value in zip((streams, events, size), row, strict=True):
                family.add_metric([kind], value)
        yield from (streams, events, size)

    def _of_listener(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("yoi_open_sockets", "open sockets", self._listener.open_sockets)
        yield _by("yoi_refused", "turned away at the start", "reason", self._listener.refused)


def _of_upstreams(figures: UpstreamFigures) -> Iterator[Metric]:
    states = GaugeMetricFamily("yoi_upstreams", "upstreams by state", labels=["state"])
    for state, count in sorted(figures.states.items()):
        states.add_metric([state], count)
    yield states
    yield _by("yoi_upstream_events", "what happened to upstreams", "event", figures.events)
    up = GaugeMetricFamily("yoi_runtime_up", "whether a runtime answers", labels=["runtime_id"])
    lost = CounterMetricFamily("yoi_runtime_reconnects", "reconnects", labels=["runtime_id"])
    for runtime_id, one in sorted(figures.runtimes.items()):
        up.add_metric([runtime_id], one.up)
        lost.add_metric([runtime_id], one.reconnects)
    yield from (up, lost)


def _by(name: str, words: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, words, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


def _gauge(name: str, words: str, labels: Mapping[str, str]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=list(labels))
    family.add_metric(list(labels.values()), 1)
    return family
