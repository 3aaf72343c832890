"""The states of a worker, and what its listeners are told when they change.

IDLE ──input──▶ RUNNING ──end──▶ IDLE          any ──stop──▶ STOPPED
  ▲ │              │  ▲
  │ └───pause───▶ PAUSED (a person's pause, a call that waits for approval, or a fault)
  └────resume──────┘
"""

from enum import StrEnum

from yoi.errors import WorkerError
from yoi.protocol import events as ev
from yoi.workers.bus import Bus
from yoi.workers.transcript import OpenRun


class Phase(StrEnum):
    """The states a person sees."""

    IDLE = "idle"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


_NEXT: dict[Phase, frozenset[Phase]] = {
    Phase.IDLE: frozenset({Phase.RUNNING, Phase.PAUSED, Phase.STOPPED}),
    Phase.RUNNING: frozenset({Phase.IDLE, Phase.PAUSED, Phase.STOPPED}),
    Phase.PAUSED: frozenset({Phase.IDLE, Phase.RUNNING, Phase.STOPPED}),
    Phase.STOPPED: frozenset(),
}
_STATUS: dict[Phase, ev.StatusName] = {
    Phase.IDLE: "idle",
    Phase.RUNNING: "running",
    Phase.PAUSED: "paused",
    Phase.STOPPED: "idle",  # the protocol has no word for it; `shutdown` says it
}


class PhaseMachine:
    """See the module docstring. Entering the state it is in already says nothing."""

    def __init__(self, bus: Bus) -> None:
        self.state = Phase.IDLE
        self._bus = bus

    @property
    def status(self) -> ev.StatusName:
        """Return the state as the protocol names it."""
        return _STATUS[self.state]

    def go_on(self, run: OpenRun | None) -> None:
        """Enter RUNNING, and tell listeners that a run that waited goes on."""
        if self.state is Phase.RUNNING:
            return
        waited = self.state is Phase.PAUSED
        self._transition(Phase.RUNNING)
        if waited and run is not None:
            self._bus.publish(ev.InvokeStart(ev.InvokeStartData(kind="wakeup")))
            if run.pending:
                self._bus.publish(ev.TurnStart(ev.TurnStartData(turn=run.turns)))

    def rest(self, run: OpenRun | None, *, paused: bool) -> None:
        """Enter IDLE, or PAUSED, and tell listeners that an open run is paused too."""
        to = Phase.PAUSED if paused else Phase.IDLE
        if self.state is to:
            return
        if paused and run is not None:
            if run.pending:
                self._bus.publish(ev.TurnEnd(ev.TurnEndData(turn=run.turns, result="paused")))
            self._bus.publish(ev.RunEnd(ev.RunEndData(result="paused")))
        self._transition(to)

    def stop(self) -> None:
        """Enter STOPPED, from which nothing leads."""
        self._transition(Phase.STOPPED)
        self._bus.publish(ev.Shutdown())

    def _transition(self, to: Phase) -> None:
        if to not in _NEXT[self.state]:
            raise WorkerError(
                "worker.transition", f"a {self.state} worker does not become {to}", to=str(to)
            )
        self.state = to
        if to is not Phase.STOPPED:
            self._bus.publish(ev.Status(ev.StatusData(status=_STATUS[to])))
