"""A worker's events on a screen as they come. What models and plugins say is escaped."""

from collections.abc import Mapping
from typing import Any

import msgspec
from rich.text import Text

from yoi.cli.output import Output, console, shown
from yoi.cli.worker_view import approval
from yoi.display import printable
from yoi.protocol.events import ApprovalRequestData

_TEXT_CHARS = 100_000
_WITHHELD = "(withheld)"
_THINKING = "dim italic"


class WorkerStream:
    """Prints text as text, the rest as short lines; what an observer may not read is named so."""

    def __init__(self, output: Output, name: str) -> None:
        self._output = output
        self._name = name
        self._screen = console()
        self._open = ""

    def hear(self, event: Mapping[str, Any]) -> None:
        """Print `event`; programs get every event as it is, people what they would miss."""
        if self._output.as_json:
            self._output.line(event, lambda: Text(""))
            return
        data = event.get("data", {})
        match event.get("event"):
            case "text_delta":
                self._piece(data, "")
            case "thinking_delta":
                self._piece(data, _THINKING)
            case "tool_call_done":
                self.line(f"→ {data['name']} {_said(data, 'arguments')}", "cyan")
            case "tool_result":
                self._result(data)
            case "system_item":
                self._system_item(data["item"])
            case "user_message":
                for segment in data["segments"]:
                    self.line(f"> {segment.get('text', '')}", "bold")
            case "approval_request":
                self.settle()
                call = msgspec.convert(data, ApprovalRequestData)
                self._screen.print(approval(self._name, call), soft_wrap=True)
            case "llm_retry":
                self.line(
                    f"the model is asked again in {data['wait_ms']} ms: {_said(data, 'error')}"
                )
            case "error":
                self.line(f"error: {_said(data, 'message')}", "red")
            case "alert":
                self.line(f"{data['level']}: {_said(data, 'message')}", "yellow")
            case "run_end":
                self.line(f"run {data['result']}", "dim")
            case "compact_done":
                self.line(f"the history was summed up: {_said(data, 'summary')}", "magenta")
            case "shutdown":
                self.line("the worker has stopped", "dim")
            case _:
                pass

    def entry(self, entry: Mapping[str, Any]) -> None:
        """Print one entry of a snapshot like the events that made it."""
        match entry.get("type"):
            case "user_input":
                self.line(f"> {_said(entry, 'text')}", "bold")
            case "system_item":
                self._system_item(entry)
            case "assistant":
                parts = entry.get("parts")
                for part in parts if isinstance(parts, list) else ():
                    self.block(part)
                self.settle()
            case "tool_result":
                self._result(entry)
            case "run_end":
                self.line(f"run {entry.get('result', '?')}", "dim")
            case "compaction":
                self.line(f"the history was summed up: {_said(entry, 'summary')}", "magenta")
            case kind:
                self.line(f"{kind} {_WITHHELD}", "dim")

    def block(self, block: Any) -> None:
        """Print what a model said, or is saying: the line stays open for what follows."""
        kind = block.get("kind") if isinstance(block, dict) else None
        if kind in ("text", "thinking"):
            if self._open:
                self.settle()
            self._piece(block, "" if kind == "text" else _THINKING)
        elif kind == "call":
            self.line(f"→ {block.get('name', '?')} {_said(block, 'arguments')}", "cyan")
        elif kind == "tool_call" and block.get("state") == "done":
            self.line(f"→ {block.get('name', '?')} {_said(block, 'args')}", "cyan")

    def line(self, words: str, style: str = "") -> None:
        """Print one line."""
        self.settle()
        self._screen.print(shown(words, 4096, style), soft_wrap=True)

    def settle(self) -> None:
        """Finish a line of streamed text."""
        if self._open:
            self._screen.print()
            self._open = ""

    def _result(self, data: Mapping[str, Any]) -> None:
        failed = bool(data.get("is_error"))
        words = _said(data, "summary")
        self.line(f"{'✗' if failed else '←'} {words}", "red" if failed else "")

    def _system_item(self, item: Mapping[str, Any]) -> None:
        origin = item.get("provenance")
        plugin = origin.get("plugin", "?") if isinstance(origin, dict) else "system"
        self.line(f"[{plugin}] {_said(item, 'text')}", "magenta")

    def _piece(self, data: Mapping[str, Any], style: str) -> None:
        text, name = str(data.get("text", "")), style or "text"
        if data.get("redacted"):
            name = f"{name}, withheld"
            text = "" if self._open == name else _WITHHELD
        if self._open not in ("", name):
            self.settle()
        self._open = name
        safe = "\n".join(printable(line, _TEXT_CHARS) for line in text.split("\n"))
        self._screen.print(Text(safe, style=style), end="", soft_wrap=True)


def _said(data: Mapping[str, Any], key: str) -> str:
    return _WITHHELD if data.get("redacted") else str(data.get(key, ""))
