"""The codec of the private world between the host and its own Python runner (wit/runner).

Both directions are one string: a JSON head on the first line, then the bodies, concatenated. No
JSON stands inside JSON on the hot path, and one string crosses the boundary more cheaply than a
list. Lengths count code points, which both sides slice by.

Host to runner, `dispatch(batch)`:

    [slice_ms, [run, ...]] "\n" body
    run = ["t", ingress, connection, session, first_seq, received_ms, attempt, [length, ...]]
        | ["e", length]                     the body is an ingress event as public JSON

Runner to host:

    [outcome, ...] "\n" body                one outcome per event, in order; fewer than were given
                                            when the slice ran out or a handler raised (the runner
                                            stops there, so a retry keeps the order), never none
    outcome = null                          no commands
            | length                        one text, for the session the event came from
            | [[command_id, kind, payload], ...]    command_id null: the host makes one
            | {"type", "message", "trace"}  the handler raised

The guest is untrusted: a plugin can reach into its runner and forge any of this. So the decoder
checks every length and type, and what it cannot account for refuses the whole batch.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from yoi.display import printable
from yoi.errors import GuestRefused
from yoi.limits import LIMITS
from yoi.protocol.commands import OutputCommand, parse_envelopes
from yoi.protocol.ingress import QueuedEvent, TextFrame
from yoi.protocol.outcomes import (
    NO_COMMANDS,
    AnswerRefused,
    Commands,
    HandlerFailed,
    Outcome,
    Reply,
)

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
            bodies.append(text)
        else:
            text = _encode(event).decode()
            runs.append(["e", len(text)])
            bodies.append(text)
            last = None
    return _encode([slice_ms, runs]).decode() + "\n" + "".join(bodies)


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
            outcomes.append(_general(entry, event, requested_at))
    if at != len(body):
        raise _malformed("the body is longer than its replies")
    return outcomes


def _malformed(message: str) -> GuestRefused:
    return GuestRefused("sandbox.answer_malformed", f"the runner's answer: {message}")


def _general(entry: Any, event: QueuedEvent, requested_at: str) -> Outcome:
    if isinstance(entry, dict):
        return HandlerFailed(
            kind=_bounded(entry.get("type"), LIMITS.name_bytes),
            message=_bounded(entry.get("message"), LIMITS.message_chars),
            trace=shown_trace(entry.get("trace")),
        )
    if not isinstance(entry, list):
        return AnswerRefused("sandbox.answer_malformed", "an outcome is neither null, number, list")
    event_id = event.event_id
    envelopes: list[Any] = []
    for index, item in enumerate(entry):
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
