"""The offline engine: it follows a script, costs nothing, and is called `scripted` everywhere."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import msgspec

from yoi.errors import ModelError
from yoi.protocol import events as ev
from yoi.workers import items as it
from yoi.workers.context import ModelInput
from yoi.workers.engine import Answer, Said, TokenUsage

_WORDS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Say:
    """Say `text`, in pieces of a word each."""

    text: str


@dataclass(frozen=True, slots=True)
class Think:
    """Think `text`."""

    text: str


@dataclass(frozen=True, slots=True)
class CallTool:
    """Call the tool `name`. `arguments` is JSON text: a script can be wrong as a model can."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Break off with a provider's error."""

    message: str
    retryable: bool = False


Line = Say | Think | CallTool | Fail
Script = Callable[[ModelInput], Sequence[Line]]
"""Returns the lines of one answer. It sees what a model would see and nothing else."""


class ScriptedEngine:
    """A `yoi.workers.engine.Engine` that answers what `script` says."""

    name = "scripted"

    def __init__(self, script: Script) -> None:
        self._script = script

    async def ask(self, request: ModelInput) -> AsyncIterator[Said | Answer]:
        """Say the script's lines for `request`."""
        parts: list[it.Part] = []
        # A call's id is unique in its conversation, and the same for the same request.
        turn = sum(len(getattr(message, "parts", ())) for message in request.messages)
        for number, line in enumerate(self._script(request)):
            match line:
                case Say():
                    for piece in _pieces(line.text):
                        yield ev.TextDelta(ev.TextData(text=piece))
                    yield ev.TextDone(ev.TextData(text=line.text))
                    parts.append(it.Text(line.text))
                case Think():
                    yield ev.ThinkingStart()
                    for piece in _pieces(line.text):
                        yield ev.ThinkingDelta(ev.TextData(text=piece))
                    yield ev.ThinkingDone(ev.TextData(text=line.text))
                    parts.append(it.Thinking(line.text))
                case CallTool():
                    call = it.Call(f"call-{turn}-{number}", line.name, line.arguments)
                    yield ev.ToolCallStart(ev.ToolCallStartData(id=call.id, name=call.name))
                    for piece in _pieces(call.arguments):
                        yield ev.ToolCallArgsDelta(ev.ToolArgsDeltaData(id=call.id, json=piece))
                    yield ev.ToolCallDone(
                        ev.ToolCallDoneData(id=call.id, name=call.name, arguments=call.arguments)
                    )
                    parts.append(call)
                case Fail():
                    raise ModelError("model.provider", line.message, retryable=line.retryable)
        yield Answer(parts, _usage(request, parts))

    async def close(self) -> None:
        """Hold nothing."""


def _pieces(text: str) -> list[str]:
    words = text.split(" ")
    return [word + " " for word in words[:-1]] + ([words[-1]] if words[-1] else [])


def _usage(request: ModelInput, parts: list[it.Part]) -> TokenUsage:
    def tokens(value: object) -> int:
        return len(msgspec.json.encode(value)) // _WORDS_PER_TOKEN

    return TokenUsage(tokens(request.messages), tokens(parts))
