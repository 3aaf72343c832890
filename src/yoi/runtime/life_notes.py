"""What the operator reads about the life of a service: a diagnostic for each thing that happens."""

from collections.abc import Collection, Iterable

from yoi.core.lifecycle import Lifecycle
from yoi.runtime.ledger import Ledger


class LifeNotes:
    """See the module docstring."""

    def __init__(self, service: str, ledger: Ledger) -> None:
        self._service = service
        self._ledger = ledger

    def state(self, state: Lifecycle, why: str) -> None:
        """The service has another state."""
        self._ledger.note("notice.lifecycle", f"{self._service} is {state}: {why}", state=state)

    def regranted(self, refused: Collection[str]) -> None:
        """Other grants are in force, and the connections `refused` were closed for them."""
        self._ledger.note(
            "notice.regranted",
            f"{self._service} goes on under other grants"
            + (f"; closed: {', '.join(refused)}" if refused else ""),
            closed=refused,
        )

    def reconnecting(self, connections: Collection[str]) -> None:
        """A person asked to dial."""
        self._ledger.note(
            "notice.reconnect", f"a person asked to dial {', '.join(connections) or 'nothing'}"
        )

    def missing_secrets(self, names: Iterable[str]) -> None:
        """The store has no secret of these names."""
        for name in names:
            self._ledger.note(
                "secret.missing",
                f"{self._service} may use the secret {name}, and the store has none of that name",
                severity="warning",
                hint=f"yoi secret set {name}",
                secret=name,
            )

    def restart_planned(self, seconds: float) -> None:
        """The instance was lost and is restarted in `seconds`."""
        self._ledger.note(
            "notice.restart",
            f"{self._service} will be restarted in {seconds:.1f} s",
            severity="warning",
            delay_ms=round(seconds * 1000),
        )

    def quarantined(self, failures: int) -> None:
        """The instance failed too often in a row."""
        self._ledger.note(
            "service.quarantined",
            f"{self._service} failed {failures} times in a row and will not be restarted",
            severity="error",
            hint=f"yoi service restart {self._service}",
        )

    def not_drained(self) -> None:
        """The service stops although events are queued: the wait for them took too long."""
        self._ledger.note("notice.dropped", "the queue did not drain in time", severity="warning")

    def dropped(self, events: int) -> None:
        """A stop threw `events` away; they are counted."""
        if events:
            self._ledger.counters.dropped += events
            self._ledger.note(
                "notice.dropped",
                f"{events} events were still queued when the service stopped",
                severity="warning",
                count=events,
            )
