"""A service's view: its latest status and its recent diagnostics, folded from its events."""

from collections import deque
from typing import Any

from yoi.limits import LIMITS, Limits
from yoi.protocol.events import UnknownEvent
from yoi.protocol.service_events import (
    ServiceDiagnosed,
    ServiceEvent,
    ServiceSnapshot,
    ServiceSnapshotData,
    ServiceStatusChanged,
)


class ServiceView:
    """The fold. Begin it with a snapshot (`of`), then `apply` every event that follows."""

    def __init__(self, status: dict[str, Any], limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._status = status
        self._redacted = False
        self._diagnostics: deque[dict[str, Any]] = deque()
        self._left_out = 0

    @classmethod
    def of(cls, snapshot: ServiceSnapshot, limits: Limits = LIMITS) -> "ServiceView":
        """Return the view that `snapshot` shows."""
        view = cls(snapshot.data.status, limits)
        view._left_out = snapshot.data.left_out
        view._redacted = snapshot.data.redacted
        for entry in snapshot.data.diagnostics:
            view._add(entry)
        return view

    def copy(self) -> "ServiceView":
        """Return an equal view that goes its own way."""
        other = ServiceView(self._status, self._limits)
        other._diagnostics = self._diagnostics.copy()
        other._left_out, other._redacted = self._left_out, self._redacted
        return other

    def apply(self, event: ServiceEvent | UnknownEvent) -> None:
        """Take in the next event."""
        match event:
            case ServiceStatusChanged(data):
                self._status, self._redacted = data.status, data.redacted
            case ServiceDiagnosed(data):
                self._add(data)
            case ServiceSnapshot():
                self.__dict__.update(ServiceView.of(event, self._limits).__dict__)
            case _:
                pass

    def snapshot(self) -> ServiceSnapshot:
        """Return the view as an event."""
        return ServiceSnapshot(
            ServiceSnapshotData(
                status=self._status,
                diagnostics=list(self._diagnostics),
                left_out=self._left_out,
                redacted=self._redacted,
            )
        )

    def _add(self, entry: dict[str, Any]) -> None:
        self._diagnostics.append(entry)
        if len(self._diagnostics) > self._limits.snapshot_diagnostics:
            self._diagnostics.popleft()
            self._left_out += 1
