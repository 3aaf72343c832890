"""Random histories of workers and services, as their JSON: what a view may be shown, and worse."""

import json
import random
from typing import Any

from yoi.backend.source import KINDS
from yoi.errors import ProtocolMalformed
from yoi.protocol.observation import SubjectKind

Payload = dict[str, Any]
History = dict[str, Any]
"""`{"kind", "payloads", "checks"}`: after payload `checks[i][0]` the view is `checks[i][1]`."""

CHECK_EVERY = 7
WORDS = [
    "hi ",
    "",
    "naïve ",
    "😀",
    "a\x1b[31m",
    "\u202eabc",
    '"q"',
    "\\",
    "\x00\x7f",
    "line\nline ",
    "漢字",
]
GREETING = {"worker_name": "w", "provider": "p", "model": "m", "tools": ["t"]}


class Writer:
    """Writes payloads of one worker; the same seed writes the same."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._seq = 0

    def worker(self, count: int) -> list[Payload]:
        """Return a snapshot and `count` payloads after it."""
        return [self.snapshot(), *(self._worker_payload() for _ in range(count))]

    def service(self, count: int) -> list[Payload]:
        """Return a service's snapshot and `count` payloads after it."""
        return [self.service_snapshot(), *(self._service_payload() for _ in range(count))]

    def board(self, count: int) -> list[Payload]:
        """Return a board's snapshot and `count` payloads after it."""
        return [self._board_snapshot(), *(self._board_payload() for _ in range(count))]

    def snapshot(self) -> Payload:
        """Return any snapshot of a worker."""
        data: Payload = {
            "entries": [self._entry() for _ in range(self._random.choice([0, 3, 199, 230]))],
            "greeting": {**GREETING, **self._some({"cwd": "/x", "context_window": 9})},
            "status": self._one("idle", "running", "paused"),
        }
        if self._maybe():
            data["in_flight"] = {
                "blocks": [self._block() for _ in range(self._random.randrange(5))]
            }
        if self._maybe():
            data["waiting"] = [self._call("arguments") for _ in range(self._random.randrange(4))]
        if self._maybe():
            data["alerts"] = [self._alert() for _ in range(self._random.randrange(20))]
        data |= self._some({"usage": {"input_tokens": 5, "output_tokens": 6}, "left_out": 3})
        return {"event": "snapshot", "data": data}

    def service_snapshot(self) -> Payload:
        """Return any snapshot of a service."""
        entries = [self._diagnostic() for _ in range(self._random.choice([0, 5, 64, 70]))]
        rest = self._some({"left_out": 9, "redacted": True, "unknown": [1]})
        return {
            "event": "service_snapshot",
            "data": {"status": self._status(), "diagnostics": entries, **rest},
        }

    def _maybe(self, chance: float = 0.5) -> bool:
        return self._random.random() < chance

    def _one(self, *choices: Any) -> Any:
        return self._random.choice(choices)

    def _some(self, fields: Payload) -> Payload:
        return {key: value for key, value in fields.items() if self._maybe()}

    def _text(self) -> str:
        return "".join(self._random.choices(WORDS, k=self._random.randrange(4)))

    def _place(self) -> Payload:
        if self._maybe(0.1):
            return self._one({}, {"seq": None}, {"at_ms": 7})
        self._seq += self._one(1, 1, 1, 5)
        return {"seq": self._seq, "at_ms": self._random.randrange(10**13)}

    def _entry(self) -> Payload:
        self._seq += 1
        rest = self._one(
            {"type": "user_input", "text": self._text()},
            {"type": "system_item", "text": self._text(), "provenance": None},
            {"type": "of a newer version", "any": [1, {"x": None}]},
        )
        return {"seq": self._seq, "at_ms": 1, **rest}

    def _redacted(self) -> Payload:
        return self._one({}, {}, {}, {"redacted": True}, {"redacted": False})

    def _block(self) -> Payload:
        kind = self._one("text", "thinking", "tool_call")
        if kind == "tool_call":
            state = self._some({"state": self._one("pending", "streaming_args", "done")})
            return {"kind": kind, **self._call("args"), **state}
        rest = self._some({"finished": self._maybe()})
        return {"kind": kind, "text": self._text(), **rest, **self._redacted()}

    def _call(self, field: str) -> Payload:
        names = {"id": self._one("c1", "c2", "c3"), "name": self._one("t", "u", "")}
        return {**names, field: self._text(), **self._redacted()}

    def _alert(self) -> Payload:
        level = self._one("info", "warning", "error")
        words = {"source": "s", "message": self._text(), **self._redacted()}
        return {"level": level, "timestamp_ms": self._random.randrange(99), **words}

    def _provenance(self) -> Payload:
        names = ("plugin", "plugin_id", "digest", "ingress", "event_id", "command_id")
        return {name: self._text() for name in names}

    def _worker_payload(self) -> Payload:
        if self._maybe(0.08):
            return self._unreadable()
        name = self._random.choice(_WORKER_EVENTS)
        data = self._worker_data(name)
        return {"event": name} if data is None else {"event": name, "data": data}

    def _worker_data(self, name: str) -> Payload | None:
        said = {"text": self._text(), **self._redacted(), **self._some({"new": 1})}
        match name:
            case "text_delta" | "text_done" | "thinking_delta" | "thinking_done":
                return said
            case "thinking_start" | "compact_start" | "shutdown":
                return None
            case "tool_call_start":
                return {"id": self._one("c1", "c2", "c3"), "name": self._one("t", "u", "")}
            case "tool_call_args_delta":
                return {"id": self._one("c1", "c9"), "json": self._text(), **self._redacted()}
            case "tool_call_done":
                return self._call("arguments")
            case "approval_request":
                more = {"item": 7, "after_outside": self._maybe(), "times": self._one(1, 2)}
                return {**self._call("arguments"), **self._some(more)}
            case "approval_done":
                return {"id": self._one("c1", "c2"), "approved": True, "by": "me"}
            case "tool_result":
                rest = self._some({"output": self._one("out", None), "name": self._one("t", "")})
                words = {"id": self._one("c1", "c2"), "summary": self._text()}
                return {
                    **words,
                    "is_error": self._maybe(),
                    **rest,
                    **self._place(),
                    **self._redacted(),
                }
            case "user_message":
                segments = [{"kind": "text", "text": self._text()}, {"kind": "image"}]
                return {"segments": segments, **self._place()}
            case "system_item":
                self._seq += 1
                rest = self._some({"provenance": self._one(None, self._provenance())})
                return {"item": {"seq": self._seq, "text": self._text(), "at_ms": 3, **rest}}
            case "llm_call_start":
                return {"llm_call": 1}
            case "llm_call_end":
                rest = self._some({"model": "m", "finish": self._one("stop", "interrupted")})
                return {"llm_call": 2, **rest, **self._place()}
            case "usage":
                return {"input_tokens": self._one(3, 2**52), "output_tokens": 1}
            case "run_end":
                return {"result": self._one("finished", "paused", "failed"), **self._place()}
            case "compact_done":
                return {"new_segment_id": "1", "summary": self._text(), **self._place()}
            case "compact_failed":
                return {"error": self._text()}
            case "status":
                return {"status": self._one("idle", "running", "paused", "stopped")}
            case "alert":
                return self._alert()
            case "configured":
                return {"tools": self._one([], ["a", "b"])}
            case _:
                return self.snapshot()["data"]

    def _unreadable(self) -> Payload:
        return self._one(
            {"event": "of a newer version", "data": {"any": 1}},
            {"event": "text_delta", "data": {"text": 5}},
            {"event": "text_delta"},
            {"event": "usage", "data": {"input_tokens": -1, "output_tokens": 2}},
            {"event": "usage", "data": {"input_tokens": 1.5, "output_tokens": 2}},
            {"event": "alert", "data": {**self._alert(), "level": "fatal"}},
            {"event": "tool_result", "data": {"id": "c1", "summary": "s", "is_error": 0}},
            {"event": "user_message", "data": {"segments": [{"text": "no kind"}]}},
            {"event": "user_message", "data": {"segments": None}},
            {"event": "snapshot", "data": {"entries": [], "status": "idle"}},
            {"event": "toString", "data": {}},
            {"event": "__proto__", "data": {}},
        )

    def _status(self) -> Payload:
        depth = self._random.randrange(100)
        return {
            "lifecycle": self._one("running", "failed"),
            "queue_depth": depth,
            "x": self._text(),
        }

    def _diagnostic(self) -> Payload:
        rest = self._some({"hint": self._text(), "fields": {"a": [None, self._text()]}})
        return {"at": "2026-01-01T00:00:00Z", "code": "notice.gap", "message": self._text(), **rest}

    def _board_snapshot(self) -> Payload:
        items = [self._ticket() for _ in range(self._one(0, 3, 499, 500))]
        items = list({one["id"]: one for one in items}.values())
        entries = [self._thread_event() for _ in range(self._one(0, 5, 399, 420))]
        data = {"items": items, "entries": entries, **self._some({"left_out": 4})}
        return {"event": "board_snapshot", "data": data}

    def _ticket_id(self) -> str:
        return f"T{self._random.randrange(30)}"

    def _ticket(self) -> Payload:
        rest = {
            "title": self._text(),
            "state": self._one("", "queued", "odd"),
            "assignee": self._text(),
            "updated_at": self._one("", "2026-01-01T00:00:00Z"),
            "undecided": self._maybe(),
            "damage": self._text(),
            "thread_damage": self._text(),
            "events": self._random.randrange(9),
            "new": 1,
        }
        return {"id": self._ticket_id(), **self._some(rest), **self._redacted()}

    def _thread_event(self) -> Payload:
        named = {"ticket": self._ticket_id(), "number": self._random.randrange(1, 30)}
        rest = {"author": self._text(), "at": self._text(), "step": "a -> b", "cut": self._maybe()}
        long = self._one(*[""] * 7, "€" * self._random.randrange(5000))
        text = {"kind": self._one("comment", "odd"), "text": self._text() + long}
        return {**named, **text, **self._some(rest), **self._redacted()}

    def _board_payload(self) -> Payload:
        return self._one(
            {"event": "ticket_changed", "data": self._ticket()},
            *[{"event": "thread_added", "data": self._thread_event()}] * 5,
            {"event": "thread_rewritten", "data": {"id": self._ticket_id()}},
            {"event": "ticket_gone", "data": {"id": self._ticket_id()}},
            {"event": "board_counted", "data": {"left_out": self._random.randrange(9)}},
            {"event": "ticket_changed", "data": {"id": 5}},
            {"event": "thread_added", "data": {"ticket": "T1", "number": -1, "kind": "x"}},
            {"event": "of a newer version", "data": 1},
            *([self._board_snapshot()] if self._maybe(0.1) else []),
        )

    def _service_payload(self) -> Payload:
        return self._one(
            {"event": "service_status", "data": {"status": self._status(), **self._redacted()}},
            *[{"event": "diagnostic", "data": self._diagnostic()}] * 6,
            {"event": "service_stopped"},
            {"event": "service_status", "data": {"status": []}},
            {"event": "of a newer version", "data": 1},
            *([self.service_snapshot()] if self._maybe(0.2) else []),
        )


_STREAMED = ["text_delta", "thinking_delta", "tool_call_args_delta"]
_WORKER_EVENTS = [
    *_STREAMED * 4,
    *["llm_call_end", "tool_result", "user_message", "system_item"] * 3,
    *["text_done", "thinking_start", "thinking_done", "tool_call_start", "tool_call_done"],
    *["approval_request", "approval_done", "llm_call_start", "usage", "run_end", "status"],
    *["compact_done", "compact_failed", "alert", "configured", "compact_start", "shutdown"],
    "snapshot",
]


def history(kind: str, seed: int, count: int) -> History:
    """Return a history with what Python's own view shows in it; what it refuses is left out."""
    writer = Writer(seed)
    write = {"worker": writer.worker, "service": writer.service, "board": writer.board}
    payloads = write[kind](count)
    return checked(kind, payloads)


def checked(kind: str, payloads: list[Payload]) -> History:
    """Return `payloads` as a history."""
    kept: list[Payload] = []
    checks: list[tuple[int, Payload]] = []
    view: Any = None
    for payload in payloads:
        try:
            view = _folded(kind, view, json.dumps(payload))
        except ProtocolMalformed:
            continue
        kept.append(payload)
        if len(kept) % CHECK_EVERY == 0 or len(kept) == len(payloads):
            checks.append((len(kept) - 1, _shown(kind, view)))
    checks.append((len(kept) - 1, _shown(kind, view)))
    return {"kind": kind, "payloads": kept, "checks": checks}


def _folded(kind: str, view: Any, raw: str) -> Any:
    known = KINDS[SubjectKind(kind)]
    event: Any = known.decode(raw.encode())
    if view is None:
        return known.view(event)
    view.apply(event)
    return view


def _shown(kind: str, view: Any) -> Payload:
    shown: Payload = json.loads(KINDS[SubjectKind(kind)].encode(view.snapshot()))
    return shown
