"""A worker's view: what a person who watches it sees, folded from its events.

The worker, the runtime, the backend and every client fold the same way, so a snapshot taken
anywhere and what follows it agree. Entries are what a person reads of the history:

    user_input {text}, system_item {text, provenance?}, assistant {llm_call, model, finish, parts},
    tool_result {id, name, summary, is_error, output?}, run_end {result}, compaction {summary}

each with its `seq` (place in the history) and `at_ms`.
"""

from collections import deque
from typing import Any

import msgspec

from yoi.core.observation.inflight import InFlight
from yoi.errors import ProtocolMalformed
from yoi.limits import LIMITS, Limits
from yoi.protocol import events as ev
from yoi.protocol.events import Event, UnknownEvent

Entry = dict[str, Any]


class EntryWindow:
    """The newest entries within the bounds of a snapshot. `left_out` is the newest place gone."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.left_out = 0
        self._limits = limits
        self._entries: deque[tuple[Entry, int]] = deque()
        self._bytes = 0

    def add(self, entry: Entry) -> None:
        """Append `entry`; the oldest make room."""
        size = len(msgspec.json.encode(entry))
        self._entries.append((entry, size))
        self._bytes += size
        while self._entries and (
            len(self._entries) > self._limits.snapshot_entries
            or self._bytes > self._limits.snapshot_bytes
        ):
            gone, size = self._entries.popleft()
            self._bytes -= size
            self.left_out = gone["seq"] or self.left_out

    @property
    def entries(self) -> list[Entry]:
        """Return the entries, oldest first. They are shared: nobody changes one."""
        return [entry for entry, _ in self._entries]

    def copy(self) -> "EntryWindow":
        """Return an equal window that goes its own way."""
        other = EntryWindow(self._limits)
        other.left_out, other._bytes = self.left_out, self._bytes
        other._entries = self._entries.copy()
        return other


class WorkerView:
    """The fold. Begin it with a snapshot (`of`), then `apply` every event that follows."""

    def __init__(self, greeting: ev.Greeting, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._window = EntryWindow(limits)
        self._greeting = greeting
        self._status: ev.StatusName = "idle"
        self._inflight = InFlight()
        self._waiting: dict[str, ev.ApprovalRequestData] = {}
        self._alerts: deque[ev.AlertData] = deque(maxlen=limits.snapshot_alerts)
        self._usage = (0, 0)
        self._head = 0

    @classmethod
    def of(cls, snapshot: ev.Snapshot, limits: Limits = LIMITS) -> "WorkerView":
        """Return the view that `snapshot` shows. Raises ProtocolMalformed beyond the bounds."""
        data = snapshot.data
        view = cls(data.greeting, limits)
        for entry in data.entries:
            if not isinstance(entry.get("seq"), int) or not isinstance(entry.get("type"), str):
                raise ProtocolMalformed("protocol.malformed", "an entry without seq or type")
            view._window.add(entry)
        view._window.left_out = max(view._window.left_out, data.left_out)
        view._status = data.status
        if data.in_flight is not None:
            view._inflight = InFlight.of(data.in_flight.blocks)
        view._waiting = {call.id: call for call in data.waiting}
        view._alerts.extend(data.alerts)
        if data.usage is not None:
            view._usage = (data.usage.input_tokens, data.usage.output_tokens)
        view._check()
        return view

    def copy(self) -> "WorkerView":
        """Return an equal view that goes its own way."""
        other = WorkerView(self._greeting, self._limits)
        other._window = self._window.copy()
        other._status = self._status
        other._inflight = self._inflight.copy()
        other._waiting = dict(self._waiting)
        other._alerts.extend(self._alerts)
        other._usage = self._usage
        return other

    def apply(self, event: Event | UnknownEvent) -> None:
        """Take in the next event. Raises ProtocolMalformed when work in flight has no bound."""
        kind = type(event)
        if kind is ev.TextDelta or kind is ev.ThinkingDelta or kind is ev.ToolCallArgsDelta:
            self._inflight.add(event)
            self._check()
            return
        match event:
            case ev.UserMessage(data):
                self._add(data.seq, data.at_ms, "user_input", text=_text(data.segments))
            case ev.SystemItem(data):
                item = msgspec.to_builtins(data.item)
                self._window.add({"seq": item.pop("seq"), "type": "system_item", **item})
            case ev.LlmCallStart():
                self._inflight.clear()
            case ev.LlmCallEnd(data):
                self._answered(data)
            case ev.ToolResult(data):
                self._waiting.pop(data.id, None)
                rest = msgspec.to_builtins(data)
                self._add(rest.pop("seq", None), rest.pop("at_ms", None), "tool_result", **rest)
            case ev.ApprovalRequest(data):
                self._waiting[data.id] = data
            case ev.ApprovalDone(data):
                self._waiting.pop(data.id, None)
            case ev.Usage(data):
                spent, said = self._usage
                self._usage = (spent + data.input_tokens, said + data.output_tokens)
            case ev.RunEnd(data) if data.result != "paused":
                self._inflight.clear()
                self._waiting.clear()
                self._add(data.seq, data.at_ms, "run_end", result=data.result)
            case ev.CompactDone(data):
                self._inflight.clear()
                self._add(data.seq, data.at_ms, "compaction", summary=data.summary)
            case ev.CompactFailed():
                self._inflight.clear()
            case ev.Status(data):
                self._status = data.status
            case ev.Alert(data):
                self._alerts.append(data)
            case ev.Configured(data):
                self._greeting = msgspec.structs.replace(self._greeting, tools=data.tools)
            case ev.Snapshot():
                self.__dict__.update(WorkerView.of(event, self._limits).__dict__)
            case _:
                self._inflight.add(event)
                self._check()

    def snapshot(self) -> ev.Snapshot:
        """Return the view as an event."""
        spent, said = self._usage
        return ev.Snapshot(
            ev.SnapshotData(
                entries=self._window.entries,
                greeting=self._greeting,
                status=self._status,
                in_flight=self._inflight.snapshot(),
                waiting=list(self._waiting.values()),
                alerts=list(self._alerts),
                usage=ev.UsageData(input_tokens=spent, output_tokens=said),
                left_out=self._window.left_out,
            )
        )

    def _answered(self, data: ev.LlmCallData) -> None:
        if data.seq is not None:
            self._add(
                data.seq,
                data.at_ms,
                "assistant",
                llm_call=data.llm_call,
                model=data.model,
                finish=data.finish,
                parts=[_part(block) for block in self._inflight.blocks()],
            )
        self._inflight.clear()

    def _add(self, seq: int | None, at_ms: int | None, kind: str, **rest: Any) -> None:
        self._window.add({"seq": seq or 0, "type": kind, "at_ms": at_ms or 0, **rest})

    def _check(self) -> None:
        if self._inflight.size > self._limits.observed_inflight_bytes:
            raise ProtocolMalformed("protocol.malformed", "work in flight is over its bound")


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
