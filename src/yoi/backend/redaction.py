"""Hides parts of typed events and snapshots: a field is emptied and its data says `redacted`.

A value is marked only where there was something to hide, so that folding redacted events gives the
redacted fold. Codes, names and positions stay, words go. What this version cannot read could hold
anything: under a redaction it becomes a placeholder, and fields it does not know are left behind.

A model's text stays text: what it quotes of a hidden output is not found in it.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from yoi.core.ticket_states import TicketState
from yoi.errors import CODES
from yoi.protocol import events as ev
from yoi.protocol.board_events import (
    BoardEntry,
    BoardEvent,
    BoardItem,
    BoardSnapshot,
    BoardSnapshotData,
    ThreadAdded,
    TicketChanged,
)
from yoi.protocol.diagnostics import NOTICES
from yoi.protocol.events import Event, UnknownEvent
from yoi.protocol.service_events import (
    ServiceDiagnosed,
    ServiceEvent,
    ServiceSnapshot,
    ServiceStatusChanged,
)
from yoi.protocol.status import (
    ConnectionStatus,
    Counters,
    PullSocketStatus,
    RequestStatus,
    ServiceStatus,
)
from yoi.serving.principals import Redaction

Entry = dict[str, Any]
Observed = Event | ServiceEvent | BoardEvent | UnknownEvent
S = TypeVar("S", bound=msgspec.Struct)

_HIDDEN = msgspec.Raw(b'{"redacted":true}')
_WORDS = {"last_error", "close_reason", "plugin_status", "commands", "diagnostics"}
"""Fields of a service's status in which a plugin, a gateway or an error speaks."""
_TICKET_TEXT = frozenset({Redaction.TICKETS, Redaction.TOOL_ARGUMENTS})
"""Either hides what items say: what a worker writes into one is the arguments of its tool."""
_TICKET_STATES = frozenset(TicketState)
_TICKET_KINDS = (
    "create",
    "comment",
    "decision",
    "implementation_report",
    "item_edit",
    "plan",
    "relation",
    "review",
    "state_changed",
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_SEVERITIES = ("info", "warning", "error")


def redacted(event: Observed, hide: frozenset[Redaction]) -> Observed:
    """Return `event` without what `hide` names; the event itself where nothing is hidden."""
    if not hide:
        return event
    if isinstance(event, UnknownEvent):
        return UnknownEvent(event.event, _HIDDEN)
    shown = _EMPTIED.get(type(event))
    if shown is not None:
        return shown(event, hide)
    # A copy, never the event: its JSON is made from the fields this version knows.
    return msgspec.structs.replace(event)


def without_paths(event: Observed) -> Observed:
    """Return a worker's snapshot without what it says of its machine's file system (O6)."""
    if not isinstance(event, ev.Snapshot) or not event.data.greeting.cwd:
        return event
    greeting = msgspec.structs.replace(event.data.greeting, cwd="")
    return ev.Snapshot(msgspec.structs.replace(event.data, greeting=greeting))


def _thinking(event: Any, hide: frozenset[Redaction]) -> Observed:
    return _with(event, _hide_text(event.data, "text", Redaction.THINKING in hide))


def _arguments_delta(event: ev.ToolCallArgsDelta, hide: frozenset[Redaction]) -> Observed:
    return _with(event, _hide_text(event.data, "json", Redaction.TOOL_ARGUMENTS in hide))


def _arguments(event: Any, hide: frozenset[Redaction]) -> Observed:
    return _with(event, _hide_text(event.data, "arguments", Redaction.TOOL_ARGUMENTS in hide))


def _result(event: ev.ToolResult, hide: frozenset[Redaction]) -> Observed:
    data = event.data
    if Redaction.TOOL_OUTPUT in hide and (data.summary or data.output is not None):
        data = msgspec.structs.replace(data, summary="", output=None, redacted=True)
    return _with(event, data)


def _error(event: ev.Error, hide: frozenset[Redaction]) -> Observed:
    of_a_tool = event.data.code == "tool_error" and Redaction.TOOL_OUTPUT in hide
    hidden = of_a_tool or Redaction.DIAGNOSTICS in hide
    return _with(event, _hide_text(event.data, "message", hidden))


def _retry(event: ev.LlmRetry, hide: frozenset[Redaction]) -> Observed:
    data = event.data
    if Redaction.DIAGNOSTICS in hide:
        data = msgspec.structs.replace(data, error="", status=None, redacted=True)
    return _with(event, data)


def _compact_failed(event: ev.CompactFailed, hide: frozenset[Redaction]) -> Observed:
    return _with(event, _hide_text(event.data, "error", Redaction.DIAGNOSTICS in hide))


def _alert(event: ev.Alert, hide: frozenset[Redaction]) -> Observed:
    return _with(event, _hide_text(event.data, "message", Redaction.DIAGNOSTICS in hide))


def _snapshot(event: ev.Snapshot, hide: frozenset[Redaction]) -> Observed:
    data = event.data
    in_flight = data.in_flight
    if in_flight is not None:
        in_flight = ev.InFlight(blocks=[_block(block, hide) for block in in_flight.blocks])
    arguments, diagnostics = Redaction.TOOL_ARGUMENTS in hide, Redaction.DIAGNOSTICS in hide
    return ev.Snapshot(
        msgspec.structs.replace(
            data,
            entries=[_entry(entry, hide) for entry in data.entries],
            in_flight=in_flight,
            waiting=[_hide_text(call, "arguments", arguments) for call in data.waiting],
            alerts=[_hide_text(alert, "message", diagnostics) for alert in data.alerts],
        )
    )


def _block(block: ev.Block, hide: frozenset[Redaction]) -> ev.Block:
    match block:
        case ev.ThinkingBlock():
            return _hide_text(block, "text", Redaction.THINKING in hide)
        case ev.ToolCallBlock():
            return _hide_text(block, "args", Redaction.TOOL_ARGUMENTS in hide)
    return block


def _entry(entry: Entry, hide: frozenset[Redaction]) -> Entry:
    """Return a new entry of the known keys of its type."""
    kind = entry["type"]
    keys = _ENTRY_KEYS.get(kind)
    if keys is None:
        return {**_picked(entry, _PLACE), "redacted": True}
    shown = _picked(entry, keys)
    if kind == "assistant":
        parts = entry.get("parts")
        shown["parts"] = [_part(part, hide) for part in parts] if isinstance(parts, list) else []
    elif kind == "system_item" and "provenance" in entry:
        shown["provenance"] = _known(entry["provenance"], ev.Provenance)
    elif (
        kind == "tool_result"
        and Redaction.TOOL_OUTPUT in hide
        and (shown.get("summary") or "output" in shown)
    ):
        shown.pop("output", None)
        shown.update(summary="", redacted=True)
    return shown


def _part(part: object, hide: frozenset[Redaction]) -> Entry:
    kind = part.get("kind") if isinstance(part, dict) else None
    if not isinstance(part, dict) or not isinstance(kind, str) or kind not in _PART_KEYS:
        return {"kind": "unknown", "redacted": True}
    shown = _picked(part, _PART_KEYS[kind])
    field, category = _PART_HIDES.get(kind, ("", None))
    if category in hide and shown.get(field):
        shown.update({field: "", "redacted": True})
    return shown


def _service_snapshot(event: ServiceSnapshot, hide: frozenset[Redaction]) -> Observed:
    data = event.data
    if Redaction.DIAGNOSTICS in hide:
        data = msgspec.structs.replace(
            data,
            status=_status(data.status),
            diagnostics=[_diagnostic(entry) for entry in data.diagnostics],
            redacted=True,
        )
    return _with(event, data)


def _service_status(event: ServiceStatusChanged, hide: frozenset[Redaction]) -> Observed:
    data = event.data
    if Redaction.DIAGNOSTICS in hide:
        data = msgspec.structs.replace(data, status=_status(data.status), redacted=True)
    return _with(event, data)


def _service_diagnosed(event: ServiceDiagnosed, hide: frozenset[Redaction]) -> Observed:
    return ServiceDiagnosed(
        _diagnostic(event.data) if Redaction.DIAGNOSTICS in hide else dict(event.data)
    )


def _board_snapshot(event: BoardSnapshot, hide: frozenset[Redaction]) -> Observed:
    data = event.data
    shown = BoardSnapshotData(
        items=[_board_item(item, hide) for item in data.items],
        entries=[_board_entry(entry, hide) for entry in data.entries],
        left_out=data.left_out,
    )
    return BoardSnapshot(shown)


def _ticket_changed(event: TicketChanged, hide: frozenset[Redaction]) -> Observed:
    return TicketChanged(_board_item(event.data, hide))


def _thread_added(event: ThreadAdded, hide: frozenset[Redaction]) -> Observed:
    return ThreadAdded(_board_entry(event.data, hide))


def _board_item(item: BoardItem, hide: frozenset[Redaction]) -> BoardItem:
    """Return ids, states, times and counts; a word that is no state could say anything."""
    if not hide & _TICKET_TEXT:
        return item
    state = item.state if item.state in _TICKET_STATES else ""
    shown = BoardItem(
        id=item.id,
        state=state,
        updated_at=_time(item.updated_at),
        undecided=item.undecided,
        events=item.events,
    )
    return msgspec.structs.replace(shown, redacted=item.redacted or shown != item)


def _time(text: str) -> str:
    """Return `text` where it can be nothing but a time."""
    return text if _TIME.fullmatch(text) else ""


def _board_entry(entry: BoardEntry, hide: frozenset[Redaction]) -> BoardEntry:
    if not hide & _TICKET_TEXT:
        return entry
    shown = BoardEntry(
        ticket=entry.ticket,
        number=entry.number,
        kind=entry.kind if entry.kind in _TICKET_KINDS else "",
        at=_time(entry.at),
    )
    return msgspec.structs.replace(shown, redacted=entry.redacted or shown != entry)


def _diagnostic(entry: Entry) -> Entry:
    """Return when something happened and its code, if the code is one of Yoi's; no text of it."""
    shown = _picked(entry, ("at", "scope"))
    code, severity = entry.get("code"), entry.get("severity")
    known = isinstance(code, str) and (code in CODES or code in NOTICES)
    shown["code"] = code if known else ""
    shown["severity"] = severity if severity in _SEVERITIES else "info"
    return {**shown, "message": "", "redacted": True}


def _status(status: Entry) -> Entry:
    shown = _known(status, ServiceStatus)
    shown["counters"] = _known(status.get("counters"), Counters)
    for name, kind in (
        ("connections", ConnectionStatus),
        ("pull_sockets", PullSocketStatus),
        ("requests", RequestStatus),
    ):
        each = status.get(name)
        shown[name] = [_known(one, kind) for one in each] if isinstance(each, list) else []
    return shown


def _known(value: object, kind: type[msgspec.Struct]) -> Entry:
    """Return the plain fields of `value` that `kind` has, without those of `_WORDS`."""
    if not isinstance(value, dict):
        return {}
    names = [name for name in kind.__struct_fields__ if name not in _WORDS]
    return _picked(value, names)


def _picked(entry: Mapping[str, Any], keys: Any) -> Entry:
    """Return those of `keys` that are there and are plain values."""
    return {
        key: entry[key]
        for key in keys
        if key in entry and isinstance(entry[key], str | int | float | bool | None)
    }


def _hide_text(data: S, field: str, hidden: bool) -> S:
    if hidden and getattr(data, field):
        return msgspec.structs.replace(data, **{field: ""}, redacted=True)
    return data


def _with(event: Any, data: msgspec.Struct) -> Observed:
    shown: Observed = type(event)(data)
    return shown


_PLACE = ("seq", "type", "at_ms")
_ENTRY_KEYS: dict[str, tuple[str, ...]] = {
    "user_input": (*_PLACE, "text"),
    "system_item": (*_PLACE, "text"),
    "assistant": (*_PLACE, "llm_call", "model", "finish"),
    "tool_result": (*_PLACE, "id", "name", "summary", "is_error", "output", "redacted"),
    "run_end": (*_PLACE, "result"),
    "compaction": (*_PLACE, "summary"),
}
_PART_KEYS: dict[str, tuple[str, ...]] = {
    "text": ("kind", "text", "redacted"),
    "thinking": ("kind", "text", "redacted"),
    "call": ("kind", "id", "name", "arguments", "redacted"),
}
_PART_HIDES: dict[str, tuple[str, Redaction]] = {
    "thinking": ("text", Redaction.THINKING),
    "call": ("arguments", Redaction.TOOL_ARGUMENTS),
}
_EMPTIED: dict[type, Callable[[Any, frozenset[Redaction]], Observed]] = {
    ev.ThinkingDelta: _thinking,
    ev.ThinkingDone: _thinking,
    ev.ToolCallArgsDelta: _arguments_delta,
    ev.ToolCallDone: _arguments,
    ev.ApprovalRequest: _arguments,
    ev.ToolResult: _result,
    ev.Error: _error,
    ev.LlmRetry: _retry,
    ev.CompactFailed: _compact_failed,
    ev.Alert: _alert,
    ev.Snapshot: _snapshot,
    ServiceSnapshot: _service_snapshot,
    ServiceStatusChanged: _service_status,
    ServiceDiagnosed: _service_diagnosed,
    BoardSnapshot: _board_snapshot,
    TicketChanged: _ticket_changed,
    ThreadAdded: _thread_added,
}
