"""What a runtime shows of itself: one stream per worker and per service, in a `Hub`.

Workers say what they do on their buses, services in their ledgers. A service's counters change
with every frame, so they are sampled, and only while they are watched.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import msgspec
import structlog

from yoi.core.observation import ServiceView, Stream, WorkerView
from yoi.core.observation.measure import on_one_line
from yoi.errors import ProtocolMalformed
from yoi.limits import LIMITS, Limits
from yoi.protocol.board_events import BoardEvent
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
from yoi.types import Clock, rfc3339_ms
from yoi.workers.failed import FailedWorker
from yoi.workers.worker import Worker, WorkerStatus, failed_status

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
        """Publish the worker's own snapshot; where that fails too, the next event tries again."""
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

    `statuses` returns the status of every service there is now, by name; `ask` has a plugin say
    again what it says of itself, and does nothing while it is busy.
    `approval_since` returns since when (Unix ms) a worker has waited for a person.
    """

    def __init__(
        self,
        keys: CursorKeys,
        statuses: Callable[[], dict[str, ServiceStatus]],
        clock: Clock,
        limits: Limits = LIMITS,
        ask: Callable[[str], Awaitable[None]] | None = None,
        approval_since: Callable[[str], int | None] = lambda _: None,
    ) -> None:
        self.hub = Hub(Hop.RUNTIME, keys, clock, limits)
        self.settled = False
        """Whether all that is configured was started once; before, what is missing may yet come."""
        self._statuses = statuses
        self._ask = ask
        self._clock = clock
        self._limits = limits
        self._failed: list[WorkerStatus] = []
        self._approval_since = approval_since
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._asked: dict[str, float] = {}
        self._workers: dict[str, WorkerTap] = {}
        self._services: dict[str, ServiceTap] = {}
        self._boards: Callable[[], list[dict[str, Any]]] = list
        self._sampling: asyncio.Task[None] | None = None
        self._soon = False

    def start(self) -> None:
        """Begin to sample what is watched."""
        self._sampling = asyncio.get_running_loop().create_task(self._sample())

    async def stop(self) -> None:
        """Stop sampling; streams stay as they are."""
        if self._sampling is not None:
            tasks = [self._sampling, *self._asking.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def follow_workers(
        self, workers: Iterable[Worker], failed: Iterable[FailedWorker] = ()
    ) -> None:
        """Show exactly `workers`: call it whenever which run has changed.

        `failed` are listed; there is nothing of them to watch.
        """
        self._failed = [failed_status(one) for one in failed]
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

    def show_board(
        self,
        stream: "Stream[BoardEvent | UnknownEvent]",
        rows: Callable[[], list[dict[str, Any]]],
    ) -> None:
        """Show the stream of the work items; `rows` returns what the inventory says of them."""
        self.hub.add(stream, _encode)
        self._boards = rows

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
            "workers": [
                _worker_row(status, self._approval_since(status.name))
                for status in sorted(
                    [*(worker.status() for worker in workers), *self._failed],
                    key=lambda status: status.name,
                )
            ],
            "services": [_service_row(status) for _, status in sorted(self._statuses().items())],
            "boards": self._boards(),
        }

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(self._limits.service_sample_ms / 1000)
            self._ask_watched()
            self._look()

    def _ask_watched(self) -> None:
        """Have each watched plugin say again what it says of itself, every so often."""
        if self._ask is None:
            return
        now, watched = self._clock.monotonic(), self._watched()
        self._asked = {name: at for name, at in self._asked.items() if name in watched}
        for name in watched - self._asking.keys():
            if now - self._asked.get(name, -1e9) >= self._limits.status_watched_ms / 1000:
                self._asked[name] = now
                task = asyncio.ensure_future(self._ask(name))
                self._asking[name] = task
                task.add_done_callback(partial(self._answered, name))

    def _answered(self, name: str, task: "asyncio.Task[None]") -> None:
        del self._asking[name]
        if not task.cancelled() and task.exception() is not None:
            _log.error("a defect in Yoi", what="asking a plugin for its status")

    def _watched(self) -> set[str]:
        return {
            channel.stream.subject.name
            for channel in self.hub
            if channel.stream.subject.kind is SubjectKind.SERVICE and channel.heard
        }

    def _look(self) -> None:
        """Publish the status of each watched service where it has changed."""
        self._soon = False
        watched = self._watched()
        if watched:
            for name, status in self._statuses().items():
                if name in watched and name in self._services:
                    self._services[name].status(shown_status(status))

    def _worker_tap(self, name: str, worker: Worker) -> WorkerTap:
        view = WorkerView.of(worker.snapshot(), self._limits)
        stream: Stream[Event | UnknownEvent] = Stream(
            Subject(SubjectKind.WORKER, name), view, secrets.token_bytes(EPOCH_BYTES), self._limits
        )
        self.hub.add(stream, _encode)
        return WorkerTap(stream, self._limits)

    def _service_tap(self, name: str, shown: dict[str, Any]) -> ServiceTap:
        stream: Stream[ServiceEvent | UnknownEvent] = Stream(
            Subject(SubjectKind.SERVICE, name),
            ServiceView(shown, self._limits),
            secrets.token_bytes(EPOCH_BYTES),
            self._limits,
        )
        self.hub.add(stream, _encode)
        return ServiceTap(stream, shown, self._limits)


def shown_status(status: ServiceStatus) -> dict[str, Any]:
    """Return the part of a service's status that observers are shown."""
    shown: dict[str, Any] = msgspec.to_builtins(status)
    for key in _ELSEWHERE:
        shown.pop(key, None)
    return shown


def _encode(event: Event | ServiceEvent | BoardEvent | UnknownEvent) -> bytes:
    return msgspec.json.encode(event)


def _worker_row(status: WorkerStatus, approval_since: int | None) -> dict[str, Any]:
    return {
        "id": status.name,
        "status": status.status,
        "engine": status.engine,
        "waiting": status.waiting,
        "approvals": len(status.approvals),
        "approval_since": None if approval_since is None else rfc3339_ms(approval_since),
        "last_error": status.last_error,
        "last_error_at": status.last_error_at,
    }


def _service_row(status: ServiceStatus) -> dict[str, Any]:
    connections, why = status.connections, _trouble(status)
    return {
        "id": status.name,
        "lifecycle": str(status.lifecycle),
        "health": status.health,
        "reference": status.reference,
        "connections": len(connections),
        "open": sum(connection.state == "open" for connection in connections),
        "down_since": min(
            (connection.down_since for connection in connections if connection.down_since),
            default=None,
        ),
        "next_dial_at": min(
            (connection.next_dial_at for connection in connections if connection.next_dial_at),
            default=None,
        ),
        "frames_in": sum(connection.frames_in for connection in connections),
        "frames_out": sum(connection.frames_out for connection in connections),
        "last_frame_at": max(
            (connection.last_frame_at for connection in connections if connection.last_frame_at),
            default=None,
        ),
        "queue_depth": status.queue_depth,
        "dead_letters": status.dead_letters,
        "last_error": why[0],
        "last_error_at": why[1],
    }


def _trouble(status: ServiceStatus) -> tuple[str | None, str | None]:
    """Return what is wrong now and since when; what is over is told in the service's own status."""
    if status.lifecycle in ("failed", "quarantined"):
        return status.last_error, status.last_error_at
    for connection in status.connections:
        if connection.down_since is not None:
            return (
                f"{connection.name}: {connection.last_error or 'not open'}",
                connection.down_since,
            )
    refused = status.refused_version
    if refused is not None:
        return f"{refused.version} is enabled and was refused: {refused.message}", refused.at
    if status.missing_secrets:
        return f"no secret {status.missing_secrets[0]}", None
    return None, None
