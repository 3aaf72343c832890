"""Tool calls and their results: what a model asks for, and what it gets to read."""

import json
from typing import Any


class ToolCall:
    """One call of a tool the manifest declares. `input` fits the tool's schema."""

    __slots__ = ("input", "name")

    def __init__(self, name: str, input: dict[str, Any]) -> None:
        self.name = name
        self.input = input

    def __repr__(self) -> str:
        """Return the call that makes this value."""
        return f"ToolCall({self.name!r}, {self.input!r})"


class ToolResult:
    """What a tool answers: a `summary` of one line, and optionally the `content`.

    `content` is text for the model; a dict or list is written as JSON.
    """

    __slots__ = ("content", "summary")

    def __init__(
        self, summary: str, content: str | dict[str, Any] | list[Any] | None = None
    ) -> None:
        if not isinstance(summary, str) or not summary.strip():
            raise TypeError("ToolResult(summary) takes a str that is not empty")
        if content is not None and not isinstance(content, str):
            content = json.dumps(content, ensure_ascii=False)
        self.summary = summary
        self.content: str | None = content

    def wire(self) -> dict[str, Any]:
        """Return the JSON object the host reads."""
        if self.content is None:
            return {"summary": self.summary}
        return {"summary": self.summary, "content": self.content}

    def __eq__(self, other: object) -> bool:
        """Return whether `other` is a result with the same values."""
        return isinstance(other, ToolResult) and other.wire() == self.wire()

    def __hash__(self) -> int:
        """Return a hash that agrees with `==`."""
        return hash((self.summary, self.content))

    def __repr__(self) -> str:
        """Return the call that makes this value."""
        return f"ToolResult({self.summary!r}, {self.content!r})"
