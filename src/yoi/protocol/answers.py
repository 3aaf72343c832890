"""The codec of the public world: JSON strings, as the ancestor's components speak them.

Source: wit/plugin/1.0.0; reference: ancestor 5.1 and 5.4.
"""

from typing import Any

import msgspec

from yoi.display import printable
from yoi.errors import GuestRefused
from yoi.limits import LIMITS
from yoi.protocol.commands import parse_envelopes
from yoi.protocol.ingress import QueuedEvent, public
from yoi.protocol.outcomes import NO_COMMANDS, AnswerRefused, Commands, HandlerFailed, Outcome


def encode_event(event: QueuedEvent) -> str:
    """Return `event` as the JSON that `handle-ingress` receives."""
    return msgspec.json.encode(public(event)).decode()


def decode_ingress(answer: str, event: QueuedEvent) -> Outcome:
    """Return what `handle-ingress` answered: an object with `output_commands`, or an `error`."""
    try:
        value = msgspec.json.decode(answer)
    except (msgspec.DecodeError, RecursionError):
        return AnswerRefused("sandbox.answer_malformed", "the answer is not JSON")
    if not isinstance(value, dict):
        return AnswerRefused("sandbox.answer_malformed", "the answer is not an object")
    if value.get("error") is not None:
        return _failed(value["error"])
    raw = value.get("output_commands")
    if raw is None:
        return NO_COMMANDS
    try:
        return Commands(parse_envelopes(raw, event.event_id))
    except GuestRefused as exc:
        return AnswerRefused(exc.code, exc.message)


def _failed(error: Any) -> HandlerFailed:
    if isinstance(error, dict):
        kind, message = error.get("code", "error"), error.get("message", "")
    else:
        kind, message = "error", error
    return HandlerFailed(
        kind=printable(str(kind), LIMITS.name_bytes),
        message=printable(str(message), LIMITS.message_chars),
        trace="",
    )


def decode_lifecycle(answer: str) -> dict[str, Any]:
    """Return the status object that start, status or stop answered.

    Raises GuestRefused: `sandbox.answer_malformed` when it is not a JSON object, `sandbox.start`
    when it says `error` or state `failed`.
    """
    try:
        value = msgspec.json.decode(answer)
    except (msgspec.DecodeError, RecursionError):
        raise GuestRefused("sandbox.answer_malformed", "the answer is not JSON") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise GuestRefused("sandbox.answer_malformed", "the answer is not an object")
    if value.get("error") is not None or value.get("state") == "failed":
        failure = _failed(value.get("error", value.get("data", "the plugin reports failure")))
        raise GuestRefused("sandbox.start", f"{failure.kind}: {failure.message}")
    return value
