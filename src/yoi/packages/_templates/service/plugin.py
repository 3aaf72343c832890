"""A service with state that its tools share."""

from collections import deque
from typing import Any

from yoi_pdk import Context, Plugin, ToolResult, tool


class Notes(Plugin):
    """One object lives as long as the service runs, so plain attributes keep state."""

    def start(self, ctx: Context, config: dict[str, Any]) -> None:
        """Set up; the host calls this once, before anything else."""
        self.notes: deque[str] = deque(maxlen=config.get("most", 100))

    @tool
    def note_add(self, text: str) -> ToolResult:
        """Keep a note."""
        self.notes.append(text)
        return ToolResult(f"note {len(self.notes)} kept")

    @tool
    def note_list(self) -> ToolResult:
        """List the notes."""
        return ToolResult(f"{len(self.notes)} notes", {"notes": list(self.notes)})

    def status(self) -> dict[str, Any]:
        """Shown by `yoi service status`."""
        return {"notes": len(self.notes)}
