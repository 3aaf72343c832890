"""Keeps a fault in a service's callbacks inside that service.

The event loop calls back into a service from timers, sockets and tasks. What such a call raises
would reach the loop, which only logs it, and leave the service half done. Here it becomes an error
that the service fails with: recorded, and its instance replaced as after a trap.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ParamSpec, Protocol

import structlog

from yoi.connections import ConnectionSink
from yoi.core.session_effects import OpenReason
from yoi.defects import defect, described
from yoi.errors import YoiError
from yoi.types import SessionId

P = ParamSpec("P")
Failed = Callable[[YoiError], None]
"""Hears what a callback raised."""
_log = structlog.get_logger("yoi.runtime")


def contained(doing: str, call: Callable[P, None], failed: Failed) -> Callable[P, None]:
    """Return `call` as the loop may call it: what it raises goes to `failed`."""

    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            call(*args, **kwargs)
        except Exception as exc:
            report(exc, doing, failed)

    return guarded


async def contained_work(doing: str, work: Awaitable[Any], failed: Failed) -> None:
    """Carry `work` out as a task that the loop owns: what it raises goes to `failed`."""
    try:
        await work
    except Exception as exc:
        report(exc, doing, failed)


def report(exc: Exception, doing: str, failed: Failed) -> None:
    """Tell `failed` of `exc`; where even that raises, it is logged and goes no further."""
    try:
        failed(defect(exc, doing))
    except Exception as second:
        # Without tracebacks: they may show what a frame or request holds.
        _log.error("a defect in Yoi", what=doing, first=described(exc), then=described(second))


class WithholdingSink(ConnectionSink, Protocol):
    """A sink that is also told of what was left out."""

    def withheld(self, session: SessionId) -> None:
        """A binary message was left out, because it repeats a secret."""
        ...


class ContainedSink:
    """A `ConnectionSink` that passes everything on to `sink` and raises nothing of it."""

    def __init__(self, sink: WithholdingSink, doing: str, failed: Failed) -> None:
        self._sink = sink
        self._text = sink.text
        self._doing = doing
        self._failed = failed

    def text(
        self, session: SessionId, text: str, size: int, in_reply_to: str | None = None
    ) -> None:
        """Pass on one text message; called for every one, so kept short."""
        try:
            self._text(session, text, size, in_reply_to)
        except Exception as exc:
            report(exc, self._doing, self._failed)

    def once_taken(self, then: Callable[[], None]) -> None:
        """Pass on what waits for the message just delivered."""
        self._pass(self._sink.once_taken, then)

    def opened(
        self, session: SessionId, subprotocol: str | None, address: str, reason: OpenReason
    ) -> None:
        """Pass on that a session has begun."""
        self._pass(self._sink.opened, session, subprotocol, address, reason)

    def binary(self, session: SessionId, data: bytes) -> None:
        """Pass on one binary message."""
        self._pass(self._sink.binary, session, data)

    def withheld(self, session: SessionId) -> None:
        """Pass on that a binary message was left out."""
        self._pass(self._sink.withheld, session)

    def closed(self, session: SessionId, code: int, reason: str, clean: bool) -> None:
        """Pass on that the session is over."""
        self._pass(self._sink.closed, session, code, reason, clean)

    def gap(self, session: SessionId | None, since_ms: int, until_ms: int, why: str) -> None:
        """Pass on that messages may be missing."""
        self._pass(self._sink.gap, session, since_ms, until_ms, why)

    def failed(self, error: YoiError, retry_in_ms: float | None) -> None:
        """Pass on that a dial or a session failed."""
        self._pass(self._sink.failed, error, retry_in_ms)

    def reconnect_needed(
        self, session: SessionId | None, why: str, attempt: int, retry_in_ms: float, fresh: bool
    ) -> None:
        """Pass on that the plugin must say where to dial."""
        self._pass(self._sink.reconnect_needed, session, why, attempt, retry_in_ms, fresh)

    def notice(self, code: str, message: str, fields: Mapping[str, Any]) -> None:
        """Pass on something a person may want to know."""
        self._pass(self._sink.notice, code, message, fields)

    def _pass(self, call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            call(*args, **kwargs)
        except Exception as exc:
            report(exc, self._doing, self._failed)
