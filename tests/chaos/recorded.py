"""A small history that went well, written as chaos leaves it; tests spoil one thing of it."""

import copy
import json
from pathlib import Path
from typing import Any

Json = dict[str, Any]
GREETING = {"worker_name": "w", "provider": "scripted", "model": "scripted", "tools": []}
EMPTY = {
    "event": "snapshot",
    "data": {"entries": [], "greeting": GREETING, "status": "idle", "usage": {}},
}
EVENTS: list[Json] = [
    {
        "event": "user_message",
        "data": {"segments": [{"kind": "text", "text": "hi"}], "seq": 1, "at_ms": 10},
    },
    {"event": "status", "data": {"status": "running"}},
    {"event": "llm_call_start", "data": {"llm_call": 1}},
    {"event": "thinking_start"},
    {"event": "thinking_delta", "data": {"text": "canary-thought"}},
    {"event": "thinking_done", "data": {"text": "canary-thought"}},
    {"event": "text_delta", "data": {"text": "he"}},
    {"event": "text_delta", "data": {"text": "llo"}},
    {"event": "text_done", "data": {"text": "hello"}},
    {"event": "llm_call_end", "data": {"llm_call": 1, "model": "m", "seq": 2, "at_ms": 11}},
    {"event": "usage", "data": {"input_tokens": 3, "output_tokens": 2}},
    {"event": "run_end", "data": {"result": "finished", "seq": 3, "at_ms": 12}},
    {"event": "status", "data": {"status": "idle"}},
]
ENTRIES: list[Json] = [
    {"seq": 1, "at_ms": 10, "type": "user_input", "text": "hi"},
    {
        "seq": 2,
        "at_ms": 11,
        "type": "assistant",
        "llm_call": 1,
        "model": "m",
        "finish": "",
        "parts": [
            {"kind": "thinking", "text": "canary-thought"},
            {"kind": "text", "text": "hello"},
        ],
    },
    {"seq": 3, "at_ms": 12, "type": "run_end", "result": "finished"},
]
FINAL = {
    "event": "snapshot",
    "data": {
        "entries": ENTRIES,
        "greeting": GREETING,
        "status": "idle",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    },
}
EPOCH, OTHER = "aa", "bb"
RUNTIME_EPOCH = "cc"


def frame(epoch: str, seq: int, payload: Json, *, snapshot: bool = False) -> list[Any]:
    """Return a transcript's line of one event frame."""
    envelope = {
        "cursor": f"c-{epoch}-{seq}",
        "event_id": f"{epoch}-{seq}{'.s' if snapshot else ''}",
        "runtime_id": "north",
        "worker_id": "w",
        "payload": payload,
    }
    return ["frame", json.dumps({"kind": "event", "envelope": envelope})]


def resync(code: str = "backend.lagged") -> list[Any]:
    """Return a transcript's line of a diagnostic that announces a snapshot."""
    told = {"code": code, "scope": "client", "retryable": True, "action": "resync", "message": ""}
    return ["frame", json.dumps({"kind": "diagnostic", "diagnostic": told})]


def bookmark(epoch: str, seq: int) -> list[Any]:
    """Return a transcript's line of a bookmark."""
    said = {"kind": "bookmark", "cursor": f"c-{epoch}-{seq}", "up_to_date": True}
    return ["frame", json.dumps(said)]


def all_of_it(epoch: str = EPOCH) -> list[list[Any]]:
    """Return what a client writes down that is there from the beginning."""
    lines: list[list[Any]] = [["open", None, False], frame(epoch, 0, EMPTY, snapshot=True)]
    return lines + [frame(epoch, seq, event) for seq, event in enumerate(EVENTS, 1)]


class History:
    """Spoil its parts, then `write` it."""

    def __init__(self) -> None:
        self.clients = {"one": all_of_it(), "two": all_of_it()}
        self.witness = all_of_it(RUNTIME_EPOCH)
        self.shown = {"one": "full", "two": "full"}
        self.acts: list[Json] = []
        self.fresh: Json = copy.deepcopy(FINAL)
        self.own: Json = copy.deepcopy(FINAL)
        self.journal: list[Json] = copy.deepcopy(ENTRIES)

    def write(self, folder: Path) -> Path:
        """Leave it in `folder`, and return that."""
        (folder / "clients").mkdir()
        (folder / "witness").mkdir()
        for name, lines in self.clients.items():
            _write(folder / "clients" / f"{name}.jsonl", lines)
        _write(folder / "witness" / "w.jsonl", self.witness)
        subject = {"runtime": "north", "kind": "worker", "name": "w"}
        clients = [
            {"client": name, "backend": "plain", "shown": self.shown[name], **subject}
            for name in self.clients
        ]
        setup = {
            "clients": clients,
            "witnesses": [{"witness": "w", "subject": "north/worker/w"}],
            "plan": {"acts": self.acts},
        }
        (folder / "setup.json").write_text(json.dumps(setup))
        seq = len(EVENTS)
        fresh = {
            f"plain/north/worker/w/{shown}": frame(EPOCH, seq, self.fresh, snapshot=True)[1]
            for shown in set(self.shown.values())
        }
        own = {"north/worker/w": {"snapshot": self.own, "history": self.journal}}
        (folder / "final.json").write_text(json.dumps({"fresh": fresh, "own": own}))
        return folder


def _write(path: Path, lines: list[list[Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
