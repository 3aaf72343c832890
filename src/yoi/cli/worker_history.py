"""A worker's history as a conversation. What people, models and plugins say is escaped."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from yoi.cli.layout import Indented, lines, whole
from yoi.cli.output import shown

_CHARS = 4096
_LINES = 200
_INDENT = " " * 21
Entry = Mapping[str, Any]


class Conversation:
    """Turns committed items into lines, in their order: a call is told by its name, not its id."""

    def __init__(self) -> None:
        self._calls: dict[str, str] = {}

    def item(self, entry: Entry) -> RenderableType | None:
        """Return what a person reads of one item; None for what only programs need."""
        kind = str(entry.get("type", "?"))
        tell = _TELL.get(kind)
        if tell is None:
            rest = [
                f"{key.replace('_', ' ')} {value}"
                for key, value in entry.items()
                if key not in ("seq", "type", "at_ms")
            ]
            return _lines(entry, kind.replace("_", " "), ", ".join(rest), "dim")
        return tell(self, entry)

    def _user(self, entry: Entry) -> RenderableType:
        return _lines(entry, str(entry.get("by") or "you"), entry.get("text"), "bold")

    def _outside(self, entry: Entry) -> RenderableType:
        origin = entry.get("provenance")
        plugin = origin.get("plugin", "?") if isinstance(origin, Mapping) else "?"
        return _lines(entry, f"from {plugin}", entry.get("text"), "magenta")

    def _assistant(self, entry: Entry) -> RenderableType:
        parts: list[RenderableType] = []
        for part in entry.get("parts", ()):
            kind = part.get("kind")
            if kind == "call":
                self._calls[str(part.get("id"))] = str(part.get("name"))
                said = f"{part.get('name')} {part.get('arguments')}"
                parts.append(_lines(entry, "calls", said, "cyan"))
            elif kind == "thinking":
                parts.append(_lines(entry, "thinks", part.get("text"), "dim italic"))
            else:
                parts.append(_lines(entry, "says", part.get("text"), ""))
        finish = entry.get("finish")
        if finish != "complete":
            parts.append(_lines(entry, f"the answer is {finish}", "", "yellow"))
        return lines(parts)

    def _result(self, entry: Entry) -> RenderableType:
        outcome = str(entry.get("outcome"))
        good = outcome == "returned"
        head = f"{entry.get('name')} {outcome}"
        return _lines(entry, head, entry.get("output"), "" if good else "red")

    def _asked(self, entry: Entry) -> RenderableType:
        outside = ", after text from outside" if entry.get("after_outside") else ""
        return _lines(entry, f"{self._call(entry)} waits for a person{outside}", "", "yellow")

    def _decided(self, entry: Entry) -> RenderableType:
        verb = "approved" if entry.get("approved") else "denied"
        scope = str(entry.get("scope", "once"))
        words = f"{entry.get('by', '?')} {verb} {self._call(entry)}{_SCOPES.get(scope, '')}"
        return _lines(entry, words, "", "green" if entry.get("approved") else "red")

    def _run_end(self, entry: Entry) -> RenderableType:
        result = str(entry.get("result")).replace("_", " ")
        error = entry.get("error") or ""
        return _lines(entry, f"run {result}", error, "red" if error else "dim")

    def _compaction(self, entry: Entry) -> RenderableType:
        return _lines(entry, "the history was summed up", entry.get("summary"), "magenta")

    def _compaction_failed(self, entry: Entry) -> RenderableType:
        return _lines(entry, "no summary was made", entry.get("error"), "red")

    def _by(self, entry: Entry) -> RenderableType:
        return _lines(entry, f"{entry.get('type')} by {entry.get('by', '?')}", "", "dim")

    def _configured(self, entry: Entry) -> RenderableType:
        # What the operator denies is not put before the model.
        offered = [one for one in entry.get("tools", ()) if one.get("approval") != "deny"]
        tools = ", ".join(str(one.get("name")) for one in offered) or "no tools"
        return _lines(entry, f"is now {entry.get('engine')}, with {tools}", "", "dim")

    def _nothing(self, entry: Entry) -> None:
        return None

    def _call(self, entry: Entry) -> str:
        call = str(entry.get("call_id"))
        return self._calls.get(call, f"the call {call}")


_SCOPES = {
    "run": " and its like in this run",
    "exact": " and the same call later",
    "matching": " and later calls that match",
}

_TELL: Mapping[str, Callable[[Conversation, Entry], RenderableType | None]] = {
    "user_input": Conversation._user,
    "system_item": Conversation._outside,
    "assistant": Conversation._assistant,
    "tool_result": Conversation._result,
    "approval_asked": Conversation._asked,
    "approval_decided": Conversation._decided,
    "run_end": Conversation._run_end,
    "compaction": Conversation._compaction,
    "compaction_failed": Conversation._compaction_failed,
    "paused": Conversation._by,
    "resumed": Conversation._by,
    "configured": Conversation._configured,
    "run_start": Conversation._nothing,
    "usage": Conversation._nothing,
    "tool_start": Conversation._nothing,
}


def _lines(entry: Entry, who: str, said: Any, style: str) -> RenderableType:
    """Return `TIME WHO` and what was said: on the same line where it is one, else below."""
    head = Text.assemble((f"{_at(entry)}  ", "dim"), shown(who, _CHARS, "bold" if said else style))
    rows = str(said or "").splitlines()
    if len(rows) <= 1:
        if rows:
            head.append_text(shown(f": {rows[0]}", _CHARS, style))
        return Indented(head, 0, hang=len(_INDENT))
    parts: list[RenderableType] = [whole(head.append(":"))]
    parts += [whole(shown(_INDENT + row, _CHARS, style)) for row in rows[:_LINES]]
    if len(rows) > _LINES:
        parts.append(shown(f"{_INDENT}... {len(rows) - _LINES} more lines: add --json", 512, "dim"))
    return lines(parts)


def _at(entry: Entry) -> str:
    at = entry.get("at_ms")
    if not isinstance(at, int):
        return "?"
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
