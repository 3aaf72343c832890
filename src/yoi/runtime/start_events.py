"""What a new instance hears before anything else: that it started, and what it takes over."""

from yoi.journal.ownership import Ownership
from yoi.protocol.ingress import EventKind
from yoi.runtime.current_version import CurrentVersion
from yoi.runtime.executor import EffectExecutor
from yoi.runtime.host_events import HostEvents
from yoi.runtime.service_connections import ServiceConnections


class StartEvents:
    """See the module docstring. One per service; it knows whether there was an instance before."""

    def __init__(
        self,
        current: CurrentVersion,
        connections: ServiceConnections,
        executor: EffectExecutor,
        events: HostEvents,
        ownership: Ownership,
    ) -> None:
        self._ownership = ownership
        self._current = current
        self._connections = connections
        self._executor = executor
        self._events = events
        self._started_before = False

    def tell(self, restarts: int) -> None:
        """Queue them, at the front. `restarts` is how often a lost instance was replaced."""
        replaced, self._started_before = self._started_before, True
        spec, sessions = self._current.spec, self._connections.open_sessions()
        payload = {
            "restarts": restarts,
            "replaced": replaced,
            "connections": sessions,
            "timers": self._executor.pending_timers(),
            "durable": sorted(spec.disk),
        }
        moved_from = self._ownership.moved_from(f"service:{spec.name}")
        if moved_from is not None and not replaced:
            payload["moved_from"] = moved_from
        started = [
            self._events.made(EventKind.STARTED, ingress, "host", dict(payload))
            for ingress in spec.told_of_start
        ]
        still_open = self._connections.still_open(sessions) if replaced else []
        self._events.put_first([*started, *still_open])

    def forget(self) -> None:
        """Take back what waits of them: the instance that they were for is gone."""
        self._events.put_first([])
