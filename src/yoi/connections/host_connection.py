"""`HostConnection`: carries out what the session machine decides, for one declared connection."""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from yoi.connections.close_codes import is_close_code
from yoi.connections.connector import Connector, Wire
from yoi.connections.plan import ConnectionPlan
from yoi.connections.resolver import Resolver, pin
from yoi.core.backoff import FullJitter
from yoi.core.connection import (
    AbortWire,
    Announce,
    Arm,
    CancelDial,
    Closed,
    CloseWire,
    ConnectionSession,
    ConnectionState,
    Dial,
    Disarm,
    DropWire,
    Effect,
    End,
    Failed,
    Gap,
    PauseReading,
    Reconnecting,
    ResumeReading,
    SendPing,
    SessionRules,
    Timer,
)
from yoi.errors import ConnectionFailure, YoiError
from yoi.limits import LIMITS, Limits
from yoi.protocol.status import ConnectionStatus
from yoi.types import Clock, SessionId, rfc3339_ms


class ConnectionSink(Protocol):
    """Hears everything about one connection, on the loop; never awaited.

    Per connection the order is: all messages of a session, its `closed`, a `gap` if a session
    follows, that session's `opened`.
    """

    def opened(self, session: SessionId, subprotocol: str | None, address: str) -> None:
        """A session has begun."""
        ...

    def text(self, session: SessionId, text: str, size: int) -> None:
        """One text message of `size` bytes."""
        ...

    def binary(self, session: SessionId, data: bytes) -> None:
        """One binary message."""
        ...

    def closed(self, session: SessionId, code: int, reason: str, clean: bool) -> None:
        """The session is over; no message of it follows."""
        ...

    def gap(self, session: SessionId | None, since_ms: int, until_ms: int, why: str) -> None:
        """Messages may be missing between the two moments, after `session`."""
        ...

    def failed(self, error: YoiError, retry_in_ms: float | None) -> None:
        """A dial or a session failed; None means that it is not dialled again."""
        ...

    def notice(self, code: str, message: str, fields: Mapping[str, Any]) -> None:
        """Something a person may want to know."""
        ...


class TimerHandle(Protocol):
    """A timer that can be forgotten."""

    def cancel(self) -> None:
        """Forget the timer."""
        ...


CallLater = Callable[[float, Callable[[], None]], TimerHandle]
"""Call back in so many seconds: the loop's `call_later`, or a test's."""


def _loop_call_later(delay: float, callback: Callable[[], None]) -> TimerHandle:
    return asyncio.get_running_loop().call_later(delay, callback)


def _new_session() -> SessionId:
    return SessionId(secrets.token_hex(8))


def _require_close_code(code: int) -> None:
    if not is_close_code(code):
        raise ValueError(f"{code} may not stand in a close frame")


class HostConnection:
    """One host-owned connection: dials, keeps alive, closes, dials again. Never blocks the loop.

    All methods are called on the loop. `rng` returns a float in [0, 1), for the backoff's jitter.
    """

    def __init__(
        self,
        plan: ConnectionPlan,
        sink: ConnectionSink,
        *,
        clock: Clock,
        rng: Callable[[], float],
        connector: Connector,
        resolver: Resolver,
        limits: Limits = LIMITS,
        call_later: CallLater = _loop_call_later,
        new_session: Callable[[], SessionId] = _new_session,
    ) -> None:
        self._plan = plan
        self._sink = sink
        self._clock = clock
        self._connector = connector
        self._resolver = resolver
        self._limits = limits
        self._call_later = call_later
        self._new_session = new_session
        rules = SessionRules(
            ping_ms=plan.ping_ms,
            pong_ms=plan.pong_ms,
            pause_grace_ms=plan.pause_grace_ms,
            close_ms=limits.close_ms,
            session_ready_ms=limits.session_ready_ms,
            backoff_max_ms=plan.backoff_max_ms,
            fatal_close_codes=plan.fatal_close_codes,
        )
        backoff = FullJitter(first_ms=plan.backoff_first_ms, max_ms=plan.backoff_max_ms, rng=rng)
        self._machine = ConnectionSession(rules, backoff)
        self._effects: deque[Effect] = deque()
        self._performing = False
        self._timers: dict[Timer, TimerHandle] = {}
        self._dialling: asyncio.Task[None] | None = None
        self._wire: Wire | None = None
        self._session: SessionId | None = None  # the one that messages belong to
        self._sendable: SessionId | None = None  # the same, while it may be written to
        self._delivered = 0
        self._stopped = asyncio.Event()
        self._status = ConnectionStatus(
            name=plan.name,
            ingress=plan.ingress,
            url=plan.url.display,
            state=ConnectionState.IDLE,
        )
        self._last_message: float | None = None

    # -- what the runtime asks -------------------------------------------------------------------

    def start(self) -> None:
        """Begin to dial; again after a stop or a final failure."""
        self._stopped.clear()
        self._perform(self._machine.start(self._now()))

    def send_text(self, session: SessionId | None, text: str) -> None:
        """Queue one text message on `session` (None: whichever is open). Never blocks.

        Raises ConnectionFailure: `connection.session_ended`, `connection.not_open`,
        `connection.send_failed`.
        """
        wire = self._writable(session)
        try:
            size = wire.send_text(text)
        except ConnectionFailure:
            self._status.send_failures += 1
            raise
        self._status.frames_out += 1
        self._status.bytes_out += size

    def send_binary(self, session: SessionId | None, data: bytes) -> None:
        """Queue one binary message on `session`; otherwise as `send_text`."""
        wire = self._writable(session)
        try:
            size = wire.send_binary(data)
        except ConnectionFailure:
            self._status.send_failures += 1
            raise
        self._status.frames_out += 1
        self._status.bytes_out += size

    def pause(self) -> None:
        """Stop reading at once, for at most the plan's grace; no message follows this call."""
        if not self._machine.paused:
            self._perform(self._machine.pause(self._now()))
            self._notice("notice.paused", "reading is paused: the plugin is slow")

    def resume(self) -> None:
        """Read on, from the loop's next turn."""
        if self._machine.paused:
            self._perform(self._machine.resume(self._now()))
            self._notice("notice.resumed", "reading goes on")

    def overflow(self) -> None:
        """Close the session because its messages find no room; it is dialled again later."""
        self._perform(self._machine.overflow(self._now()))

    def reconnect(self, code: int = 1000, reason: str = "") -> None:
        """Close the session, if one is open, and dial again; ValueError for an unusable code."""
        _require_close_code(code)
        self._perform(self._machine.reconnect(self._now(), code, reason))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Write what is queued, close and stay closed; bounded by `close_ms`."""
        _require_close_code(code)
        self._perform(self._machine.stop(self._now(), code, reason))
        if self._machine.state is ConnectionState.STOPPED:
            self._stopped.set()
        await self._stopped.wait()
        if self._dialling is not None:
            await asyncio.gather(self._dialling, return_exceptions=True)

    def status(self) -> ConnectionStatus:
        """Return a copy of the status as it is now."""
        status = self._status
        machine = self._machine
        status.state = machine.state
        status.session = machine.session
        status.reading_paused = machine.paused
        status.reconnects = machine.reconnects
        status.last_frame_at = self._at(self._last_message)
        status.next_dial_at = self._at(machine.retry_at)
        return msgspec.structs.replace(status)

    # -- WireOwner -------------------------------------------------------------------------------

    def on_text(self, text: str, size: int) -> None:
        """Deliver one text message."""
        session, wire = self._session, self._wire
        if session is None or wire is None:
            return
        self._last_message = wire.last_heard
        status = self._status
        status.frames_in += 1
        status.bytes_in += size
        self._delivered += 1
        self._sink.text(session, text, size)

    def on_binary(self, data: bytes) -> None:
        """Deliver one binary message."""
        session, wire = self._session, self._wire
        if session is None or wire is None:
            return
        self._last_message = wire.last_heard
        self._status.frames_in += 1
        self._status.bytes_in += len(data)
        self._delivered += 1
        self._sink.binary(session, data)

    def on_closing(self) -> None:
        """Wait for the socket's end, within `close_ms`."""
        self._sendable = None
        self._perform(self._machine.closing(self._now()))

    def on_ended(self, end: End) -> None:
        """Close the session and see what follows."""
        wire, self._wire = self._wire, None
        self._sendable = None
        self._session = None
        heard = self._now() if wire is None else wire.last_heard
        self._perform(self._machine.ended(self._now(), end, self._delivered, heard))

    # -- inside ----------------------------------------------------------------------------------

    def _writable(self, session: SessionId | None) -> Wire:
        wire, sendable = self._wire, self._sendable
        if wire is not None and sendable is not None and session in (None, sendable):
            return wire
        self._status.send_failures += 1
        if session is None or (sendable is None and session == self._machine.session):
            raise ConnectionFailure(
                "connection.not_open",
                f"{self._plan.name} is {self._machine.state}",
                name=self._plan.name,
            )
        raise ConnectionFailure(
            "connection.session_ended",
            f"the session {session} of {self._plan.name} has ended",
            name=self._plan.name,
            session=session,
        )

    def _perform(self, effects: list[Effect]) -> None:
        """Carry `effects` out in order; those that a sink's answer causes come after them."""
        self._effects.extend(effects)
        if self._performing:
            return
        self._performing = True
        try:
            while self._effects:
                self._carry_out(self._effects.popleft())
        finally:
            self._performing = False
        if self._machine.state is ConnectionState.STOPPED:
            self._stopped.set()

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Dial():
                self._dialling = asyncio.get_running_loop().create_task(self._dial())
            case CancelDial():
                if self._dialling is not None:
                    self._dialling.cancel()
            case Arm(timer, delay_ms):
                self._disarm(timer)
                self._timers[timer] = self._call_later(
                    delay_ms / 1000, lambda: self._timer_fired(timer)
                )
            case Disarm(timer):
                self._disarm(timer)
            case SendPing():
                if self._wire is not None:
                    self._wire.ping()
            case PauseReading():
                if self._wire is not None:
                    self._wire.pause_reading()
            case ResumeReading():
                if self._wire is not None:
                    self._wire.resume_reading()
            case CloseWire(code, reason):
                self._sendable = None
                if self._wire is not None:
                    self._wire.close(code, reason)
            case DropWire(code, reason):
                self._sendable = None
                if self._wire is not None:
                    self._wire.drop(code, reason)
            case AbortWire():
                self._sendable = None
                if self._wire is not None:
                    self._wire.abort()
            case _:
                self._tell(effect)

    def _tell(self, effect: Effect) -> None:
        """Report to the sink, and keep the status in step."""
        status = self._status
        match effect:
            case Announce(session, subprotocol, address):
                self._session = self._sendable = session
                self._delivered = 0
                status.subprotocol = subprotocol
                status.address = address
                status.connected_since = rfc3339_ms(self._clock.wall_ms())
                self._sink.opened(session, subprotocol, address)
            case Closed(session, code, reason, clean):
                status.subprotocol = status.address = status.connected_since = None
                status.close_code = code
                status.close_reason = reason
                self._sink.closed(session, code, reason, clean)
            case Gap(session, since, until, why):
                status.gaps += 1
                self._sink.gap(session, self._wall_ms(since), self._wall_ms(until), why)
            case Failed(error, retry_in_ms):
                status.last_error = error.message
                status.last_error_code = error.code
                self._sink.failed(error, retry_in_ms)
            case Reconnecting(retry_in_ms):
                self._notice(
                    "notice.reconnecting",
                    f"{self._plan.name} is dialled again in {retry_in_ms:.0f} ms",
                    retry_in_ms=round(retry_in_ms),
                )

    async def _dial(self) -> None:
        try:
            wire = await self._open_wire()
        except YoiError as exc:
            if self._machine.state is ConnectionState.CONNECTING:
                self._perform(self._machine.dial_failed(self._now(), exc))
            return
        except Exception as exc:
            error = YoiError("usage.internal", f"dialling failed: {exc!r}")
            if self._machine.state is ConnectionState.CONNECTING:
                self._perform(self._machine.dial_failed(self._now(), error))
            raise
        if self._machine.state is not ConnectionState.CONNECTING:
            wire.abort()
            return
        self._wire = wire
        wire.attach(self)
        self._perform(
            self._machine.dialled(self._now(), self._new_session(), wire.subprotocol, wire.address)
        )

    async def _open_wire(self) -> Wire:
        """Ask policy, look the name up, judge each address, and dial only those: every time."""
        plan = self._plan
        decision = plan.authorise(plan.url).require()
        addresses = await pin(plan.url, decision, self._resolver, self._limits)
        return await self._connector.dial(plan, decision, addresses)

    def _timer_fired(self, timer: Timer) -> None:
        self._timers.pop(timer, None)
        now = self._now()
        heard = now if self._wire is None else self._wire.last_heard
        self._perform(self._machine.timer_fired(timer, now, heard))

    def _disarm(self, timer: Timer) -> None:
        handle = self._timers.pop(timer, None)
        if handle is not None:
            handle.cancel()

    def _notice(self, code: str, message: str, **fields: Any) -> None:
        self._sink.notice(code, message, fields)

    def _now(self) -> float:
        return self._clock.monotonic()

    def _wall_ms(self, monotonic: float) -> int:
        """Return the wall time of a monotonic moment, as seen from now."""
        return self._clock.wall_ms() - round((self._now() - monotonic) * 1000)

    def _at(self, monotonic: float | None) -> str | None:
        return None if monotonic is None else rfc3339_ms(self._wall_ms(monotonic))
