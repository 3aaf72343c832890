"""What the model is saying now: kept so that a snapshot holds it before history does."""

from yoi.protocol import events as ev
from yoi.workers import items as it


class _Open:
    """A block under construction; pieces are joined only when somebody looks."""

    __slots__ = ("call_id", "done", "kind", "name", "pieces")

    def __init__(self, kind: str, call_id: str = "", name: str = "") -> None:
        self.kind, self.call_id, self.name = kind, call_id, name
        self.pieces: list[str] = []
        self.done = False

    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""


class InFlight:
    """Folds a model call's events. `clear` when they are in history, or given up."""

    def __init__(self) -> None:
        self._blocks: list[_Open] = []
        self._calls: dict[str, _Open] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._blocks = []
        self._calls = {}

    def add(self, event: ev.Event) -> None:
        """Take in one streaming event; others change nothing."""
        kind = type(event)
        if kind is ev.TextDelta:
            self._growing("text").pieces.append(event.data.text)  # type: ignore[union-attr]
        elif kind is ev.ThinkingDelta:
            self._growing("thinking").pieces.append(event.data.text)  # type: ignore[union-attr]
        elif isinstance(event, ev.ToolCallArgsDelta):
            self._calls[event.data.id].pieces.append(event.data.json)
        elif isinstance(event, ev.TextDone):
            self._end("text", event.data.text)
        elif isinstance(event, ev.ThinkingStart):
            self._blocks.append(_Open("thinking"))
        elif isinstance(event, ev.ThinkingDone):
            self._end("thinking", event.data.text)
        elif isinstance(event, ev.ToolCallStart):
            block = _Open("call", event.data.id, event.data.name)
            self._blocks.append(block)
            self._calls[event.data.id] = block
        elif isinstance(event, ev.ToolCallDone):
            block = self._calls[event.data.id]
            block.pieces, block.done = [event.data.arguments], True

    def snapshot(self) -> ev.InFlight | None:
        """Return what is in flight, or None when nothing is."""
        if not self._blocks:
            return None
        return ev.InFlight(blocks=[_shown(block) for block in self._blocks])

    def said(self) -> list[it.Part]:
        """Return the text and thinking so far, as parts of an answer that broke off."""
        return [
            it.Text(block.text()) if block.kind == "text" else it.Thinking(block.text())
            for block in self._blocks
            if block.kind != "call"
        ]

    def _growing(self, kind: str) -> _Open:
        last = self._blocks[-1] if self._blocks else None
        if last is None or last.kind != kind or last.done:
            last = _Open(kind)
            self._blocks.append(last)
        return last

    def _end(self, kind: str, text: str) -> None:
        block = self._growing(kind)
        block.pieces, block.done = [text], True


def _shown(block: _Open) -> ev.Block:
    if block.kind == "text":
        return ev.TextBlock(text=block.text(), finished=block.done)
    if block.kind == "thinking":
        return ev.ThinkingBlock(text=block.text(), finished=block.done)
    return ev.ToolCallBlock(
        id=block.call_id,
        name=block.name,
        args=block.text(),
        state="done" if block.done else "streaming_args",
    )
