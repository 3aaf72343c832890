"""What a runtime shows of itself: one stream per worker and per service, in a `Hub`.

Workers say what they do on their buses, services in their ledgers. A service's counters change
with every frame, so they are sampled, and only while they are watched.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import structlog

from yoi.core.observation import ServiceView, Stream, WorkerView
from yoi.core.observation.measure import on_one_line
from yoi.errors import ProtocolMalformed
from yoi.limits import LIMITS, Limits
from yoi.protocol.cursors import EPOCH_BYTES, CursorKeys
from yoi.protocol.diagnostics import Diagnostic
from yoi.protocol.events import Event, UnknownEvent, encode_event
from yoi.protocol.observation import Hop, Subject, SubjectKind
from yoi.protocol.service_events import (
    ServiceEvent,
    ServiceStatusChanged,
    ServiceStatusData,
    ServiceStopped,
    diagnosed,
    encode_service_event,
)
from yoi.protocol.status import ServiceStatus
from yoi.serving.hub import Hub
from yoi.types import Clock
from yoi.workers.worker import Worker

_RESYNC = "upstream_resync"
_log = structlog.get_logger("yoi.runtime")
_ELSEWHERE = frozenset({"diagnostics", "commands"})
"""Parts of a status that come as events of their own, or would change with every frame."""


class WorkerTap:
    """Feeds one worker's stream from its bus, from the snapshot on, without a gap."""

    def __init__(self, stream: "Stream[Event | UnknownEvent]", limits: Limits) -> None:
        self._stream = stream
        self._limits = limits
        self.worker: Worker | None = None
        self._broken = False
        """Whether something was said that the stream does not hold."""
        self._listener = self._hear  # one bound method: it is dropped by identity

    def attach(self, worker: Worker) -> None:
        """Follow `worker` from now on; another one of that name is followed no longer.

        One step: nothing happens between its snapshot and the first event heard.
        """
        self.detach()
        view = WorkerView.of(worker.watch(self._listener), self._limits)
        self.worker = worker
        self._broken = False
        self._stream.restart(view, secrets.token_bytes(EPOCH_BYTES), _RESYNC)

    def detach(self) -> None:
        """Stop listening."""
        if self.worker is not None:
            self.worker.bus.drop(self._listener)
            self.worker = None

    def _hear(self, event: Event) -> None:
        if not self._broken:
            try:
                self._stream.publish(event, on_one_line(encode_event(event), self._limits))
                return
            except ProtocolMalformed:
                pass  # what the model says is beyond what a view may hold
            except Exception:
                _log.exception("a defect in Yoi", what="observing a worker")
        self._begin_again()

    def _begin_again(self) -> None:
        """Begin from the worker's own snapshot; where even that cannot be, the next event tries."""
        self._broken = True
        if self.worker is None:
            return
        try:
            view = WorkerView.of(self.worker.snapshot(), self._limits)
        except ProtocolMalformed:
            return
        self._stream.restart(view, secrets.token_bytes(EPOCH_BYTES), _RESYNC)
        self._broken = False


class ServiceTap:
    """Feeds one service's stream: diagnostics as they are made, the status when it has changed."""

    def __init__(
        self,
        stream: "Stream[ServiceEvent | UnknownEvent]",
        shown: dict[str, Any],
        limits: Limits,
    ) -> None:
        self._stream = stream
        self._limits = limits
        self._shown = shown

    def diagnosed(self, entry: Diagnostic) -> None:
        """Publish one diagnostic."""
        self._publish(diagnosed(entry))

    def status(self, shown: dict[str, Any]) -> None:
        """Publish the status where it is not the one shown."""
        if shown != self._shown:
            self._shown = shown
            self._publish(ServiceStatusChanged(ServiceStatusData(status=shown)))

    def stopped(self) -> None:
        """Say that the service is gone."""
        self._publish(ServiceStopped())

    def _publish(self, event: ServiceEvent) -> None:
        """Publish `event`; one that cannot be shown is left out (O10)."""
        try:
            self._stream.publish(event, on_one_line(encode_service_event(event), self._limits))
        except ProtocolMalformed as exc:
            _log.warning("an event of a service cannot be shown", code=exc.code, reason=exc.message)
        except Exception:
            _log.exception("a defect in Yoi", what="observing a service")


class Observing:
    """The runtime's hub and what fills it. Belongs to the event loop.

    `statuses` returns the status of every service there is now, by name.
    """

    def __init__(
        self,
        keys: CursorKeys,
        statuses: Callable[[], dict[str, ServiceStatus]],
        clock: Clock,
        limits: Limits = LIMITS,
    ) -> None:
        self.hub = Hub(Hop.RUNTIME, keys, clock, limits)
        self.settled = False
        """Whether all that is configured was started once; before, what is missing may yet come."""
        self._statuses = statuses
        self._limits = limits
        self._workers: dict[str, WorkerTap] = {}
        self._services: dict[str, ServiceTap] = {}
        self._sampling: asyncio.Task[None] | None = None
        self._soon = False

    def start(self) -> None:
        """Begin to sample what is watched."""
        self._sampling = asyncio.get_running_loop().create_task(self._sample())

    async def stop(self) -> None:
        """Stop sampling; streams stay as they are."""
        if self._sampling is not None:
            self._sampling.cancel()
            await asyncio.gather(self._sampling, return_exceptions=True)

    def follow_workers(self, workers: Iterable[Worker]) -> None:
        """Show exactly `workers`: call it whenever which run has changed."""
        wanted = {worker.name: worker for worker in workers}
        for name in [name for name in self._workers if name not in wanted]:
            self._workers.pop(name).detach()
            self.hub.remove(Subject(SubjectKind.WORKER, name))
        for name, worker in wanted.items():
            tap = self._workers.get(name)
            if tap is None:
                tap = self._workers[name] = self._worker_tap(name, worker)
            if tap.worker is not worker:
                tap.attach(worker)

    def follow_services(self) -> None:
        """Show exactly the services there are now."""
        statuses = self._statuses()
        for name in [name for name in self._services if name not in statuses]:
            self._services.pop(name).stopped()
            self.hub.remove(Subject(SubjectKind.SERVICE, name))
        for name, status in statuses.items():
            shown = shown_status(status)
            if name in self._services:
                self._services[name].status(shown)
            else:
                self._services[name] = self._service_tap(name, shown)

    def diagnosed(self, service: str, entry: Diagnostic) -> None:
        """Take in a diagnostic of `service`; its status is looked at before the next turn."""
        tap = self._services.get(service)
        if tap is not None:
            tap.diagnosed(entry)
            if not self._soon:
                self._soon = True
                self.hub.soon(self._look)

    def refresh(self, subject: Subject) -> None:
        """Bring a service's stream up to date before its snapshot is taken."""
        tap = self._services.get(subject.name) if subject.kind is SubjectKind.SERVICE else None
        status = self._statuses().get(subject.name)
        if tap is not None and status is not None:
            tap.status(shown_status(status))

    def inventory(self) -> dict[str, list[dict[str, Any]]]:
        """Return what there is to watch, in the shape of `/v1/inventory`."""
        workers = [tap.worker for _, tap in sorted(self._workers.items()) if tap.worker is not None]
        return {
            "workers": [_worker_row(worker) for worker in workers],
            "services": [_service_row(status) for _, status in sorted(self._statuses().items())],
        }

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(self._limits.service_sample_ms / 1000)
            self._look()

    def _look(self) -> None:
        """Publish the status of each watched service where it has changed."""
        self._soon = False
        watched = {
            channel.stream.subject.name
            for channel in self.hub
            if channel.stream.subject.kind is SubjectKind.SERVICE and channel.heard
        }
        if watched:
            for name, status in self._statuses().items():
                if name in watched and name in self._services:
                    self._services[name].status(shown_status(status))

    def _worker_tap(self, name: str, worker: Worker) -> WorkerTap:
        view = WorkerView.of(worker.snapshot(), self._limits)
        stream: Stream[Event | UnknownEvent] = Stream(
            Subject(SubjectKind.WORKER, name), view, secrets.token_bytes(EPOCH_BYTES), self._limits
        )
        self.hub.add(stream, _encode_worker)
        return WorkerTap(stream, self._limits)

    def _service_tap(self, name: str, shown: dict[str, Any]) -> ServiceTap:
        stream: Stream[ServiceEvent | UnknownEvent] = Stream(
            Subject(SubjectKind.SERVICE, name),
            ServiceView(shown, self._limits),
            secrets.token_bytes(EPOCH_BYTES),
            self._limits,
        )
        self.hub.add(stream, _encode_service)
        return ServiceTap(stream, shown, self._limits)


def shown_status(status: ServiceStatus) -> dict[str, Any]:
    """Return the part of a service's status that observers are shown."""
    shown: dict[str, Any] = msgspec.to_builtins(status)
    for key in _ELSEWHERE:
        shown.pop(key, None)
    return shown


def _encode_worker(event: Event | UnknownEvent) -> bytes:
    return msgspec.json.encode(event)


def _encode_service(event: ServiceEvent | UnknownEvent) -> bytes:
    return msgspec.json.encode(event)


def _worker_row(worker: Worker) -> dict[str, Any]:
    status = worker.status()
    return {
        "id": status.name,
        "status": status.status,
        "engine": status.engine,
        "waiting": status.waiting,
        "approvals": len(status.approvals),
        "last_error": status.last_error,
    }


def _service_row(status: ServiceStatus) -> dict[str, Any]:
    return {
        "id": status.name,
        "lifecycle": str(status.lifecycle),
        "reference": status.reference,
        "connections": len(status.connections),
        "open": sum(link.state == "open" for link in status.connections),
        "queue_depth": status.queue_depth,
        "dead_letters": status.dead_letters,
        "last_error": status.last_error,
    }
