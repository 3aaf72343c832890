"""What observers are sent: frames, diagnostics and close codes, the same at both hops.

Source: docs/design/observation.md. Readers ignore kinds and fields they do not know.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Literal

import msgspec

from yoi.display import printable
from yoi.errors import ProtocolMalformed
from yoi.limits import LIMITS

SUBPROTOCOL = "yoi.observe.v1"
TOKEN_SUBPROTOCOL = "yoi.token."
"""A browser cannot set a header on a WebSocket; its token is offered as a subprotocol instead."""

BOARD_NAME = "tickets"

Scope = Literal["client", "stream", "runtime", "backend"]
Action = Literal["reconnect", "resync", "continue", "stop"]


class Hop(StrEnum):
    """Which of the two servers speaks: a runtime to its backend, or a backend to its clients."""

    RUNTIME = "runtime"
    BACKEND = "backend"


class SubjectKind(StrEnum):
    """What can be watched."""

    WORKER = "worker"
    SERVICE = "service"
    BOARD = "board"
    """The work items of a workspace; there is one, named `BOARD_NAME`."""

    @property
    def field(self) -> str:
        """Return the field of an envelope that has the subject's name."""
        return f"{self}_id"

    @property
    def not_found(self) -> str:
        """Return the observation code for one that is unknown, or forbidden."""
        return f"{self}_not_found"


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that can be watched. `runtime_id` is empty at the runtime hop."""

    kind: SubjectKind
    name: str
    runtime_id: str = ""

    def __str__(self) -> str:
        where = f"{self.runtime_id}/" if self.runtime_id else ""
        return f"{where}{self.kind}/{self.name}"


class CloseCode(IntEnum):
    """WebSocket close codes: 4000-4499 ask to reconnect, 4500 and above are final."""

    SHUTDOWN = 4001
    SLOW_CONSUMER = 4002
    RUNTIME_UNAVAILABLE = 4004
    NOT_FOUND = 4501
    STREAM_CLOSED = 4502
    OBSERVATION_ONLY = 4503
    CURSOR_MALFORMED = 4504
    SESSION_EXPIRED = 4505

    @property
    def final(self) -> bool:
        """Whether connecting again cannot help."""
        return self >= 4500


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a diagnostic name stands for; `close` is None where the stream goes on."""

    words: str
    scope: Scope
    action: Action
    close: CloseCode | None = None

    @property
    def retryable(self) -> bool:
        """Whether anything is left to hope for."""
        return self.action != "stop"


OBSERVATION_CODES: dict[str, Meaning] = {
    "shutdown": Meaning("the server stops", "backend", "reconnect", CloseCode.SHUTDOWN),
    "slow_consumer": Meaning(
        "nothing could be written to this client for too long",
        "client",
        "reconnect",
        CloseCode.SLOW_CONSUMER,
    ),
    "upstream_disconnect": Meaning(
        "the runtime was lost and is being reconnected", "backend", "continue"
    ),
    "upstream_restored": Meaning("the runtime is connected again", "backend", "continue"),
    "upstream_resync": Meaning("the runtime began this stream anew", "stream", "resync"),
    "runtime_unavailable": Meaning(
        "the runtime cannot be reached", "runtime", "reconnect", CloseCode.RUNTIME_UNAVAILABLE
    ),
    "malformed_frame": Meaning(
        "the runtime sent a frame that cannot be read; its stream is opened again",
        "backend",
        "continue",
    ),
    "worker_not_found": Meaning(
        "there is no such worker here", "stream", "stop", CloseCode.NOT_FOUND
    ),
    "service_not_found": Meaning(
        "there is no such service here", "stream", "stop", CloseCode.NOT_FOUND
    ),
    "board_not_found": Meaning(
        "there is no such board here", "stream", "stop", CloseCode.NOT_FOUND
    ),
    "stream_closed": Meaning(
        "it is gone for good; nothing follows", "stream", "stop", CloseCode.STREAM_CLOSED
    ),
    "observation_only": Meaning(
        "this socket only shows; nothing may be sent on it",
        "client",
        "stop",
        CloseCode.OBSERVATION_ONLY,
    ),
    "session_expired": Meaning(
        "the token has expired or was revoked", "client", "stop", CloseCode.SESSION_EXPIRED
    ),
    "cursor_malformed": Meaning(
        "that is not a cursor of this server", "client", "stop", CloseCode.CURSOR_MALFORMED
    ),
    "cursor_key_unknown": Meaning(
        "the cursor was made with a key this server no longer has", "client", "resync"
    ),
    "cursor_foreign": Meaning("the cursor belongs to another stream", "client", "resync"),
    "cursor_epoch_changed": Meaning("the stream has begun anew since", "stream", "resync"),
    "cursor_future": Meaning("the cursor is ahead of this stream", "client", "resync"),
    "cursor_expired": Meaning("what follows the cursor is no longer held here", "client", "resync"),
    "lagged": Meaning("the client fell behind what is held here", "client", "resync"),
}


class ObservationDiagnostic(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One typed diagnostic. `code` is `runtime.NAME` or `backend.NAME`."""

    code: str
    scope: str
    retryable: bool
    action: str
    message: str
    retry_after_ms: int | None = None
    dropped: int | None = None
    close_code: int | None = None

    @property
    def name(self) -> str:
        """Return the code without its hop."""
        return self.code.partition(".")[2]


def observation_diagnostic(
    hop: Hop,
    name: str,
    message: str | None = None,
    *,
    retry_after_ms: int | None = None,
    dropped: int | None = None,
) -> ObservationDiagnostic:
    """Return the diagnostic `name` of `hop`; an unlisted name is a defect (LookupError)."""
    meaning = OBSERVATION_CODES[name]
    return ObservationDiagnostic(
        code=f"{hop}.{name}",
        scope=meaning.scope,
        retryable=meaning.retryable,
        action=meaning.action,
        message=printable(meaning.words if message is None else message, LIMITS.message_chars),
        retry_after_ms=retry_after_ms,
        dropped=dropped,
        close_code=None if meaning.close is None else int(meaning.close),
    )


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event on its way to an observer. `payload` is the event's JSON, undecoded."""

    cursor: str
    event_id: str
    payload: msgspec.Raw
    runtime_id: str = ""
    worker_id: str = ""
    service_id: str = ""
    board_id: str = ""

    @property
    def subject_names(self) -> dict[str, str]:
        """Return the name that it has for each kind of subject; one of them is not empty."""
        names = {kind: getattr(self, kind.field) for kind in SubjectKind}
        return {kind: name for kind, name in names.items() if name}


class EventFrame(msgspec.Struct, frozen=True, tag_field="kind", tag="event"):
    """An event, a snapshot included."""

    envelope: Envelope


class DiagnosticFrame(msgspec.Struct, frozen=True, tag_field="kind", tag="diagnostic"):
    """Something the observer should know about its own observation."""

    diagnostic: ObservationDiagnostic


class ResumedFrame(msgspec.Struct, frozen=True, tag_field="kind", tag="resumed"):
    """The cursor is good: exactly what follows it comes next."""

    cursor: str


class BookmarkFrame(msgspec.Struct, frozen=True, tag_field="kind", tag="bookmark"):
    """Everything up to `cursor` has been sent; `up_to_date` says that nothing waits."""

    cursor: str
    up_to_date: bool = True


class UnknownFrame(msgspec.Struct, frozen=True, tag=False):
    """A frame of a newer server."""

    kind: str


Frame = EventFrame | DiagnosticFrame | ResumedFrame | BookmarkFrame


class _Kind(msgspec.Struct):
    kind: str


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
_kind = msgspec.json.Decoder(_Kind)
_KINDS = frozenset({"event", "diagnostic", "resumed", "bookmark"})


def encode_frame(frame: Frame) -> bytes:
    """Return `frame` as JSON."""
    return _encoder.encode(frame)


def decode_frame(data: bytes | str) -> Frame | UnknownFrame:
    """Return the frame in `data`. Raises ProtocolMalformed when it is not one.

    All of it must be Unicode text, the payload included, which is passed on unread.
    """
    try:
        raw = data.encode() if isinstance(data, str) else data
        if not raw.isascii():
            raw.decode()
        if len(raw) > LIMITS.observed_event_bytes + LIMITS.observe_envelope_bytes:
            raise ProtocolMalformed("protocol.malformed", "the frame is over its bound")
        return _decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        pass
    except UnicodeError:
        raise ProtocolMalformed("protocol.malformed", "the frame is not Unicode text") from None
    try:
        kind = _kind.decode(raw).kind
    except (msgspec.DecodeError, RecursionError):
        raise ProtocolMalformed("protocol.malformed", "not an observation frame") from None
    if kind in _KINDS:
        raise ProtocolMalformed("protocol.malformed", f"not a {kind} frame")
    return UnknownFrame(printable(kind, 64))
