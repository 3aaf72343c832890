"""Output commands: what a plugin asks the host to do. Parsed strictly, executed by the host alone.

A malformed envelope refuses the whole answer (S7); whether a well-formed command may be carried
out is decided per command by the gate (core/gate.py), never here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, cast

import msgspec

from yoi.errors import GuestRefused
from yoi.limits import LIMITS
from yoi.permissions import JsonPointer, PointerFault
from yoi.protocol.deferral import TOOL_COMPLETE, ToolComplete, parse_tool_complete
from yoi.protocol.depth import deeper_than
from yoi.protocol.fields import Fields
from yoi.protocol.session_commands import (
    SESSION_KINDS,
    SessionPayload,
    parse_session_payload,
)


class CommandKind(StrEnum):
    """The kinds this host knows. Anything else is well-formed but unsupported."""

    WEBSOCKET_SEND = "websocket_send"
    DIAGNOSTIC_STATUS_UPDATE = "diagnostic_status_update"
    NOTIFY = "notify"


class OutputCommand(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One command envelope (ancestor 5.4): all fields required, unknown fields refused."""

    correlation_id: str
    source_event_id: str
    command_id: str
    kind: str
    payload: dict[str, Any]
    requested_at: str


@dataclass(frozen=True, slots=True)
class ReplyAt:
    """Where a message has the session's next number, and where its answer brings it back."""

    counter: JsonPointer
    answer: JsonPointer


@dataclass(frozen=True, slots=True)
class WebSocketSend:
    """Send one message on a connection of this plugin.

    `session` is "source" (the session the event came from) or "current" (whichever is open).
    `connection` None means the source event's own; `url` is the ancestor's way to name one.
    """

    text: str | None
    data: bytes | None
    document: Any
    """With neither text nor data: JSON to fill in and encode."""
    insert: tuple[Any, ...]
    parts: bool
    """Whether `document` is a list of parts to write one after the other."""
    connection: str | None
    url: str | None
    session: Literal["source", "current"]
    reply: ReplyAt | None = None
    sign: str | None = None
    """The plugin's name of the key that the document is signed with."""
    """Where its answer is known by; None: it asks nothing."""


@dataclass(frozen=True, slots=True)
class DiagnosticStatusUpdate:
    """Replace the status a person sees for this plugin, or record a message."""

    message: str | None
    status: Mapping[str, Any] | str | None


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell `worker` something that came from outside: it becomes a visible item of its history."""

    worker: str
    text: str


CommandPayload = WebSocketSend | DiagnosticStatusUpdate | Notify | ToolComplete | SessionPayload


def _malformed(message: str) -> GuestRefused:
    return GuestRefused("service.command_malformed", message)


def _plain_id(value: str, name: str) -> str:
    if not 1 <= len(value.encode()) <= LIMITS.name_bytes or not value.isprintable():
        raise _malformed(
            f"{name} must be 1 to {LIMITS.name_bytes} bytes without control characters"
        )
    return value


def parse_envelopes(raw: Any, event_id: str) -> list[OutputCommand]:
    """Return the commands in `raw`, a decoded `output_commands` value for the event `event_id`.

    Raises GuestRefused (`service.command_malformed`): not an array, too many, an unknown or missing
    field, a forged `source_event_id`, a repeated `command_id`, a time that is not RFC 3339.
    """
    if not isinstance(raw, list):
        raise _malformed("output_commands must be an array")
    if len(raw) > LIMITS.commands_per_event:
        raise _malformed(f"more than {LIMITS.commands_per_event} output commands for one event")
    commands: list[OutputCommand] = []
    seen: set[str] = set()
    for item in raw:
        try:
            command = msgspec.convert(item, OutputCommand)
        except msgspec.ValidationError as exc:
            raise _malformed(f"output command: {exc}") from None
        _plain_id(command.correlation_id, "correlation_id")
        _plain_id(command.command_id, "command_id")
        _plain_id(command.kind, "kind")
        if command.source_event_id != event_id:
            raise _malformed("source_event_id is not the event being answered")
        if command.command_id in seen:
            raise _malformed(f"command_id {command.command_id!r} appears twice")
        seen.add(command.command_id)
        try:
            moment = datetime.fromisoformat(command.requested_at)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise _malformed("requested_at must be an RFC 3339 time with an offset")
        commands.append(command)
    return commands


def parse_payload(kind: str, payload: Mapping[str, Any]) -> CommandPayload | None:
    """Return the typed payload of a known `kind`, or None for a kind this host does not know.

    Raises GuestRefused (`service.command_malformed`) when the payload of a known kind does not fit.
    """
    if kind == CommandKind.WEBSOCKET_SEND:
        return _websocket_send(payload)
    if kind == CommandKind.DIAGNOSTIC_STATUS_UPDATE:
        return _status_update(payload)
    if kind == CommandKind.NOTIFY:
        return _notify(payload)
    if kind == TOOL_COMPLETE:
        return parse_tool_complete(payload)
    if kind in SESSION_KINDS:
        return parse_session_payload(kind, payload)
    return None


def _only(payload: Mapping[str, Any], allowed: frozenset[str], kind: str) -> None:
    for key in payload:
        if key not in allowed:
            raise _malformed(f"{kind} has no field {key!r}")


def _text_or_none(payload: Mapping[str, Any], key: str) -> str | None:
    value = payload.get(key)
    if value is not None and not isinstance(value, str):
        raise _malformed(f"{key} must be a string")
    return value


def _websocket_send(payload: Mapping[str, Any]) -> WebSocketSend:
    fields = Fields(CommandKind.WEBSOCKET_SEND, payload)
    data = fields.optional_data("data")
    message = fields.message(LIMITS.message_max_bytes)
    if (message is None) == (data is None):
        raise fields.malformed("needs one of text, json, parts or data (base64)")
    session = fields.optional_text("session") or "source"
    if session not in ("source", "current"):
        raise fields.malformed('session must be "source" or "current"')
    insert = () if message is None else message.insert
    sign = fields.optional_text("sign")
    if sign is not None and (message is None or message.text is not None):
        raise fields.malformed("sign needs json or parts to put the signature into")
    parsed = WebSocketSend(
        text=None if message is None else message.text,
        data=data,
        document=None if message is None else message.document,
        insert=insert,
        parts=message is not None and message.parts,
        connection=fields.optional_text("connection"),
        url=fields.optional_text("url", LIMITS.url_chars),
        session=cast("Literal['source', 'current']", session),
        reply=_reply(fields, insert),
        sign=sign,
    )
    fields.done()
    return parsed


def _reply(fields: Fields, insert: tuple[Any, ...]) -> ReplyAt | None:
    answer = fields.optional_pointer("reply_at")
    if answer is None:
        return None
    places = [one for one in insert if isinstance(one, dict) and one.get("counter") is not None]
    if len(places) != 1:
        raise fields.malformed("reply_at needs exactly one counter among what is inserted")
    try:
        counter = JsonPointer.parse(places[0].get("at"))
    except PointerFault as exc:
        raise fields.malformed(f"insert.at {exc}") from None
    return ReplyAt(counter, answer)


def _status_update(payload: Mapping[str, Any]) -> DiagnosticStatusUpdate:
    _only(payload, frozenset({"message", "status"}), "diagnostic_status_update")
    message = _text_or_none(payload, "message")
    status = payload.get("status")
    if status is not None and not isinstance(status, (str, dict)):
        raise _malformed("status must be a string or an object")
    if message is None and status is None:
        raise _malformed("diagnostic_status_update needs message or status")
    if deeper_than(status, LIMITS.status_depth):
        raise _malformed(f"status is nested deeper than {LIMITS.status_depth} levels")
    if len(msgspec.json.encode(payload)) > LIMITS.status_bytes:
        raise _malformed(f"status is over {LIMITS.status_bytes} bytes")
    return DiagnosticStatusUpdate(message=message, status=status)


def _notify(payload: Mapping[str, Any]) -> Notify:
    fields = Fields(CommandKind.NOTIFY, payload)
    # A longer text is cut where it is committed, visibly; this bounds what is carried there.
    parsed = Notify(fields.text("worker"), fields.text("text", LIMITS.command_payload_bytes))
    fields.done()
    return parsed
