"""What a model is saying now: folded from its events, so that a snapshot can hold it."""

from yoi.protocol import events as ev


class _Open:
    """A block under construction; pieces are joined only when somebody looks."""

    __slots__ = ("call_id", "done", "kind", "name", "pieces", "redacted")

    def __init__(self, kind: str, call_id: str = "", name: str = "") -> None:
        self.kind, self.call_id, self.name = kind, call_id, name
        self.pieces: list[str] = []
        self.done = False
        self.redacted = False

    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

    def copy(self) -> "_Open":
        other = _Open(self.kind, self.call_id, self.name)
        other.pieces = [self.text()]
        other.done, other.redacted = self.done, self.redacted
        return other


class InFlight:
    """Folds the streaming events of one model call. `size` is the characters held.

    A piece of a tool call whose start was not heard begins one; nothing that arrives is refused.
    """

    def __init__(self) -> None:
        self.size = 0
        self._blocks: list[_Open] = []
        self._calls: dict[str, _Open] = {}

    @classmethod
    def of(cls, blocks: list[ev.Block]) -> "InFlight":
        """Return the fold that continues `blocks`."""
        made = cls()
        for shown in blocks:
            if isinstance(shown, ev.ToolCallBlock):
                block = made._call(shown.id, shown.name)
                block.pieces, block.done = [shown.args], shown.state == "done"
                made.size += len(shown.args)
            else:
                kind = "text" if isinstance(shown, ev.TextBlock) else "thinking"
                block = _Open(kind)
                block.pieces, block.done = [shown.text], shown.finished
                made._blocks.append(block)
                made.size += len(shown.text)
            block.redacted = shown.redacted
        return made

    def clear(self) -> None:
        """Forget everything: it is in history, or given up."""
        self._blocks = []
        self._calls = {}
        self.size = 0

    def copy(self) -> "InFlight":
        """Return an equal fold that goes its own way."""
        other = InFlight()
        other.size = self.size
        for block in self._blocks:
            twin = block.copy()
            other._blocks.append(twin)
            if twin.kind == "call":
                other._calls[twin.call_id] = twin
        return other

    def add(self, event: object) -> None:
        """Take in one streaming event; others change nothing."""
        kind = type(event)
        if kind is ev.TextDelta:
            self._piece(self._growing("text"), event.data.text, event.data.redacted)  # type: ignore[attr-defined]
        elif kind is ev.ThinkingDelta:
            self._piece(self._growing("thinking"), event.data.text, event.data.redacted)  # type: ignore[attr-defined]
        elif isinstance(event, ev.ToolCallArgsDelta):
            self._piece(self._call(event.data.id, ""), event.data.json, event.data.redacted)
        elif isinstance(event, ev.TextDone):
            self._end(self._growing("text"), event.data.text, event.data.redacted)
        elif isinstance(event, ev.ThinkingStart):
            self._blocks.append(_Open("thinking"))
        elif isinstance(event, ev.ThinkingDone):
            self._end(self._growing("thinking"), event.data.text, event.data.redacted)
        elif isinstance(event, ev.ToolCallStart):
            self._call(event.data.id, event.data.name)
        elif isinstance(event, ev.ToolCallDone):
            block = self._call(event.data.id, event.data.name)
            self._end(block, event.data.arguments, event.data.redacted)

    def snapshot(self) -> ev.InFlight | None:
        """Return what is in flight, or None when nothing is."""
        if not self._blocks:
            return None
        return ev.InFlight(blocks=self.blocks())

    def blocks(self) -> list[ev.Block]:
        """Return what is in flight, in order."""
        return [_shown(block) for block in self._blocks]

    def _piece(self, block: _Open, text: str, redacted: bool) -> None:
        block.pieces.append(text)
        block.redacted = block.redacted or redacted
        self.size += len(text)

    def _end(self, block: _Open, text: str, redacted: bool) -> None:
        self.size += len(text) - len(block.text())
        # It holds the whole text, so it alone says whether anything is hidden.
        block.pieces, block.done, block.redacted = [text], True, redacted

    def _growing(self, kind: str) -> _Open:
        last = self._blocks[-1] if self._blocks else None
        if last is None or last.kind != kind or last.done:
            last = _Open(kind)
            self._blocks.append(last)
        return last

    def _call(self, call_id: str, name: str) -> _Open:
        block = self._calls.get(call_id)
        if block is None:
            block = self._calls[call_id] = _Open("call", call_id, name)
            self._blocks.append(block)
        elif name:
            block.name = name
        return block


def _shown(block: _Open) -> ev.Block:
    if block.kind == "text":
        return ev.TextBlock(text=block.text(), finished=block.done, redacted=block.redacted)
    if block.kind == "thinking":
        return ev.ThinkingBlock(text=block.text(), finished=block.done, redacted=block.redacted)
    return ev.ToolCallBlock(
        id=block.call_id,
        name=block.name,
        args=block.text(),
        state="done" if block.done else "streaming_args",
        redacted=block.redacted,
    )
