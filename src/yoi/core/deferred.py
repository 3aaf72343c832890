"""Tool calls that a plugin answers later: where each is in its life. Sans-I/O.

    OPEN ─▶ ANSWERED      the plugin completed it, with a result or an error
      ├───▶ TIMED_OUT     its time is over
      ├───▶ CANCELLED     the caller waits no longer
      └───▶ INTERRUPTED   the instance, or the session of its question, is gone

A call is kept while it is open; of one that has ended only the id and the end are remembered, so
that a second answer, or one that comes late, is told from one to a call that never was. Nothing of
it outlives the host: after a crash the caller's own history says that the call was interrupted.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from yoi.display import printable
from yoi.errors import ServiceError, YoiError
from yoi.limits import LIMITS, Limits
from yoi.types import SessionId


class CallState(StrEnum):
    """See the module docstring."""

    OPEN = "open"
    ANSWERED = "answered"
    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


_NEXT: dict[CallState, frozenset[CallState]] = {
    CallState.OPEN: frozenset(CallState) - {CallState.OPEN},
    CallState.ANSWERED: frozenset(),
    CallState.TIMED_OUT: frozenset(),
    CallState.CANCELLED: frozenset(),
    CallState.INTERRUPTED: frozenset(),
}


@dataclass(slots=True)
class DeferredCall:
    """One call of `tool` under the plugin's own `id`; times are wall milliseconds.

    `ended` hears once that it has its end: then `result` or `error` says which.
    """

    id: str
    tool: str
    since_ms: int
    until_ms: int
    ended: Callable[[], None] = field(repr=False)
    state: CallState = field(default=CallState.OPEN, init=False)
    session: SessionId | None = field(default=None, init=False)
    """On which its question was asked and has no answer yet."""
    result: Any = field(default=None, init=False)
    error: YoiError | None = field(default=None, init=False)


class DeferredCalls:
    """The deferred calls of one service."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._open: dict[str, DeferredCall] = {}
        self._ended: dict[str, CallState] = {}

    @property
    def open(self) -> list[DeferredCall]:
        """Return the calls that wait, oldest first."""
        return list(self._open.values())

    def defer(self, call: DeferredCall) -> None:
        """Keep `call` open until it is completed or ends otherwise.

        Raises ServiceError: `service.deferred_repeated`, `service.deferred_full`.
        """
        if call.id in self._open:
            raise ServiceError(
                "service.deferred_repeated",
                f"a call waits as {_shown(call.id)} already: defer each under its own id",
                hint="ToolCall.id is one",
            )
        if len(self._open) >= self._limits.deferred_calls:
            raise ServiceError(
                "service.deferred_full",
                f"{self._limits.deferred_calls} calls of the plugin wait for its answer already",
            )
        self._ended.pop(call.id, None)
        self._open[call.id] = call

    def complete(self, call_id: str, result: Any, error: str | None) -> None:
        """The plugin answers the call `call_id`, with `result`, or in words why it has none.

        Raises ServiceError: `service.deferred_ended`, `service.deferred_unknown`.
        """
        call = self._open.get(call_id)
        if call is None:
            ended = self._ended.get(call_id)
            if ended is not None:
                raise ServiceError(
                    "service.deferred_ended", f"the call {_shown(call_id)} is {ended} already"
                )
            raise ServiceError(
                "service.deferred_unknown", f"no call of the plugin waits as {_shown(call_id)}"
            )
        call.result = result
        if error is not None:
            message = printable(error, self._limits.message_chars)
            call.error = ServiceError("service.tool_failed", message)
        self._end(call, CallState.ANSWERED)

    def time_out(self, call: DeferredCall) -> None:
        """The time of `call` is over, if it is still open."""
        waited_ms = call.until_ms - call.since_ms
        self._end_with(
            call,
            CallState.TIMED_OUT,
            ServiceError(
                "service.no_answer",
                f"the plugin deferred the call and said nothing in {waited_ms} ms; whether the "
                "call had an effect is unknown",
            ),
        )

    def cancel(self, call: DeferredCall) -> None:
        """The caller of `call` waits no longer."""
        if call.state is CallState.OPEN:
            self._end(call, CallState.CANCELLED)

    def asked(self, call_id: str, session: SessionId | None) -> None:
        """What was asked under the id of a call now waits for its answer on `session`."""
        call = self._open.get(call_id)
        if call is not None:
            call.session = session

    def answered(self, call_id: str) -> None:
        """The server has answered: the plugin completes the call, even if the session ends."""
        call = self._open.get(call_id)
        if call is not None:
            call.session = None

    def session_gone(self, session: SessionId) -> None:
        """Interrupt the calls whose question no message can answer any more."""
        for call in self.open:
            if call.session == session:
                self._interrupt(call, "the session on which its question was asked has ended")

    def instance_gone(self) -> None:
        """Interrupt every call: the instance that deferred it is gone."""
        for call in self.open:
            self._interrupt(call, "the plugin was stopped or replaced before it answered")

    def _interrupt(self, call: DeferredCall, why: str) -> None:
        message = f"{why}; whether the call had an effect is unknown"
        self._end_with(call, CallState.INTERRUPTED, ServiceError("service.interrupted", message))

    def _end_with(self, call: DeferredCall, to: CallState, error: YoiError) -> None:
        if call.state is CallState.OPEN:
            call.error = error
            self._end(call, to)

    def _end(self, call: DeferredCall, to: CallState) -> None:
        if to not in _NEXT[call.state]:
            raise YoiError("usage.internal", f"a call that is {call.state} cannot become {to}")
        call.state = to
        del self._open[call.id]
        self._ended[call.id] = to
        while len(self._ended) > self._limits.deferred_remembered:
            del self._ended[next(iter(self._ended))]
        call.ended()


def _shown(call_id: str) -> str:
    return printable(call_id, LIMITS.name_bytes)
