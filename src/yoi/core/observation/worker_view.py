"""A worker's view: what a person who watches it sees, folded from its events.

The worker, the runtime, the backend and every client fold the same way, so a snapshot taken
anywhere and what follows it agree. Entries are what a person reads of the history:

    user_input {text}, system_item {text, provenance?}, assistant {llm_call, model, finish, parts},
    tool_result {id, name, summary, is_error, output?}, run_end {result}, compaction {summary}

each with its `seq` (number in the history) and `at_ms`.
"""

from collections import deque
from typing import Any

import msgspec

from yoi.core.observation.inflight import InFlight
from yoi.core.observation.measure import json_bytes
from yoi.errors import ProtocolMalformed
from yoi.limits import LIMITS, Limits
from yoi.protocol import events as ev
from yoi.protocol.depth import deeper_than
from yoi.protocol.events import MOST, Event, UnknownEvent

Entry = dict[str, Any]
_BROKEN_OFF = ("interrupted", "failed")


class EntryWindow:
    """The newest entries within the bounds of a snapshot. `left_out` is the newest number gone."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.left_out = 0
        self._limits = limits
        self._entries: deque[tuple[Entry, int]] = deque()
        self._bytes = 0

    def add(self, entry: Entry) -> None:
        """Append `entry`; the oldest make room."""
        size = json_bytes(entry)
        self._entries.append((entry, size))
        self._bytes += size
        while self._entries and (
            len(self._entries) > self._limits.snapshot_entries
            or self._bytes > self._limits.snapshot_bytes
        ):
            gone, size = self._entries.popleft()
            self._bytes -= size
            self.left_out = max(self.left_out, gone["seq"])

    @property
    def entries(self) -> list[Entry]:
        """Return the entries, oldest first. They are shared and must not be changed."""
        return [entry for entry, _ in self._entries]

    def copy(self) -> "EntryWindow":
        """Return an equal window that does not change with this one."""
        other = EntryWindow(self._limits)
        other.left_out, other._bytes = self.left_out, self._bytes
        other._entries = self._entries.copy()
        return other


class WorkerView:
    """The fold. Begin it with a snapshot (`of`), then `apply` every event that follows.

    An event that does not fit the bounds of a snapshot is refused, and then nothing has changed.
    """

    def __init__(self, greeting: ev.Greeting, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._window = EntryWindow(limits)
        self._newest = 0
        """The newest number of the history that is in here: an item comes once."""
        self._greeting = greeting
        self._status: ev.StatusName = "idle"
        self._inflight = InFlight(limits.observed_inflight_bytes)
        self._waiting: dict[str, tuple[ev.ApprovalRequestData, int]] = {}
        self._alerts: deque[tuple[ev.AlertData, int]] = deque()
        self._aside = json_bytes(greeting)
        self._usage = (0, 0)

    @classmethod
    def of(cls, snapshot: ev.Snapshot, limits: Limits = LIMITS) -> "WorkerView":
        """Return the view that `snapshot` shows. Raises ProtocolMalformed beyond the bounds."""
        data = snapshot.data
        view = cls(data.greeting, limits)
        for entry in data.entries:
            view._enter(_checked(entry, limits))
        view._window.left_out = max(view._window.left_out, data.left_out)
        view._newest = max(view._newest, data.left_out)
        view._status = data.status
        if data.in_flight is not None:
            view._inflight = InFlight.of(data.in_flight.blocks, limits.observed_inflight_bytes)
        view._spend(0)
        for call in data.waiting:
            view._wait(call)
        for alert in data.alerts:
            view._alert(alert)
        if data.usage is not None:
            view._usage = (data.usage.input_tokens, data.usage.output_tokens)
        return view

    def copy(self) -> "WorkerView":
        """Return an equal view that does not change with this one."""
        other = WorkerView(self._greeting, self._limits)
        other._window, other._newest = self._window.copy(), self._newest
        other._status = self._status
        other._inflight = self._inflight.copy()
        other._waiting = dict(self._waiting)
        other._alerts = self._alerts.copy()
        other._aside = self._aside
        other._usage = self._usage
        return other

    def apply(self, event: Event | UnknownEvent) -> None:
        """Take in the next event. Raises ProtocolMalformed when it cannot be held."""
        kind = type(event)
        if kind is ev.TextDelta or kind is ev.ThinkingDelta or kind is ev.ToolCallArgsDelta:
            self._inflight.add(event)
            return
        match event:
            case ev.UserMessage(data):
                self._add(data.seq, data.at_ms, "user_input", text=_text(data.segments))
            case ev.SystemItem(data):
                item = msgspec.to_builtins(data.item)
                self._add(item.pop("seq"), item.pop("at_ms"), "system_item", **item)
            case ev.LlmCallStart():
                self._inflight.clear()
            case ev.LlmCallEnd(data):
                self._answered(data)
            case ev.ToolResult(data):
                rest = msgspec.to_builtins(data)
                self._add(rest.pop("seq", None), rest.pop("at_ms", None), "tool_result", **rest)
                self._decided(data.id)
            case ev.ApprovalRequest(data):
                self._wait(data)
            case ev.ApprovalDone(data):
                self._decided(data.id)
            case ev.Usage(data):
                self._spent(data)
            case ev.RunEnd(data) if data.result == "paused":
                pass  # the run goes on: what waits and what was said stay
            case ev.RunEnd(data):
                self._add(data.seq, data.at_ms, "run_end", result=data.result)
                self._inflight.clear()
                for call_id in list(self._waiting):
                    self._decided(call_id)
            case ev.CompactDone(data):
                self._add(data.seq, data.at_ms, "compaction", summary=data.summary)
                self._inflight.clear()
            case ev.CompactFailed():
                self._inflight.clear()
            case ev.Status(data):
                self._status = data.status
            case ev.Shutdown():
                self._inflight.clear()
                self._status = "idle"  # the protocol has no word for stopped
            case ev.Alert(data):
                self._alert(data)
            case ev.Configured(data):
                greeting = msgspec.structs.replace(self._greeting, tools=data.tools)
                self._spend(json_bytes(greeting) - json_bytes(self._greeting))
                self._greeting = greeting
            case ev.Snapshot():
                self.__dict__.update(WorkerView.of(event, self._limits).__dict__)
            case _:
                self._inflight.add(event)

    def snapshot(self) -> ev.Snapshot:
        """Return the view as an event."""
        spent, said = self._usage
        return ev.Snapshot(
            ev.SnapshotData(
                entries=self._window.entries,
                greeting=self._greeting,
                status=self._status,
                in_flight=self._inflight.snapshot(),
                waiting=[call for call, _ in self._waiting.values()],
                alerts=[alert for alert, _ in self._alerts],
                usage=ev.UsageData(input_tokens=spent, output_tokens=said),
                left_out=self._window.left_out,
            )
        )

    def _answered(self, data: ev.LlmCallData) -> None:
        if data.seq is not None:
            parts = [_part(block) for block in self._inflight.blocks()]
            if data.finish in _BROKEN_OFF:  # its calls are never carried out
                parts = [part for part in parts if part["kind"] != "call"]
            self._add(
                data.seq,
                data.at_ms,
                "assistant",
                llm_call=data.llm_call,
                model=data.model,
                finish=data.finish,
                parts=parts,
            )
        self._inflight.clear()

    def _add(self, seq: int | None, at_ms: int | None, kind: str, **rest: Any) -> None:
        if seq is None or seq > self._newest:
            self._enter({"seq": seq or 0, "type": kind, "at_ms": at_ms or 0, **rest})

    def _enter(self, entry: Entry) -> None:
        self._window.add(entry)
        self._newest = max(self._newest, entry["seq"])

    def _wait(self, call: ev.ApprovalRequestData) -> None:
        """Note that `call` waits; one of the same id is the same call."""
        size = json_bytes(call)
        _, before = self._waiting.get(call.id, (call, 0))
        self._spend(size - before)
        self._waiting[call.id] = (call, size)

    def _decided(self, call_id: str) -> None:
        _, size = self._waiting.pop(call_id, (None, 0))
        self._aside -= size

    def _alert(self, alert: ev.AlertData) -> None:
        full = len(self._alerts) >= self._limits.snapshot_alerts
        size = json_bytes(alert)
        self._spend(size - (self._alerts[0][1] if full else 0))
        self._alerts.append((alert, size))
        if full:
            self._alerts.popleft()

    def _spent(self, data: ev.UsageData) -> None:
        spent, said = self._usage
        self._usage = (
            min(spent + data.input_tokens, MOST),
            min(said + data.output_tokens, MOST),
        )

    def _spend(self, cost: int) -> None:
        """Take room for what a snapshot holds beside entries and work in flight."""
        if self._aside + cost > self._limits.observed_aside_bytes and cost >= 0:
            raise ProtocolMalformed("protocol.malformed", "what waits is over its bound")
        self._aside += cost


def _checked(entry: Entry, limits: Limits) -> Entry:
    seq = entry.get("seq")
    if type(seq) is not int or not 0 <= seq <= MOST or not isinstance(entry.get("type"), str):
        raise ProtocolMalformed("protocol.malformed", "an entry without seq or type")
    if deeper_than(entry, limits.observed_depth):
        raise ProtocolMalformed("protocol.malformed", "an entry that is nested too deeply")
    return entry


def _text(segments: list[ev.Segment]) -> str:
    return "".join(segment.text for segment in segments)


def _part(block: ev.Block) -> Entry:
    part: Entry
    if isinstance(block, ev.ToolCallBlock):
        part = {"kind": "call", "id": block.id, "name": block.name, "arguments": block.args}
    else:
        kind = "text" if isinstance(block, ev.TextBlock) else "thinking"
        part = {"kind": kind, "text": block.text}
    if block.redacted:
        part["redacted"] = True
    return part
