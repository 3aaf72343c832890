"""The hot path: one batch of events in, one answer out. Format: yoi/protocol/lean.py."""

import json
from collections.abc import Callable
from time import monotonic
from typing import Any

from yoi_pdk import Context, Plugin
from yoi_pdk.answers import commands, lean
from yoi_pdk.commands import Reply
from yoi_pdk.events import TextEvent, event_from_json
from yoi_runner.failures import failure

_scan = json.JSONDecoder().scan_once
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def make_dispatch(plugin: Plugin, ctx: Context) -> Callable[[str], str]:
    """Return the function that handles batches for `plugin`, with everything bound once."""
    on_text, on_event = plugin.on_text, plugin.on_event

    def dispatch(batch: str) -> str:
        (slice_ms, runs), at = _scan(batch, 0)
        at += 1
        head: list[Any] = []
        bodies: list[str] = []
        ends = monotonic() + slice_ms / 1000
        for run in runs:
            if run[0] == "t":
                _, ingress, connection, session, seq, received_ms, attempt, lengths = run
                source = (ingress, connection, session, received_ms, attempt)
                for length in lengths:
                    end = at + length
                    try:
                        answer = on_text(TextEvent(source, seq, batch[at:end]), ctx)
                        if type(answer) is Reply:
                            text = answer.text
                            head.append(len(text))
                            bodies.append(text)
                        elif answer is None:
                            head.append(None)
                        else:
                            _general(answer, "on_text", head, bodies)
                    except BaseException as exc:
                        head.append(failure(exc))
                    at = end
                    seq += 1
                    if monotonic() > ends:
                        return _answer(head, bodies)
            else:
                end = at + run[1]
                try:
                    event = event_from_json(_scan(batch[at:end], 0)[0])
                    _general(on_event(event, ctx), "on_event", head, bodies)
                except BaseException as exc:
                    head.append(failure(exc))
                at = end
                if monotonic() > ends:
                    break
        return _answer(head, bodies)

    return dispatch


def _general(answer: Any, handler: str, head: list[Any], bodies: list[str]) -> None:
    """Append any answer but a lone reply to a text; raises what the author is to read."""
    found = commands(answer, handler)
    text = lean(found)
    if text is not None:
        head.append(len(text))
        bodies.append(text)
    else:
        wired = [command.wire() for command in found]
        _encode(wired)  # a payload that is not JSON fails here, as this event's own failure
        head.append(wired or None)


def _answer(head: list[Any], bodies: list[str]) -> str:
    return _encode(head) + "\n" + "".join(bodies)
