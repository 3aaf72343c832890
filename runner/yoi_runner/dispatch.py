"""The hot path: one batch of events in, one answer out. Format: yoi/protocol/lean.py."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from yoi_pdk import Context, Plugin
from yoi_pdk.answers import commands, lean
from yoi_pdk.commands import Reply
from yoi_pdk.events import TextEvent, event_from_json
from yoi_runner.failures import failure

_scan = json.JSONDecoder().scan_once
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_encode_utf8 = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode

# Reading the clock costs as much as a small handler, because it is a call into the host. So a
# plugin that has been quick is asked about the time after four events instead of every one; the
# first event that is slow brings back the check after each.
_MAX_STRIDE = 4
_QUICK = 1 / 16


def make_dispatch(plugin: Plugin, ctx: Context) -> Callable[[str], str]:
    """Return the function that handles batches for `plugin`, with everything bound once."""
    on_text, on_event = plugin.on_text, plugin.on_event
    stride = 1

    def dispatch(batch: str) -> str:
        nonlocal stride
        (slice_ms, runs), at = _scan(batch, 0)
        at += 1
        head: list[Any] = []
        bodies: list[str] = []
        if len(runs) == 1 and (runs[0][0] == "e" or len(runs[0][7]) == 1):
            left, ends, checked = 2, 0.0, 0.0  # one event: nothing to leave for later
        else:
            left, checked = stride, monotonic()
            ends = checked + slice_ms / 1000
        quick = slice_ms / 1000 * _QUICK
        for run in runs:
            if run[0] == "t":
                _, ingress, connection, session, seq, received_ms, attempt, lengths = run
                source = (ingress, connection, session, received_ms, attempt)
            else:
                source, seq, lengths = None, 0, (run[1],)
            for length in lengths:
                end = at + length
                try:
                    if source is not None:
                        answer = on_text(TextEvent(source, seq, batch[at:end]), ctx)
                        handler = "on_text"
                    else:
                        answer = on_event(event_from_json(_scan(batch[at:end], 0)[0]), ctx)
                        handler = "on_event"
                    if type(answer) is Reply:
                        text = answer.text
                        head.append(len(text))
                        bodies.append(text)
                    elif answer is None:
                        head.append(None)
                    else:
                        _general(answer, handler, head, bodies)
                except BaseException as exc:
                    # The host may deliver this event again: those behind it must wait their turn.
                    head.append(failure(exc))
                    return _answer(head, bodies)
                at = end
                seq += 1
                left -= 1
                if not left:
                    now = monotonic()
                    if now > ends:
                        stride = 1
                        return _answer(head, bodies)
                    stride = min(stride * 2, _MAX_STRIDE) if now - checked < quick else 1
                    left, checked = stride, now
        return _answer(head, bodies)

    return dispatch


def _general(answer: Any, handler: str, head: list[Any], bodies: list[str]) -> None:
    """Append any answer but a lone reply; raises what the author is to read."""
    found = commands(answer, handler)
    text = lean(found)
    if text is not None:
        head.append(len(text))
        bodies.append(text)
    elif found:
        wired = [command.wire() for command in found]
        # A payload that is not JSON, or not UTF-8, is this event's own failure.
        _encode_utf8(wired).encode()
        head.append(wired)
    else:
        head.append(None)


def _answer(head: list[Any], bodies: list[str]) -> str:
    with suppress(BaseException):
        sys.__stdout__.flush()  # type: ignore[union-attr]  # a print without a newline
    try:
        answer = _encode(head) + "\n" + "".join(bodies)
        if not answer.isascii():
            answer.encode()
        return answer
    except BaseException:
        return _repaired(head, bodies)


def _repaired(head: list[Any], bodies: list[str]) -> str:
    """Return the answer with everything that cannot leave the sandbox made a failure.

    Python text may hold lone surrogates (`json.loads` makes them); UTF-8 has none.
    """
    texts = iter(bodies)
    outcomes: list[Any] = []
    kept: list[str] = []
    for entry in head:
        try:
            if type(entry) is int:
                text = next(texts)
                if type(text) is not str or len(text) != entry:
                    raise TypeError("a reply's text changed after it was returned")
                text.encode()
                kept.append(text)
            else:
                _encode(entry)
            outcomes.append(entry)
        except BaseException as exc:
            outcomes.append(failure(exc))
    return _encode(outcomes) + "\n" + "".join(kept)
