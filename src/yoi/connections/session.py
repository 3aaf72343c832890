"""`Session`: one socket and the session on it, with what the host does there by itself.

Heartbeats and autoreplies are carried out here, on the loop, whatever the guest does meanwhile.
They end with their session.
"""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from yoi.connections.connector import WebSocket
from yoi.connections.sink import ConnectionSink
from yoi.connections.target import DialTarget
from yoi.connections.timing import CallLater, TimerHandle
from yoi.core.frame_watch import Autoreply, Due, FrameWatch
from yoi.core.heartbeat import Beat, Heartbeat, HeartbeatSpec
from yoi.core.questions import Questions, Stray
from yoi.core.session_effects import End
from yoi.core.session_values import SessionValues
from yoi.core.token_bucket import TokenBucket
from yoi.errors import ConnectionFailure, YoiError
from yoi.limits import Limits
from yoi.permissions import JsonPointer
from yoi.permissions.connection_settings import LastValue
from yoi.protocol.status import ConnectionStatus
from yoi.types import Clock, SessionId


class SessionOwner(Protocol):
    """What a session tells its connection."""

    def session_closing(self, session: "Session") -> None:
        """The closing handshake has begun."""
        ...

    def session_ended(self, session: "Session", end: End) -> None:
        """The socket is gone."""
        ...

    def session_dead(self, session: "Session") -> None:
        """A heartbeat was not acknowledged."""
        ...


class Session:
    """A `WebSocketOwner`, see the module docstring. It passes messages on once it has an id."""

    def __init__(
        self,
        socket: WebSocket,
        target: DialTarget,
        owner: SessionOwner,
        sink: ConnectionSink,
        *,
        status: ConnectionStatus,
        rate: TokenBucket,
        last: tuple[LastValue, ...],
        clock: Clock,
        call_later: CallLater,
        limits: Limits,
    ) -> None:
        self.socket = socket
        self.target = target
        self.id: SessionId | None = None
        self.sendable = False
        self.delivered = 0
        self.last_message: float | None = None
        self.last_news: float | None = None
        """When a message came that is neither an acknowledgement nor a fixed text it answers."""
        self._owner = owner
        self._sink = sink
        self._text = sink.text
        self._status = status
        self._rate = rate
        self._clock = clock
        self._call_later = call_later
        self._limits = limits
        self._watch = FrameWatch(last, limits)
        self._watching = not self._watch.idle
        self._questions = Questions(limits)
        self._paused = False
        self._held = False
        self._spec: HeartbeatSpec | None = None
        self._heartbeat: Heartbeat | None = None
        self._timer: TimerHandle | None = None
        self._told: set[str] = set()

    def begin(self, session: SessionId) -> None:
        """Take messages of `session` from here on."""
        self.id = session
        self.sendable = True

    def shut(self) -> None:
        """Take no more sends, and stop the heartbeat."""
        self.sendable = False
        self.stop_heartbeat()

    # -- what a plugin asks for --------------------------------------------------------------------

    def send_text(self, text: str) -> None:
        """Queue one text message within the rate."""
        try:
            if not self._rate.take(self._clock.monotonic()):
                raise _too_often()
            size = self.socket.send_text(text)
        except ConnectionFailure:
            self._status.send_failures += 1
            raise
        self._status.frames_out += 1
        self._status.bytes_out += size

    def send_binary(self, data: bytes) -> None:
        """Queue one binary message within the rate."""
        try:
            if not self._rate.take(self._clock.monotonic()):
                raise _too_often()
            size = self.socket.send_binary(data)
        except ConnectionFailure:
            self._status.send_failures += 1
            raise
        self._status.frames_out += 1
        self._status.bytes_out += size

    def start_heartbeat(self, spec: HeartbeatSpec) -> None:
        """Send heartbeats by `spec` instead of any before."""
        self.stop_heartbeat()
        now = self._clock.monotonic()
        self._spec, self._heartbeat = spec, spec.begin(now)
        self._watch.ack = spec.ack
        self._watching = not self._watch.idle
        self._arm()

    def stop_heartbeat(self) -> None:
        """Send no more heartbeats."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._heartbeat = self._spec = None
        self._watch.ack = None
        self._watching = not self._watch.idle

    def add_autoreply(self, reply: Autoreply) -> None:
        """Answer what `reply.when` matches; replaces an autoreply to the same.

        Raises ConnectionFailure (`connection.autoreplies`) at the bound.
        """
        others = [other for other in self._watch.replies if other.when != reply.when]
        if len(others) >= self._limits.autoreplies:
            raise ConnectionFailure(
                "connection.autoreplies",
                f"more than {self._limits.autoreplies} autoreplies on one session",
            )
        self._watch.replies = [*others, reply]
        self._watching = True

    def clear_autoreplies(self) -> None:
        """Answer nothing by itself."""
        self._watch.replies = []
        self._watching = not self._watch.idle

    @property
    def open_questions(self) -> tuple[str, ...]:
        """Return the ids of the questions that wait for their answer."""
        return self._questions.open

    def require_question(self, at: JsonPointer) -> None:
        """Raise ConnectionFailure unless one more may be asked whose answer is known at `at`."""
        self._questions.require_room(at, self._clock.monotonic())

    def asked(self, question: str, at: JsonPointer, number: int | str) -> None:
        """Look in messages at `at` for `number`: the answer to `question`, which was sent."""
        self._questions.asked(question, at, number, self._clock.monotonic())
        self._watch_places()

    def give_up(self, question: str | None) -> None:
        """Wait no more for the answer to `question`, or (None) for any."""
        now = self._clock.monotonic()
        if question is None:
            self._questions.give_up_all(now)
        else:
            self._questions.give_up(question, now)

    @property
    def values(self) -> SessionValues:
        """Return what is put into messages of the session: last values, and the counter."""
        return self._watch.values

    @property
    def last_ack(self) -> float | None:
        """Return when a heartbeat was last acknowledged, in monotonic seconds."""
        return None if self._heartbeat is None else self._heartbeat.last_ack

    # -- reading -----------------------------------------------------------------------------------

    def pause(self) -> None:
        """Stop reading."""
        self._paused = True
        self._stop_reading()

    def resume(self) -> None:
        """Read, from the loop's next turn."""
        self._paused = False
        if not self._held:
            self.socket.resume_reading()

    def hold(self) -> None:
        """Stop reading until `release`, whatever `pause` and `resume` say meanwhile."""
        if not self._held:
            self._held = True
            self._stop_reading()

    def release(self) -> None:
        """Read again, from the loop's next turn, unless it is paused."""
        if self._held:
            self._held = False
            if not self._paused:
                self.socket.resume_reading()

    # -- WebSocketOwner ----------------------------------------------------------------------------

    def on_text(self, text: str, size: int) -> None:
        """Deliver one text message."""
        session = self.id
        if session is None:
            return
        self.last_message = self.socket.last_heard
        status = self._status
        status.frames_in += 1
        status.bytes_in += size
        self.delivered += 1
        if not self._watching:
            self.last_news = self.last_message
            self._text(session, text, size)
            return
        acked, due, answers = self._look(text)
        if not (acked or any(one.reply.when.fixed for one in due)):
            self.last_news = self.last_message
        self._sink.text(session, text, size, answers)
        for one in due:
            self._sink.once_taken(partial(self._reply, one))

    def on_binary(self, data: bytes) -> None:
        """Deliver one binary message."""
        session = self.id
        if session is None:
            return
        self.last_message = self.last_news = self.socket.last_heard
        self._status.frames_in += 1
        self._status.bytes_in += len(data)
        self.delivered += 1
        self._sink.binary(session, data)

    def on_closing(self) -> None:
        """The closing handshake has begun."""
        self.shut()
        self._owner.session_closing(self)

    def on_ended(self, end: End) -> None:
        """The socket is gone; nothing of its target stands in what is told."""
        self.shut()
        error = None if end.error is None else self.target.cleared(end.error)
        reason = self.target.hide(end.reason)
        self._owner.session_ended(self, End(end.code, reason, end.clean, error))

    # -- inside ------------------------------------------------------------------------------------

    def _stop_reading(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.paused()
        self.socket.pause_reading()

    def _look(self, text: str) -> tuple[bool, Sequence[Due], str | None]:
        """Return whether `text` acknowledges, what it asks for, and the question it answers."""
        acked, due = self._watch.look(text)
        if self._watch.cut_short:
            self._tell(
                "notice.watch",
                "a frame was not looked through: it holds too much, or its JSON is odd",
            )
        if acked and self._heartbeat is not None:
            self._heartbeat.acked(self._clock.monotonic())
        return acked, due, self._answered() if self._watch.places else None

    def _answered(self) -> str | None:
        """Return the question that the frame looked at last answers."""
        drawn = self._watch.values.count
        answers = self._questions.answered(self._watch.found, drawn, self._clock.monotonic())
        self._watch_places()
        status = self._status
        match answers:
            case Stray.REPEATED:
                status.answers_repeated += 1
            case Stray.LATE:
                status.answers_late += 1
                self._tell("notice.answer", "an answer came when nothing waited for it any more")
            case Stray.UNKNOWN:
                status.answers_unknown += 1
                self._tell(
                    "notice.answer",
                    "a frame has what is no number of the session where answers have theirs",
                    "unknown",
                )
            case str():
                status.answers += 1
                return answers
        return None

    def _watch_places(self) -> None:
        self._watch.places = self._questions.places
        self._watching = not self._watch.idle

    def _reply(self, due: Due) -> None:
        if not self.sendable:
            return
        if due.copied is None:
            self._tell(
                "notice.autoreply",
                "an autoreply was not sent: the frame lacks what it copies, or holds too much",
            )
            return
        try:
            self.send_text(due.reply.render(due.copied, self._watch.values))
        except YoiError as exc:
            self._tell("notice.autoreply", f"an autoreply was not sent: {exc.message}", exc.code)
        else:
            self._status.autoreplies += 1

    def _arm(self) -> None:
        if self._heartbeat is not None:
            wait_ms = self._heartbeat.wait_ms(self._clock.monotonic())
            self._timer = self._call_later(wait_ms / 1000, self._due)

    def _due(self) -> None:
        heartbeat, spec = self._heartbeat, self._spec
        if heartbeat is None or spec is None or not self.sendable:
            return
        self._timer = None
        now = self._clock.monotonic()
        beat, late_ms = heartbeat.due(now, self._paused or self._held)
        if beat is Beat.DEAD:
            self._owner.session_dead(self)
            return
        status = self._status
        try:
            size = self.socket.send_text(spec.render(self._watch.values))
        except YoiError as exc:
            status.send_failures += 1
            self._tell("notice.heartbeat", f"a heartbeat was not sent: {exc.message}", exc.code)
        else:
            self._rate.take_reserved(now)
            heartbeat.sent(self._paused or self._held)
            status.heartbeats += 1
            status.heartbeat_late_ms = max(status.heartbeat_late_ms, round(late_ms))
            status.frames_out += 1
            status.bytes_out += size
        self._arm()

    def _tell(self, code: str, message: str, error: str | None = None) -> None:
        """Tell once per session and cause: a server could make it happen with every frame."""
        key = f"{code} {error}"
        if key not in self._told:
            self._told.add(key)
            self._sink.notice(code, message, {"session": self.id, "error": error})


def _too_often() -> ConnectionFailure:
    return ConnectionFailure(
        "connection.rate", "more messages per second than the connection may send"
    )
