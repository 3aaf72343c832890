"""What a model is saying now: folded from its events, so that a snapshot can hold it."""

from yoi.core.observation.measure import json_bytes
from yoi.errors import ProtocolMalformed
from yoi.limits import LIMITS
from yoi.protocol import events as ev

_BLOCK_BYTES = 128
"""More than a block's JSON without its texts has; empty blocks count by it."""
_PIECES = 1024
"""Then they are joined: a piece costs more than its characters."""


class _Open:
    """A block under construction; pieces are joined only when it is read."""

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
    """Folds the streaming events of one model call. `size` is at least its bytes as JSON.

    A piece of a tool call whose start was not heard begins one. What does not fit `most_bytes` is
    refused (ProtocolMalformed), and then nothing has changed.
    """

    def __init__(self, most_bytes: int = LIMITS.observed_inflight_bytes) -> None:
        self.size = 0
        self._most = most_bytes
        self._blocks: list[_Open] = []
        self._calls: dict[str, _Open] = {}

    @classmethod
    def of(
        cls, blocks: list[ev.Block], most_bytes: int = LIMITS.observed_inflight_bytes
    ) -> "InFlight":
        """Return the fold that continues `blocks`. Raises ProtocolMalformed beyond the bound."""
        made = cls(most_bytes)
        for shown in blocks:
            if isinstance(shown, ev.ToolCallBlock):
                block = made._begun("call", shown.id, shown.name, _bytes(shown.args))
                block.pieces, block.done = [shown.args], shown.state == "done"
            else:
                kind = "text" if isinstance(shown, ev.TextBlock) else "thinking"
                block = made._begun(kind, "", "", _bytes(shown.text))
                block.pieces, block.done = [shown.text], shown.finished
            block.redacted = shown.redacted
        return made

    def clear(self) -> None:
        """Forget everything: it is in history, or given up."""
        self._blocks = []
        self._calls = {}
        self.size = 0

    def copy(self) -> "InFlight":
        """Return an equal fold that does not change with this one."""
        other = InFlight(self._most)
        other.size = self.size
        for block in self._blocks:
            twin = block.copy()
            other._blocks.append(twin)
            if twin.kind == "call":
                other._calls[twin.call_id] = twin
        return other

    def add(self, event: object) -> None:
        """Take in one streaming event; others change nothing. Raises ProtocolMalformed."""
        match event:
            case ev.TextDelta(data):
                self._piece("text", data.text, data.redacted)
            case ev.ThinkingDelta(data):
                self._piece("thinking", data.text, data.redacted)
            case ev.ToolCallArgsDelta(data):
                self._piece("call", data.json, data.redacted, data.id)
            case ev.TextDone(data):
                self._end("text", data.text, data.redacted)
            case ev.ThinkingStart():
                self._begun("thinking", "", "", 0)
            case ev.ThinkingDone(data):
                self._end("thinking", data.text, data.redacted)
            case ev.ToolCallStart(data):
                self._named(data.id, data.name)
            case ev.ToolCallDone(data):
                self._end("call", data.arguments, data.redacted, data.id, data.name)
            case _:
                pass

    def snapshot(self) -> ev.InFlight | None:
        """Return what is in flight, or None when nothing is."""
        if not self._blocks:
            return None
        return ev.InFlight(blocks=self.blocks())

    def blocks(self) -> list[ev.Block]:
        """Return what is in flight, in order."""
        return [_shown(block) for block in self._blocks]

    def _piece(self, kind: str, text: str, redacted: bool, call_id: str = "") -> None:
        cost = _bytes(text)
        block = self._growing(kind, call_id)
        if block is None:
            block = self._begun(kind, call_id, "", cost)
        else:
            self._spend(cost)
        block.pieces.append(text)
        if len(block.pieces) > _PIECES:
            block.text()
        block.redacted = block.redacted or redacted

    def _end(self, kind: str, text: str, redacted: bool, call_id: str = "", name: str = "") -> None:
        cost = _bytes(text)
        block = self._growing(kind, call_id)
        if block is None:
            block = self._begun(kind, call_id, name, cost)
        else:
            self._spend(cost - _bytes(block.text()) + _renamed(block, name))
            block.name = name or block.name
        # It holds the whole text, so it alone says whether anything is hidden.
        block.pieces, block.done, block.redacted = [text], True, redacted

    def _named(self, call_id: str, name: str) -> None:
        block = self._calls.get(call_id)
        if block is None:
            self._begun("call", call_id, name, 0)
        else:
            self._spend(_renamed(block, name))
            block.name = name or block.name

    def _growing(self, kind: str, call_id: str) -> _Open | None:
        """Return the block that the next piece of `kind` belongs to, or None for a new one."""
        if kind == "call":
            return self._calls.get(call_id)
        last = self._blocks[-1] if self._blocks else None
        return None if last is None or last.kind != kind or last.done else last

    def _begun(self, kind: str, call_id: str, name: str, cost: int) -> _Open:
        self._spend(_BLOCK_BYTES + _bytes(call_id) + _bytes(name) + cost)
        block = _Open(kind, call_id, name)
        self._blocks.append(block)
        if kind == "call":
            self._calls[call_id] = block
        return block

    def _spend(self, cost: int) -> None:
        if self.size + cost > self._most and cost > 0:
            raise ProtocolMalformed("protocol.malformed", "work in flight is over its bound")
        self.size += cost


def _bytes(text: str) -> int:
    return json_bytes(text) - 2


def _renamed(block: _Open, name: str) -> int:
    return _bytes(name) - _bytes(block.name) if name else 0


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
