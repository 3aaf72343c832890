"""Tool calls and their results: what a model asks for, and what it gets to read."""

import json
from collections.abc import Iterable
from typing import Any

from yoi_pdk.commands import Command


class ToolCall:
    """One call of a tool the manifest declares.

    `input` fits the tool's schema. `id` names this call and no other.
    """

    __slots__ = ("id", "input", "name")

    def __init__(self, name: str, input: dict[str, Any], id: str = "") -> None:
        self.name = name
        self.input = input
        self.id = id

    def __repr__(self) -> str:
        """Return the call that makes this value."""
        shown = f", {self.id!r}" if self.id else ""
        return f"ToolCall({self.name!r}, {self.input!r}{shown})"


def wired_commands(commands: Iterable[Command]) -> list[dict[str, Any]]:
    """Return a tool's commands as the host reads them."""
    return [
        {"command_id": command_id, "kind": kind, "payload": payload}
        for command_id, kind, payload in (command.wire() for command in commands)
    ]


class ToolResult:
    """What a tool answers: a `summary` of one line, and optionally the `content`.

    `content` is text for the model; a dict or list is written as JSON. `commands` are carried out
    by the host when the tool has returned, in order and each checked, as those of a handler are;
    the model reads which of them were refused. A call belongs to no session, so a `Send` names its
    connection.
    """

    __slots__ = ("commands", "content", "summary")

    def __init__(
        self,
        summary: str,
        content: str | dict[str, Any] | list[Any] | None = None,
        *,
        commands: Command | Iterable[Command] = (),
    ) -> None:
        if not isinstance(summary, str) or not summary.strip():
            raise TypeError("ToolResult(summary) takes a str that is not empty")
        if content is not None and not isinstance(content, str):
            content = json.dumps(content, ensure_ascii=False)
        self.summary = summary
        self.content: str | None = content
        self.commands = (commands,) if isinstance(commands, Command) else tuple(commands)

    def also(self, commands: list[Command]) -> "ToolResult":
        """Return this result with `commands` after its own."""
        return (
            self
            if not commands
            else ToolResult(self.summary, self.content, commands=(*self.commands, *commands))
        )

    def wire(self) -> dict[str, Any]:
        """Return the JSON object the host reads."""
        wired: dict[str, Any] = {"summary": self.summary}
        if self.content is not None:
            wired["content"] = self.content
        if self.commands:
            wired["output_commands"] = wired_commands(self.commands)
        return wired

    def __eq__(self, other: object) -> bool:
        """Return whether `other` is a result with the same values."""
        return isinstance(other, ToolResult) and other.wire() == self.wire()

    def __hash__(self) -> int:
        """Return a hash that agrees with `==`."""
        return hash((self.summary, self.content, self.commands))

    def __repr__(self) -> str:
        """Return the call that makes this value."""
        shown = f", commands={list(self.commands)!r}" if self.commands else ""
        return f"ToolResult({self.summary!r}, {self.content!r}{shown})"
