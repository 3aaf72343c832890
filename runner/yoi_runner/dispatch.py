"""The hot path: one batch of events in, one answer out. Format: yoi/protocol/lean.py."""

import gc
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from yoi_pdk import Context, Plugin
from yoi_pdk.answers import commands, lean
from yoi_pdk.commands import Command, Reply, Send
from yoi_pdk.events import BinaryEvent, Event, Source, TextEvent, event_from_json
from yoi_pdk.handlers import Handlers
from yoi_pdk.keeping import StateSet
from yoi_runner.failures import failure

_scan = json.JSONDecoder().scan_once
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_encode_utf8 = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode

# An answer over the host's bound (4 MiB, and what the plugin's largest message takes) is refused
# whole. So a batch ends when its answers are large, and one event cannot fill the rest.
_SHORT = 16 * 1024
_BATCH_CHARS = 256 * 1024 - _SHORT
_EVENT_CHARS = 2 * 1024 * 1024


def make_dispatch(plugin: Plugin, ctx: Context) -> Callable[[str], str]:
    """Return the function that handles batches for `plugin`, with everything bound once."""
    handlers, state = Handlers(plugin), ctx.state
    on_text, on_event = handlers.on_text, handlers.on_event
    isascii = str.isascii

    def again(run: list[Any], seq: int, text: str, head: list[Any], bodies: list[str]) -> int:
        """Have an event handled once more, now that what nobody holds is collected."""
        if run[0] in ("t", "r"):
            answer, handler = on_text(TextEvent(_source(run), seq, text), ctx), "on_text"
        else:
            event = _event(run, text)
            answer, handler = on_event(event, ctx), handlers.name_of(event.kind)
        return _general(_with_state(answer, handler, ctx), handler, ctx, head, bodies)

    def dispatch(batch: str) -> str:
        (slice_ms, runs), at = _scan(batch, 0)
        at += 1
        head: list[Any] = []
        bodies: list[str] = []
        # The clock is read after each event, so that none runs in time that an earlier one used
        # up. A call into the host is dear: before the last event nothing is left to decide.
        last = sum([1 if run[0] == "e" else len(run[7]) for run in runs])
        ends = monotonic() + slice_ms / 1000 if last > 1 else 0.0
        room = _BATCH_CHARS
        state.begin()
        short = False
        answer = event = None
        for run in runs:
            if run[0] == "t" or run[0] == "r":
                source, seq, lengths = _source(run), run[4], run[7]
            else:
                source, seq = None, 0
                lengths = run[7] if run[0] == "b" else (sum(run[1:]),)
            for length in lengths:
                end = at + length
                try:
                    if source is not None:
                        answer = on_text(TextEvent(source, seq, batch[at:end]), ctx)
                        handler = "on_text"
                    else:
                        event = _event(run, batch[at:end])
                        answer = on_event(event, ctx)
                        handler = handlers.name_of(event.kind)
                    if state.staged:
                        room -= _general(
                            _with_state(answer, handler, ctx), handler, ctx, head, bodies
                        )
                    elif type(answer) is Reply and len(text := answer.text) < _SHORT:
                        if not isascii(text):
                            text.encode()  # lone surrogates have no UTF-8: json.loads makes them
                        bodies.append(text)
                        head.append(len(text))
                        room -= len(text)
                    elif answer is None:
                        head.append(None)
                    else:
                        room -= _general(answer, handler, ctx, head, bodies)
                except MemoryError:
                    short = True  # what its traceback holds is given up first
                except BaseException as exc:
                    # The host may deliver this event again: those behind it must wait their turn.
                    state.take()
                    head.append(failure(exc))
                    return _answer(head, bodies)
                if short:
                    short = False
                    answer = event = None
                    state.take()
                    gc.collect()
                    try:
                        room -= again(run, seq, batch[at:end], head, bodies)
                    except BaseException as exc:
                        state.take()
                        head.append(failure(exc))
                        return _answer(head, bodies)
                at = end
                seq += 1
                if room < 0 or (len(head) < last and monotonic() > ends):
                    return _answer(head, bodies)
        return _answer(head, bodies)

    return dispatch


def _source(run: list[Any]) -> Source:
    """Return what the messages of a run share, see `Source`."""
    answers, duplicate = run[8:] if run[0] == "r" else (None, False)
    return run[1], run[2], run[3], run[5], run[6], answers, duplicate


def _event(run: list[Any], body: str) -> Event:
    """Return the event of a run that is no text."""
    if run[0] == "b":
        return BinaryEvent(_source(run), run[4], body.encode("latin-1"))
    value, end = _scan(body, 0)
    if len(run) > 2:
        value["payload"]["body"] = body[end:]
    return event_from_json(value)


def _with_state(answer: Any, handler: str, ctx: Context) -> list[Command]:
    """Return the commands of `answer`, and those that keep what the handler set in `ctx.state`."""
    found = commands(answer, handler)
    return [*found, *(StateSet(key, value) for key, value in ctx.state.take())]


def _general(answer: Any, handler: str, ctx: Context, head: list[Any], bodies: list[str]) -> int:
    """Append any answer but a short lone reply; return its size in characters.

    Raises what the author is to read.
    """
    found = commands(answer, handler)
    text = lean(found)
    if text is not None:
        text.encode()
        bodies.append(text)
        head.append(len(text))
        return len(text)
    if not found:
        head.append(None)
        return 0
    bulk: list[str] = []
    wired = [_wired(command, bulk) for command in found]
    # A payload that is not JSON, or not UTF-8, is this event's own failure.
    _encode_utf8(wired).encode()
    size = len(_encode(wired))
    if size > _EVENT_CHARS:
        raise ValueError(
            f"{handler} returned commands of {size} bytes; the bound is {_EVENT_CHARS}"
        )
    head.append(wired)
    bodies += bulk
    for command in found:
        if type(command) is StateSet:
            ctx.state.settle(command.key, command.value)
    return size + sum(map(len, bulk))


def _wired(command: Command, bulk: list[str]) -> list[Any]:
    """Return a command as the host reads it; a large text, or any data, is appended to `bulk`."""
    if type(command) is not Send or command.json is not None:
        return command.wire()
    if command.data is not None:
        field, body = "data", command.data.decode("latin-1")
    elif command.text is not None and len(command.text) > _SHORT:
        field, body = "text", command.text
        body.encode()
    else:
        return command.wire()
    bulk.append(body)
    return [*command.wire_without_body(), field, len(body)]


def _answer(head: list[Any], bodies: list[str]) -> str:
    with suppress(BaseException):
        sys.__stdout__.flush()  # type: ignore[union-attr]  # a print without a newline
    return _encode(head) + "\n" + "".join(bodies)
