"""A tool that an agent may call."""

from yoi_pdk import Plugin, ToolResult, tool


class WordCount(Plugin):
    """Each method marked with @tool is a tool; plugin.toml declares it."""

    @tool
    def word_count(self, text: str) -> ToolResult:
        """Count the words and lines of a text."""
        words, lines = len(text.split()), len(text.splitlines())
        return ToolResult(f"{words} words", {"words": words, "lines": lines})
