"""What a plugin asked for and the command gate allowed, and the states that an effect has.

    PENDING ─begin▶ SENDING ─▶ DONE
       │               ├─────▶ FAILED
       └──▶ FAILED     └─────▶ UNKNOWN   (interrupted: it may have happened, and is not repeated)

The ledger is the one place where an effect changes its state. What settles leaves a record of its
identity (event id, command id) and its end; effects that outlast their event's turn (requests,
notifications) are kept until they settle.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from yoi.errors import PermissionDenied, ServiceError, YoiError
from yoi.limits import LIMITS, Limits
from yoi.protocol.commands import DiagnosticStatusUpdate, Notify, ReplyAt
from yoi.protocol.deferral import ToolComplete
from yoi.protocol.session_commands import (
    ConnectionControl,
    Request,
    StateSet,
    TimerClear,
    TimerSet,
)
from yoi.protocol.status import CommandResult, Counters
from yoi.types import SessionId, rfc3339_ms


class EffectState(StrEnum):
    """Where an effect is in its life."""

    PENDING = "pending"
    SENDING = "sending"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"

    # Enum's own hash is a Python function, and each command looks its states up four times.
    __hash__ = str.__hash__


_NEXT: dict[EffectState, frozenset[EffectState]] = {
    EffectState.PENDING: frozenset({EffectState.SENDING, EffectState.FAILED}),
    EffectState.SENDING: frozenset({EffectState.DONE, EffectState.FAILED, EffectState.UNKNOWN}),
    EffectState.DONE: frozenset(),
    EffectState.FAILED: frozenset(),
    EffectState.UNKNOWN: frozenset(),
}


@dataclass(slots=True)
class Effect:
    """One allowed command of the answer to the event `event_id`."""

    event_id: str
    command_id: str
    kind: str
    state: EffectState = field(default=EffectState.PENDING, init=False)


@dataclass(slots=True)
class SendMessage(Effect):
    """Write one message on `connection`; `session` None means whichever session is open."""

    connection: str
    session: SessionId | None
    text: str | None
    data: bytes | None
    document: Any = None
    """With neither text nor data: JSON to fill in and encode."""
    insert: tuple[Any, ...] = ()
    parts: bool = False
    """Whether `document` is a list of parts to write one after the other."""
    reply: ReplyAt | None = None
    sign: str | None = None
    """Where its answer is known by; None: it asks nothing."""


@dataclass(slots=True)
class SetStatus(Effect):
    """Show `update` as the plugin's own words about itself."""

    update: DiagnosticStatusUpdate


@dataclass(slots=True)
class ConnectionCommand(Effect):
    """Do `payload` to the connection it names, which the plugin may use."""

    payload: ConnectionControl


@dataclass(slots=True)
class StateChange(Effect):
    """Set or clear a timer or a piece of state: the plugin's own, so it needs no grant."""

    payload: TimerSet | TimerClear | StateSet
    ingress: str


@dataclass(slots=True)
class HttpRequest(Effect):
    """Make an HTTP request. Target, method, URL and insertions are authorised when it is built."""

    payload: Request
    ingress: str


@dataclass(slots=True)
class NotifyWorker(Effect):
    """Put `payload` before its worker, which the plugin may notify."""

    payload: Notify
    ingress: str


@dataclass(slots=True)
class CompleteCall(Effect):
    """Answer a tool call that the plugin deferred: its own, so nothing is asked."""

    payload: ToolComplete


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that comes to nothing, and why; for the operator and the plugin."""

    status: str
    """`denied`, `unsupported`, `failed` or `unknown`: the status of the command's result."""
    code: str
    message: str
    hint: str | None
    event_id: str
    command_id: str
    kind: str


def refusal(effect: Effect, error: YoiError) -> Refused:
    """Return what is told of an effect that ended with `error`."""
    if effect.state is EffectState.UNKNOWN:
        status = "unknown"
    else:
        status = "denied" if isinstance(error, PermissionDenied) else "failed"
    return Refused(
        status, error.code, error.message, error.hint,
        effect.event_id, effect.command_id, effect.kind,
    )  # fmt: skip


class EffectLedger:
    """See the module docstring. One per service; `wall_ms` gives the time of a record."""

    def __init__(
        self, counters: Counters, wall_ms: Callable[[], int], limits: Limits = LIMITS
    ) -> None:
        self._counters = counters
        self._wall_ms = wall_ms
        self._limits = limits
        self.settled: Callable[[Effect, str], None] | None = None
        """Hears of each effect that has its end, with the code of what went wrong."""
        self._waiting: dict[int, Effect] = {}
        # Records are kept as tuples: one is made per frame, and most are never looked at.
        self._records: deque[tuple[str, str, str, str, str | None, str, int]] = deque(
            maxlen=limits.command_results
        )
        self._unknown: deque[tuple[str, str, str, str, str | None, str, int]] = deque(
            maxlen=max(1, limits.command_results // 4)
        )
        """The last unknown ones: may have happened or not, and must not be pushed out by others."""

    @property
    def waiting(self) -> int:
        """Return how many kept effects have not settled."""
        return len(self._waiting)

    def keep(self, effect: Effect) -> None:
        """Keep `effect`, which will not settle within this turn.

        Raises ServiceError `service.effects_full` at the bound.
        """
        if len(self._waiting) >= self._limits.effects_waiting:
            raise ServiceError(
                "service.effects_full",
                f"{self._limits.effects_waiting} requests and notifications wait already",
            )
        self._waiting[id(effect)] = effect

    def begin(self, effect: Effect) -> None:
        """It leaves the host now: from here on an interruption makes it unknown."""
        self._transition(effect, EffectState.SENDING)

    def done(self, effect: Effect) -> None:
        """It happened."""
        self._transition(effect, EffectState.DONE)
        self._counters.commands_done += 1
        self._records.append(
            (effect.command_id, effect.event_id, effect.kind, "done", None, "", self._wall_ms())
        )

    def failed(self, effect: Effect, error: YoiError) -> Refused:
        """It did not happen, because of `error`."""
        self._transition(effect, EffectState.FAILED, error.code)
        return self.refused(refusal(effect, error))

    def unknown(self, effect: Effect, error: YoiError) -> Refused:
        """It may have happened: it was interrupted by `error`."""
        self._transition(effect, EffectState.UNKNOWN, error.code)
        return self.refused(refusal(effect, error))

    def refused(self, refused: Refused) -> Refused:
        """Count and record what came to nothing; what the gate refused never was an effect."""
        counters = self._counters
        if refused.status == "failed":
            counters.commands_failed += 1
        elif refused.status == "unknown":
            counters.commands_unknown += 1
        else:
            counters.commands_denied += 1
        record = (
            refused.command_id, refused.event_id, refused.kind,
            refused.status, refused.code, refused.message, self._wall_ms(),
        )  # fmt: skip
        self._records.append(record)
        if refused.status == "unknown":
            self._unknown.append(record)
        return refused

    def abandon(self) -> list[Refused]:
        """Settle every kept effect, because nothing goes on: what had begun is unknown."""
        settled = []
        for effect in tuple(self._waiting.values()):
            if effect.state is EffectState.SENDING:
                error = ServiceError("service.stopping", "stopped; whether it arrived is unknown")
                settled.append(self.unknown(effect, error))
            else:
                error = ServiceError("service.stopping", "stopped before it was carried out")
                settled.append(self.failed(effect, error))
        return settled

    @property
    def results(self) -> list[CommandResult]:
        """Return the last records, oldest first, and before them the last unknown ones."""
        recent = {id(record) for record in self._records}
        earlier = [record for record in self._unknown if id(record) not in recent]
        return [
            CommandResult(
                command_id=command_id,
                source_event_id=event_id,
                kind=kind,
                status=status,
                code=code,
                message=message,
                at=rfc3339_ms(at_ms),
            )
            for command_id, event_id, kind, status, code, message, at_ms in (
                *earlier,
                *self._records,
            )
        ]

    def _transition(self, effect: Effect, to: EffectState, code: str = "") -> None:
        """Let `effect` become `to`; `code` is of what went wrong, where that is its end."""
        if to not in _NEXT[effect.state]:
            raise YoiError(
                "usage.internal", f"a {effect.kind} that is {effect.state} cannot become {to}"
            )
        effect.state = to
        if to is EffectState.SENDING:
            return
        if self._waiting:
            self._waiting.pop(id(effect), None)
        if self.settled is not None:
            self.settled(effect, code)
