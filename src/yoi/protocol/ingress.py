"""Ingress events: what a plugin hears.

Two shapes hold the same promise (S6): a `Frame`, lean, for messages, which arrive by the ten
thousand or are large; `IngressEvent` for everything else. Both have an id, a source, an ingress
name, a creation time and an attempt count.
"""

import base64
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import msgspec

from yoi.types import SessionId, rfc3339_ms


class EventKind(StrEnum):
    """The kinds a connection can deliver; the values are the wire names of the ancestor."""

    TEXT = "websocket_text"
    BINARY = "websocket_binary"
    OPEN = "websocket_open"
    CLOSE = "websocket_close"
    ERROR = "websocket_error"
    GAP = "websocket_gap"
    SEND_FAILED = "websocket_send_failed"
    DENIED = "command_denied"
    STARTED = "service_started"
    TIMER = "timer"
    RESPONSE = "response"


LIFECYCLE_KINDS = frozenset(
    {
        EventKind.OPEN,
        EventKind.CLOSE,
        EventKind.GAP,
        EventKind.ERROR,
        EventKind.SEND_FAILED,
        EventKind.DENIED,
    }
)
"""Kinds that use the queue's reserved room: a full queue never loses them silently."""

FEEDBACK_KINDS = frozenset({EventKind.SEND_FAILED, EventKind.DENIED})
"""Kinds that tell a plugin what became of its own commands."""


@dataclass(slots=True)
class TextFrame:
    """One text frame of one session. `seq` counts the session's delivered frames from 1.

    A `duplicate` is one that the host has delivered before, by what the manifest says of it.
    """

    ingress: str
    connection: str
    session: SessionId
    seq: int
    text: str
    received_ms: int
    size: int
    attempt: int = 1
    in_reply_to: str | None = None
    """The command of the plugin's that it answers: the host's finding, never the sender's word."""
    duplicate: bool = False

    @property
    def event_id(self) -> str:
        """Return the id that answers must name; unique for ever (the session id is random)."""
        return f"{self.session}.{self.seq}"

    @property
    def kind(self) -> str:
        """Return `websocket_text`."""
        return EventKind.TEXT

    def as_event(self) -> "IngressEvent":
        """Return the same event in its public JSON shape."""
        content: dict[str, Any] = {"text": self.text}
        if self.in_reply_to is not None:
            content["in_reply_to"] = self.in_reply_to
        if self.duplicate:
            content["duplicate"] = True
        return _event_of(self, content)


@dataclass(slots=True)
class BinaryFrame:
    """One binary message of one session; otherwise as `TextFrame`, which shares its counting."""

    ingress: str
    connection: str
    session: SessionId
    seq: int
    data: bytes
    received_ms: int
    size: int
    attempt: int = 1

    @property
    def event_id(self) -> str:
        """Return the id that answers must name."""
        return f"{self.session}.{self.seq}"

    @property
    def kind(self) -> str:
        """Return `websocket_binary`."""
        return EventKind.BINARY

    def as_event(self) -> "IngressEvent":
        """Return the same event in its public JSON shape: the message in base64."""
        data = base64.b64encode(self.data).decode("ascii")
        return _event_of(self, {"data": data})


class IngressEvent(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, dict=True):
    """An event in the public JSON shape (reference: ancestor 5.3; WIT `handle-ingress`)."""

    kind: str
    source: str
    ingress_name: str
    payload: dict[str, Any]
    created_at: str
    attempt: int = 1
    correlation_id: str

    @property
    def event_id(self) -> str:
        """Return the id that answers must name."""
        return self.correlation_id

    @property
    def ingress(self) -> str:
        """Return the ingress name."""
        return self.ingress_name

    @property
    def connection(self) -> str | None:
        """Return the connection this event came from, where it came from one."""
        value = self.payload.get("connection")
        return value if isinstance(value, str) else None

    @property
    def session(self) -> SessionId | None:
        """Return the session this event came from, where it came from one."""
        value = self.payload.get("session")
        return SessionId(value) if isinstance(value, str) else None

    @cached_property
    def size(self) -> int:
        """The encoded size in bytes, for the queue's account: asked for more than once."""
        return len(msgspec.json.encode(self))


Frame = TextFrame | BinaryFrame
"""One message of a connection."""


def _event_of(frame: TextFrame | BinaryFrame, content: dict[str, Any]) -> IngressEvent:
    """Return `frame` in its public JSON shape; `content` is its message."""
    return IngressEvent(
        kind=frame.kind,
        source=f"websocket:{frame.connection}",
        ingress_name=frame.ingress,
        payload={
            "connection": frame.connection,
            "session": frame.session,
            "seq": frame.seq,
            **content,
        },
        created_at=rfc3339_ms(frame.received_ms),
        attempt=frame.attempt,
        correlation_id=frame.event_id,
    )


QueuedEvent = Frame | IngressEvent


def public(event: QueuedEvent) -> IngressEvent:
    """Return `event` in its public JSON shape."""
    return event if isinstance(event, IngressEvent) else event.as_event()
