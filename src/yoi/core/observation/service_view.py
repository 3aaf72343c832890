"""A service's view: its latest status and its recent diagnostics, folded from its events."""

from collections import deque
from typing import Any

from yoi.core.observation.measure import json_bytes
from yoi.errors import ProtocolMalformed
from yoi.limits import LIMITS, Limits
from yoi.protocol.depth import deeper_than
from yoi.protocol.events import MOST, UnknownEvent
from yoi.protocol.service_events import (
    ServiceDiagnosed,
    ServiceEvent,
    ServiceSnapshot,
    ServiceSnapshotData,
    ServiceStatusChanged,
)


class ServiceView:
    """The fold. Begin it with a snapshot (`of`), then `apply` every event that follows.

    What does not fit the bounds of a snapshot is refused, and then nothing has changed.
    """

    def __init__(self, status: dict[str, Any], limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._status = self._checked(status)
        self._redacted = False
        self._diagnostics: deque[tuple[dict[str, Any], int]] = deque()
        self._bytes = 0
        self._left_out = 0

    @classmethod
    def of(cls, snapshot: ServiceSnapshot, limits: Limits = LIMITS) -> "ServiceView":
        """Return the view that `snapshot` shows. Raises ProtocolMalformed beyond the bounds."""
        view = cls(snapshot.data.status, limits)
        view._left_out = snapshot.data.left_out
        view._redacted = snapshot.data.redacted
        for entry in snapshot.data.diagnostics:
            view._add(entry)
        return view

    def copy(self) -> "ServiceView":
        """Return an equal view that does not change with this one."""
        other = ServiceView.__new__(ServiceView)
        other.__dict__.update(self.__dict__)
        other._diagnostics = self._diagnostics.copy()
        return other

    def apply(self, event: ServiceEvent | UnknownEvent) -> None:
        """Take in the next event. Raises ProtocolMalformed when it cannot be held."""
        match event:
            case ServiceStatusChanged(data):
                self._status, self._redacted = self._checked(data.status), data.redacted
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
                diagnostics=[entry for entry, _ in self._diagnostics],
                left_out=self._left_out,
                redacted=self._redacted,
            )
        )

    def _checked(self, status: dict[str, Any]) -> dict[str, Any]:
        self._shallow(status)
        if json_bytes(status) > self._limits.observed_aside_bytes:
            raise ProtocolMalformed("protocol.malformed", "the status is over its bound")
        return status

    def _add(self, entry: dict[str, Any]) -> None:
        self._shallow(entry)
        size = json_bytes(entry)
        self._diagnostics.append((entry, size))
        self._bytes += size
        while self._diagnostics and (
            len(self._diagnostics) > self._limits.snapshot_diagnostics
            or self._bytes > self._limits.snapshot_bytes
        ):
            _, size = self._diagnostics.popleft()
            self._bytes -= size
            self._left_out = min(self._left_out + 1, MOST)

    def _shallow(self, value: dict[str, Any]) -> None:
        if deeper_than(value, self._limits.observed_depth):
            raise ProtocolMalformed("protocol.malformed", "a value that is nested too deeply")
