"""`HostConnection`: carries out what the session machine decides, for one declared connection."""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable

from yoi.connections.client_certificate import ClientCertificate
from yoi.connections.connector import Connector, WebSocket
from yoi.connections.dial_task import DialTask
from yoi.connections.report import ConnectionReport
from yoi.connections.resolver import Resolver
from yoi.connections.session import Session
from yoi.connections.session_pair import SessionPair, SocketEffect
from yoi.connections.sink import ConnectionSink
from yoi.connections.target import DialTarget
from yoi.connections.timing import CallLater, Timers, loop_call_later
from yoi.core.backoff import EqualJitter
from yoi.core.budget import Budget
from yoi.core.connection import ConnectionMachine
from yoi.core.connection_state import ConnectionState
from yoi.core.frame_watch import Autoreply
from yoi.core.halts import REVIVED_BY, Change, Halt, refused_open
from yoi.core.heartbeat import HeartbeatSpec
from yoi.core.redaction import NOTHING, Masker
from yoi.core.session_effects import (
    Announce,
    Arm,
    CancelDial,
    Closed,
    Dial,
    Disarm,
    Effect,
    End,
    HandOver,
    Timer,
    UseOwnUrl,
)
from yoi.core.session_values import SessionValues
from yoi.core.token_bucket import TokenBucket
from yoi.errors import ConnectionFailure, YoiError
from yoi.limits import LIMITS, Limits
from yoi.permissions import Decision, JsonPointer, Url
from yoi.permissions.connection_settings import ConnectionSettings
from yoi.protocol.status import ConnectionStatus
from yoi.types import Clock, SessionId, is_close_code

_ZOMBIE = 4000
"""Not 1000 or 1001: gateways end what could be resumed on those."""
_NOT_DIALLING = frozenset(
    {
        ConnectionState.IDLE,
        ConnectionState.AWAITING,
        ConnectionState.STOPPED,
        ConnectionState.FAILED,
    }
)


def _new_session() -> SessionId:
    return SessionId(secrets.token_hex(8))


def _require_close_code(code: int) -> None:
    if not is_close_code(code):
        raise ValueError(f"{code} may not stand in a close frame")


class HostConnection:
    """One host-owned connection: dials, keeps alive, closes, dials again. Never blocks the loop.

    All methods are called on the loop. `authorise` is asked before every dial, for the grants as
    they are then; its answer bounds the messages. `rng` returns a float in [0, 1), for the
    backoff's jitter. `budget` says before each dial how long it has to wait. `masker` hides what
    the server must not give back in what it says of itself; messages are the sink's to mask.
    `certificate` is asked before each dial for what to present where a server demands one. `own`
    is where the manifest says to dial, where its handshake needs more than the URL.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        sink: ConnectionSink,
        *,
        authorise: Callable[[Url], Decision],
        clock: Clock,
        rng: Callable[[], float],
        connector: Connector,
        resolver: Resolver,
        budget: Budget | None = None,
        limits: Limits = LIMITS,
        call_later: CallLater = loop_call_later,
        new_session: Callable[[], SessionId] = _new_session,
        masker: Callable[[], Masker] = lambda: NOTHING,
        certificate: Callable[[], ClientCertificate | None] = lambda: None,
        own: DialTarget | None = None,
    ) -> None:
        self._settings = settings
        self._authorise = authorise
        self._sink = sink
        self._clock = clock
        self._limits = limits
        self._call_later = call_later
        self._new_session = new_session
        backoff = EqualJitter(
            first_ms=settings.backoff_first_ms, max_ms=settings.backoff_max_ms, rng=rng
        )
        self._machine = ConnectionMachine(settings, backoff, limits)
        self._own = own or (None if settings.url is None else DialTarget(settings.url))
        self._target = self._own
        # Heartbeats come once a second at most, so one token that others cannot take is enough.
        self._rate = TokenBucket(settings.send_per_second, clock.monotonic(), reserved=1)
        self._effects: deque[Effect] = deque()
        self._performing = False
        self._timers = Timers(call_later, self._timer_fired)
        self._dial = DialTask(
            settings,
            self,
            authorise=authorise,
            certificate=certificate,
            connector=connector,
            resolver=resolver,
            budget=budget,
            clock=clock,
            limits=limits,
        )
        self._sessions = SessionPair()
        self._shut = False
        self._stopped = asyncio.Event()
        self._report = ConnectionReport(settings, sink, clock, masker)

    # -- what the runtime asks ---------------------------------------------------------------------

    def start(self) -> None:
        """Begin to dial, where the settings say so; again after a stop or a final failure."""
        self._shut = False
        self._stopped.clear()
        self._perform(self._machine.start(self._now()))

    def open(self, target: DialTarget | None = None) -> None:
        """Dial `target` (None: the manifest's own URL) as soon as the backoff allows it.

        An open session is closed first, or with overlap once its successor is open. What is dialled
        after a lost session is the target supplied last, unless it serves only once. Raises
        PermissionDenied where policy refuses the URL, and ConnectionFailure: `connection.no_url`,
        `connection.unauthorised` (it is the target that the server refused for good),
        `connection.oversized` (what the server sends is over the grant),
        `connection.not_open` (the connection is being shut down); nothing has changed then.
        """
        if self._shut:
            raise self._not_open()
        if target is None and self._own is None:
            raise ConnectionFailure(
                "connection.no_url",
                f"{self._settings.name} has no url in its manifest: name a url or handle to open",
                name=self._settings.name,
            )
        chosen = target or self._own
        assert chosen is not None
        try:
            self._authorise(chosen.url).require()
        except YoiError as exc:
            raise chosen.cleared(exc) from None
        now, before = self._now(), self._target
        change = Change.OPEN if chosen == before else Change.TARGET
        halt = self._machine.halt
        if halt is not None and change not in REVIVED_BY[halt]:
            raise refused_open(halt, self._settings.name, chosen.shown)
        self._stopped.clear()
        self._target = chosen
        if before is not None and chosen.url.href != before.url.href:
            self._machine.moved(now)
        if target is None:
            self._perform(self._machine.reopen(now))
        else:
            self._perform(self._machine.open(now, once=target.once))

    def ready(self, session: SessionId | None = None) -> None:
        """Vouch for `session` (None: the open one): earlier failures are forgotten.

        Raises ConnectionFailure where it is not the one that is open.
        """
        live = self._sessions.current
        if live is None or not live.sendable or session not in (None, live.id):
            raise self._no_such_session(session)
        self._machine.vouched(self._now())

    def heartbeat(self, spec: HeartbeatSpec | None) -> None:
        """Send heartbeats on the open session until it ends; no spec ends them.

        One that is not acknowledged before the next is due ends the session with 4000.
        """
        live = self._find(None)
        if spec is None:
            live.stop_heartbeat()
        else:
            live.start_heartbeat(spec)

    def autoreply(self, reply: Autoreply | None) -> None:
        """Answer what matches, on the open session until it ends; None clears all.

        Raises ConnectionFailure (`connection.autoreplies`) beyond the bound.
        """
        live = self._find(None)
        if reply is None:
            live.clear_autoreplies()
        else:
            live.add_autoreply(reply)

    def values(self, session: SessionId | None = None) -> SessionValues:
        """Return the last values and the counter of `session` (None: the open one).

        Raises ConnectionFailure where the session is not open.
        """
        return self._find(session).values

    @property
    def open_questions(self) -> tuple[str, ...]:
        """Return the ids of the questions that wait for their answer, on any session."""
        return tuple(one for session in self._sessions.all() for one in session.open_questions)

    def require_question(self, session: SessionId | None, at: JsonPointer) -> None:
        """Raise ConnectionFailure unless one more may be asked on `session`, answered at `at`."""
        self._find(session).require_question(at)

    def asked(
        self, session: SessionId | None, question: str, at: JsonPointer, number: int | str
    ) -> SessionId | None:
        """Wait on `session` for the answer to `question`, which was sent; return which it is."""
        live = self._find(session)
        live.asked(question, at, number)
        return live.id

    def give_up(self, question: str | None) -> None:
        """Wait no more for the answer to `question`, or (None) for any."""
        for session in self._sessions.all():
            session.give_up(question)

    def send_text(self, session: SessionId | None, text: str) -> None:
        """Queue one text message on `session` (None: whichever is open). Never blocks.

        Raises ConnectionFailure: `connection.session_ended`, `connection.not_open`,
        `connection.rate`, `connection.send_failed`.
        """
        live = self._sessions.current
        if live is None or not live.sendable or session not in (None, live.id):
            live = self._writable(session)
        live.send_text(text)

    def send_binary(self, session: SessionId | None, data: bytes) -> None:
        """Queue one binary message on `session`; otherwise as `send_text`."""
        self._writable(session).send_binary(data)

    def pause(self, why: str = "the plugin is slow") -> None:
        """Stop reading at once, for at most the grace; no message follows this call.

        `why` in words is for a person.
        """
        if not self._machine.paused:
            self._perform(self._machine.pause(self._now()))
            self._report.notice("notice.paused", f"reading is paused: {why}")

    def missing(self) -> tuple[SessionId, int] | None:
        """Return after which session messages may be missing and since which wall moment.

        None while a session lives, and before the first.
        """
        missing = self._machine.missing
        return None if missing is None else (missing[0], self._report.wall_ms(missing[1]))

    def complete_until_ms(self) -> int:
        """Return the last wall moment at which everything that had arrived was reported."""
        moments = [session.socket.complete_until for session in self._sessions.all()]
        return self._report.wall_ms(min(moments, default=self._now()))

    def resume(self) -> None:
        """Read on, from the loop's next turn."""
        if self._machine.paused:
            self._perform(self._machine.resume(self._now()))
            self._report.notice("notice.resumed", "reading goes on")

    def hold_reading(self) -> None:
        """Report no further message until `release_reading`: the last one is being looked at.

        This takes milliseconds and is not the plugin's doing, so that it is not told of.
        """
        for live in self._sessions.all():
            live.hold()

    def release_reading(self) -> None:
        """Read on, from the loop's next turn, unless reading is paused."""
        for live in self._sessions.all():
            live.release()

    def overflow(self) -> None:
        """Close the session because its messages find no room; it is dialled again later."""
        self._perform(self._machine.overflow(self._now()))

    def govern(
        self,
        authorise: Callable[[Url], Decision],
        masker: Callable[[], Masker],
        certificate: Callable[[], ClientCertificate | None],
    ) -> bool:
        """Ask these from now on: another version of the plugin has taken over.

        Return whether policy says the same as before of where this connection is or goes.
        """
        before, self._authorise = self._authorise, authorise
        self._dial.govern(authorise, certificate)
        self._report.govern(masker)
        if self._target is None:
            return True
        return before(self._target.url) == authorise(self._target.url)

    def close_session(self, code: int = 1000, reason: str = "") -> None:
        """Close the open session; what follows is the reconnect policy's.

        Raises ConnectionFailure (`connection.not_open`), and ValueError for an unusable code.
        """
        _require_close_code(code)
        self._find(None)
        self._perform(self._machine.close(self._now(), code, reason))

    def reconnect(self, code: int = 1000, reason: str = "") -> None:
        """Close the session and dial afresh: at once if it proved itself, else after the backoff.

        A connection that waits for its next dial is left to it. Raises ConnectionFailure
        (`connection.not_open`) where none would come, and ValueError for an unusable code.
        """
        _require_close_code(code)
        if self._machine.state in _NOT_DIALLING:
            raise self._not_open()
        self._perform(self._machine.renew(self._now(), code, reason))

    def stop(self, code: int = 1000, reason: str = "") -> None:
        """Close what is open and do not dial again until `open` or `start`."""
        _require_close_code(code)
        self._perform(self._machine.stop(self._now(), code, reason))

    def refused(self, reason: str) -> None:
        """Stop because the plugin says that the server refused its secret; a changed one dials."""
        self._perform(self._machine.stop(self._now(), 1000, reason, Halt.REFUSED))
        self._report.said_refused(reason)

    def revive(self, change: Change) -> bool:
        """Dial again where `change` is what the connection waits for; return whether it is."""
        halt = self._machine.halt
        if self._shut or halt is None or change not in REVIVED_BY[halt]:
            return False
        self.start()
        return True

    def redial(self) -> None:
        """Dial now because a person asked: what is open is closed first, no pause is waited for.

        Raises ConnectionFailure (`connection.not_open`) where it is being shut down.
        """
        if self._shut:
            raise self._not_open()
        self._stopped.clear()
        self._perform(self._machine.demanded(self._now()))

    def reauthorise(self) -> bool:
        """Return whether policy, as it is now, still allows where this connection is or goes.

        Where not, it is closed with 1012 (service restart) and not dialled again; one that waits
        for another grant is dialled.
        """
        if self._target is None:
            return True
        decision = self._authorise(self._target.url)
        if not decision.allowed:
            if self._machine.state not in _NOT_DIALLING:
                self._perform(
                    self._machine.stop(self._now(), 1012, "no longer allowed", Halt.DENIED)
                )
            self._report.refused(decision, self._target)
            return False
        denied = self._machine.halt is Halt.DENIED
        if self.revive(Change.GRANT) and denied:
            self._report.allowed_again()
        return True

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Write what is queued, close and stay closed; bounded by `close_ms`."""
        self.stop(code, reason)
        self._shut = True
        if self._machine.state is ConnectionState.STOPPED:
            self._stopped.set()
        await self._stopped.wait()
        await self._dial.settled()

    def status(self) -> ConnectionStatus:
        """Return a copy of the status as it is now."""
        return self._report.now(self._machine, self._sessions.all())

    # -- SessionOwner ------------------------------------------------------------------------------

    def session_closing(self, live: Session) -> None:
        """Wait for the socket's end, within `close_ms`."""
        if live is self._sessions.current:
            self._perform(self._machine.closing(self._now()))

    def session_ended(self, live: Session, end: End) -> None:
        """Close the session and see what follows."""
        self._report.note_times(live)
        now, complete = self._now(), live.socket.complete_until
        if live is self._sessions.old:
            self._sessions.old = None
            self._perform(self._machine.old_ended(now, end, complete))
        elif live is self._sessions.current:
            self._sessions.current = None
            self._perform(self._machine.ended(now, end, live.delivered, complete))

    def session_dead(self, live: Session) -> None:
        """End a session whose peer acknowledges no heartbeat."""
        error = ConnectionFailure(
            "connection.heartbeat", f"{self._settings.name} did not acknowledge a heartbeat in time"
        )
        live.shut()
        if live is self._sessions.current:
            self._perform(
                self._machine.broken(self._now(), error, _ZOMBIE, "a heartbeat went unanswered")
            )
        else:
            live.socket.drop(_ZOMBIE, "a heartbeat went unanswered")

    # -- DialOwner ---------------------------------------------------------------------------------

    def dialling(self, target: DialTarget) -> None:
        """Show `target`, and dial the same after a lost session."""
        self._target = target
        self._report.dialling(target)

    def dial_postponed(self, error: YoiError, wait_ms: float) -> None:
        """Ask for the dial again in `wait_ms`."""
        self._perform(self._machine.postponed(self._now(), error, wait_ms))

    def dial_failed(self, error: YoiError) -> None:
        """See what follows a dial that failed."""
        self._perform(self._machine.dial_failed(self._now(), error))

    def dial_opened(self, socket: WebSocket, target: DialTarget) -> None:
        """Begin a session on `socket`."""
        session = Session(
            socket,
            target,
            self,
            self._sink,
            status=self._report.status,
            rate=self._rate,
            last=self._settings.last,
            clock=self._clock,
            call_later=self._call_later,
            limits=self._limits,
        )
        self._sessions.arrive(session)
        socket.attach(session)
        self._perform(
            self._machine.dialled(
                self._now(), self._new_session(), socket.subprotocol, socket.address
            )
        )

    # -- inside ------------------------------------------------------------------------------------

    def _find(self, session: SessionId | None) -> Session:
        """Return the session with this id that may be written to; raises ConnectionFailure."""
        live = self._sessions.sendable(session)
        if live is None:
            raise self._no_such_session(session)
        return live

    def _no_such_session(self, session: SessionId | None) -> ConnectionFailure:
        if session is None or session in (self._machine.session, self._machine.old):
            return self._not_open()
        return ConnectionFailure(
            "connection.session_ended",
            f"the session {session} of {self._settings.name} has ended",
            name=self._settings.name,
            session=session,
        )

    def _writable(self, session: SessionId | None) -> Session:
        try:
            return self._find(session)
        except ConnectionFailure:
            self._report.status.send_failures += 1
            raise

    def _not_open(self) -> ConnectionFailure:
        return ConnectionFailure(
            "connection.not_open",
            f"{self._settings.name} is {self._machine.state}",
            name=self._settings.name,
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
                assert self._target is not None, "the machine dials only where there is a URL"
                self._dial.begin(self._target)
            case CancelDial():
                self._dial.give_up()
            case Arm(timer, delay_ms):
                self._timers.arm(timer, delay_ms)
            case Disarm(timer):
                self._timers.disarm(timer)
            case UseOwnUrl():
                self._target = self._own
            case HandOver():
                self._sessions.hand_over()
            case _ if isinstance(effect, SocketEffect):
                self._sessions.carry_out(effect)
            case Announce(session):
                self._sessions.announce(session)
                self._report.tell(effect)
            case Closed() if self._sessions.current is None:
                self._report.none_open()
                self._report.tell(effect)
            case _:
                self._report.tell(effect)

    def _timer_fired(self, timer: Timer) -> None:
        now, live = self._now(), self._sessions.current
        heard = now if live is None else live.socket.last_heard
        self._perform(self._machine.timer_fired(timer, now, heard))

    def _now(self) -> float:
        return self._clock.monotonic()
