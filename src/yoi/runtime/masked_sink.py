"""`MaskedSink`: masks what a server sends before anything else of the runtime has it, in order."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Protocol

from yoi.connections import ConnectionSink
from yoi.connections.background_work import BackgroundWork
from yoi.core.redaction import NOTHING, Masker
from yoi.core.session_effects import OpenReason
from yoi.errors import YoiError
from yoi.runtime.containment import Failed, report
from yoi.types import SessionId

Step = Callable[[], Awaitable[None] | None]


class Reading(Protocol):
    """How reading stops while a message is masked."""

    def hold_reading(self) -> None:
        """Report no further message of any session until `release_reading`."""
        ...

    def release_reading(self) -> None:
        """Report messages again."""
        ...


class WithholdingSink(ConnectionSink, Protocol):
    """A sink that is also told of what was left out."""

    def withheld(self, session: SessionId) -> None:
        """A binary message was left out, because it repeats a secret."""
        ...


class MaskedSink:
    """A `ConnectionSink` that passes everything on to `sink`, messages without what is masked.

    It raises nothing: what `sink` raises, or masking, goes to `failed`, as met in `doing`.

    What takes more than about a millisecond is done in slices of the loop's time, one message of
    the host at a time. Nothing is read meanwhile, and what is told meanwhile waits for it, so that
    the order stays.
    """

    def __init__(
        self,
        sink: WithholdingSink,
        masker: Callable[[], Masker],
        background: BackgroundWork,
        loop: asyncio.AbstractEventLoop,
        doing: str,
        failed: Failed,
    ) -> None:
        self._sink = sink
        self._text = sink.text
        self._masker = masker
        self._background = background
        self._loop = loop
        self._doing = doing
        self._failed = failed
        self._reading: Reading | None = None
        self._waiting: deque[Step] = deque()
        self._work: asyncio.Task[None] | None = None
        self._leaving = False

    def attach(self, reading: Reading) -> None:
        """Give it its connection; before this nothing can arrive."""
        self._reading = reading

    def use(self, masker: Callable[[], Masker]) -> None:
        """Hide what `masker` hides from now on: another version of the plugin has taken over."""
        self._masker = masker

    def leave(self) -> None:
        """Pass on no message that still waits: the service stops and takes none."""
        self._leaving = True

    async def settled(self) -> None:
        """Wait until everything was passed on."""
        if self._work is not None:
            await asyncio.wait({self._work})

    # -- messages ----------------------------------------------------------------------------------

    def text(
        self, session: SessionId, text: str, size: int, in_reply_to: str | None = None
    ) -> None:
        """Pass on one text message; called for every one, so kept short."""
        if self._work is None:
            try:
                masker = self._masker()
                if masker is NOTHING:
                    self._text(session, text, size, in_reply_to)
                    return
                if masker.cheap(size):
                    self._text(session, masker.text(text), size, in_reply_to)
                    return
            except Exception as exc:
                report(exc, self._doing, self._failed)
                return
        self._hold(partial(self._mask, session, text, size, in_reply_to))

    def binary(self, session: SessionId, data: bytes) -> None:
        """Pass on one binary message whole, or that it was left out."""
        if self._work is None:
            self._in_order(partial(self._look_at_once, session, data))
        else:
            self._hold(partial(self._look, session, data))

    def once_taken(self, then: Callable[[], None]) -> None:
        """Pass on what waits for the message just delivered."""
        self._in_order(partial(self._sink.once_taken, then))

    # -- everything else ---------------------------------------------------------------------------

    def opened(
        self, session: SessionId, subprotocol: str | None, address: str, reason: OpenReason
    ) -> None:
        """Pass on that a session has begun."""
        self._in_order(partial(self._sink.opened, session, subprotocol, address, reason))

    def closed(self, session: SessionId, code: int, reason: str, clean: bool) -> None:
        """Pass on that the session is over."""
        self._in_order(partial(self._sink.closed, session, code, reason, clean))

    def gap(self, session: SessionId | None, since_ms: int, until_ms: int, why: str) -> None:
        """Pass on that messages may be missing."""
        self._in_order(partial(self._sink.gap, session, since_ms, until_ms, why))

    def failed(self, error: YoiError, retry_in_ms: float | None) -> None:
        """Pass on that a dial or a session failed."""
        self._in_order(partial(self._sink.failed, error, retry_in_ms))

    def reconnect_needed(
        self, session: SessionId | None, why: str, attempt: int, retry_in_ms: float, fresh: bool
    ) -> None:
        """Pass on that the plugin must say where to dial."""
        self._in_order(
            partial(self._sink.reconnect_needed, session, why, attempt, retry_in_ms, fresh)
        )

    def notice(self, code: str, message: str, fields: Mapping[str, Any]) -> None:
        """Pass on something a person may want to know."""
        self._in_order(partial(self._sink.notice, code, message, fields))

    # -- inside ------------------------------------------------------------------------------------

    def _in_order(self, step: Callable[[], None]) -> None:
        if self._work is not None:
            self._waiting.append(step)
            return
        try:
            step()
        except Exception as exc:
            report(exc, self._doing, self._failed)

    def _hold(self, step: Step) -> None:
        """Do `step` in its turn, and read nothing until then."""
        self._waiting.append(step)
        if self._reading is not None:
            self._reading.hold_reading()
        if self._work is None:
            self._work = self._loop.create_task(self._go_on())

    async def _go_on(self) -> None:
        try:
            while self._waiting:
                try:
                    work = self._waiting.popleft()()
                    if work is not None:
                        await work
                except Exception as exc:
                    report(exc, self._doing, self._failed)
        finally:
            self._work = None
            if self._reading is not None:
                self._reading.release_reading()

    async def _mask(
        self, session: SessionId, text: str, size: int, in_reply_to: str | None
    ) -> None:
        masked = await self._background.in_slices(self._masker().masking(text))
        if not self._leaving:
            self._text(session, masked, size, in_reply_to)

    def _look_at_once(self, session: SessionId, data: bytes) -> None:
        masker = self._masker()
        if masker.cheap(len(data)):
            self._pass_binary(session, data, masker.found_in(data))
        else:
            self._hold(partial(self._look, session, data))

    async def _look(self, session: SessionId, data: bytes) -> None:
        found = await self._background.in_slices(self._masker().finding(data))
        if not self._leaving:
            self._pass_binary(session, data, found)

    def _pass_binary(self, session: SessionId, data: bytes, found: bool) -> None:
        if found:
            self._sink.withheld(session)
        else:
            self._sink.binary(session, data)
