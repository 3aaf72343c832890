"""What a stream's frames add up to: plain JSON in, plain dictionaries out.

Written from docs/design/observation.md and the events' meaning, on purpose without a line of Yoi:
were it Yoi's own fold, a defect in it would be on both sides of every comparison.
"""

import copy
from typing import Any

Json = dict[str, Any]

THINKING, ARGUMENTS, OUTPUT = "thinking", "tool_arguments", "tool_output"
_ALERTS = 16
_DIAGNOSTICS = 64


def begin(snapshot: Json) -> Json:
    """Return the state that a snapshot's payload shows."""
    data = copy.deepcopy(snapshot.get("data", {}))
    if snapshot.get("event") == "service_snapshot":
        return {
            "kind": "service",
            "status": data["status"],
            "diagnostics": data["diagnostics"],
            "left_out": data.get("left_out", 0),
            "redacted": data.get("redacted", False),
        }
    if snapshot.get("event") != "snapshot":
        raise ValueError(f"not a snapshot: {snapshot.get('event')}")
    flight = data.get("in_flight") or {"blocks": []}
    usage = data.get("usage") or {"input_tokens": 0, "output_tokens": 0}
    return {
        "kind": "worker",
        "entries": data["entries"],
        "left_out": data.get("left_out", 0),
        "greeting": {**data["greeting"], "cwd": ""},
        "status": data["status"],
        "blocks": [_block(block) for block in flight["blocks"]],
        "waiting": {call["id"]: call for call in data.get("waiting", [])},
        "alerts": data.get("alerts", []),
        "usage": [usage.get("input_tokens", 0), usage.get("output_tokens", 0)],
    }


def apply(state: Json, event: Json) -> None:
    """Take one event's payload into `state`."""
    name, data = event["event"], event.get("data") or {}
    if state["kind"] == "service":
        _service(state, name, data)
    else:
        _worker(state, name, data)


def differences(mine: Json, theirs: Json) -> list[str]:
    """Return in which parts two states differ; both may have forgotten their oldest entries."""
    if mine["kind"] != theirs["kind"]:
        return ["kind"]
    if mine["kind"] == "service":
        wrong = [key for key in ("status", "redacted") if mine[key] != theirs[key]]
        return wrong + _tails("diagnostics", mine, theirs, _DIAGNOSTICS)
    keys = ("greeting", "status", "blocks", "waiting", "usage")
    wrong = [key for key in keys if mine[key] != theirs[key]]
    oldest = max(mine["left_out"], theirs["left_out"])
    kept = [[one for one in side["entries"] if one["seq"] > oldest] for side in (mine, theirs)]
    if kept[0] != kept[1]:
        wrong.append("entries")
    return wrong + _tails("alerts", mine, theirs, _ALERTS)


def hidden(event: Json) -> Json:
    """Return a worker's event as an observer without thinking, arguments and outputs gets it."""
    name, data = event["event"], event.get("data") or {}
    field = {
        "thinking_delta": "text",
        "thinking_done": "text",
        "tool_call_args_delta": "json",
        "tool_call_done": "arguments",
        "approval_request": "arguments",
    }.get(name)
    if field is not None:
        return {**event, "data": _emptied(data, field)}
    if name == "tool_result":
        return {**event, "data": _no_output(data)}
    return event


def hidden_state(state: Json) -> Json:
    """Return a worker's state as that observer has it."""
    return {
        **state,
        "entries": [_hidden_entry(entry) for entry in state["entries"]],
        "blocks": [
            block if block["kind"] == "text" else _emptied(block, "text")
            for block in state["blocks"]
        ],
        "waiting": {key: _emptied(call, "arguments") for key, call in state["waiting"].items()},
    }


def _hidden_entry(entry: Json) -> Json:
    if entry["type"] == "tool_result":
        return _no_output(entry)
    if entry["type"] != "assistant":
        return entry
    fields = {"thinking": "text", "call": "arguments"}
    parts = [
        _emptied(part, fields[part["kind"]]) if part["kind"] in fields else part
        for part in entry["parts"]
    ]
    return {**entry, "parts": parts}


def _emptied(data: Json, field: str) -> Json:
    return {**data, field: "", "redacted": True} if data.get(field) else data


def _no_output(data: Json) -> Json:
    if not data.get("summary") and data.get("output") is None:
        return data
    rest = {key: value for key, value in data.items() if key != "output"}
    return {**rest, "summary": "", "redacted": True}


def _tails(key: str, mine: Json, theirs: Json, most: int) -> list[str]:
    """The newest must be the same; how many older ones are kept is each side's own choice."""
    count = min(len(mine[key]), len(theirs[key]), most)
    return [] if mine[key][-count:] == theirs[key][-count:] or not count else [key]


def _service(state: Json, name: str, data: Json) -> None:
    if name == "service_status":
        state["status"], state["redacted"] = data["status"], data.get("redacted", False)
    elif name == "diagnostic":
        state["diagnostics"].append(data)
    elif name == "service_snapshot":
        state.update(begin({"event": name, "data": data}))


def _worker(state: Json, name: str, data: Json) -> None:
    match name:
        case "snapshot":
            state.update(begin({"event": name, "data": data}))
        case "user_message":
            text = "".join(segment.get("text", "") for segment in data["segments"])
            _enter(state, data, {"type": "user_input", "text": text})
        case "system_item":
            _enter(state, data["item"], {**data["item"], "type": "system_item"})
        case "llm_call_start" | "compact_failed":
            state["blocks"] = []
        case "llm_call_end":
            if "seq" in data:
                _enter(state, data, _answer(data, state["blocks"]))
            state["blocks"] = []
        case "tool_result":
            _enter(state, data, {**data, "type": "tool_result"})
            state["waiting"].pop(data["id"], None)
        case "approval_request":
            state["waiting"][data["id"]] = data
        case "approval_done":
            state["waiting"].pop(data["id"], None)
        case "usage":
            state["usage"][0] += data.get("input_tokens", 0)
            state["usage"][1] += data.get("output_tokens", 0)
        case "run_end" if data["result"] != "paused":
            _enter(state, data, {"type": "run_end", "result": data["result"]})
            state["blocks"], state["waiting"] = [], {}
        case "compact_done":
            _enter(state, data, {"type": "compaction", "summary": data.get("summary", "")})
            state["blocks"] = []
        case "status":
            state["status"] = data["status"]
        case "shutdown":
            state["blocks"], state["status"] = [], "idle"
        case "alert":
            state["alerts"].append(data)
        case "configured":
            state["greeting"] = {**state["greeting"], "tools": data["tools"]}
        case _:
            _say(state["blocks"], name, data)


def _enter(state: Json, place: Json, entry: Json) -> None:
    """Add an entry of the history; what is in here already comes with a snapshot and an event."""
    newest = state["entries"][-1]["seq"] if state["entries"] else state["left_out"]
    if "seq" in place and place["seq"] > newest:
        state["entries"].append({**entry, "seq": place["seq"], "at_ms": place["at_ms"]})


def _answer(data: Json, blocks: list[Json]) -> Json:
    parts = [_part(block) for block in blocks]
    if data.get("finish") in ("interrupted", "failed"):
        parts = [part for part in parts if part["kind"] != "call"]
    return {
        "type": "assistant",
        "llm_call": data["llm_call"],
        "model": data.get("model", ""),
        "finish": data.get("finish", ""),
        "parts": parts,
    }


def _part(block: Json) -> Json:
    mark = {"redacted": True} if block.get("redacted") else {}
    if block["kind"] == "call":
        head = {"kind": "call", "id": block["id"], "name": block["name"]}
        return {**head, "arguments": block["text"], **mark}
    return {"kind": block["kind"], "text": block["text"], **mark}


def _block(shown: Json) -> Json:
    """Return a snapshot's block in flight in this module's own shape."""
    mark = {"redacted": True} if shown.get("redacted") else {}
    if shown["kind"] == "tool_call":
        head = {"kind": "call", "id": shown["id"], "name": shown["name"]}
        return {**head, "text": shown["args"], "done": shown.get("state") == "done", **mark}
    done = shown.get("finished", False)
    return {"kind": shown["kind"], "text": shown["text"], "done": done, **mark}


def _say(blocks: list[Json], name: str, data: Json) -> None:
    """Take one piece of what the model is saying."""
    if name in ("text_delta", "thinking_delta"):
        block = _open(blocks, name.removesuffix("_delta"))
        block["text"] += data["text"]
    elif name in ("text_done", "thinking_done"):
        block = _open(blocks, name.removesuffix("_done"))
        block.pop("redacted", None)
        block.update(text=data["text"], done=True)
    elif name == "thinking_start":
        blocks.append({"kind": "thinking", "text": "", "done": False})
        return
    elif name in ("tool_call_start", "tool_call_args_delta", "tool_call_done"):
        block = _call(blocks, data)
        block["text"] += data.get("json", "")
        if name == "tool_call_done":
            block.pop("redacted", None)
            block.update(text=data["arguments"], done=True)
    else:
        return
    if data.get("redacted"):
        block["redacted"] = True


def _open(blocks: list[Json], kind: str) -> Json:
    if not blocks or blocks[-1]["kind"] != kind or blocks[-1]["done"]:
        blocks.append({"kind": kind, "text": "", "done": False})
    return blocks[-1]


def _call(blocks: list[Json], data: Json) -> Json:
    for block in blocks:
        if block.get("id") == data["id"]:
            block["name"] = data.get("name") or block["name"]
            return block
    made = {"kind": "call", "id": data["id"], "name": data.get("name", ""), "text": ""}
    blocks.append({**made, "done": False})
    return blocks[-1]
