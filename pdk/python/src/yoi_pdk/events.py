"""Events: what a plugin hears. Each is made by the host and answered with commands."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from yoi_pdk.commands import Reply

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Source = tuple[str, str, str, int, int, "str | None", bool]
"""Of a message: ingress, connection, session, time in ms, attempt, what it replies to, if again."""
NOT_JSON = object()
"""The document of a message that is not JSON."""


class Event:
    """What happened. `payload` is its JSON as the host sent it."""

    # No fields here: a `TextEvent`, of which there are thousands a second, has only its own.
    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def kind(self) -> str:
            """What kind of event it is, such as `websocket_text`."""

        @property
        def payload(self) -> dict[str, Any]:
            """The event's JSON, by kind."""

        @property
        def ingress(self) -> str:
            """The ingress it was delivered to."""

        @property
        def source(self) -> str:
            """Where it came from, such as `websocket:gateway` or `host`."""

        @property
        def attempt(self) -> int:
            """1 at first; more when an earlier delivery of the same event failed."""

        @property
        def duplicate(self) -> bool:
            """Whether the service sent this message again; False for every other event."""

        @property
        def id(self) -> str:
            """The event's id, unique for ever; the same on every attempt."""

        @property
        def created_at(self) -> datetime:
            """When the host made the event, in UTC."""

    def reply(self, text: str) -> Reply:
        """Return the command that sends `text` on the session this event belongs to."""
        return Reply(text)

    @property
    def connection(self) -> str | None:
        """The name of the connection this event is about, if it is about one."""
        return _str_or_none(self.payload.get("connection"))

    @property
    def session(self) -> str | None:
        """The session this event belongs to, if it belongs to one."""
        return _str_or_none(self.payload.get("session"))

    def __repr__(self) -> str:
        """Return a short description for logs."""
        return f"<{type(self).__name__} {self.kind} {self.connection or self.source}>"


class JsonEvent(Event):
    """An event that came as JSON: any but a message of a connection."""

    duplicate: ClassVar[bool] = False

    __slots__ = ("_created_at", "attempt", "id", "ingress", "kind", "payload", "source")

    def __init__(
        self,
        kind: str,
        payload: dict[str, Any],
        *,
        ingress: str,
        source: str,
        created_at: str,
        attempt: int,
        id: str,
    ) -> None:
        self.kind = kind
        self.payload = payload
        self.ingress = ingress
        self.source = source
        self._created_at = created_at
        self.attempt = attempt
        self.id = id

    @property
    def created_at(self) -> datetime:
        """When the host made the event, in UTC."""
        return datetime.fromisoformat(self._created_at)


class _Message(Event):
    """One message of a session; `seq` counts the session's delivered messages from 1."""

    __slots__ = ("_source", "seq")

    def __init__(self, source: Source, seq: int) -> None:
        self._source = source
        self.seq = seq

    @property
    def source(self) -> str:
        """Where it came from: `websocket:` and the connection's name."""
        return f"websocket:{self._source[1]}"

    @property
    def ingress(self) -> str:
        """The ingress this message was delivered to."""
        return self._source[0]

    @property
    def connection(self) -> str:
        """The name of the connection the message arrived on."""
        return self._source[1]

    @property
    def session(self) -> str:
        """The session: one stretch of the connection from open to close. Never reused."""
        return self._source[2]

    @property
    def created_at(self) -> datetime:
        """When the host received the message, in UTC, with milliseconds."""
        return _EPOCH + timedelta(milliseconds=self._source[3])

    received_at = created_at
    """An older name of `created_at`."""

    @property
    def attempt(self) -> int:
        """1 at first; more when an earlier delivery of the same message failed."""
        return self._source[4]

    @property
    def duplicate(self) -> bool:
        """Whether the service sent again what this plugin was given before.

        The host knows it where the manifest says how (`dedupe` of an ingress, `sequence` of a
        connection): acknowledge, and do nothing.
        """
        return self._source[6]

    @property
    def id(self) -> str:
        """The event's id, unique for ever; the same on every attempt."""
        return f"{self._source[2]}.{self.seq}"


class TextEvent(_Message):
    """One text message that arrived on a connection.

    `text` is the message as it came; `json()` parses it. `seq` counts the session's delivered
    messages from 1.
    """

    __slots__ = ("_document", "text")

    kind: ClassVar[str] = "websocket_text"

    def __init__(self, source: Source, seq: int, text: str) -> None:
        self._source = source
        self.seq = seq
        self.text = text

    @property
    def in_reply_to(self) -> str | None:
        """The `id` of your `Send` with `reply_at` that this message answers, if it answers one.

        The host knows it by the number that it put into your message; each question has one answer.
        """
        return self._source[5]

    def json(self) -> Any:
        """Return the message parsed as JSON; raises ValueError when it is not JSON."""
        document = self.document()
        return json.loads(self.text) if document is NOT_JSON else document

    def document(self) -> Any:
        """Return the message parsed as JSON, or `NOT_JSON`; it is parsed once."""
        try:
            return self._document
        except AttributeError:
            try:
                self._document = json.loads(self.text)
            except ValueError:
                self._document = NOT_JSON
            return self._document

    @property
    def payload(self) -> dict[str, Any]:
        """The event's JSON: text, seq, connection and session; what else is so of it."""
        payload: dict[str, Any] = {
            "text": self.text,
            "seq": self.seq,
            "connection": self.connection,
            "session": self.session,
        }
        if self.in_reply_to is not None:
            payload["in_reply_to"] = self.in_reply_to
        if self.duplicate:
            payload["duplicate"] = True
        return payload

    def __repr__(self) -> str:
        """Return a short description for logs."""
        text = self.text if len(self.text) <= 60 else self.text[:60] + "…"
        return f"<TextEvent {self.connection} {self.seq}: {text!r}>"


class OpenEvent(JsonEvent):
    """A connection is open: a new session begins."""

    __slots__ = ()

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol the server chose, if any."""
        return _str_or_none(self.payload.get("subprotocol"))

    @property
    def reason(self) -> str:
        """Why it was dialled: `first`, `reconnect` or `command`; `still_open` where it was not.

        A `still_open` session began before this instance, which replaces the one that opened it.
        """
        return _str_or_none(self.payload.get("reason")) or "first"


class CloseEvent(JsonEvent):
    """A session ended. The host dials again by itself."""

    __slots__ = ()

    @property
    def code(self) -> int:
        """The close code; 1006 when the connection was lost without a close frame."""
        return _int_or_none(self.payload.get("code")) or 1006

    @property
    def reason(self) -> str:
        """The reason the peer gave; untrusted text, often empty."""
        return _str_or_none(self.payload.get("reason")) or ""

    @property
    def clean(self) -> bool:
        """Whether both sides said goodbye."""
        return self.payload.get("clean") is True


class Missing(NamedTuple):
    """Numbers from `first` to `last` that did not come; `per` is the key of their sequence."""

    per: Any
    first: int
    last: int


class GapEvent(JsonEvent):
    """Messages may be missing: fetch what you need from the service's own API."""

    __slots__ = ()

    @property
    def since(self) -> datetime | None:
        """The start of the interval in which messages may be missing."""
        return _time_or_none(self.payload.get("since"))

    @property
    def until(self) -> datetime | None:
        """The end of that interval."""
        return _time_or_none(self.payload.get("until"))

    @property
    def why(self) -> str:
        """Why there is a gap: `overflow`, say, or `withheld` for bytes that repeat a secret."""
        return _str_or_none(self.payload.get("why")) or ""

    @property
    def count(self) -> int | None:
        """How many messages are missing, where the host knows it."""
        return _int_or_none(self.payload.get("count"))

    @property
    def missing(self) -> "list[Missing]":
        """The numbers that are missing, where the manifest declares a `sequence`: why is that."""
        found = self.payload.get("missing")
        ranges = found if isinstance(found, list) else []
        return [
            Missing(one.get("per"), int(one["first"]), int(one["last"]))
            for one in ranges
            if isinstance(one, dict) and "first" in one and "last" in one
        ]


class BinaryEvent(_Message):
    """One binary message, on a connection whose manifest entry asks for `binary`.

    `data` is the message; `seq` counts the session's delivered messages from 1.
    """

    __slots__ = ("data",)

    kind: ClassVar[str] = "websocket_binary"

    def __init__(self, source: Source, seq: int, data: bytes) -> None:
        super().__init__(source, seq)
        self.data = data

    @property
    def payload(self) -> dict[str, Any]:
        """The event's JSON: data in base64, seq, connection and session."""
        return {
            "data": base64.b64encode(self.data).decode("ascii"),
            "seq": self.seq,
            "connection": self.connection,
            "session": self.session,
        }

    def __repr__(self) -> str:
        """Return a short description for logs."""
        return f"<BinaryEvent {self.connection} {self.seq}: {len(self.data)} bytes>"


class StartedEvent(JsonEvent):
    """The plugin has started: the first event of an ingress, and the moment for a first command.

    It comes again when the instance is replaced, also while its connections are still open: what
    the one before kept in memory is gone, and `connections` says what it left open.
    """

    __slots__ = ()

    @property
    def restarts(self) -> int:
        """How often the instance was started anew before: 0 at first."""
        return _int_or_none(self.payload.get("restarts")) or 0

    @property
    def replaced(self) -> bool:
        """Whether this instance takes over what another one had begun."""
        return bool(self.payload.get("replaced"))

    @property
    def moved_from(self) -> str | None:
        """The machine that ran the plugin before this one; None where it did not move."""
        return _str_or_none(self.payload.get("moved_from"))

    @property
    def connections(self) -> list[dict[str, Any]]:
        """The open sessions: each `connection`, `session`, `since`, `subprotocol`, `ready`."""
        return list(self.payload.get("connections") or ())

    @property
    def timers(self) -> list[dict[str, str]]:
        """The timers that are set, each with its `ingress` and `name`; they outlive an instance."""
        return list(self.payload.get("timers") or ())


class TimerEvent(JsonEvent):
    """A timer of this plugin is due. Each comes once: set it again to go on."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The name it was set with."""
        return _str_or_none(self.payload.get("name")) or ""


class _Answer:
    """The answer to a request. What it holds is untrusted text."""

    __slots__ = ()

    payload: dict[str, Any]

    @property
    def status(self) -> int | None:
        """The HTTP status, if an answer came."""
        return _int_or_none(self.payload.get("status"))

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers; names in lower case."""
        value = self.payload.get("headers")
        if not isinstance(value, dict):
            return {}
        return {name: text for name, text in value.items() if isinstance(text, str)}

    @property
    def body(self) -> Any:
        """The body: a JSON value, text, text in base64, or None. See `body_kind`."""
        return self.payload.get("body")

    @property
    def body_kind(self) -> str:
        """What the body is: `json`, `text`, `base64`, `empty` or `withheld`.

        A body that is not JSON is withheld where the target declares captures, and bytes where they
        repeat a secret.
        """
        return _str_or_none(self.payload.get("body_kind")) or "empty"

    @property
    def truncated(self) -> bool:
        """Whether the body was longer than the host's bound and its end is missing."""
        return self.payload.get("truncated") is True

    def json(self) -> Any:
        """Return the body as a JSON value; raises ValueError when it is not JSON."""
        if self.body_kind == "json":
            return self.body
        if self.body_kind == "text":
            return json.loads(self.body)
        raise ValueError(f"the body is {self.body_kind}, not JSON")

    @property
    def captured(self) -> dict[str, str]:
        """The handle of each value that the host took out of the answer, by the capture's name."""
        value = self.payload.get("captured")
        if not isinstance(value, dict):
            return {}
        return {name: handle for name, handle in value.items() if isinstance(handle, str)}

    @property
    def retry_after_ms(self) -> int | None:
        """How long the server asked to wait, where it did."""
        return _int_or_none(self.payload.get("retry_after_ms"))


class Response(_Answer):
    """What `ctx.request` returns: an answer that came. What it holds is untrusted text."""

    __slots__ = ("payload",)

    def __init__(self, payload: dict[str, Any]) -> None:
        self.payload = payload

    def __await__(self) -> Any:
        """Raise the TypeError that names the fix: the answer is here already."""
        raise TypeError(
            "ctx.request(...) has waited already: write response = ctx.request(...) without await; "
            "to go on meanwhile return Request(...) and handle on_response"
        )

    @property
    def ok(self) -> bool:
        """Whether the status is from 200 to 299."""
        return 200 <= (self.status or 0) < 300


class ResponseEvent(_Answer, JsonEvent):
    """The answer to a `Request`, or why there is none. What it holds is untrusted text."""

    __slots__ = ()

    @property
    def command_id(self) -> str:
        """The `id` of the request."""
        return _str_or_none(self.payload.get("command_id")) or ""

    @property
    def ok(self) -> bool:
        """Whether an answer with a status from 200 to 299 came."""
        return self.payload.get("ok") is True and 200 <= (self.status or 200) < 300

    @property
    def may_have_arrived(self) -> bool:
        """Whether the server may have acted although no answer came: do not blindly repeat it."""
        return self.payload.get("may_have_arrived") is True

    @property
    def error_code(self) -> str:
        """A stable code such as `request.timeout`; empty when an answer came."""
        return self._error("code")

    @property
    def error_message(self) -> str:
        """The same in words."""
        return self._error("message")

    def _error(self, key: str) -> str:
        error = self.payload.get("error")
        return (_str_or_none(error.get(key)) or "") if isinstance(error, dict) else ""


class _Failure(JsonEvent):
    __slots__ = ()

    @property
    def code(self) -> str:
        """A stable error code, such as `connection.refused`."""
        return _str_or_none(self.payload.get("code")) or ""

    @property
    def message(self) -> str:
        """The same in words."""
        return _str_or_none(self.payload.get("message")) or ""


class ErrorEvent(_Failure):
    """A connection could not be opened or broke. The host dials again by itself.

    Unless `reconnect_needed`: then it has no address to dial, because the last one was good for one
    dial, or never led to a good session. Answer with `Open`.
    """

    __slots__ = ()

    @property
    def reconnect_needed(self) -> bool:
        """Whether the plugin has to say where to dial."""
        return self.code == "connection.reconnect_needed"

    @property
    def status(self) -> int | None:
        """The HTTP status with which the server refused the upgrade; None for another failure."""
        status = self.payload.get("status")
        return status if isinstance(status, int) else None


class _CommandFailure(_Failure):
    __slots__ = ()

    @property
    def command_id(self) -> str:
        """The `id` of the command."""
        return _str_or_none(self.payload.get("command_id")) or ""

    @property
    def command(self) -> str:
        """The kind of the command, such as `websocket_send`."""
        return _str_or_none(self.payload.get("command")) or ""


class SendFailedEvent(_CommandFailure):
    """An allowed send could not be carried out: the session ended, or the buffer is full."""

    __slots__ = ()


class DeniedEvent(_CommandFailure):
    """The host refused a command: the manifest does not ask for it, or no grant allows it."""

    __slots__ = ()


KINDS: "dict[str, type[JsonEvent]]" = {
    "websocket_open": OpenEvent,
    "websocket_close": CloseEvent,
    "websocket_gap": GapEvent,
    "websocket_error": ErrorEvent,
    "websocket_send_failed": SendFailedEvent,
    "command_denied": DeniedEvent,
    "service_started": StartedEvent,
    "timer": TimerEvent,
    "response": ResponseEvent,
}
"""The class of each kind. A kind that is not here arrives as a plain `JsonEvent`."""


def event_from_json(value: dict[str, Any]) -> Event:
    """Return the event in its public JSON shape as an object of its kind's class."""
    kind = value["kind"]
    if kind == "websocket_binary":
        return _binary(value)
    return KINDS.get(kind, JsonEvent)(
        kind,
        value["payload"],
        ingress=value["ingress_name"],
        source=value["source"],
        created_at=value["created_at"],
        attempt=value["attempt"],
        id=value["correlation_id"],
    )


def _binary(value: dict[str, Any]) -> BinaryEvent:
    """Return a binary message that came as JSON, as one of a disk ingress does."""
    payload = value["payload"]
    created = datetime.fromisoformat(value["created_at"])
    source = (
        value["ingress_name"],
        payload["connection"],
        payload["session"],
        (created - _EPOCH) // timedelta(milliseconds=1),
        value["attempt"],
        None,
        payload.get("duplicate") is True,
    )
    return BinaryEvent(source, payload["seq"], base64.b64decode(payload["data"]))


def _str_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _int_or_none(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _time_or_none(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None
