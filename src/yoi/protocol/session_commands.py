"""Payloads of the commands that steer sessions, timers, requests and state. Parsed strictly, here.

Contract: docs/design/sessions.md. Insertions are parsed by core/insertion.py when the gate asks
whether they are granted; here they are carried as decoded JSON.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from yoi.errors import GuestRefused
from yoi.limits import LIMITS
from yoi.permissions.match import Match
from yoi.protocol.fields import MISSING, Fields, OutgoingMessage
from yoi.protocol.parts import inside_a_part

Json = Any


@dataclass(frozen=True, slots=True)
class WebSocketOpen:
    """Dial `connection`, at `url` or at the captured URL behind `handle`."""

    connection: str
    url: str | None
    handle: str | None
    headers: Mapping[str, str]
    query: Mapping[str, str]
    insert: tuple[Json, ...]
    basic: Mapping[str, Json] | None = None
    """`user` and `password`, which the host makes the header authorization of."""
    sign: str | None = None
    """The plugin's name of the key that the handshake is signed with."""


@dataclass(frozen=True, slots=True)
class WebSocketClose:
    """Close the session of `connection`; it is dialled again by policy."""

    connection: str
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class WebSocketReconnect:
    """Dial afresh now, where given at another `url` or `handle`."""

    connection: str
    url: str | None
    handle: str | None


@dataclass(frozen=True, slots=True)
class WebSocketStop:
    """Close the session of `connection` and do not dial again until told to.

    `until_secret`: or until a secret of the plugin is changed, because the server refused it.
    """

    connection: str
    reason: str
    until_secret: bool = False


@dataclass(frozen=True, slots=True)
class WebSocketReady:
    """The session of `connection` is good: earlier failures are forgotten."""

    connection: str


@dataclass(frozen=True, slots=True)
class WebSocketHeartbeat:
    """Send `message` every `every_ms` while the session lives; zero ends it.

    With `ack`, a heartbeat that is not acknowledged before the next one is due ends the session.
    """

    connection: str
    every_ms: int
    first_ms: int
    message: OutgoingMessage | None
    ack: Match | None


@dataclass(frozen=True, slots=True)
class WebSocketAutoreply:
    """Answer frames that match `when` with `message`, copying values; no `when` clears it.

    With `copy_rest`, what follows the matched prefix in the frame's first line is put behind it.
    """

    connection: str
    when: Match | None
    message: OutgoingMessage | None
    copy: tuple[tuple[str, str], ...]
    copy_rest: bool = False


@dataclass(frozen=True, slots=True)
class TimerSet:
    """Deliver a `timer` event after `after_ms`; setting a name again replaces it."""

    name: str
    after_ms: int


@dataclass(frozen=True, slots=True)
class TimerClear:
    """Forget the timer `name`."""

    name: str


@dataclass(frozen=True, slots=True)
class Capture:
    """Take the declared capture `name` out of the answer."""

    name: str


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request to a declared target; the answer is a `response` event."""

    target: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    json: Json
    text: str | None
    insert: tuple[Json, ...]
    capture: tuple[str, ...]
    basic: Mapping[str, Json] | None = None
    """`user` and `password`, which the host makes the header authorization of."""
    sign: str | None = None
    """The plugin's name of the key that the request is signed with."""


@dataclass(frozen=True, slots=True)
class StateSet:
    """Keep `value` under `key`; None removes it."""

    key: str
    value: Json


ConnectionControl = (
    WebSocketOpen
    | WebSocketClose
    | WebSocketReconnect
    | WebSocketStop
    | WebSocketReady
    | WebSocketHeartbeat
    | WebSocketAutoreply
)
"""What is done to one connection."""

SessionPayload = ConnectionControl | TimerSet | TimerClear | Request | StateSet


def _place(fields: Fields, *, required: bool) -> tuple[str | None, str | None]:
    url = fields.optional_text("url", LIMITS.url_chars)
    handle = fields.optional_text("handle")
    if url is not None and handle is not None:
        raise fields.malformed("url and handle do not go together")
    if required and url is None and handle is None:
        raise fields.malformed("needs url or handle")
    return url, handle


def _basic(fields: Fields) -> Mapping[str, Json] | None:
    value = fields.value("basic")
    if value is MISSING or value is None:
        return None
    if not isinstance(value, dict) or value.keys() != {"user", "password"}:
        raise fields.malformed("basic must be {user, password}")
    for name, one in value.items():
        if one is not None and not (isinstance(one, str) and len(one) <= LIMITS.name_bytes):
            raise fields.malformed(f"basic.{name} must be text, or null where it is inserted")
    return value


def _open(fields: Fields) -> WebSocketOpen:
    connection = fields.text("connection")
    url, handle = _place(fields, required=False)
    return WebSocketOpen(
        connection=connection,
        url=url,
        handle=handle,
        headers=fields.strings("headers", LIMITS.handshake_headers),
        query=fields.strings("query", LIMITS.handshake_headers),
        basic=_basic(fields),
        sign=fields.optional_text("sign"),
        insert=fields.items("insert", LIMITS.insertions),
    )


def _close(fields: Fields) -> WebSocketClose:
    code = fields.whole("code", 1000, 4999, 1000)
    if code != 1000 and not 3000 <= code <= 4999:
        raise fields.malformed("code must be 1000 or from 3000 to 4999 (RFC 6455 7.4)")
    reason = fields.optional_text("reason", LIMITS.close_reason_bytes) or ""
    if len(reason.encode()) > LIMITS.close_reason_bytes:
        raise fields.malformed(f"reason is over {LIMITS.close_reason_bytes} bytes")
    return WebSocketClose(connection=fields.text("connection"), code=code, reason=reason)


def _reconnect(fields: Fields) -> WebSocketReconnect:
    url, handle = _place(fields, required=False)
    return WebSocketReconnect(fields.text("connection"), url, handle)


def _stop(fields: Fields) -> WebSocketStop:
    reason = fields.optional_text("reason", LIMITS.message_chars) or ""
    until = fields.optional_text("until")
    if until not in (None, "secret"):
        raise fields.malformed('until must be "secret"')
    return WebSocketStop(fields.text("connection"), reason, until is not None)


def _ready(fields: Fields) -> WebSocketReady:
    return WebSocketReady(fields.text("connection"))


def _heartbeat(fields: Fields) -> WebSocketHeartbeat:
    connection = fields.text("connection")
    every = fields.whole("every_ms", 0, LIMITS.heartbeat_max_ms)
    message = fields.standing_message()
    if every and every < LIMITS.heartbeat_min_ms:
        raise fields.malformed(f"every_ms must be at least {LIMITS.heartbeat_min_ms}")
    if every and message is None:
        raise fields.malformed("needs text, json or parts to send")
    return WebSocketHeartbeat(
        connection=connection,
        every_ms=every,
        first_ms=fields.whole("first_ms", 0, LIMITS.heartbeat_max_ms, every),
        message=message,
        ack=fields.match("ack"),
    )


def _autoreply(fields: Fields) -> WebSocketAutoreply:
    connection = fields.text("connection")
    when, message = fields.match("when"), fields.standing_message()
    if when is not None and message is None:
        raise fields.malformed("needs text, json or parts to answer with")
    copies: list[tuple[str, str]] = []
    for item in fields.items("copy", LIMITS.insertions):
        if not isinstance(item, dict) or item.keys() != {"from", "to"}:
            raise fields.malformed("copy must list {from, to}")
        source, target = item["from"], item["to"]
        for pointer in (source, target):
            if (
                not isinstance(pointer, str)
                or not pointer.startswith("/")
                or len(pointer) > LIMITS.pointer_chars
            ):
                raise fields.malformed("copy must name JSON pointers")
        copies.append((source, target))
    if copies and (message is None or message.text is not None):
        raise fields.malformed("copy needs json or parts to copy into")
    if message is not None and message.parts and not all(inside_a_part(to) for _, to in copies):
        raise GuestRefused("service.parts", "websocket_autoreply: copy goes inside a document")
    copy_rest = fields.yes("copy_rest")
    if copy_rest and (
        when is None
        or when.at is not None
        or when.prefix is None
        or message is None
        or message.text is None
    ):
        raise fields.malformed(
            'copy_rest needs a prefix of the whole text (at = "") and text to put the rest behind'
        )
    return WebSocketAutoreply(connection, when, message, tuple(copies), copy_rest)


def _timer_set(fields: Fields) -> TimerSet:
    return TimerSet(
        fields.text("name"),
        fields.whole("after_ms", LIMITS.timer_min_ms, LIMITS.timer_max_ms),
    )


def _timer_clear(fields: Fields) -> TimerClear:
    return TimerClear(fields.text("name"))


def _request(fields: Fields) -> Request:
    text = fields.optional_text("text", LIMITS.request_body_bytes)
    body = fields.value("json")
    if text is not None and body is not MISSING:
        raise fields.malformed("text and json do not go together")
    capture = fields.items("capture", LIMITS.captures)
    if not all(isinstance(name, str) for name in capture):
        raise fields.malformed("capture must list names declared in the manifest")
    return Request(
        target=fields.text("target"),
        method=fields.text("method").upper(),
        path=fields.text("path", LIMITS.url_chars),
        query=fields.strings("query", LIMITS.request_headers),
        headers=fields.strings("headers", LIMITS.request_headers),
        basic=_basic(fields),
        sign=fields.optional_text("sign"),
        json=None if body is MISSING else body,
        text=text,
        insert=fields.items("insert", LIMITS.insertions),
        capture=tuple(capture),
    )


def _state_set(fields: Fields) -> StateSet:
    key = fields.text("key")
    value = fields.value("value")
    if value is MISSING:
        raise fields.malformed("needs value; null removes the key")
    size = len(msgspec.json.encode(value))
    if size > LIMITS.state_value_bytes:
        raise fields.malformed(f"value has {size} bytes; the bound is {LIMITS.state_value_bytes}")
    return StateSet(key, value)


_PARSERS: dict[str, Callable[[Fields], SessionPayload]] = {
    "websocket_open": _open,
    "websocket_close": _close,
    "websocket_reconnect": _reconnect,
    "websocket_stop": _stop,
    "websocket_ready": _ready,
    "websocket_heartbeat": _heartbeat,
    "websocket_autoreply": _autoreply,
    "timer_set": _timer_set,
    "timer_clear": _timer_clear,
    "request": _request,
    "state_set": _state_set,
}

SESSION_KINDS = frozenset(_PARSERS)


def parse_session_payload(kind: str, payload: Mapping[str, Any]) -> SessionPayload:
    """Return the typed payload of one of `SESSION_KINDS`.

    Raises GuestRefused (`service.command_malformed`) that names the field and the fix.
    """
    fields = Fields(kind, payload)
    parsed = _PARSERS[kind](fields)
    fields.done()
    return parsed
