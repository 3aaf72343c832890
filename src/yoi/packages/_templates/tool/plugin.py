"""A tool that an agent may call."""

from yoi_pdk import Context, Plugin, ToolCall, ToolResult


class WordCount(Plugin):
    """Handles every tool that plugin.toml declares."""

    def on_tool(self, call: ToolCall, ctx: Context) -> ToolResult:
        """Answer one call; `call.name` says which tool, `call.input` fits its schema."""
        text: str = call.input["text"]
        words, lines = len(text.split()), len(text.splitlines())
        return ToolResult(f"{words} words", {"words": words, "lines": lines})
