"""Tells what a handler raised so that the same fault does not fill the screen.

The first time with the plugin's own lines; while the same event is tried again, the attempts say
so; the same fault of later events is told again when a minute is over, with its count.
"""

from collections import OrderedDict
from dataclasses import dataclass

from yoi.packages.unavailable import Explained
from yoi.protocol.ingress import QueuedEvent
from yoi.protocol.outcomes import HandlerFailed
from yoi.runtime.ledger import Ledger
from yoi.types import Clock

_QUIET_SECONDS = 60.0
_KEPT = 64
"""Different faults that are remembered; the one not seen for longest makes room."""


@dataclass(slots=True)
class _Told:
    at: float
    unsaid: int = 0


class HandlerFaults:
    """See the module docstring. One per service."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._told: OrderedDict[tuple[str, str, str], _Told] = OrderedDict()

    def tell(self, event: QueuedEvent, fault: HandlerFailed, words: Explained) -> None:
        """Record `fault` of `event`, in `words`, where it is news."""
        key, now = (fault.kind, fault.message, str(fault.trace)), self._clock.monotonic()
        told = self._told.get(key)
        if told is not None and now - told.at < _QUIET_SECONDS:
            told.unsaid += event.attempt == 1
            self._told.move_to_end(key)
            return
        again = "" if told is None or not told.unsaid else f" ({told.unsaid} more events like it)"
        self._told[key] = _Told(now)
        self._told.move_to_end(key)
        if len(self._told) > _KEPT:
            self._told.popitem(last=False)
        self._ledger.note(
            fault.code,
            f"{words.message}{again}",
            severity="error",
            hint=words.hint,
            event_id=event.event_id,
            trace=fault.trace,
        )
