"""The codec of the private world between the host and its own Python runner (wit/runner).

Both directions are one string: a JSON head on the first line, then the bodies, concatenated. No
JSON stands inside JSON on the hot path, and one string crosses the boundary more cheaply than a
list. Lengths count code points, which both sides slice by.

Host to runner, `dispatch(batch)`:

    [slice_ms, [run, ...]] "\n" body
    run = ["t", ingress, connection, session, first_seq, received_ms, attempt, [length, ...]]
        | ["r", ingress, connection, session, seq, received_ms, attempt, [length], command_id,
           duplicate]                       a text that answers the command `command_id` (or null),
                                            or was delivered before (true)
        | ["b", ingress, connection, session, seq, received_ms, attempt, [length]]
                                            a binary message: a character for each byte, U+0000 to
                                            U+00FF
        | ["e", length]                     the body is an ingress event as public JSON
        | ["e", length, length]             the same without its payload's `body`, a text, which
                                            follows

Runner to host:

    [outcome, ...] "\n" body                one outcome per event, in order; fewer than were given
                                            when the slice ran out or a handler raised (the runner
                                            stops there, so a retry keeps the order), never none
    outcome = null                          no commands
            | length                        one text, for the session the event came from
            | [command, ...]
            | {"type", "message", "trace"}  the handler raised
    command = [command_id, kind, payload]   command_id null: the host makes one
            | [command_id, kind, payload, "text" or "data", length]
                                            that field stands in the body, not in the payload;
                                            `data` with a character for each byte

The guest is untrusted: a plugin can reach into its runner and forge any of this. So the decoder
checks every length and type, and what it cannot account for refuses the whole batch.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from yoi.display import printable
from yoi.errors import GuestRefused
from yoi.limits import KIB, LIMITS
from yoi.protocol.commands import OutputCommand, parse_envelopes
from yoi.protocol.ingress import BinaryFrame, EventKind, IngressEvent, QueuedEvent, TextFrame
from yoi.protocol.outcomes import (
    NO_COMMANDS,
    AnswerRefused,
    Commands,
    HandlerFailed,
    Outcome,
    Reply,
)

_LARGE_BODY = 64 * KIB
_encode = msgspec.json.encode
_decode_head = msgspec.json.Decoder().decode


def encode_batch(events: Sequence[QueuedEvent], slice_ms: int) -> str:
    """Return the batch string for `events`; adjacent frames of one session share a run."""
    runs: list[list[Any]] = []
    bodies: list[str] = []
    lengths: list[int] = []
    last: TextFrame | None = None
    for event in events:
        if isinstance(event, TextFrame):
            text = event.text
            bodies.append(text)
            if event.in_reply_to is not None or event.duplicate:
                runs.append(
                    ["r", event.ingress, event.connection, event.session, event.seq,
                     event.received_ms, event.attempt, [len(text)], event.in_reply_to,
                     event.duplicate]
                )  # fmt: skip
                last = None
                continue
            if (
                last is not None
                and event.session == last.session
                and event.seq == last.seq + 1
                and event.received_ms == last.received_ms
                and event.attempt == last.attempt
                and event.ingress == last.ingress
            ):
                lengths.append(len(text))
            else:
                lengths = [len(text)]
                runs.append(
                    ["t", event.ingress, event.connection, event.session, event.seq,
                     event.received_ms, event.attempt, lengths]
                )  # fmt: skip
            last = event
        elif isinstance(event, BinaryFrame):
            runs.append(
                ["b", event.ingress, event.connection, event.session, event.seq,
                 event.received_ms, event.attempt, [event.size]]
            )  # fmt: skip
            bodies.append(event.data.decode("latin-1"))
            last = None
        else:
            large = _large_body(event)
            if large:
                payload = {key: value for key, value in event.payload.items() if key != "body"}
                event = msgspec.structs.replace(event, payload=payload)
            text = _encode(event).decode()
            runs.append(["e", len(text), len(large)] if large else ["e", len(text)])
            bodies += (text, large)
            last = None
    return _encode([slice_ms, runs]).decode() + "\n" + "".join(bodies)


def _large_body(event: IngressEvent) -> str:
    """Return the body of an HTTP answer where it is a text too large to be written as JSON."""
    if event.kind == EventKind.RESPONSE:
        body = event.payload.get("body")
        if isinstance(body, str) and len(body) > _LARGE_BODY:
            return body
    return ""


def head_of(answer: str) -> str:
    """Return the part of the runner's answer that is JSON."""
    end = answer.find("\n")
    return answer if end < 0 else answer[:end]


def decode_answer(answer: str, events: Sequence[QueuedEvent], requested_at: str) -> list[Outcome]:
    """Return the outcomes of a prefix of `events`, at least one and at most all of them.

    Raises GuestRefused (`sandbox.answer_malformed`) when the answer as a whole cannot be accounted
    for. A single outcome that does not fit becomes `AnswerRefused` and harms no other event.
    """
    head_text, newline, body = answer.partition("\n")
    if not newline:
        raise _malformed("no head line")
    try:
        head = _decode_head(head_text)
    except (msgspec.DecodeError, RecursionError):
        raise _malformed("the head is not JSON") from None
    if not isinstance(head, list) or not 1 <= len(head) <= len(events):
        raise _malformed("the head does not list one outcome per event")
    outcomes: list[Outcome] = []
    at = 0
    for entry, event in zip(head, events, strict=False):
        if entry is None:
            outcomes.append(NO_COMMANDS)
        elif type(entry) is int:
            end = at + entry
            if entry < 0 or end > len(body):
                raise _malformed("a reply is longer than the body")
            outcomes.append(Reply(body[at:end]))
            at = end
        else:
            outcome, at = _general(entry, event, requested_at, body, at)
            outcomes.append(outcome)
    if at != len(body):
        raise _malformed("the body is longer than its replies")
    return outcomes


def _malformed(message: str) -> GuestRefused:
    return GuestRefused("sandbox.answer_malformed", f"the runner's answer: {message}")


def _general(
    entry: Any, event: QueuedEvent, requested_at: str, body: str, at: int
) -> tuple[Outcome, int]:
    """Return any outcome but a lone text, and where in `body` the next one begins."""
    if isinstance(entry, dict):
        failed = HandlerFailed(
            kind=_bounded(entry.get("type"), LIMITS.name_bytes),
            message=_bounded(entry.get("message"), LIMITS.message_chars),
            trace=shown_trace(entry.get("trace")),
        )
        return failed, at
    if not isinstance(entry, list):
        why = "an outcome is neither null, number, list"
        return AnswerRefused("sandbox.answer_malformed", why), at
    items: list[Any] = []
    for item in entry:
        if isinstance(item, list) and len(item) == 5:
            item, at = _with_body(item, body, at)
        items.append(item)
    return _commands(items, event, requested_at), at


def _with_body(item: list[Any], body: str, at: int) -> tuple[list[Any], int]:
    """Return a command with the field that stands in `body` at `at`, and where that ends."""
    *command, name, length = item
    payload, end = command[2], at + length if type(length) is int else -1
    if not isinstance(payload, dict) or name not in ("text", "data") or not at <= end <= len(body):
        raise _malformed("a command does not say where its field stands")
    value: str | bytes = body[at:end]
    if name == "data":
        try:
            value = body[at:end].encode("latin-1")
        except UnicodeEncodeError:
            raise _malformed("data has a character that is no byte") from None
    return [*command[:2], {**payload, name: value}], end


def _commands(items: list[Any], event: QueuedEvent, requested_at: str) -> Outcome:
    event_id = event.event_id
    envelopes: list[Any] = []
    for index, item in enumerate(items):
        if not isinstance(item, list) or len(item) != 3:
            return AnswerRefused(
                "service.command_malformed", "a command is not [id, kind, payload]"
            )
        command_id, kind, payload = item
        if command_id is None:
            command_id = f"{event_id}:{index}"
        envelopes.append(
            {
                "correlation_id": f"{event_id}:{index}",
                "source_event_id": event_id,
                "command_id": command_id,
                "kind": kind,
                "payload": payload,
                "requested_at": requested_at,
            }
        )
    try:
        commands: list[OutputCommand] = parse_envelopes(envelopes, event_id)
    except GuestRefused as exc:
        return AnswerRefused(exc.code, exc.message)
    return Commands(commands)


def _bounded(value: Any, max_chars: int) -> str:
    return printable(value, max_chars) if isinstance(value, str) else ""


def shown_trace(value: Any) -> str:
    """Return a guest's traceback with its lines kept, escaped and bounded."""
    if not isinstance(value, str):
        return ""
    lines = value[: 4 * LIMITS.message_chars].split("\n")
    return "\n".join(printable(line, LIMITS.message_chars) for line in lines)
