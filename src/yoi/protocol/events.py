"""Worker events: what a worker says while it works, in the ancestor's JSON shape.

    {"event": "text_delta", "data": {"text": "..."}}      (no data where there is nothing to say)

Encoders are strict. `decode_event` is not: what a newer Yoi says arrives as `UnknownEvent`, so an
old client goes on watching. Source: ancestor-behaviour.md 6. Added by Yoi: `approval_request`,
`approval_done`, `configured`, provenance inside system items, places in the history, `redacted`,
and the run results `cancelled` and `failed`.
"""

from typing import Annotated, Any, Literal

import msgspec

from yoi.errors import ProtocolMalformed
from yoi.limits import LIMITS

InvokeKind = Literal["user_send", "notify", "worker_event", "system_reminder", "wakeup"]
TurnResult = Literal["finished", "paused"]
RunResult = Literal["finished", "paused", "limit_reached", "rolled_back", "cancelled", "failed"]
StatusName = Literal["idle", "running", "paused"]
AlertLevel = Literal["info", "warning", "error"]
ToolCallState = Literal["pending", "streaming_args", "done"]
ErrorCode = Literal[
    "already_running",
    "not_running",
    "not_paused",
    "provider_error",
    "tool_error",
    "invalid_request",
    "internal",
]
MOST = 2**53 - 1
"""The largest number that every reader can hold, a browser included."""
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST)]
"""A number, a place or a time."""


class Data(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """The base of every payload. Listeners share it, so it is never changed."""


class Segment(Data):
    """A piece of a user message. Readers tolerate kinds they do not know."""

    kind: str
    text: str = ""


class Provenance(Data):
    """Where a system item came from: which plugin, of which digest, through what, about what."""

    plugin: str
    plugin_id: str
    digest: str
    ingress: str
    event_id: str
    command_id: str
    sender: str = ""
    """Who sent it, as the host read it in the frame; "" where the operator has no filter."""


class SystemItemData(Data):
    """A committed system item. `text` is data from outside wherever `provenance` is set."""

    seq: Count
    text: str
    at_ms: Count
    provenance: Provenance | None = None


class UserMessageData(Data):
    """`seq` is the item's place in the worker's history."""

    segments: list[Segment]
    seq: Count | None = None
    at_ms: Count | None = None


class SystemItemEnvelope(Data):
    """One system item."""

    item: SystemItemData


class InvokeStartData(Data):
    """Why a run begins."""

    kind: InvokeKind


class TurnStartData(Data):
    """Turns of one run are numbered from 1."""

    turn: Count


class TurnEndData(Data):
    """See `TurnStartData`."""

    turn: Count
    result: TurnResult


class LlmCallData(Data):
    """Model calls of one worker are numbered from 1; `model` says which, `scripted` included.

    At the end, `seq` is the place of the answer in the history, absent where nothing was said.
    """

    llm_call: Count
    model: str = ""
    seq: Count | None = None
    at_ms: Count | None = None
    finish: str = ""


class LlmRetryData(Data):
    """The call failed and is made again after `wait_ms`; what it had said is given up.

    Where it had said something, `llm_call_start` with the same number follows.
    """

    llm_call: Count
    failed_attempt: Count
    max_attempts: Count
    wait_ms: Count
    elapsed_ms: Count
    error: str
    status: Count | None = None
    redacted: bool = False


class TextData(Data):
    """Text: one delta, or all of a finished part. Emptied where an observer may not read it."""

    text: str
    redacted: bool = False


class ToolCallStartData(Data):
    """The model begins a tool call."""

    id: str
    name: str


class ToolArgsDeltaData(Data):
    """A piece of the arguments' JSON, as the model writes it."""

    id: str
    json: str
    redacted: bool = False


class ToolCallDoneData(Data):
    """The call as the model wrote it; `arguments` is JSON text and may be malformed."""

    id: str
    name: str
    arguments: str
    redacted: bool = False


class ToolResultData(Data):
    """What a tool answered: a line for people, and the output where it is not the same."""

    id: str
    summary: str
    is_error: bool
    output: str | None = None
    seq: Count | None = None
    at_ms: Count | None = None
    name: str = ""
    redacted: bool = False


class UsageData(Data):
    """Tokens of one model call."""

    input_tokens: Count
    output_tokens: Count
    cache_read_input_tokens: Count | None = None


class RunEndData(Data):
    """How a run ended."""

    result: RunResult
    seq: Count | None = None
    at_ms: Count | None = None


class ErrorData(Data):
    """Something failed. `message` is escaped and bounded."""

    code: ErrorCode
    message: str
    redacted: bool = False


class StatusData(Data):
    """The worker's state."""

    status: StatusName


class AlertData(Data):
    """Something a person should see, which is no part of the conversation."""

    level: AlertLevel
    source: str
    message: str
    timestamp_ms: Count
    redacted: bool = False


class ApprovalRequestData(Data):
    """The run waits for a person: `yoi worker approve`. `item` is the question's place."""

    id: str
    name: str
    arguments: str
    redacted: bool = False
    item: Count = 0
    after_outside: bool = False
    """Whether the model had read text from outside before it made the call."""
    times: Count = 1
    """How often the answer makes the same call: one decision is for all of them."""


class ApprovalDoneData(Data):
    """A person decided; `by` says who, `scope` which later calls are covered, `seq` by which item.

    `until_ms` is when that ends, 0 for with the run.
    """

    id: str
    approved: bool
    by: str
    scope: str = "once"
    until_ms: Count = 0
    seq: Count | None = None


class ConfiguredData(Data):
    """What the model may call from here on."""

    tools: list[str]
    seq: Count | None = None


class CompactDoneData(Data):
    """`new_segment_id` names the compaction's place in the history, `seq` is the same place."""

    new_segment_id: str
    seq: Count | None = None
    at_ms: Count | None = None
    summary: str = ""


class CompactFailedData(Data):
    """Why the history was not compacted."""

    error: str
    redacted: bool = False


class Greeting(Data, omit_defaults=False):
    """What a person sees first."""

    worker_name: str
    provider: str
    model: str
    tools: list[str]
    cwd: str = ""
    scope_summary: str = ""
    context_window: Count = 0
    context_tokens: Count = 0


class TextBlock(Data, tag_field="kind", tag="text"):
    """Text in flight."""

    text: str
    finished: bool = False
    redacted: bool = False


class ThinkingBlock(Data, tag_field="kind", tag="thinking"):
    """Thinking in flight."""

    text: str
    finished: bool = False
    redacted: bool = False


class ToolCallBlock(Data, tag_field="kind", tag="tool_call"):
    """A tool call in flight; `args` is the JSON so far."""

    id: str
    name: str
    args: str
    state: ToolCallState = "pending"
    redacted: bool = False


Block = TextBlock | ThinkingBlock | ToolCallBlock


class InFlight(Data):
    """What the model is saying now and history does not hold yet."""

    blocks: list[Block]


class SnapshotData(Data):
    """The worker as of one moment.

    `entries` are what a person reads of the history (core/observation/worker_view.py), oldest
    first. `left_out` is the place in the history up to which entries are not among them; 0 when
    all are.
    """

    entries: list[dict[str, Any]]
    greeting: Greeting
    status: StatusName
    in_flight: InFlight | None = None
    waiting: list[ApprovalRequestData] = []
    alerts: list[AlertData] = []
    usage: UsageData | None = None
    left_out: Count = 0


class _Event(msgspec.Struct, tag_field="event", gc=False):
    """The base of every event; the tag is its name."""


class UserMessage(_Event, tag="user_message"):
    """A person's message was accepted and is in history."""

    data: UserMessageData


class SystemItem(_Event, tag="system_item"):
    """A system item was committed to history."""

    data: SystemItemEnvelope


class InvokeStart(_Event, tag="invoke_start"):
    """A run begins."""

    data: InvokeStartData


class TurnStart(_Event, tag="turn_start"):
    """A turn begins: one model call and the tools it asks for."""

    data: TurnStartData


class TurnEnd(_Event, tag="turn_end"):
    """A turn is over."""

    data: TurnEndData


class LlmCallStart(_Event, tag="llm_call_start"):
    """The model is asked."""

    data: LlmCallData


class LlmCallEnd(_Event, tag="llm_call_end"):
    """The model has answered, or failed."""

    data: LlmCallData


class LlmRetry(_Event, tag="llm_retry"):
    """The model is asked again."""

    data: LlmRetryData


class TextDelta(_Event, tag="text_delta"):
    """A piece of text."""

    data: TextData


class TextDone(_Event, tag="text_done"):
    """All of a text."""

    data: TextData


class ThinkingStart(_Event, tag="thinking_start"):
    """The model begins to think."""


class ThinkingDelta(_Event, tag="thinking_delta"):
    """A piece of thinking."""

    data: TextData


class ThinkingDone(_Event, tag="thinking_done"):
    """All of a thought."""

    data: TextData


class ToolCallStart(_Event, tag="tool_call_start"):
    """A tool call begins to be written."""

    data: ToolCallStartData


class ToolCallArgsDelta(_Event, tag="tool_call_args_delta"):
    """A piece of a tool call's arguments."""

    data: ToolArgsDeltaData


class ToolCallDone(_Event, tag="tool_call_done"):
    """A tool call is written."""

    data: ToolCallDoneData


class ToolResult(_Event, tag="tool_result"):
    """A tool answered, or its failure, refusal or interruption was recorded."""

    data: ToolResultData


class ApprovalRequest(_Event, tag="approval_request"):
    """A tool call waits for a person."""

    data: ApprovalRequestData


class ApprovalDone(_Event, tag="approval_done"):
    """A person decided about a tool call."""

    data: ApprovalDoneData


class Usage(_Event, tag="usage"):
    """Tokens used."""

    data: UsageData


class RunEnd(_Event, tag="run_end"):
    """A run is over, or waits."""

    data: RunEndData


class Error(_Event, tag="error"):
    """Something failed."""

    data: ErrorData


class Snapshot(_Event, tag="snapshot"):
    """The worker as of one moment."""

    data: SnapshotData


class Status(_Event, tag="status"):
    """The worker's state changed."""

    data: StatusData


class Alert(_Event, tag="alert"):
    """Something a person should see."""

    data: AlertData


class CompactStart(_Event, tag="compact_start"):
    """The history is being summarised."""


class CompactDone(_Event, tag="compact_done"):
    """A summary was committed."""

    data: CompactDoneData


class CompactFailed(_Event, tag="compact_failed"):
    """No summary was made; the history is as it was."""

    data: CompactFailedData


class Configured(_Event, tag="configured"):
    """The worker's instructions, model or tools have changed."""

    data: ConfiguredData


class Shutdown(_Event, tag="shutdown"):
    """The worker has stopped; nothing follows."""


Event = (
    UserMessage
    | SystemItem
    | InvokeStart
    | TurnStart
    | TurnEnd
    | LlmCallStart
    | LlmCallEnd
    | LlmRetry
    | TextDelta
    | TextDone
    | ThinkingStart
    | ThinkingDelta
    | ThinkingDone
    | ToolCallStart
    | ToolCallArgsDelta
    | ToolCallDone
    | ToolResult
    | ApprovalRequest
    | ApprovalDone
    | Usage
    | RunEnd
    | Error
    | Snapshot
    | Status
    | Alert
    | CompactStart
    | CompactDone
    | CompactFailed
    | Configured
    | Shutdown
)


class UnknownEvent(msgspec.Struct, frozen=True, tag=False):
    """An event this version cannot read: a name, or data, that came after it.

    `data` is the undecoded JSON, so a proxy can pass it on unchanged.
    """

    event: str
    data: msgspec.Raw


class _Head(msgspec.Struct):
    event: str
    data: msgspec.Raw = msgspec.Raw(b"null")


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_head = msgspec.json.Decoder(_Head)


def encode_event(event: Event) -> bytes:
    """Return `event` as one JSON object."""
    return _encoder.encode(event)


def decode_event(data: bytes | str) -> Event | UnknownEvent:
    """Return the event in `data`; what this version cannot read is an UnknownEvent.

    Raises ProtocolMalformed when `data` is not a JSON object with a short text under `event`.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.ValidationError, RecursionError):
        return unknown_event(data)
    except msgspec.DecodeError as exc:
        raise ProtocolMalformed("protocol.malformed", f"not JSON: {exc}") from None
    except UnicodeError:
        raise ProtocolMalformed("protocol.malformed", "not Unicode text") from None


def unknown_event(data: bytes | str) -> UnknownEvent:
    """Return `data` as an event that is passed on unread. Raises ProtocolMalformed."""
    try:
        head = _head.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ProtocolMalformed("protocol.malformed", "not an object with an event name") from None
    if len(head.event) > LIMITS.name_bytes:
        raise ProtocolMalformed("protocol.malformed", "the event name is over its bound")
    return UnknownEvent(head.event, msgspec.Raw(bytes(head.data)))
